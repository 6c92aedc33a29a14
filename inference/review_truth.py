"""What a signed review makes certain about a scan, label by label. Nothing else counts as known."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from cases.reviews import VerdictInput
from ml_training.labels import NORMAL_CONDITIONS, Task, task_of

# A label that cannot be there without the other one.
_IMPLIES = {"bacterial": "pneumonia", "viral": "pneumonia", "covid19": "pneumonia"}


class Said(Protocol):
    """A doctor's verdict on one finding (`cases.models.ReviewVerdict`)."""

    @property
    def label(self) -> str:
        """The model's label."""

    @property
    def call(self) -> str:
        """What the model made of it: likely, possible or unlikely."""

    @property
    def verdict(self) -> str:
        """Agree, disagree or unsure."""

    @property
    def right_condition(self) -> str:
        """What the doctor sees instead; empty where nothing was chosen."""


@dataclass(frozen=True)
class Truth:
    """The labels that are certainly there and certainly not; a label in neither is unknown."""

    present: frozenset[str] = frozenset()
    absent: frozenset[str] = frozenset()

    def of(self, label: str) -> bool | None:
        """Whether the label is there; None where that is not known."""
        if label in self.present:
            return True
        return False if label in self.absent else None


def truth_of(kind: str, verdicts: Iterable[Said]) -> Truth:
    """What the verdicts make certain.

    Agreeing with a raised finding (likely or possible) says that it is there, agreeing with an unlikely one
    that it is not. Disagreeing with a raised one says that it is not there, and that the right condition is,
    where one was chosen. Unsure says nothing. What contradicts itself is unknown.
    """
    task = task_of(kind)
    by_condition = {label.condition: label.name for label in task.labels}
    present: set[str] = set()
    absent: set[str] = set()
    for said in verdicts:
        if said.label not in task.names or said.verdict not in ("agree", "disagree"):
            continue
        raised = said.call != "unlikely"
        right = by_condition.get(said.right_condition, "")
        if said.verdict == "agree":
            (present if raised else absent).add(said.label)
            continue
        if right:
            present.add(right)
        # "Not unlikely" without a word on what it is instead leaves open whether it is there.
        if raised and right != said.label:
            absent.add(said.label)
    return _closed(task, present, absent)


def _closed(task: Task, present: set[str], absent: set[str]) -> Truth:
    """Adds what follows: labels that exclude each other, and those that one cannot be without."""
    normal = {label.name for label in task.labels if label.condition in NORMAL_CONDITIONS}
    implies = {low: high for low, high in _IMPLIES.items() if low in task.names}
    present |= {implies[name] for name in present if name in implies}
    absent |= {low for low, high in implies.items() if high in absent}
    if task.activation == "softmax":
        if len(present) > 1:
            return Truth()
        if present:
            absent |= set(task.names) - present
    elif present & normal:
        if present - normal:
            return Truth()
        absent |= set(task.names) - normal
    elif present:
        absent |= normal
    unclear = present & absent
    return Truth(frozenset(present - unclear), frozenset(absent - unclear))


def most_exact(kind: str, labels: Iterable[str]) -> list[str]:
    """The labels without those that another one of them implies: "bacterial" says "pneumonia" as well."""
    given = set(labels)
    implied = {_IMPLIES[name] for name in given if name in _IMPLIES}
    return [name for name in task_of(kind).names if name in given - implied]


def level_to_keep(level: str, verdicts: Iterable[VerdictInput]) -> str:
    """The level of a reading that a doctor takes over by naming none; empty where that must not be guessed.

    Who only agrees that nothing was found need not mean a level that comes from symptoms, or from a model
    that was not made for children.
    """
    raised = [one for one in verdicts if one.is_raised]
    is_calm = bool(raised) and all(
        one.verdict == "agree" and one.condition in NORMAL_CONDITIONS for one in raised
    )
    return "" if is_calm and level not in ("none_found", "inconclusive") else level


def disputed(first: Truth, second: Truth) -> bool:
    """Whether two readers are certain of opposite things."""
    return bool(first.present & second.absent or first.absent & second.present)


def manifest_labels(kind: str, truth: Truth) -> tuple[Sequence[str], Sequence[str]]:
    """(labels that are there, labels that stay open) for a training manifest, in the task's order.

    The first is empty where the review names nothing that is there: the pipeline has no row for such a scan.
    """
    task = task_of(kind)
    there = [name for name in task.names if name in truth.present]
    if task.activation == "softmax":
        return there, []
    return there, [name for name in task.names if truth.of(name) is None]
