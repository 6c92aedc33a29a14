"""An export of signed reviews (`manage.py export_reviews`) as a source of `prepare`."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from ml_training.data.sources import Rows, from_manifest
from ml_training.errors import TrainingError

FORMAT = "pmi-reviews-1"
MANIFEST = "manifest.csv"
PROVENANCE = "provenance.json"
# What an export says about where each label is from.
PROVENANCE_COLUMNS = ("label_from", "label_origin", "readers", "model_version", "view", "year")


def from_reviews(folder: Path, kind: str) -> tuple[Rows, list[str]]:
    """Rows of one kind of an export, and lines for the report about where their labels are from.

    Raises:
        TrainingError: it is no export, is not whole, or holds nothing of this kind.
    """
    place = folder / PROVENANCE
    try:
        provenance = json.loads(place.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise TrainingError(f"{place}: not an export of reviews ({error})") from error
    if not isinstance(provenance, dict) or provenance.get("format") != FORMAT:
        raise TrainingError(f"{place}: not an export of reviews in the format {FORMAT}")
    if provenance.get("state") != "whole":
        raise TrainingError(f"{folder}: the export is not finished; run it again")
    if not provenance.get("rows"):
        raise TrainingError(f"{folder}: the export holds no review")
    found = from_manifest(folder / MANIFEST)
    missing = [
        name for name in ("kind", "group", "unknown", *PROVENANCE_COLUMNS) if name not in found.rows[0]
    ]
    if missing:
        raise TrainingError(f"{folder / MANIFEST}: no column {missing[0]!r}")
    nameless = [line for line, row in zip(found.lines, found.rows, strict=True) if not row["group"]]
    if nameless:
        raise TrainingError(f"{folder / MANIFEST} line {nameless[0]}: no group, so no split is safe")
    kept = [i for i, row in enumerate(found.rows) if row["kind"] == kind]
    if not kept:
        there = ", ".join(sorted({row["kind"] for row in found.rows}))
        raise TrainingError(f"{folder}: nothing of kind {kind!r}; there is {there}")
    rows = Rows(found.root, [found.rows[i] for i in kept], [found.lines[i] for i in kept], [])
    return rows, _origin(rows, provenance)


def _origin(rows: Rows, provenance: dict[str, Any]) -> list[str]:
    people = len({row["group"] for row in rows.rows})
    left_out = sum(provenance.get("left_out", {}).values())
    return [
        f"Signed reviews of PMI, exported {provenance.get('finished', '')} by version "
        f"{provenance.get('pmi_version', '')}: {len(rows.rows)} pictures of {people} people. Of all kinds "
        f"{left_out} reviews were left out, because nothing in them is certain or may be used.",
        "The doctors saw the model's answer before they judged it, so labels lean towards the model that "
        "read the scan. Export again before each training: what patients took back is then gone.",
    ]


def provenance_table(rows: list[dict[str, str]]) -> list[list[object]]:
    """[what, value, images] for every column that says where labels are from; empty without such columns."""
    if not rows or "label_origin" not in rows[0]:
        return []
    return [
        [name.replace("_", " "), value or "-", count]
        for name in PROVENANCE_COLUMNS
        for value, count in sorted(Counter(row.get(name, "") for row in rows).items())
    ]
