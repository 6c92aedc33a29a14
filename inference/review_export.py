"""Signed, consented reviews as a folder that `python -m ml_training prepare --from-reviews` takes.

The folder holds `provenance.json`, `images/` and, written last, `manifest.csv`: a manifest that stands there
is whole. Names in it are keyed hashes: the same in every run into the same folder, different in another
folder, and without the site's secret key they lead to nobody. What may not be in it any more goes with the
next run.
"""

from __future__ import annotations

import io
import json
import re
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from django.conf import settings
from django.db.models import Prefetch, QuerySet
from django.utils import timezone
from django.utils.crypto import salted_hmac
from PIL import Image

from accounts.access_log import record_many
from accounts.consents import TEXTS, consenting_patient_ids, patients_without_care
from accounts.models import ConsentPurpose
from cases.imaging.volume import CanonicalVolume
from cases.models import Review, Scan
from cases.services import load_volume
from inference import slices
from inference.engine import square_pixels
from inference.models import Analysis
from inference.registry import READABLE_KINDS
from inference.review_truth import Truth, disputed, manifest_labels, truth_of
from ml_training.data.reviews import FORMAT, MANIFEST, PROVENANCE
from ml_training.data.sources import as_csv
from ml_training.labels import NORMAL_CONDITIONS, task_of
from ml_training.report import write_atomic

COLUMNS = [
    *("file", "kind", "label", "labels", "unknown", "group", "age_group", "source", "view", "plane"),
    *("label_from", "label_origin", "readers", "model", "model_version", "year"),
]
SOURCE = "pmi_reviews"
_IMAGES = "images"
_STEP = 20
_NAME = re.compile(r"[0-9a-f]{32}\.png")

Seat, Status = Review.Seat, Review.Status


class NotOurs(Exception):
    """The folder holds something else, so nothing was written."""


@dataclass
class Outcome:
    """What a run did. `left_out` counts reviews by the reason they are not in the manifest."""

    rows: int = 0
    written: int = 0
    removed: int = 0
    left_out: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class _Chosen:
    """A review with the picture and the words that it becomes."""

    scan_id: uuid.UUID
    patient_id: uuid.UUID
    slice_index: int
    plane: str
    row: dict[str, str]


def export_reviews(folder: Path, tell: Callable[[str], None] = lambda text: None) -> Outcome:
    """Writes the reviews that may be used now, and takes out of the folder what may not any more.

    Goes on where a killed run stopped. Raises `NotOurs` for a folder that holds something else.
    """
    provenance = _begin(folder)
    outcome = Outcome()
    chosen = _choose(str(provenance["export"]), outcome)
    wanted = {one.row["file"] for one in chosen}
    # First what must go, so that it goes even when this run is killed later.
    outcome.removed = _remove_others(folder, wanted)
    for start in range(0, len(chosen), _STEP):
        _write_images(folder, chosen[start : start + _STEP], outcome)
        tell(f"{min(start + _STEP, len(chosen))} of {len(chosen)}")
    # Somebody may have taken a consent back, or deleted a scan, while this ran.
    allowed = set(_permitted().values_list("scan_id", flat=True))
    rows = []
    for one in chosen:
        path = folder / one.row["file"]
        if one.scan_id not in allowed:
            outcome.left_out["withdrawn meanwhile"] += 1
            path.unlink(missing_ok=True)
        elif path.is_file():
            rows.append(one.row)
    _finish(folder, rows, provenance, outcome)
    return outcome


# --- which --------------------------------------------------------------------------------------------------


def _permitted() -> QuerySet[Review]:
    """Signed first-seat reviews of patients who agree, now, that their scans teach the program."""
    return (
        Review.objects.filter(seat=Seat.FIRST, status=Status.SIGNED, scan__case__patient__is_active=True)
        .filter(scan__case__patient__in=consenting_patient_ids(ConsentPurpose.TRAINING))
        .exclude(scan__case__patient__in=patients_without_care())
    )


def _choose(export: str, outcome: Outcome) -> list[_Chosen]:
    signed = Review.objects.filter(status=Status.SIGNED).prefetch_related("verdicts")
    reviews = (
        _permitted()
        .select_related("scan__case", "analysis__model_version")
        .prefetch_related(
            "verdicts", Prefetch("scan__reviews", queryset=signed.filter(seat=Seat.SECOND), to_attr="seconds")
        )
        .order_by("pk")
    )
    found = []
    for review in reviews.iterator(chunk_size=200):
        chosen = _as_row(export, review)
        if isinstance(chosen, str):
            outcome.left_out[chosen] += 1
        else:
            found.append(chosen)
    return sorted(found, key=lambda one: one.row["file"])


def _as_row(export: str, review: Review) -> _Chosen | str:
    """The manifest row of a review, or why there is none."""
    analysis: Any = review.analysis
    if analysis is None or analysis.status != Analysis.Status.SUCCEEDED or analysis.model_version is None:
        return "no reading behind it"
    if analysis.kind not in READABLE_KINDS:
        return "no kind that is trained"
    verdicts = list(review.verdicts.all())
    truth = truth_of(analysis.kind, verdicts)
    there, unknown = manifest_labels(analysis.kind, truth)
    if not there:
        return "nothing certain"
    seconds: list[Review] = review.scan.seconds  # type: ignore[attr-defined]
    if any(disputed(truth, truth_of(analysis.kind, list(other.verdicts.all()))) for other in seconds):
        return "two readers disagree"
    corrected = any(one.verdict == "disagree" for one in verdicts)
    view = _view(analysis, truth, corrected)
    if view is None:
        return "no slice is certain"
    case, version = review.scan.case, analysis.model_version
    name = _hashed(export, "image", f"{review.scan_id}:{analysis.kind}:{view[1]}:{view[2]}")
    labels = "|".join(there)
    row = {
        "file": f"{_IMAGES}/{name}.png",
        "kind": analysis.kind,
        "label": labels,
        "labels": labels,
        "unknown": "|".join(unknown),
        "group": _hashed(export, "person", str(case.patient_id)),
        "age_group": case.age_group,
        "source": SOURCE,
        "view": view[0],
        "plane": view[2] if review.scan.is_volume else "",
        "label_from": "signed review",
        "label_origin": "corrected" if corrected else "agreed",
        "readers": str(1 + len(seconds)),
        "model": str(version.metadata.get("name") or version.bundle),
        "model_version": version.version,
        "year": str(review.signed_at.year) if review.signed_at else "",
    }
    return _Chosen(review.scan_id, case.patient_id, view[1], view[2], row)


def _view(analysis: Any, truth: Truth, corrected: bool) -> tuple[str, int, str] | None:
    """(what it is, slice, plane). A review is about a whole volume: which slice shows what it says is known
    only where nothing is there, or where the doctor agreed with a finding that was shown on a slice.
    """
    if not analysis.scan.is_volume:
        return "film", 0, "axial"
    if analysis.key_slice is None or not analysis.key_plane:
        return None
    normal = {one.name for one in task_of(analysis.kind).labels if one.condition in NORMAL_CONDITIONS}
    if truth.present & normal:
        return "slice of a scan without finding", analysis.key_slice, analysis.key_plane
    return None if corrected else ("slice shown with the finding", analysis.key_slice, analysis.key_plane)


def _hashed(export: str, what: str, value: str) -> str:
    return salted_hmac(f"pmi.review-export.{what}", f"{export}:{value}", algorithm="sha256").hexdigest()[:32]


# --- files --------------------------------------------------------------------------------------------------


def _begin(folder: Path) -> dict[str, Any]:
    """The folder's provenance; a new one for an empty or new folder. While a run is under way there is no
    manifest, so nobody trains on half of one.
    """
    place = folder / PROVENANCE
    if place.is_file():
        try:
            provenance = json.loads(place.read_text(encoding="utf-8"))
        except ValueError:
            provenance = {}
        if not isinstance(provenance, dict) or provenance.get("format") != FORMAT:
            raise NotOurs(f"{place} is not from an export of reviews.")
    elif folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise NotOurs(f"{folder} is not empty and holds no export of reviews. Nothing was written.")
    else:
        provenance = {"format": FORMAT, "export": uuid.uuid4().hex, "begun": _today()}
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    (folder / _IMAGES).mkdir(exist_ok=True, mode=0o700)
    provenance |= {"state": "under way"}
    write_atomic(place, _as_json(provenance))
    (folder / MANIFEST).unlink(missing_ok=True)
    return dict(provenance)


def _remove_others(folder: Path, wanted: set[str]) -> int:
    """Pictures that may not be there any more, and what a killed run left half written."""
    removed = 0
    for path in sorted((folder / _IMAGES).iterdir()):
        if f"{_IMAGES}/{path.name}" in wanted:
            continue
        removed += bool(_NAME.fullmatch(path.name))
        path.unlink()
    return removed


def _write_images(folder: Path, step: list[_Chosen], outcome: Outcome) -> None:
    """Writes the pictures of a step that are not there yet, each with its line in the access log first."""
    missing = {one.scan_id: one for one in step if not (folder / one.row["file"]).is_file()}
    permitted = set(_permitted().filter(scan_id__in=missing).values_list("scan_id", flat=True))
    scans = list(Scan.objects.select_related("case").filter(pk__in=permitted))
    record_many(None, "used_for_training", scans)
    for scan in scans:
        one = missing[scan.pk]
        try:
            volume = load_volume(scan)
        except FileNotFoundError:
            outcome.left_out["the file is gone"] += 1
            continue
        write_atomic(folder / one.row["file"], _png(_picture(volume, one)))
        outcome.written += 1


def _picture(volume: CanonicalVolume, one: _Chosen) -> np.ndarray:
    """The picture (rows, columns) that a reading prepares from this slice."""
    plane = one.plane if volume.is_volume else slices.choose_plane(volume, ())
    return square_pixels(volume.slice_image(one.slice_index, plane), volume.pixel_aspect(plane))


def _png(image: np.ndarray) -> bytes:
    """16-bit grey PNG without any metadata, the picture's own range spread over all values."""
    low, high = float(image.min()), float(image.max())
    grey = ((image - low) * (65535.0 / max(high - low, 1e-6))).round().astype(np.uint16)
    buffer = io.BytesIO()
    Image.fromarray(grey).save(buffer, format="PNG")
    return buffer.getvalue()


def _finish(folder: Path, rows: list[dict[str, str]], provenance: dict[str, Any], outcome: Outcome) -> None:
    outcome.rows = len(rows)
    provenance |= {
        "state": "whole",
        "finished": _today(),
        "pmi_version": settings.PMI_VERSION,
        "what": "Signed first-seat reviews of patients who agreed that their scans teach the program.",
        "consent": {"purpose": ConsentPurpose.TRAINING.value, "counting": TEXTS["training"].counting},
        "rows": len(rows),
        "people": len({row["group"] for row in rows}),
        "left_out": dict(sorted(outcome.left_out.items())),
        **{f"by_{name}": dict(sorted(_counts(rows, name).items())) for name in _COUNTED},
        "not_in_it": "names, addresses, days, file names, own words. Letters in the picture itself stay.",
        "take_out": "Run the export again before each training: it drops what patients took back.",
    }
    write_atomic(folder / PROVENANCE, _as_json(provenance))
    if rows:
        write_atomic(folder / MANIFEST, as_csv(COLUMNS, rows))


_COUNTED = ("kind", "label", "label_origin", "readers", "model_version", "age_group", "year")


def _counts(rows: list[dict[str, str]], name: str) -> Counter[str]:
    return Counter(f"{row['kind']} {row[name]}" if name != "kind" else row[name] for row in rows)


def _as_json(value: dict[str, Any]) -> bytes:
    return (json.dumps(value, indent=1, sort_keys=True) + "\n").encode()


def _today() -> str:
    return timezone.localdate().isoformat()
