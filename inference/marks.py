"""The marks that made a reading's calls, and which of its numbers may stand beside another reading's."""

from __future__ import annotations

import math
from typing import Any

from inference.calls import bundle_points, is_of_few_slices, operating_points
from inference.models import Analysis
from ml_training.labels import TASKS

Mark = tuple[float | None, float | None]


def marks_of(reading: Analysis) -> dict[str, Mark]:
    """By label from where on it was possible and likely; None where it never is, or where nobody knows.

    Readings from before the marks were kept were called by their bundle's.
    """
    if reading.marks:
        return {name: (_number(low), _number(high)) for name, (low, high) in reading.marks.items()}
    return _marks(bundle_points(_metadata(reading), **_how(reading)))


def are_marks_outdated(reading: Analysis) -> bool:
    """The reading has not kept its marks, and would be called by others now."""
    if reading.marks:
        return False
    metadata, how = _metadata(reading), _how(reading)
    return _marks(bundle_points(metadata, **how)) != _marks(operating_points(metadata, **how))


def is_for_other_age(reading: Analysis) -> bool:
    """The reading was made for another age group than its case has now, and its model knows ages apart."""
    task = TASKS.get(reading.kind)
    by_age = task is not None and any(label.ages for label in task.labels)
    if not by_age and not _metadata(reading).get("operating_points_by_age"):
        return False
    return bool(reading.age_group) and reading.age_group != reading.scan.case.age_group


def way_of(reading: Analysis) -> str:
    """How a number became of the network's: of a single picture (by which age group's calibration, where that
    group has its own), of few slices or of many. Only numbers of one way and one model version may be
    compared.
    """
    if not reading.scan.is_volume or reading.slices_read <= 1:
        ages = (_metadata(reading).get("calibration") or {}).get("ages") or {}
        age = reading.age_group or reading.scan.case.age_group
        return f"picture of {age}" if age in ages else "picture"
    return "few" if is_of_few_slices(True, reading.slices_read) else "many"


def _how(reading: Analysis) -> dict[str, Any]:
    return {
        "age_group": reading.age_group or reading.scan.case.age_group,
        "is_volume": reading.scan.is_volume,
        "slices_read": reading.slices_read,
    }


def _metadata(reading: Analysis) -> dict[str, Any]:
    version = reading.model_version
    return version.metadata if version is not None and isinstance(version.metadata, dict) else {}


def _marks(points: dict[str, dict[str, Any]]) -> dict[str, Mark]:
    return {
        name: (_number(own.get("high_sensitivity")), _number(own.get("high_specificity")))
        for name, own in points.items()
    }


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)
