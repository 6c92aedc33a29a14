"""What the gate lets through and what it turns away: which anatomy, and wrong inputs by their kind."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ml_training.data.manifest import Item
from ml_training.data.negatives import CHANGES, KINDS
from ml_training.evaluate import auc
from ml_training.labels import Task
from ml_training.ood import OutOfDistribution

# How far a kind of wrong input is from a readable scan; what is not named here counts as far.
NEAR = ("ultrasound", "ct", *CHANGES)


def kind_of_negative(item: Item) -> str:
    """`noise`, `blank`, ..., or the label that the manifest gave (`photo`, `ultrasound`)."""
    drawn = item.row.get("synthetic", "")
    return KINDS[int(drawn) % len(KINDS)] if drawn else item.row.get("given_label", "") or "other"


def gate_figures(
    task: Task,
    items: Sequence[Item],
    probs: np.ndarray,
    distances: np.ndarray,
    targets: np.ndarray,
    statistics: OutOfDistribution,
    min_probability: float,
) -> dict[str, Any]:
    """Figures of the gate on items with calibrated `probs` (N, K) and `distances` (N, readable kinds).

    AUROCs are those of the distance in feature space alone, readable scans against each kind of wrong input.
    Wrong anatomy is judged by the distance to the kind that was expected: for each kind, its own scans
    against those of the other kinds.
    """
    other = task.names.index("other")
    truth, guess, nearest = targets.argmax(1), probs.argmax(1), distances.min(1)
    accepted = (guess != other) & (probs.max(1) >= min_probability) & (nearest <= statistics.threshold)
    right, wrong = truth != other, truth == other
    kinds = np.array(
        [kind_of_negative(item) if lost else "" for item, lost in zip(items, wrong, strict=True)]
    )
    by_kind = {
        name: {
            "images": int((kinds == name).sum()),
            "near": name in NEAR,
            "refused": _share(~accepted[kinds == name]),
            "auroc": _area(nearest[kinds == name], nearest[right]),
        }
        for name in sorted(set(kinds) - {""})
    }
    anatomy = {
        name: {
            "images": int((truth == task.names.index(name)).sum()),
            "right": _share((guess == truth)[truth == task.names.index(name)]),
            "refused": _share(~accepted[truth == task.names.index(name)]),
            "auroc_other_anatomy": _area(
                distances[right & (truth != task.names.index(name)), k],
                distances[truth == task.names.index(name), k],
            ),
        }
        for k, name in enumerate(statistics.names)
    }
    near = np.isin(kinds, NEAR)
    own = np.array([statistics.names.index(task.names[k]) if k != other else 0 for k in truth])
    to_own = distances[np.arange(len(truth)), own]
    to_others = np.concatenate(
        [np.delete(distances[i], own[i]) for i in np.flatnonzero(right)] or [np.empty(0)]
    )
    return {
        "right_inputs": int(right.sum()),
        "which_anatomy_accuracy": _share((guess == truth)[right]),
        "right_inputs_refused": _share(~accepted[right]),
        "right_inputs_taken_for_another_kind": _share((accepted & (guess != truth))[right]),
        "wrong_inputs": int(wrong.sum()),
        "wrong_inputs_refused": _share(~accepted[wrong]),
        "auroc_far": _area(nearest[wrong & ~near], nearest[right]),
        "auroc_near": _area(nearest[near], nearest[right]),
        "auroc_other_anatomy": _area(to_others, to_own[right]),
        "not_measured": [name for name in NEAR if name not in by_kind and name not in CHANGES],
        "by_kind_of_wrong_input": by_kind,
        "by_anatomy": anatomy,
    }


def _share(rows: np.ndarray) -> float | None:
    return round(float(np.mean(rows)), 4) if len(rows) else None


def _area(far: np.ndarray, near: np.ndarray) -> float | None:
    """How often something of `far` lies farther away than something of `near`."""
    value = auc(np.concatenate([far, near]), np.concatenate([np.ones(len(far)), np.zeros(len(near))]))
    return None if value is None else round(value, 4)
