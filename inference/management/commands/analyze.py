"""`manage.py analyze`: read files from the command line, without a database or a server."""

from __future__ import annotations

import json
import os
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from tqdm import tqdm

from inference.registry import READABLE_KINDS


class Command(BaseCommand):
    """Reads scans and prints one JSON object per scan, or a table."""

    help = (
        "Reads files, folders, zips or a manifest's images with the bundled models. Needs no database and "
        "no server. Exit code 0 unless the program itself failed: a scan that cannot be read is an answer "
        "too."
    )
    # Checks of the site (addresses, database, static files) have nothing to do with reading a file.
    requires_system_checks = []
    requires_migrations_checks = False

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("paths", nargs="*", type=Path, metavar="PATH", help="files, zips or folders")
        parser.add_argument("--manifest", type=Path, help="CSV with a column file, relative to the CSV")
        parser.add_argument("--json", action="store_true", help="one JSON object per scan instead of a table")
        parser.add_argument(
            "--kind", choices=[*READABLE_KINDS, "unsure"], help="what the scans are; default: find out"
        )
        parser.add_argument("--age-group", choices=["child", "adult", "unknown"], default="unknown")
        parser.add_argument("--bundles", type=Path, help="folder of model bundles; default: PMI_BUNDLE_DIR")
        parser.add_argument("--threads", type=int, default=0, help="default: one per processor, at most 8")

    def handle(self, *args: Any, **options: Any) -> None:
        """Reads everything that was asked for."""
        from cases.intake import Limits
        from inference import batch
        from inference.engine import Engine, ModelBroken

        kind = None if options["kind"] == "unsure" else options["kind"]
        try:
            jobs = batch.jobs_of_paths(options["paths"], kind, options["age_group"])
            if options["manifest"]:
                jobs += batch.jobs_of_manifest(options["manifest"], kind, options["age_group"])
        except batch.ManifestError as error:
            raise CommandError(str(error)) from error
        if not jobs:
            raise CommandError("Nothing to read: give files, folders or --manifest.")
        threads = min(options["threads"] or min(os.cpu_count() or 1, 8), len(jobs))
        if threads > 1:
            _one_thread_each()
        try:
            # With several readers at work, each of them on one processor is faster than all of them on all.
            engine = Engine.from_dir(
                options["bundles"] or settings.PMI_BUNDLE_DIR,
                settings.PMI_ONNX_CACHE,
                threads=int(threads > 1),
            )
            engine.load_all()
        except ModelBroken as error:
            raise CommandError(f"A model cannot be used: {error}") from error
        limits = Limits(
            max_bytes=settings.PMI_MAX_UPLOAD_BYTES,
            max_pixels=settings.PMI_MAX_IMAGE_PIXELS,
            max_files=settings.PMI_MAX_FILES,
            max_unpacked_bytes=settings.PMI_MAX_UNPACKED_BYTES,
        )
        reader = batch.BatchReader(engine, limits, threads)
        write = self._json_line if options["json"] else self._table_line
        if not options["json"]:
            self.stdout.write(_row("file", "status", "kind", "danger", "finding or reason"))
        with tqdm(total=len(jobs), unit="scan", desc="Reading", file=_bar_stream(self.stderr)) as bar:
            for answers in reader.run(jobs):
                for answer in answers:
                    write(answer)
                bar.update()

    def _json_line(self, answer: dict[str, Any]) -> None:
        self.stdout.write(json.dumps(answer, ensure_ascii=False))
        self.stdout.flush()

    def _table_line(self, answer: dict[str, Any]) -> None:
        what = answer["reason"]
        if answer["status"] == "succeeded":
            called = [finding for finding in answer["findings"] if finding["call"] != "unlikely"]
            what = ", ".join(f"{f['condition']} {f['call']} ({f['probability']:.2f})" for f in called) or "-"
        self.stdout.write(
            _row(answer["file"], answer["status"], answer["kind"] or "-", answer["danger"], what)
        )


def _row(file: str, status: str, kind: str, danger: str, what: str) -> str:
    short = file if len(file) <= 44 else "..." + file[-41:]
    return f"{short:<44}  {status:<9}  {kind:<10}  {danger:<12}  {what}"


def _bar_stream(stderr: Any) -> Any:
    """The raw stream under Django's wrapper, which would end every refresh with a new line."""
    return getattr(stderr, "_out", stderr)


def _one_thread_each() -> None:
    import torch

    torch.set_num_threads(1)
