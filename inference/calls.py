"""From calibrated probabilities to calls (likely, possible, unlikely), and from calls to findings. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from inference.reading import Call
from ml_training.labels import NORMAL_CONDITIONS, TASKS
from ml_training.specs import SHORTEST_VOLUME

__all__ = [
    "NORMAL_CONDITIONS",
    "CalledLabel",
    "bundle_points",
    "call_labels",
    "call_of",
    "is_of_few_slices",
    "operating_points",
]

# A kind of pneumonia cannot be surer than pneumonia.
PARENT_LABEL = {"bacterial": "pneumonia", "viral": "pneumonia", "covid19": "pneumonia"}
PARENT_CONDITION = {
    own.condition: parent.condition
    for task in TASKS.values()
    for own in task.labels
    for parent in task.labels
    if PARENT_LABEL.get(own.name) == parent.name
}
# Of labels that exclude each other "nothing found" must be at least this probable: below it, one scan in
# five or more shows a disease, whichever, and the most probable one is possible. Chosen on validation slices
# of the brain, read by brain_mri 2.0.0: of 263 with a tumour 3 were told "nothing found" without it and
# none with it, of 73 without one 2 are suspected instead of none.
NOTHING_FROM = 0.8
_STRENGTH: dict[str, int] = {"unlikely": 0, "possible": 1, "likely": 2}


class Label(Protocol):
    """What a bundle says about one of its labels."""

    @property
    def name(self) -> str: ...
    @property
    def condition(self) -> str: ...
    @property
    def high_sensitivity(self) -> float: ...
    @property
    def high_specificity(self) -> float: ...
    @property
    def claimed(self) -> bool: ...
    @property
    def ages(self) -> tuple[str, ...]: ...


@dataclass(frozen=True)
class CalledLabel:
    """A claimed label with its probability and call."""

    name: str
    condition: str
    probability: float
    call: Call

    @property
    def is_normal(self) -> bool:
        """Whether the label says that nothing was found."""
        return self.condition in NORMAL_CONDITIONS


def operating_points(
    metadata: Mapping[str, Any], *, age_group: str, is_volume: bool, slices_read: int
) -> dict[str, dict[str, Any]]:
    """By label name the marks that make its calls, as a bundle's `high_sensitivity` and `high_specificity`:
    the bundle's own (`bundle_points`), and more careful ones where these promise more than was measured.

    Of few slices each mark is the more careful one of volumes and of single pictures. Where the age is not
    known, it is the most careful of all ages: what is possible in anybody is possible. A label that healthy
    scans are known to look like (`doubtful_labels`) has None for `high_specificity` in a single picture: it
    is never likely. "Nothing found" is likely from `NOTHING_FROM` on at the earliest (not among grades), and
    of findings that may stand together a disease is possible at the latest where it is as probable as that
    leaves room for.
    """
    if is_of_few_slices(is_volume, slices_read):
        points = _points(metadata)
        for name, marks in ((metadata.get("pooling") or {}).get("operating_points") or {}).items():
            _take_careful(points.setdefault(name, {}), marks)
    else:
        points = bundle_points(metadata, age_group=age_group, is_volume=is_volume, slices_read=slices_read)
    if metadata.get("activation") == "softmax" and not _is_ordinal(metadata):
        # `call_labels` holds to it anyway; the marks that are kept and shown must say so.
        for marks in points.values():
            if marks.get("condition") in NORMAL_CONDITIONS:
                _take_careful(marks, {"high_specificity": NOTHING_FROM})
    if is_volume and slices_read > 1:
        return points
    if age_group == "unknown" and not is_volume:
        for own in (metadata.get("operating_points_by_age") or {}).values():
            for name, marks in own.items():
                _take_careful(points.setdefault(name, {}), marks)
    if metadata.get("activation") == "sigmoid":
        for name, marks in points.items():
            if marks.get("condition") in NORMAL_CONDITIONS:
                _take_careful(marks, {"high_specificity": NOTHING_FROM})
            elif name not in PARENT_LABEL:
                _take_careful(marks, {"high_sensitivity": round(1 - NOTHING_FROM, 4)})
    for name in doubtful_labels(metadata):
        points[name]["high_specificity"] = None
    return points


def bundle_points(
    metadata: Mapping[str, Any], *, age_group: str, is_volume: bool, slices_read: int
) -> dict[str, dict[str, Any]]:
    """The marks as a bundle gives them: of volumes of several slices its own for these, of films those of the
    age group. They made the calls of readings that have not kept their marks.
    """
    points = _points(metadata)
    own = (metadata.get("operating_points_by_age") or {}).get(age_group) if not is_volume else None
    if is_volume and slices_read > 1:
        own = (metadata.get("pooling") or {}).get("operating_points")
    for name, marks in (own or {}).items():
        points.setdefault(name, {}).update(marks)
    return points


def _points(metadata: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    labels = metadata.get("labels")
    return {
        str(label["name"]): dict(label)
        for label in (labels if isinstance(labels, list) else [])
        if isinstance(label, Mapping) and label.get("name")
    }


def _is_ordinal(metadata: Mapping[str, Any]) -> bool:
    task = TASKS.get(str(metadata.get("kind", "")))
    return task is not None and task.ordinal


def doubtful_labels(metadata: Mapping[str, Any]) -> set[str]:
    """The labels that healthy scans are known to look like: those with a ceiling in the bundle's pooling."""
    names = list(_points(metadata))
    ceilings = (metadata.get("pooling") or {}).get("ceilings") or []
    return {name for name, ceiling in zip(names, ceilings, strict=False) if ceiling < 1}


def is_of_few_slices(is_volume: bool, slices_read: int) -> bool:
    """A volume of fewer slices than volumes were put together from to check numbers on: its number is the
    slices' own, and nobody has checked it.
    """
    return is_volume and 1 < slices_read < SHORTEST_VOLUME


def _take_careful(marks: dict[str, Any], others: Mapping[str, Any]) -> None:
    """Possible from the lower of both marks on, likely from the higher one on."""
    for key, chosen in (("high_sensitivity", min), ("high_specificity", max)):
        if key in others:
            marks[key] = chosen(marks.get(key, others[key]), others[key])


def call_of(probability: float, high_sensitivity: float, high_specificity: float) -> Call:
    """The call at two operating points: at or above the specific one likely, at or above the sensitive one
    possible.
    """
    if probability >= max(high_specificity, high_sensitivity):
        return "likely"
    return "possible" if probability >= min(high_sensitivity, high_specificity) else "unlikely"


def call_labels(
    labels: Sequence[Label],
    probabilities: Mapping[str, float],
    *,
    exclusive: bool,
    ordinal: bool = False,
    age_group: str = "unknown",
) -> list[CalledLabel]:
    """Calls of all claimed labels, the most telling first.

    `exclusive`: the labels compete (softmax), so only the most probable one can be likely, and it is at least
    possible. A label that was learnt on some age groups only is no finding for the others, nor where the age
    is unknown. `ordinal`: neighbouring grades are both true to a degree, so a possible next grade does not
    weaken a likely grade 0. A label that says "nothing found" is likely only where no disease is even
    possible; where diseases that exclude each other are possible together (`NOTHING_FROM`), one of them is.
    """
    calls: dict[str, Call] = {
        label.name: call_of(probabilities[label.name], label.high_sensitivity, label.high_specificity)
        for label in labels
        if label.claimed and (not label.ages or age_group in label.ages)
    }
    if not calls:
        return []
    if exclusive:
        top = max((label.name for label in labels), key=lambda name: probabilities[name])
        for name, call in calls.items():
            if call == "likely" and name != top:
                calls[name] = "possible"
        if calls.get(top) == "unlikely":
            calls[top] = "possible"
        if not ordinal:
            _suspect_together(labels, probabilities, calls)
    for child, parent in PARENT_LABEL.items():
        if child in calls and parent in calls and _STRENGTH[calls[child]] > _STRENGTH[calls[parent]]:
            calls[child] = calls[parent]
    conditions = {label.name: label.condition for label in labels}
    suspected = any(
        call != "unlikely" for name, call in calls.items() if conditions[name] not in NORMAL_CONDITIONS
    )
    if suspected and not ordinal:
        for name, call in calls.items():
            if conditions[name] in NORMAL_CONDITIONS and call == "likely":
                calls[name] = "possible"
    found = [
        CalledLabel(name, conditions[name], float(probabilities[name]), call) for name, call in calls.items()
    ]
    # By call, then by probability; at equal strength a disease goes before "nothing found" only if it is more
    # probable.
    return sorted(found, key=lambda item: (-_STRENGTH[item.call], -item.probability, item.name))


def _suspect_together(
    labels: Sequence[Label], probabilities: Mapping[str, float], calls: dict[str, Call]
) -> None:
    """Where diseases share what none of them has alone, make the most probable one possible."""
    diseases = [one.name for one in labels if one.name in calls and one.condition not in NORMAL_CONDITIONS]
    normal = [one.name for one in labels if one.condition in NORMAL_CONDITIONS]
    if diseases and normal and sum(probabilities[name] for name in normal) < NOTHING_FROM:
        strongest = max(diseases, key=lambda name: probabilities[name])
        if calls[strongest] == "unlikely":
            calls[strongest] = "possible"
