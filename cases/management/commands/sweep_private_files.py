"""Remove scan files that no row names: what a process killed between writing and committing leaves behind."""

import time
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from cases.models import Scan
from cases.storage import PrivateStorage, private_storage, remove_files


class Command(BaseCommand):
    """``manage.py sweep_private_files [--min-age-hours 24] [--dry-run]``."""

    help = "Remove scan files in private storage that belong to no scan (left by killed processes)."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument(
            "--min-age-hours", type=float, default=24.0, help="leave younger files alone (default 24)"
        )
        parser.add_argument("--dry-run", action="store_true", help="only count")

    def handle(self, *args: Any, **options: Any) -> None:
        """Walk the scans' directories, compare with the rows, remove the rest."""
        storage = private_storage()
        if not isinstance(storage, PrivateStorage):
            raise CommandError("This command knows private files on a local disk only.")
        root = Path(storage.location)
        oldest = time.time() - options["min_age_hours"] * 3600
        orphans: list[str] = []
        for directory in sorted((root / "scans").glob("*/*")):
            prefix = directory.relative_to(root).as_posix()
            if (
                directory.stat().st_mtime >= oldest
                or Scan.objects.filter(original__startswith=f"{prefix}/").exists()
            ):
                continue
            orphans.extend(f"{prefix}/{path.name}" for path in directory.iterdir())
        if not options["dry_run"]:
            remove_files(orphans)
        verb = "found" if options["dry_run"] else "removed"
        self.stdout.write(f"{len(orphans)} orphaned files {verb}.")
