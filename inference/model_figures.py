"""How a model version does where it is used: against signed reviews, and against its own first weeks.

Measured in the background and kept as a `Snapshot` without any id of a person or a scan.

Agreement. The truth is what a signed first-seat review makes certain (`inference.review_truth`). The doctors
saw the model's answer, and mostly scans that worry somebody are reviewed: such figures flatter the model and
are no test of it. Below `MEANS_SOMETHING` scans with (or without) the label the interval is wider than about
0.2, so the share is not shown as a figure.

Drift. Each month is compared with the version's first four weeks by the population stability index over
tenths of these weeks. With few readings chance alone makes it large: a month counts as changed only where it
is above 0.25, a chi-square test of the same counts is below 0.001, and both sides have `DRIFT_FROM` readings.
It says that something is different, not what.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from django.utils import timezone
from scipy.stats import chi2_contingency

from cases.models import Review
from inference.models import Analysis, ModelVersion, Snapshot
from inference.operations import keep, kept
from inference.registry import READABLE_KINDS
from inference.review_truth import truth_of
from inference.wilson import interval

MEANS_SOMETHING = 30
FIRST_WEEKS = timedelta(weeks=4)
DRIFT_FROM = 100
STABLE = 0.25
CHANCE = 0.001
_MONTHS = 24
_TENTHS = 10
_LEAST = 1e-4

Confusion = dict[str, int]


def name_of(version: ModelVersion) -> str:
    """Under which name its figures are kept."""
    return f"model:{version.sha256[:40]}"


def figures_of(version: ModelVersion) -> Snapshot | None:
    """The last figures of a version."""
    return kept(name_of(version))


def measure(version: ModelVersion) -> Snapshot:
    """Measures a version now and keeps the figures."""
    figures: dict[str, Any] = {"drift": _drift(version)}
    if version.kind in READABLE_KINDS:
        figures |= _agreement(version)
    return keep(name_of(version), figures)


# --- against signed reviews ---------------------------------------------------------------------------------


def _agreement(version: ModelVersion) -> dict[str, Any]:
    """Per label and operating point, over all reviews and by the month of the signature."""
    signed = Review.objects.filter(status=Review.Status.SIGNED, analysis__model_version=version)
    overall: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    monthly: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    reviews = certain = 0
    first = signed.filter(seat=Review.Seat.FIRST).prefetch_related("verdicts", "analysis__findings")
    for review in first.iterator(chunk_size=500):
        analysis: Any = review.analysis
        reviews += 1
        truth = truth_of(version.kind, review.verdicts.all())
        calls = {finding.label: finding.call for finding in analysis.findings.all()}
        certain += bool(truth.present or truth.absent)
        for label, call in calls.items():
            there = truth.of(label)
            if there is None:
                continue
            for point, said in (("possible", call != "unlikely"), ("likely", call == "likely")):
                cell = ("tp" if said else "fn") if there else ("fp" if said else "tn")
                overall[label, point][cell] += 1
                if point == "possible" and review.signed_at:
                    monthly[label, f"{review.signed_at:%Y-%m}"][cell] += 1
    return {
        "reviews": reviews,
        "certain": certain,
        "labels": [
            {"label": label, "point": point, **_shares(cells)}
            for (label, point), cells in sorted(overall.items())
        ],
        "months": [
            {"label": label, "month": month, **_shares(cells)}
            for (label, month), cells in sorted(monthly.items())
        ][-_MONTHS * 20 :],
        **_two_readers(version, signed),
    }


def _shares(cells: Counter[str]) -> dict[str, Any]:
    positives, negatives = cells["tp"] + cells["fn"], cells["tn"] + cells["fp"]
    return {
        "positives": positives,
        "negatives": negatives,
        "sensitivity": _share(cells["tp"], positives),
        "specificity": _share(cells["tn"], negatives),
    }


def _share(hits: int, of: int) -> dict[str, Any]:
    low, high = interval(hits, of)
    return {
        "value": round(hits / of, 4) if of else None,
        "low": round(low, 4),
        "high": round(high, 4),
        "means_something": of >= MEANS_SOMETHING,
    }


def _two_readers(version: ModelVersion, signed: Any) -> dict[str, Any]:
    """How often the blind second reader says something else, per label that both judged."""
    second = signed.filter(seat=Review.Seat.SECOND).prefetch_related("verdicts")
    by_scan = {review.scan_id: review for review in second}
    both = [
        (review, by_scan[review.scan_id])
        for review in signed.filter(seat=Review.Seat.FIRST, scan__in=by_scan).prefetch_related("verdicts")
    ]
    judged: Counter[str] = Counter()
    differ: Counter[str] = Counter()
    scans = 0
    for one, other in both:
        said = [
            {v.label: (v.verdict, v.right_condition) for v in review.verdicts.all()}
            for review in (one, other)
        ]
        common = said[0].keys() & said[1].keys()
        wrong = [label for label in common if said[0][label] != said[1][label]]
        judged.update(common)
        differ.update(wrong)
        scans += bool(wrong) or one.danger_level != other.danger_level
    return {
        "two_readers": len(both),
        "two_readers_differ": _share(scans, len(both)) | {"count": scans},
        "two_readers_by_label": [
            {"label": label, "judged": judged[label], "differ": differ[label]} for label in sorted(judged)
        ],
    }


# --- against its first weeks --------------------------------------------------------------------------------

_FIELDS = (
    *("finished_at", "status", "reason_code", "probabilities", "gate_distance"),
    *("scan__modality", "scan__width", "scan__height", "scan__slices"),
)


def _drift(version: ModelVersion) -> dict[str, Any]:
    """Inputs and answers month by month beside the first weeks.

    Refusals carry no version where the gate refuses, so those of the kind since the version's first reading
    count.
    """
    own = Analysis.objects.filter(model_version=version, status=Analysis.Status.SUCCEEDED)
    first = own.order_by("finished_at").values_list("finished_at", flat=True).first()
    if first is None:
        return {"readings": 0, "months": []}
    last = own.order_by("-finished_at").values_list("finished_at", flat=True).first()
    refused = Analysis.objects.filter(
        status=Analysis.Status.REJECTED,
        scan__case__kind=version.kind,
        finished_at__gte=first,
        finished_at__lte=last,
    )
    rows = [
        *own.values_list(*_FIELDS).iterator(chunk_size=5000),
        *refused.values_list(*_FIELDS).iterator(chunk_size=5000),
    ]
    reference = [row for row in rows if row[0] < first + FIRST_WEEKS]
    later: dict[str, list[Any]] = defaultdict(list)
    for row in rows:
        if row[0] >= first + FIRST_WEEKS:
            later[f"{row[0]:%Y-%m}"].append(row)
    labels = sorted({name for row in reference for name in row[3]})
    base = _columns(reference, labels)
    months = [_month("first weeks", base, base, None)]
    for month in sorted(later)[-_MONTHS:]:
        months.append(_month(month, _columns(later[month], labels), base, month))
    return {
        "readings": len(rows),
        "from": f"{first:%Y-%m-%d}",
        "to": f"{min(_end(first), timezone.now()):%Y-%m-%d}",
        "has_reference": len(reference) >= DRIFT_FROM,
        "months": months,
    }


def _end(first: datetime) -> datetime:
    return first + FIRST_WEEKS


def _columns(rows: Sequence[Any], labels: Sequence[str]) -> dict[str, list[Any]]:
    """What is compared, by name: numbers, or words."""
    read = [row for row in rows if row[1] == Analysis.Status.SUCCEEDED]
    columns: dict[str, list[Any]] = {
        "answer": [row[2] if row[1] == Analysis.Status.REJECTED else "read" for row in rows],
        "modality": [row[5] or "none" for row in rows],
        "shorter side (pixels)": [float(min(row[6], row[7])) for row in rows],
        "slices": [float(row[8]) for row in rows],
        "distance to the gate's images": [row[4] for row in rows if row[4] is not None],
    }
    for label in labels:
        columns[f"probability of {label}"] = [float(row[3][label]) for row in read if label in row[3]]
    return columns


def _month(
    name: str, columns: dict[str, list[Any]], base: dict[str, list[Any]], month: str | None
) -> dict[str, Any]:
    answers = columns["answer"]
    refused = sum(answer != "read" for answer in answers)
    items = []
    for what, values in columns.items():
        words = bool(values or base[what]) and isinstance((values or base[what])[0], str)
        item: dict[str, Any] = {"what": what, "n": len(values), "shown": _shown(values, words)}
        if month is not None:
            item |= _changed(base[what], values, words)
        items.append(item)
    return {"name": name, "readings": len(answers), "refused": _share(refused, len(answers)), "items": items}


def _shown(values: Sequence[Any], words: bool) -> str:
    if not values:
        return "-"
    if words:
        common = Counter(values).most_common(3)
        return ", ".join(f"{name} {100 * count / len(values):.0f} %" for name, count in common)
    low, middle, high = np.percentile(values, (10, 50, 90))
    return f"{middle:.3g} ({low:.3g} to {high:.3g})"


def _changed(base: Sequence[Any], values: Sequence[Any], words: bool) -> dict[str, Any]:
    """The population stability index, how often chance does that, and whether it says something."""
    if len(base) < DRIFT_FROM or len(values) < DRIFT_FROM:
        return {"enough": False}
    expected, observed = _binned(base, values, words)
    old = np.maximum(expected / expected.sum(), _LEAST)
    new = np.maximum(observed / observed.sum(), _LEAST)
    index = float(((new - old) * np.log(new / old)).sum())
    there = (expected + observed) > 0
    if there.sum() < 2:
        return {"enough": True, "psi": 0.0, "p": 1.0, "changed": False}
    p = float(chi2_contingency(np.stack([expected[there], observed[there]]), correction=False).pvalue)
    return {
        "enough": True,
        "psi": round(index, 3),
        "p": round(p, 4),
        "changed": index > STABLE and p < CHANCE,
    }


def _binned(base: Sequence[Any], values: Sequence[Any], words: bool) -> tuple[np.ndarray, np.ndarray]:
    if words:
        names = sorted(set(base) | set(values))
        counts = [Counter(base), Counter(values)]
        old, new = (np.array([count[name] for name in names], dtype=float) for count in counts)
        return old, new
    edges = np.unique(np.percentile(base, np.linspace(0, 100, _TENTHS + 1)[1:-1]))
    return (
        np.bincount(np.searchsorted(edges, base, side="right"), minlength=len(edges) + 1).astype(float),
        np.bincount(np.searchsorted(edges, values, side="right"), minlength=len(edges) + 1).astype(float),
    )
