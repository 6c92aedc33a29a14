"""`manage.py import_atlas`: fill the atlas of known cases from a manifest."""

from __future__ import annotations

from argparse import ArgumentParser
from itertools import islice
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from tqdm import tqdm

from inference.registry import READABLE_KINDS


class Command(BaseCommand):
    """Safe to run again: what is there is passed over, and a killed import goes on."""

    help = (
        "Adds a labelled image set to the atlas of known cases. The CSV has the columns file (relative to "
        "the CSV) and label or labels, and where known group, age_group, source, licence, citation. "
        "Pictures whose licence does not allow showing are compared with, but never shown."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("manifest", type=Path)
        parser.add_argument(
            "--kind", choices=READABLE_KINDS, help="default: the name of the manifest's folder"
        )
        parser.add_argument("--limit", type=int, default=0, help="only this many rows")

    def handle(self, *args: Any, **options: Any) -> None:
        """Imports and says what was added, known and bad."""
        from inference import atlas, similar_import
        from inference.engine import ModelBroken
        from inference.selectors import active_versions
        from inference.worker import engine_for_active_versions

        manifest: Path = options["manifest"]
        kind = options["kind"] or atlas.kind_of(manifest)
        if kind not in READABLE_KINDS:
            raise CommandError("Say what the pictures are with --kind.")
        version = active_versions().get(kind)
        if version is None:
            raise CommandError(f"No model reads {kind}. Run register_models first.")
        try:
            rows = list(islice(atlas.read(manifest, kind), options["limit"] or None))
            reader = engine_for_active_versions().reader(kind)
        except (atlas.AtlasError, ModelBroken) as error:
            raise CommandError(str(error)) from error
        if reader is None:
            raise CommandError(f"No model reads {kind}.")
        if reader.bundle.sha256 != version.sha256:
            raise CommandError("The model was just changed. Start the import again.")
        stream = getattr(self.stderr, "_out", self.stderr)
        with tqdm(total=len(rows), unit="picture", desc="Importing", file=stream) as bar:
            try:
                outcome = similar_import.import_rows(iter(rows), version, reader, bar.update)
            except atlas.AtlasError as error:
                raise CommandError(str(error)) from error
        for bad in outcome.bad:
            self.stderr.write(f"line {bad.line}: {bad.file}: {bad.reason}")
        self.stdout.write(
            f"{kind}: {outcome.added} added ({outcome.label_only} by label only), {outcome.known} known, "
            f"{outcome.changed} corrected, "
            f"{len(outcome.bad)} bad rows"
        )
