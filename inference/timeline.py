"""Findings over time as small charts, one per condition, drawn by the server, and as a table.

A probability of one model version cannot be set beside one of another without a word: each version has its
own mark, and a line joins readings of one version and one way to a number only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.utils.translation import gettext as _

from inference.calls import NORMAL_CONDITIONS
from inference.marks import marks_of, way_of
from inference.models import Analysis, Finding
from inference.presenters import shown_words

WIDTH, HEIGHT = 320, 96
_LEFT, _RIGHT, _TOP, _BOTTOM = 34, 12, 12, 18
_GAP = 16  # scans of one day stay apart
SHAPES = ("circle", "square", "triangle", "diamond")
_CALL_ORDER = {"likely": 0, "possible": 1, "unlikely": 2}


@dataclass(frozen=True)
class Point:
    """One finding of one reading. `x`, `y` in units of the drawing."""

    at: datetime
    probability: float
    call: str
    call_words: str
    version: str
    shape: str
    x: float
    y: float
    is_here: bool

    @property
    def per_cent(self) -> int:
        """The probability for the table, 1 to 99: no model can promise 0 or 100."""
        return max(1, min(99, round(self.probability * 100)))

    @property
    def mark(self) -> str:
        """The outline of a mark that is no circle, as points of an SVG polygon."""
        x, y, r = self.x, self.y, 5.0
        corners = {
            "square": [(x - r, y - r), (x + r, y - r), (x + r, y + r), (x - r, y + r)],
            "triangle": [(x, y - r - 1), (x + r + 1, y + r), (x - r - 1, y + r)],
            "diamond": [(x, y - r - 2), (x + r + 2, y), (x, y + r + 2), (x - r - 2, y)],
        }.get(self.shape, [])
        return " ".join(f"{a:.1f},{b:.1f}" for a, b in corners)


@dataclass
class Chart:
    """One condition over time."""

    condition: str
    name: str
    points: list[Point]
    lines: list[str]
    limits: list[tuple[str, float]]  # (class name, height) of the two operating points of the newest version
    is_raised: bool

    @property
    def summary(self) -> str:
        """The chart in one sentence, for those who cannot see it."""
        parts = [
            _("%(date)s: %(n)d in 100, %(call)s")
            % {"date": f"{p.at:%Y-%m-%d}", "n": p.per_cent, "call": p.call_words.lower()}
            for p in self.points
        ]
        return f"{self.name}. " + "; ".join(parts)


@dataclass
class Timeline:
    """Everything to show over time. `versions` are (shape, name); the first read first."""

    charts: list[Chart] = field(default_factory=list)
    versions: list[tuple[str, str]] = field(default_factory=list)
    ways: int = 0  # single pictures, few slices, many: how many of these
    scans: int = 0
    first: datetime | None = None
    last: datetime | None = None

    @property
    def raised(self) -> list[Chart]:
        """Conditions that some reading called likely or possible."""
        return [chart for chart in self.charts if chart.is_raised]

    @property
    def quiet(self) -> list[Chart]:
        """The others."""
        return [chart for chart in self.charts if not chart.is_raised]

    @property
    def is_mixed(self) -> bool:
        """More than one model version took part, or more than one way to a number."""
        return len(self.versions) > 1 or self.ways > 1


def build(readings: Iterable[Analysis], here: Any, names: Mapping[str, str] | None = None) -> Timeline:
    """The charts of succeeded readings of one patient and one kind; `here` is the id of the scan in view,
    `names` what the conditions are called.

    Of several readings of a scan by the same version, the newest counts.
    """
    newest: dict[tuple[Any, Any], Analysis] = {}
    for reading in sorted(readings, key=lambda one: one.queued_at):
        newest[reading.scan_id, reading.model_version_id] = reading
    kept = sorted(newest.values(), key=lambda one: (one.scan.created_at, one.scan_id.hex, one.queued_at))
    if not kept:
        return Timeline()
    models = sorted(
        {r.model_version_id: r.model_version for r in kept if r.model_version}.values(),
        key=lambda one: one.created_at,
    )
    shape = {one.pk: SHAPES[min(n, len(SHAPES) - 1)] for n, one in enumerate(models)}
    place = _places([(r.scan_id, r.scan.created_at) for r in kept])
    times = [r.scan.created_at for r in kept]
    charts = [
        _chart(condition, rows, shape, place, here, names or {})
        for condition, rows in _by_condition(kept).items()
    ]
    charts.sort(key=lambda chart: (not chart.is_raised, -max(p.probability for p in chart.points)))
    return Timeline(
        charts=charts,
        versions=[(shape[one.pk], str(one.version)) for one in models],
        ways=len({way_of(r) for r in kept}),
        scans=len({r.scan_id for r in kept}),
        first=min(times),
        last=max(times),
    )


def _by_condition(readings: Sequence[Analysis]) -> dict[str, list[tuple[Analysis, Finding]]]:
    rows: dict[str, list[tuple[Analysis, Finding]]] = {}
    for reading in readings:
        for finding in reading.findings.all():
            rows.setdefault(finding.condition, []).append((reading, finding))
    return rows


def _places(scans: list[tuple[Any, datetime]]) -> dict[Any, float]:
    """Where each scan stands, true to time as far as the marks stay apart."""
    start, end = scans[0][1], scans[-1][1]
    span = (end - start).total_seconds()
    width = WIDTH - _LEFT - _RIGHT
    place: dict[Any, float] = {}
    ordered = list(dict(scans).items())
    if len(ordered) == 1:
        return {ordered[0][0]: _LEFT + width / 2}
    gap = min(_GAP, width / (len(ordered) - 1))
    before = -gap
    for scan_id, at in ordered:
        share = (at - start).total_seconds() / span if span else 0.0
        before = place[scan_id] = max(width * share, before + gap)
    # Pushed over the right edge: shrink everything back into the frame.
    scale = width / max(width, before)
    return {scan_id: _LEFT + x * scale for scan_id, x in place.items()}


def _height(probability: float) -> float:
    return _TOP + (1 - probability) * (HEIGHT - _TOP - _BOTTOM)


def _chart(
    condition: str,
    rows: list[tuple[Analysis, Finding]],
    shape: dict[Any, str],
    place: dict[Any, float],
    here: Any,
    names: Mapping[str, str],
) -> Chart:
    points: list[Point] = []
    runs: dict[Any, list[Point]] = {}
    for reading, finding in rows:
        point = Point(
            at=reading.scan.created_at,
            probability=finding.probability,
            call=finding.call,
            call_words=str(finding.get_call_display()),
            version=str(reading.model_version.version) if reading.model_version else "",
            shape=shape.get(reading.model_version_id, SHAPES[0]),
            x=place[reading.scan_id],
            y=_height(finding.probability),
            is_here=reading.scan_id == here,
        )
        points.append(point)
        runs.setdefault((reading.model_version_id, way_of(reading)), []).append(point)
    words = names.get(condition) or shown_words(condition)
    return Chart(
        condition=condition,
        name=words[:1].upper() + words[1:],
        points=points,
        lines=[" ".join(f"{p.x:.1f},{p.y:.1f}" for p in run) for run in runs.values() if len(run) > 1],
        limits=_limits(*rows[-1]),
        is_raised=condition not in NORMAL_CONDITIONS
        and min(_CALL_ORDER.get(p.call, 2) for p in points) < _CALL_ORDER["unlikely"],
    )


def _limits(reading: Analysis, finding: Finding) -> list[tuple[str, float]]:
    """The marks that made the newest reading's calls."""
    found = marks_of(reading).get(finding.label, (None, None))
    return [
        (name, _height(mark))
        for name, mark in zip(("possible", "likely"), found, strict=True)
        if mark is not None and 0 <= mark <= 1
    ]
