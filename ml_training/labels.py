"""Label sets of PMI's models, the conditions they stand for, and how a manifest row becomes a training
target.

A target vector has one value per label in [0, 1]; `nan` marks a label that is unknown for that row and must
not count as a negative.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from ml_training.errors import TrainingError

UNKNOWN = math.nan
# Conditions that say that nothing was found.
NORMAL_CONDITIONS = frozenset({"no-brain-tumour", "no-chest-finding", "knee-oa-0"})


@dataclass(frozen=True)
class Label:
    """One output of a model.

    `claimed` is False where the label is reported among the probabilities but must not become a finding,
    because it has not been shown to survive a new hospital or a new scanner. `ages` (child, adult) are the
    age groups that it may become a finding for; empty means all.
    """

    name: str
    condition: str
    claimed: bool = True
    limits: str = ""
    ages: tuple[str, ...] = ()


@dataclass(frozen=True)
class Task:
    """A kind of reading: its labels, and whether they exclude each other (`softmax`) or not (`sigmoid`).

    `takes_age`: its probabilities may be calibrated by age group.
    """

    kind: str
    activation: str
    labels: tuple[Label, ...]
    ordinal: bool = False
    planes: tuple[str, ...] = field(default=())
    takes_age: bool = False

    @property
    def names(self) -> list[str]:
        return [label.name for label in self.labels]

    def target(self, row: Mapping[str, str]) -> list[float]:
        """Target vector of a manifest row.

        Raises:
            TrainingError: the row carries a label outside the set.
        """
        if self.kind == BACKBONE:
            return _backbone_target(row)
        if self.activation == "softmax":
            name = row.get("label", "")
            if name not in self.names:
                raise TrainingError(
                    f"{row.get('file', '?')}: label {name!r} is not one of {', '.join(self.names)}"
                )
            return [1.0 if name == own else 0.0 for own in self.names]
        # A source may say label by label what it leaves open, as signed reviews do.
        open_labels = {name.strip() for name in row.get("unknown", "").split("|")} - {""}
        if strange := sorted(open_labels - set(self.names)):
            raise TrainingError(
                f"{row.get('file', '?')}: unknown {strange[0]!r} is not one of {', '.join(self.names)}"
            )
        return [
            UNKNOWN if name in open_labels else value
            for name, value in zip(self.names, _chest_target(row), strict=True)
        ]


_CHEST_KNOWN = {
    "no_finding", "pneumonia", "bacterial", "viral", "covid19",
    "infiltration", "edema", "atelectasis", "effusion", "consolidation",
}  # fmt: skip


def _chest_target(row: Mapping[str, str]) -> list[float]:
    """no_finding, pneumonia, bacterial, viral, covid19 with what each source can know.

    Bacterial and viral were told apart in Kermany's children only, so a pneumonia of any other source
    leaves both unknown. Films older than 2019 cannot show COVID-19, so there it is a true negative.
    """
    names = {name for name in row.get("labels", "").split("|") if name}
    strange = names - _CHEST_KNOWN
    if strange or not names:
        raise TrainingError(
            f"{row.get('file', '?')}: labels {sorted(strange) or 'empty'} are not known for chest films"
        )
    if "no_finding" in names:
        if len(names) > 1:
            raise TrainingError(f"{row.get('file', '?')}: no_finding cannot stand beside another label")
        return [1.0, 0.0, 0.0, 0.0, 0.0]
    pneumonia = 1.0 if "pneumonia" in names else UNKNOWN
    bacterial = viral = UNKNOWN
    if names & {"bacterial", "viral"}:
        bacterial, viral = float("bacterial" in names), float("viral" in names)
    return [0.0, pneumonia, bacterial, viral, float("covid19" in names)]


_CONTRAST = (
    "All tumours that it learnt from were scanned after contrast agent: without it, it misses many, and it "
    "may suspect one where there is only contrast agent."
)
_GLAND = (
    "The healthy pituitary gland also lights up after contrast agent, and the model often mistakes it for a "
    "tumour. In a scan of many slices its number is therefore never above 50 in 100. Without contrast agent "
    "it misses many tumours."
)
_CLEAR = (
    "Tumours that it learnt from were scanned after contrast agent: in a scan without it, it misses many of "
    "them. Healthy images came from other scanners, so part of this may be scanner recognition."
)
_SUBTYPE = "Told apart on children's films of one hospital only, so never a finding for adults."

TASKS: dict[str, Task] = {
    "brain_mri": Task(
        "brain_mri",
        "softmax",
        (
            Label("glioma", "glioma", limits=_CONTRAST),
            Label("meningioma", "meningioma", limits=_CONTRAST),
            Label("pituitary", "pituitary-tumour", limits=_GLAND),
            Label("none", "no-brain-tumour", limits=_CLEAR),
        ),
        planes=("axial", "coronal", "sagittal"),
    ),
    "chest_xray": Task(
        "chest_xray",
        "sigmoid",
        (
            Label("no_finding", "no-chest-finding"),
            Label("pneumonia", "pneumonia"),
            Label("bacterial", "bacterial-pneumonia", limits=_SUBTYPE, ages=("child",)),
            Label("viral", "viral-pneumonia", limits=_SUBTYPE, ages=("child",)),
            Label(
                "covid19",
                "covid-19-pneumonia",
                claimed=False,
                limits="Learnt from one collection, not shown to hold elsewhere: never a finding.",
            ),
        ),
        takes_age=True,
    ),
    "knee_xray": Task(
        "knee_xray",
        "softmax",
        tuple(Label(str(grade), f"knee-oa-{grade}") for grade in range(5)),
        ordinal=True,
        takes_age=True,
    ),
    "gate": Task(
        "gate",
        "softmax",
        (
            Label("brain_mri", ""),
            Label("chest_xray", ""),
            Label("knee_xray", ""),
            Label("other", "unreadable-scan"),
        ),
    ),
}


BACKBONE = "backbone"
_LEARNT_TOGETHER = ("brain_mri", "chest_xray", "knee_xray")
_BACKBONE = Task(
    BACKBONE,
    "sigmoid",
    tuple(Label(f"{kind}/{name}", "") for kind in _LEARNT_TOGETHER for name in TASKS[kind].names),
)


def _backbone_target(row: Mapping[str, str]) -> list[float]:
    """The target of the row's own task (`task`) in its place, everything else unknown."""
    own = row.get("task", "")
    if own not in _LEARNT_TOGETHER:
        raise TrainingError(f"sources: task {own!r} is not one of {', '.join(_LEARNT_TOGETHER)}")
    target = []
    for kind in _LEARNT_TOGETHER:
        target += TASKS[kind].target(row) if kind == own else [UNKNOWN] * len(TASKS[kind].labels)
    return target


def task_of(kind: str) -> Task:
    """The task of that name; `backbone` learns all readings at once, to be started from, never published.

    Raises:
        TrainingError: there is none.
    """
    if kind == BACKBONE:
        return _BACKBONE
    try:
        return TASKS[kind]
    except KeyError:
        raise TrainingError(f"kind {kind!r} is unknown; known: {', '.join(TASKS)}") from None


def healthy_label(task: Task) -> int | None:
    """Index of the label that says that nothing was found; None where there is no single one."""
    found = [n for n, one in enumerate(task.labels) if one.condition in NORMAL_CONDITIONS]
    return found[0] if len(found) == 1 and task.activation == "softmax" else None


def required_healthy_label(task: Task, key: str) -> int:
    """The same, for what cannot do without one; `key` is the setting or verb that needs it.

    Raises:
        TrainingError: there is none.
    """
    healthy = healthy_label(task)
    if healthy is None:
        raise TrainingError(f"{key}: {task.kind} has no single label that says that nothing was found")
    return healthy
