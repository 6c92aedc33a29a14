"""`manage.py verify_access_log`: is every line of the access log as it was written?"""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts import access_log
from accounts.access_log_models import AccessLog


class Command(BaseCommand):
    """Exit status 1 and the number of the first broken line when the chain does not hold."""

    help = (
        "Recompute the chain of the access log and name the first line that does not fit. "
        "Note the printed head elsewhere, and give it back with --expect later."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the option."""
        parser.add_argument("--expect", metavar="NUMBER:HASH", help="a head that was noted earlier")

    def handle(self, *args: Any, **options: Any) -> None:
        """Chain what waits, then check."""
        access_log.seal()
        verdict = access_log.verify(_expected(options["expect"]))
        if not verdict.holds:
            row = AccessLog.objects.filter(sequence=verdict.broken_at).first()
            where = f" (row {row.pk}, {row.at:%Y-%m-%d %H:%M:%S} UTC, {row.action})" if row else ""
            raise CommandError(
                f"Line {verdict.broken_at}{where}: {verdict.problem}. "
                f"The {verdict.lines} lines before it are whole."
            )
        number, digest = verdict.head
        self.stdout.write(f"{verdict.lines} lines, each as it was written.")
        self.stdout.write(f"Head: {number}:{digest}")


def _expected(text: str | None) -> tuple[int, str] | None:
    if not text:
        return None
    number, _colon, digest = text.partition(":")
    if not number.isdigit() or len(digest) != 64:
        raise CommandError("--expect takes a number, a colon and a hash of 64 digits.")
    return int(number), digest
