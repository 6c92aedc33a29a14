"""`manage.py similar`: search with one file, or evaluate retrieval over a manifest."""

from __future__ import annotations

import json
import tempfile
from argparse import ArgumentParser
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from inference.registry import READABLE_KINDS

if TYPE_CHECKING:
    from inference.engine import Engine


class Command(BaseCommand):
    """A manifest needs no database; searching with a file asks the atlas, or the manifest if one is given."""

    help = (
        "With PATH: the nearest cases of the atlas, or of --manifest. With --manifest alone: mAP@5, P@1 "
        "and P@10 of finding images of the same label, images of the same person left out."
    )
    requires_migrations_checks = False

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("path", nargs="?", type=Path)
        parser.add_argument("--manifest", type=Path)
        parser.add_argument("--kind", choices=READABLE_KINDS)
        parser.add_argument(
            "--held",
            default="",
            help="column=value: only these rows ask, e.g. split=val",
        )
        parser.add_argument("-k", type=int, default=10)
        parser.add_argument("--limit", type=int, default=0)
        parser.add_argument("--json", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        """Searches or evaluates."""
        from pmi_site.errors import UserError

        if not options["path"] and not options["manifest"]:
            raise CommandError("Give a file, --manifest, or both.")
        try:
            if options["manifest"]:
                answer = self._manifest(options)
            else:
                answer = self._atlas(options)
        except UserError as error:
            raise CommandError(error.message) from error
        if options["json"]:
            self.stdout.write(json.dumps(answer))
            return
        if answer.get("note"):
            self.stderr.write(answer["note"])
        for hit in answer.get("similar", []):
            self.stdout.write(f"{hit['similarity']:.4f}  {hit['condition']}  {hit['name']}")
        if "map_at_5" in answer:
            self.stdout.write(json.dumps(answer, indent=1))

    def _atlas(self, options: dict[str, Any]) -> dict[str, Any]:
        from cases.intake import IncomingFile
        from cases.models import Scan
        from inference.similar_embedding import probe_of_files
        from inference.similar_selectors import empty_atlas_text, neighbours

        path: Path = options["path"]
        if not path.is_file():
            raise CommandError(f"{path}: the file was not found")
        probe = probe_of_files([IncomingFile(path.name, path)], options["kind"])
        hits = neighbours(probe, Scan.objects.none(), k=options["k"])
        return {
            "note": "" if hits.others else empty_atlas_text(),
            "similar": [
                {"similarity": round(1 - h.distance, 4), "condition": h.condition, "name": h.collection}
                for h in hits.others
            ],
        }

    def _manifest(self, options: dict[str, Any]) -> dict[str, Any]:
        from PIL import Image

        from inference import atlas
        from inference.engine import Engine, ModelBroken
        from inference.similar_embedding import embed

        manifest: Path = options["manifest"]
        kind = options["kind"] or atlas.kind_of(manifest)
        if kind is None:
            raise CommandError("Say what the pictures are with --kind.")
        try:
            engine = Engine.from_dir(settings.PMI_BUNDLE_DIR, settings.PMI_ONNX_CACHE)
            reader = engine.reader(kind)
            rows = list(atlas.read(manifest, kind))
        except (ModelBroken, atlas.AtlasError) as error:
            raise CommandError(str(error)) from error
        if reader is None:
            raise CommandError(f"No model reads {kind}.")
        good, images = [], []
        for row in rows[: options["limit"] or None]:
            if isinstance(row, atlas.BadRow):
                self.stderr.write(f"line {row.line}: {row.file}: {row.reason}")
                continue
            try:
                with Image.open(row.path) as opened:
                    images.append(np.asarray(opened.convert("L"), dtype=np.float32))
                good.append(row)
            except (OSError, ValueError) as error:
                self.stderr.write(f"line {row.line}: {row.path.name}: {type(error).__name__}")
        if len(good) < 2:
            raise CommandError("The manifest holds too few pictures.")
        vectors = _unit(embed(reader, images))
        if options["path"]:
            query = _unit(_looked_at(engine, options["path"], kind)[None])[0]
            scores = vectors @ query
            # The picture itself, and others of the same person, say nothing.
            same = {own.group_key for own in good if own.path.resolve() == options["path"].resolve()} - {""}
            others = [
                n
                for n, own in enumerate(good)
                if own.path.resolve() != options["path"].resolve() and own.group_key not in same
            ]
            best = sorted(others, key=lambda n: -scores[n])[: options["k"]]
            return {
                "similar": [
                    {
                        "similarity": round(float(scores[n]), 4),
                        "condition": good[n].condition,
                        "name": good[n].path.name,
                    }
                    for n in best
                ]
            }
        labels = np.array([row.label for row in good])
        groups = np.array([row.group_key or row.key for row in good])
        asks = _held(manifest, options["held"], [row.line for row in good])
        return {
            "kind": kind,
            "model_version": reader.bundle.version,
            **evaluate(vectors, labels, groups, asks),
            **_shortened(vectors, labels, groups, asks),
        }


def _looked_at(engine: Engine, path: Path, kind: str) -> np.ndarray:
    """The embedding of one file, as a reading has it. Raises CommandError for what the gate refuses."""
    from cases import intake

    if not path.is_file():
        raise CommandError(f"{path}: the file was not found")
    with tempfile.TemporaryDirectory() as work:
        prepared, refused = intake.prepare([intake.IncomingFile(path.name, path)], Path(work))
        if not prepared:
            raise CommandError(refused[0].message if refused else f"{path}: holds no picture")
        reading = engine.analyze(prepared[0].volume, kind, maps=False)
    if reading.embedding is None:
        raise CommandError(reading.reason or f"{path}: was not read")
    return np.asarray(reading.embedding, dtype=np.float32)


def evaluate(vectors: np.ndarray, labels: np.ndarray, groups: np.ndarray, asks: np.ndarray) -> dict[str, Any]:
    """mAP@5, P@1, P@10 over the rows that `asks` (N, bool) marks; they search among the others.

    Where all ask, all are searched; rows of the same group never count. `vectors` (N, D) of length 1.
    AP@5 is the sum of the precision at each relevant rank among the first 5, over 5 or the number of relevant
    images that there are, whichever is less (as `ml_training.retrieval` counts).
    """
    searched = np.flatnonzero(~asks) if not asks.all() else np.arange(len(asks))
    scores: dict[str, list[tuple[float, float, float]]] = defaultdict(list)
    for row in np.flatnonzero(asks):
        others = searched[groups[searched] != groups[row]]
        best = others[np.argsort(-(vectors[others] @ vectors[row]))[:10]]
        right = labels[best] == labels[row]
        ranks = np.flatnonzero(right[:5])
        possible = min(5, int((labels[others] == labels[row]).sum()))
        ap = float(sum(right[: rank + 1].mean() for rank in ranks)) / possible if possible else 0.0
        scores[str(labels[row])].append(
            (ap, float(right[:1].sum()), float(right.mean()) if len(right) else 0.0)
        )
    every = [score for part in scores.values() for score in part]
    return {
        "queries": len(every),
        "searched": len(searched),
        **_means(every),
        "per_class": {
            label: {"queries": len(part), **_means(part)} for label, part in sorted(scores.items())
        },
    }


def _shortened(
    vectors: np.ndarray, labels: np.ndarray, groups: np.ndarray, asks: np.ndarray
) -> dict[str, Any]:
    """The same figures for the shorter vectors of a filled space, fitted to the searched rows only."""
    from inference.similar_projection import FIT_FROM, REDUCED_DIMS, Projection

    searched = vectors if asks.all() else vectors[~asks]
    if len(searched) < FIT_FROM or vectors.shape[1] <= REDUCED_DIMS:
        return {}
    projection = Projection.fit(searched)
    figures = evaluate(projection.apply(vectors), labels, groups, asks)
    return {"shortened": {"dims": projection.dims, "kept": round(projection.kept, 4), **figures}}


def _means(scores: list[tuple[float, float, float]]) -> dict[str, float]:
    values = np.mean(scores, axis=0) if scores else np.zeros(3)
    return {
        name: round(float(v), 4) for name, v in zip(("map_at_5", "p_at_1", "p_at_10"), values, strict=True)
    }


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)


def _held(manifest: Path, held: str, lines: list[int]) -> np.ndarray:
    if not held:
        return np.ones(len(lines), dtype=bool)
    import csv

    column, _sign, value = held.partition("=")
    with manifest.open(encoding="utf-8-sig", newline="") as handle:
        values = {n: row.get(column) for n, row in enumerate(csv.DictReader(handle), start=2)}
    asks = np.array([values[line] == value for line in lines])
    if not asks.any():
        raise CommandError(f"No row has {held}.")
    return asks
