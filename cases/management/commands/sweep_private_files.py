"""Remove private files that no row names: what a process killed between writing and committing leaves."""

import time
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from cases.private_folders import declared
from cases.storage import PrivateStorage, private_storage, remove_files


class Command(BaseCommand):
    """``manage.py sweep_private_files [--min-age-hours 24] [--dry-run]``."""

    help = "Remove files in private storage that belong to nothing (left by killed processes)."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument(
            "--min-age-hours", type=float, default=24.0, help="leave younger files alone (default 24)"
        )
        parser.add_argument("--dry-run", action="store_true", help="only count")

    def handle(self, *args: Any, **options: Any) -> None:
        """Walk the declared folders, ask whose they are, remove what is nobody's."""
        storage = private_storage()
        if not isinstance(storage, PrivateStorage):
            raise CommandError("This command knows private files on a local disk only.")
        root = Path(storage.location)
        oldest = time.time() - options["min_age_hours"] * 3600
        orphans: list[str] = []
        for folders in declared():
            for directory in sorted(root.glob(folders.pattern)):
                name = directory.relative_to(root).as_posix()
                # Young ones may be written just now, their row to come.
                if directory.is_dir() and directory.stat().st_mtime < oldest and not folders.is_named(name):
                    orphans.extend(f"{name}/{path.name}" for path in directory.iterdir())
        if not options["dry_run"]:
            remove_files(orphans)
        verb = "found" if options["dry_run"] else "removed"
        self.stdout.write(f"{len(orphans)} orphaned files {verb}.")
