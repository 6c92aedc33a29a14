"""`python manage.py check_links`: do the addresses of resources and sources still work?"""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from resources import links


class Command(BaseCommand):
    help = (
        "Open every address of a source or resource, politely: one request at a time per site. Broken ones "
        "are named and shown on the curation desk; then the exit code is 1."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="only name the addresses, open none")

    def handle(self, *args: Any, **options: Any) -> None:
        urls = links.addresses_in_use()
        if options["dry_run"]:
            for url in urls:
                self.stdout.write(url)
            self.stdout.write(f"{len(urls)} addresses; none was opened.")
            return
        outcomes = links.check_all(urls)
        links.remember(outcomes)
        links.forget_unused(urls)
        broken = [outcome for outcome in outcomes if not outcome.is_ok]
        for outcome in broken:
            self.stderr.write(f"{outcome.url}: {outcome.problem}")
        self.stdout.write(f"{len(outcomes)} addresses, {len(outcomes) - len(broken)} work.")
        if broken:
            raise CommandError(f"{len(broken)} addresses do not work.")
