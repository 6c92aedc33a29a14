"""`python manage.py load_knowledge_base`: write the seed files into the database."""

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from resources.search import rebuild_all
from resources.seed_reader import SEED_DIR, SeedInvalid, read_seed
from resources.seeding import load


class Command(BaseCommand):
    help = (
        "Load conditions, treatments, advice, resources and sources from the seed files. May be run any "
        "number of times; entries edited in the admin are kept as they are."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--seed", type=Path, default=SEED_DIR, help="folder of YAML files")
        parser.add_argument("--check", action="store_true", help="only check the files, write nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            rows = read_seed(options["seed"])
        except SeedInvalid as invalid:
            for problem in invalid.problems:
                self.stderr.write(str(problem))
            raise CommandError(f"{invalid}; nothing was written.") from None
        if options["check"]:
            self.stdout.write(f"{len(rows)} rows, no problems.")
            return
        report = load(rows)
        rebuild_all()
        for name, counts in report.counts.items():
            line = f"{name}: {counts.created} created, {counts.updated} updated, {counts.unchanged} unchanged"
            if counts.kept:
                line += f", {counts.kept} kept as edited here"
            if counts.retired:
                line += f", {counts.retired} retired (no longer in the seed)"
            self.stdout.write(line)
        if options["verbosity"] > 1:
            for key in report.kept_keys:
                self.stdout.write(f"  kept: {key}")
