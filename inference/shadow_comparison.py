"""What a version on trial says beside the active version, of the same scans. Ids and counts only."""

from __future__ import annotations

import uuid
from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from inference import shadow
from inference.models import Finding, ModelVersion, ShadowReading
from inference.wilson import interval

# Newest first; more would make the page slow and change nothing.
MOST = 2000
CASES_SHOWN = 50
CALLS = ("likely", "possible", "unlikely")


@dataclass
class LabelShift:
    """One label that both versions know. `calls` counts (active call, shadow call)."""

    name: str
    calls: Counter[tuple[str, str]] = field(default_factory=Counter)
    shifts: list[float] = field(default_factory=list)

    @property
    def count(self) -> int:
        return sum(self.calls.values())

    @property
    def same(self) -> int:
        """How many got the same call."""
        return sum(count for (one, other), count in self.calls.items() if one == other)

    @property
    def share(self) -> float:
        return self.same / self.count if self.count else 0.0

    @property
    def bounds(self) -> tuple[float, float]:
        """95 % interval of the share of equal calls."""
        return interval(self.same, self.count)

    @property
    def moved(self) -> tuple[float, float, float]:
        """10th, 50th and 90th percentile of shadow minus active probability."""
        if not self.shifts:
            return 0.0, 0.0, 0.0
        low, middle, high = np.percentile(self.shifts, (10, 50, 90))
        return float(low), float(middle), float(high)

    @property
    def table(self) -> list[tuple[str, list[int]]]:
        """Rows by the active version's call, columns by the shadow's."""
        return [(one, [self.calls[one, other] for other in CALLS]) for one in CALLS]


@dataclass
class Comparison:
    """One version on trial against one active version."""

    version: ModelVersion
    against: ModelVersion
    read: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    failed: int = 0
    waiting: int = 0
    same_top: int = 0
    labels: list[LabelShift] = field(default_factory=list)
    differ: list[uuid.UUID] = field(default_factory=list)
    differing: int = 0
    times: tuple[tuple[float, float], tuple[float, float]] | None = None
    is_cut: bool = False

    @property
    def refusals(self) -> list[tuple[str, int]]:
        """Reason codes of refusals with counts, the most common first."""
        return self.refused.most_common()

    @property
    def top_bounds(self) -> tuple[float, float]:
        return interval(self.same_top, self.read)


def compare(version: ModelVersion, against: ModelVersion) -> Comparison:
    """Over the newest `MOST` scans that both have read."""
    rows = list(shadow.readings_of(version, against)[: MOST + 1])
    result = Comparison(version, against, is_cut=len(rows) > MOST)
    done: list[ShadowReading] = []
    for row in rows[:MOST]:
        if row.state == ShadowReading.State.FAILED:
            result.failed += 1
        elif row.state != ShadowReading.State.DONE:
            result.waiting += 1
        elif row.refused:
            result.refused[row.refused] += 1
        else:
            done.append(row)
    result.read = len(done)
    calls: dict[uuid.UUID, dict[str, str]] = {}
    for analysis_id, label, call in Finding.objects.filter(
        analysis__in=[row.analysis_id for row in done]
    ).values_list("analysis_id", "label", "call"):
        calls.setdefault(analysis_id, {})[label] = call
    _join(result, done, calls)
    if done:
        result.times = (
            _times([row.analysis.timings_ms for row in done]),
            _times([row.timings_ms for row in done]),
        )
    return result


def _join(result: Comparison, done: list[ShadowReading], calls: dict[uuid.UUID, dict[str, str]]) -> None:
    labels: dict[str, LabelShift] = {}
    furthest: list[tuple[float, uuid.UUID]] = []
    for row in done:
        active = row.analysis.probabilities
        theirs = calls.get(row.analysis_id, {})
        moved, differs = 0.0, False
        for name in active.keys() & row.probabilities.keys():
            label = labels.setdefault(name, LabelShift(name))
            shift = float(row.probabilities[name]) - float(active[name])
            label.shifts.append(shift)
            moved = max(moved, abs(shift))
            if name in theirs and name in row.calls:
                label.calls[theirs[name], row.calls[name]] += 1
                differs |= theirs[name] != row.calls[name]
        if active and row.probabilities:
            result.same_top += max(active, key=active.__getitem__) == max(
                row.probabilities, key=row.probabilities.__getitem__
            )
        if differs:
            furthest.append((moved, row.analysis_id))
    result.labels = [labels[name] for name in sorted(labels)]
    result.differing = len(furthest)
    result.differ = [key for _moved, key in sorted(furthest, reverse=True)[:CASES_SHOWN]]


def _times(timings: list[dict[str, float]]) -> tuple[float, float]:
    """Half and 19 of 20 readings took at most this long, in milliseconds, without heatmaps and the gate: the
    shadow version draws none and shares the gate.
    """
    spent = [
        sum(value for stage, value in one.items() if stage in ("preprocess", "forward", "calibrate"))
        for one in timings
    ]
    middle, slow = np.percentile(spent, (50, 95))
    return float(middle), float(slow)
