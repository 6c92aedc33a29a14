"""Calibration by age group, and how well a calibration holds: every validation item is judged by a
calibration that was fitted without its group.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from sklearn.model_selection import GroupKFold

from ml_training.calibrate import AGE_GROUPS, Calibration, fit, platt
from ml_training.evaluate import error_by_chance, expected_calibration_error, probabilities
from ml_training.labels import Task

FOLDS = 5
# Fewer positives or negatives of an age group than this say too little for a sigmoid of its own.
_FEWEST = 25
_FEWEST_EXCLUSIVE = 200


@dataclass(frozen=True)
class Validation:
    """Validation items as the network answered: logits (N, K), targets (N, K; nan unknown), the age group
    ("" unknown) and the group of each.

    `draws` (D, N, K) are logits of augmented variants: calibrations are fitted on them as well, and judged
    without them.
    """

    logits: np.ndarray
    targets: np.ndarray
    ages: Sequence[str]
    groups: Sequence[str]
    draws: np.ndarray | None = None

    def rows(self, index: np.ndarray) -> Validation:
        """The items of these positions."""
        return Validation(
            self.logits[index],
            self.targets[index],
            [self.ages[i] for i in index],
            [self.groups[i] for i in index],
            None if self.draws is None else self.draws[:, index],
        )

    def fit(self, task: Task) -> Calibration:
        """One calibration for all of them."""
        if self.draws is None:
            return fit(task, self.logits, self.targets)
        logits = np.concatenate([self.logits, *self.draws])
        return fit(task, logits, np.concatenate([self.targets] * (1 + len(self.draws))))


@dataclass(frozen=True)
class Fitted:
    """A calibration and its quality, by part of the validation items and by label; see `_quality`."""

    calibration: Calibration
    quality: dict[str, Any]


def fit_by_age(task: Task, val: Validation) -> Fitted:
    """The common calibration and, where they hold better on items that they were not fitted on, those of the
    age groups.

    An age group's own sigmoid for a label is kept only if its cross-fitted log loss is lower than the common
    one's. Tasks that take no age get the common calibration.
    """
    common = val.fit(task)
    folds = _folds(val)
    candidates = _own_ages(task, val, common) if task.takes_age else {}
    if not folds:
        return Fitted(common, {})
    held_common = np.empty_like(val.logits)
    held_own = np.empty_like(val.logits)
    given = np.asarray(list(val.ages))
    for kept, held in folds:
        part = val.rows(kept).fit(task)
        held_common[held] = part(val.logits[held])
        own = _own_ages(task, val.rows(kept), part) if task.takes_age else {}
        held_own[held] = replace(part, ages=own)(val.logits[held], given[held].tolist())
    chosen: dict[str, Calibration] = {}
    held_chosen = held_common.copy()
    for age, own_calibration in candidates.items():
        rows = given == age
        better = _better(task, held_own[rows], held_common[rows], val.targets[rows])
        if not better.any():
            continue
        held_chosen[rows] = np.where(better, held_own[rows], held_common[rows])
        chosen[age] = _mixed(task, own_calibration, common, better)
    raw = probabilities(task, val.logits)
    quality = {
        "method": f"cross-fitting, {len(folds)} folds of whole groups",
        "parts": _quality(task, val, raw, held_common, held_chosen),
    }
    return Fitted(replace(common, ages=chosen), quality)


def _folds(val: Validation) -> list[tuple[np.ndarray, np.ndarray]]:
    count = min(FOLDS, len(set(val.groups)))
    if count < 2:
        return []
    return list(GroupKFold(n_splits=count, shuffle=True, random_state=0).split(val.logits, groups=val.groups))


def _own_ages(task: Task, val: Validation, common: Calibration) -> dict[str, Calibration]:
    """A calibration per age group that has enough items; labels with too few keep the common sigmoid."""
    given = np.asarray(list(val.ages))
    found = {}
    for age in AGE_GROUPS:
        rows = given == age
        if task.activation == "softmax":
            if rows.sum() >= _FEWEST_EXCLUSIVE:
                found[age] = val.rows(np.flatnonzero(rows)).fit(task)
            continue
        slope, intercept, own = list(common.slope), list(common.intercept), False
        for k in range(len(task.labels)):
            truth = val.targets[rows, k]
            if min((truth > 0.5).sum(), (truth < 0.5).sum()) >= _FEWEST:
                slope[k], intercept[k] = platt(val.logits[rows, k], truth)
                own = True
        if own:
            found[age] = Calibration("sigmoid", slope=tuple(slope), intercept=tuple(intercept))
    return found


def log_losses(task: Task, probs: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Mean log loss per label (K,), or of the true label (1,) where labels exclude each other."""
    clipped = np.clip(probs, 1e-6, 1 - 1e-6)
    if task.activation == "softmax":
        return np.asarray([-(targets * np.log(clipped)).sum(1).mean()])
    each = -(targets * np.log(clipped) + (1 - targets) * np.log(1 - clipped))
    known = ~np.isnan(targets)
    return np.asarray(np.where(known, each, 0).sum(0) / np.maximum(known.sum(0), 1))


def _better(task: Task, own: np.ndarray, common: np.ndarray, targets: np.ndarray) -> np.ndarray:
    return np.asarray(log_losses(task, own, targets) < log_losses(task, common, targets) - 1e-9)


def _mixed(task: Task, own: Calibration, common: Calibration, better: np.ndarray) -> Calibration:
    if task.activation == "softmax":
        return own
    return Calibration(
        "sigmoid",
        slope=tuple(np.where(better, own.slope, common.slope).tolist()),
        intercept=tuple(np.where(better, own.intercept, common.intercept).tolist()),
    )


def _quality(
    task: Task, val: Validation, raw: np.ndarray, common: np.ndarray, chosen: np.ndarray
) -> dict[str, dict[str, dict[str, float | int]]]:
    """By part ("all", each age group) and label: expected calibration error and log loss before calibration,
    with one calibration for all, and with the one that is kept; and the error that exact probabilities would
    show on so few items by chance.
    """
    given = np.asarray(list(val.ages))
    parts = {"all": np.ones(len(given), dtype=bool)}
    if task.takes_age:
        parts |= {f"age_group: {age}": given == age for age in AGE_GROUPS if (given == age).any()}
    return {
        name: _part(task, val.targets[rows], raw[rows], common[rows], chosen[rows])
        for name, rows in parts.items()
    }


def _part(
    task: Task, targets: np.ndarray, raw: np.ndarray, common: np.ndarray, chosen: np.ndarray
) -> dict[str, dict[str, float | int]]:
    found: dict[str, dict[str, float | int]] = {}
    if task.activation == "softmax":
        truth = targets.argmax(1)
        pairs = [(probs.max(1), (probs.argmax(1) == truth).astype(float)) for probs in (raw, common, chosen)]
        losses = [float(log_losses(task, probs, targets)[0]) for probs in (raw, common, chosen)]
        return {"top label": _figures(pairs, losses)}
    for k, name in enumerate(task.names):
        known = ~np.isnan(targets[:, k])
        truth = targets[known, k]
        if len(set(truth.tolist())) < 2:
            continue
        pairs = [(probs[known, k], truth) for probs in (raw, common, chosen)]
        losses = [float(log_losses(task, probs, targets)[k]) for probs in (raw, common, chosen)]
        found[name] = _figures(pairs, losses)
    return found


def _figures(pairs: list[tuple[np.ndarray, np.ndarray]], losses: list[float]) -> dict[str, float | int]:
    errors = [expected_calibration_error(*pair) for pair in pairs]
    return {
        "images": len(pairs[0][0]),
        "ece_before": round(errors[0], 4),
        "ece_common": round(errors[1], 4),
        "ece_after": round(errors[2], 4),
        "ece_by_chance": round(error_by_chance(pairs[2][0]), 4),
        "log_loss_before": round(losses[0], 4),
        "log_loss_common": round(losses[1], 4),
        "log_loss_after": round(losses[2], 4),
    }
