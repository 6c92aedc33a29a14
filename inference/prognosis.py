"""Whether a finding stays, rises or falls over the scans of one person, in plain words. Pure.

A model's number carries an error of its own, so a small difference is "about the same": smaller than
`margin` says. No two scans of one person on one day have been read to measure that error; the margin is a
rule of thumb, three times the error of calibration that was measured, and never less than 15 in 100. Numbers
of two model versions are not compared at all.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

from django.utils.formats import date_format
from django.utils.translation import gettext as _

LEAST_MARGIN = 0.15
LARGEST_MARGIN = 0.30
GRADE_MARGIN = 0.6  # of a grade of 0 to 4
_ECE_TIMES = 3.0

Kind = Literal["single", "same", "higher", "lower", "other_model", "other_way"]


@dataclass(frozen=True)
class Point:
    """One reading of one scan: when the scan was added, what value, by which model version, and how a number
    became of its slices: numbers that became in another way are not compared either.
    """

    on: date
    value: float
    model: str
    way: str = ""


@dataclass(frozen=True)
class Trend:
    """How the newest value stands to those before it.

    `since`: the first of the run of readings that are about the same as the newest. `before`: the newest
    reading that was clearly different, None when there is none.
    """

    kind: Kind
    since: date | None = None
    before: date | None = None
    was: Literal["", "higher", "lower"] = ""


def margin(metadata: Mapping[str, Any], label: str) -> float:
    """The smallest difference of a label's probability that says anything, for one model version."""
    parts = metadata.get("eval_metrics")
    everything = parts.get("all") if isinstance(parts, Mapping) else None
    if not isinstance(everything, Mapping):
        return LEAST_MARGIN
    labels = everything.get("per_label")
    own = labels.get(label) if isinstance(labels, Mapping) else None
    ece = own.get("ece") if isinstance(own, Mapping) else None
    ece = everything.get("ece") if ece is None else ece
    if isinstance(ece, Mapping):  # with its interval
        ece = ece.get("value")
    if isinstance(ece, bool) or not isinstance(ece, int | float) or not math.isfinite(ece):
        return LEAST_MARGIN
    return min(LARGEST_MARGIN, max(LEAST_MARGIN, _ECE_TIMES * float(ece)))


def trend(points: Sequence[Point], least: float) -> Trend:
    """How the newest of `points` (oldest first) stands to the earlier ones of the same model version and way.

    Differences up to `least` count as about the same. A slow drift shows too: the run of equal readings ends
    where an older one differs from the newest, not from its neighbour. Raises ValueError without points.
    """
    if not points:
        raise ValueError("there is no point to judge")
    newest = points[-1]
    earlier = [p for p in points[:-1] if (p.model, p.way) == (newest.model, newest.way)]
    if not earlier:
        other: Kind = "other_way" if any(p.model == newest.model for p in points[:-1]) else "other_model"
        return Trend(other if len(points) > 1 else "single", since=newest.on)
    since = newest.on
    for point in reversed(earlier):
        if abs(newest.value - point.value) > least + 1e-9:
            was: Literal["higher", "lower"] = "higher" if point.value > newest.value else "lower"
            if since == newest.on and point is earlier[-1]:
                return Trend("lower" if was == "higher" else "higher", since, point.on, was)
            return Trend("same", since, point.on, was)
        since = point.on
    return Trend("same", since)


def expected_grade(probabilities: Mapping[str, Any]) -> float | None:
    """The mean grade of an ordinal reading, for example 1.8 of 0 to 4; None when labels are no grades."""
    total = weight = 0.0
    for label, probability in probabilities.items():
        if not label.isdecimal() or isinstance(probability, bool) or not isinstance(probability, int | float):
            return None
        total += int(label) * float(probability)
        weight += float(probability)
    return total / weight if weight > 0 else None


# --- words ---
def month(day: date) -> str:
    """A day as patients remember it: month and year."""
    return date_format(day, "F Y")


def _when(day: date | None, newest: date, in_month: str, on_day: str) -> str:
    """One of two sentences about a day: month and year, or the full date where both fall in one month."""
    if day is None:
        return ""
    if (day.year, day.month) == (newest.year, newest.month):
        return on_day % {"when": date_format(day, "DATE_FORMAT")}
    return in_month % {"when": month(day)}


def words(found: Trend, newest: date) -> str:
    """A trend as one or two sentences for the patient; `newest` is the day of the newest scan."""
    if found.kind == "single":
        return _("This is the first reading of it. With a second scan, you will see here whether it changes.")
    if found.kind == "other_model":
        return _(
            "The newest scan was read by another version of the model than the ones before. "
            "The numbers cannot be compared."
        )
    if found.kind == "other_way":
        return _(
            "The newest scan has another number of pictures than the ones before, or was read for another "
            "age group, so its number was worked out in another way. The numbers cannot be compared."
        )
    if found.kind == "higher":
        return _when(
            found.before,
            newest,
            _("Higher than in %(when)s: ask your doctor what that means."),
            _("Higher than on %(when)s: ask your doctor what that means."),
        )
    if found.kind == "lower":
        return _when(
            found.before,
            newest,
            _("Lower than in %(when)s. Let your doctor tell you what that means."),
            _("Lower than on %(when)s. Let your doctor tell you what that means."),
        )
    said = _when(
        found.since or newest,
        newest,
        _("About the same since %(when)s."),
        _("About the same since %(when)s."),
    )
    if found.was == "lower":
        said += " " + _when(
            found.before,
            newest,
            _("Before that, in %(when)s, it was lower."),
            _("Before that, on %(when)s, it was lower."),
        )
    elif found.was == "higher":
        said += " " + _when(
            found.before,
            newest,
            _("Before that, in %(when)s, it was higher."),
            _("Before that, on %(when)s, it was higher."),
        )
    return said
