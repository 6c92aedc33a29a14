"""`manage.py export_reviews FOLDER`: signed reviews for training."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from inference.review_export import NotOurs, export_reviews


class Command(BaseCommand):
    """Writes or renews an export of signed reviews."""

    help = (
        "Writes signed first-seat reviews of patients who agreed to training into FOLDER: provenance.json, "
        "images/ and manifest.csv, without names and days. Run it again into the same folder to go on after "
        "a break, to add new reviews and to take out what patients took back. Then: "
        "python -m ml_training prepare --from-reviews FOLDER --kind KIND --out OTHER"
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("folder", type=Path)

    def handle(self, *args: Any, folder: Path, **options: Any) -> None:
        """Exports and says how many, and why others are not in it."""
        try:
            outcome = export_reviews(folder, self.stdout.write)
        except (NotOurs, OSError) as error:
            raise CommandError(str(error)) from error
        self.stdout.write(
            f"{outcome.rows} reviews in {folder}: {outcome.written} new pictures, "
            f"{outcome.removed} taken out."
        )
        for reason, count in sorted(outcome.left_out.items()):
            self.stdout.write(f"left out, {reason}: {count}")
