"""`manage.py erasure_leftovers USER_ID`: what of an erased account is still there? It must be nothing."""

from argparse import ArgumentParser
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError

from accounts import erasure
from accounts.job_models import Erasure


class Command(BaseCommand):
    """Exit status 1 when anything is left."""

    help = "List every row, number, text, session and private file that still belongs to an account."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the argument."""
        parser.add_argument("user_id", type=UUID)

    def handle(self, *args: Any, **options: Any) -> None:
        """Look, and say what is there."""
        user_id: UUID = options["user_id"]
        left = erasure.leftovers(user_id)
        if left:
            raise CommandError("\n".join([f"{len(left)} kinds of things are left:", *left]))
        asked = Erasure.objects.filter(subject_digest=erasure.digest_of(user_id)).first()
        if asked is None:
            self.stdout.write("No such account was erased here, and nothing of it is here.")
        else:
            self.stdout.write(f"Nothing is left. Erased on {asked.finished_at:%Y-%m-%d %H:%M} UTC.")
