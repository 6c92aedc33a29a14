"""From logits to probabilities that mean something, and the operating points that turn them into calls.

All of it is fitted on validation items only; `ml_training.crossfit` says how well that went.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.optimize import minimize, minimize_scalar
from scipy.special import expit, log_softmax, softmax

from ml_training.labels import Task

# Bounds that keep a small validation set from producing certainty.
_TEMPERATURE = (0.25, 10.0)
AGE_GROUPS = ("child", "adult")
# An age group has operating points of its own where the common ones break their promise by more than this.
_BROKEN = 0.02
_FEWEST_FOR_POINTS = 40
# ... and `possible` spares at least this share of the negatives: a warning for everybody warns nobody.
_SPARED = 0.6


@dataclass(frozen=True)
class Calibration:
    """`softmax(logits / temperature)` or, per label, `sigmoid(slope * logit + intercept)`.

    `ages` holds calibrations of their own for age groups that validation had enough items of; every other
    age, and "unknown", takes the common one.
    """

    activation: str
    temperature: float = 1.0
    slope: tuple[float, ...] = ()
    intercept: tuple[float, ...] = ()
    ages: Mapping[str, Calibration] = field(default_factory=dict)

    def __call__(self, logits: np.ndarray, ages: str | Sequence[str] | None = None) -> np.ndarray:
        """Calibrated probabilities (N, K) of logits (N, K); `ages` is one age group, or one per row."""
        if ages is None or isinstance(ages, str):
            return self.ages.get(ages or "", self)._apply(logits)
        probs = self._apply(logits)
        given = np.asarray(list(ages))
        for age, own in self.ages.items():
            rows = given == age
            probs[rows] = own._apply(logits[rows])
        return probs

    def _apply(self, logits: np.ndarray) -> np.ndarray:
        if self.activation == "softmax":
            return np.asarray(softmax(logits / self.temperature, axis=1))
        return np.asarray(expit(logits * np.asarray(self.slope) + np.asarray(self.intercept)))

    def to_plain(self) -> dict[str, Any]:
        """JSON-ready; `ages` is left out where there are none."""
        plain: dict[str, Any]
        if self.activation == "softmax":
            plain = {"method": "temperature", "temperature": self.temperature}
        else:
            plain = {"method": "platt", "slope": list(self.slope), "intercept": list(self.intercept)}
        if self.ages:
            plain["ages"] = {age: own.to_plain() for age, own in self.ages.items()}
        return plain

    @classmethod
    def from_plain(cls, raw: dict[str, Any], activation: str) -> Calibration:
        """The calibration that `to_plain` described."""
        ages = {age: cls.from_plain(own, activation) for age, own in raw.get("ages", {}).items()}
        if activation == "softmax":
            return cls(activation, temperature=float(raw["temperature"]), ages=ages)
        return cls(activation, slope=tuple(raw["slope"]), intercept=tuple(raw["intercept"]), ages=ages)


def fit(task: Task, logits: np.ndarray, targets: np.ndarray) -> Calibration:
    """One calibration for all: a temperature (Guo et al. 2017) for exclusive labels, Platt's sigmoid (Platt
    1999) per separate label.
    """
    if task.activation == "softmax":

        def loss(log_temperature: float) -> float:
            return float(-(targets * log_softmax(logits / np.exp(log_temperature), axis=1)).sum(1).mean())

        best = minimize_scalar(loss, bounds=tuple(np.log(_TEMPERATURE)), method="bounded")
        return Calibration("softmax", temperature=round(float(np.exp(best.x)), 5))
    slopes, intercepts = [], []
    for k in range(len(task.labels)):
        slope, intercept = platt(logits[:, k], targets[:, k])
        slopes.append(slope)
        intercepts.append(intercept)
    return Calibration("sigmoid", slope=tuple(slopes), intercept=tuple(intercepts))


def platt(logit: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """Slope and intercept for one label over its known rows; (1, 0) where only one class is there."""
    known = ~np.isnan(truth)
    x, t = logit[known], truth[known]
    positives, negatives = t.sum(), (1 - t).sum()
    if not positives or not negatives:
        return 1.0, 0.0
    # Platt's smoothed targets keep a separable set from driving the slope to infinity.
    soft = np.where(t > 0.5, (positives + 1) / (positives + 2), 1 / (negatives + 2))

    def loss(p: np.ndarray) -> float:
        z = p[0] * x + p[1]
        return float((np.logaddexp(0, z) - soft * z).mean())

    best = minimize(loss, np.array([1.0, 0.0]), method="L-BFGS-B", bounds=[(0.05, 5.0), (-10.0, 10.0)])
    return round(float(best.x[0]), 5), round(float(best.x[1]), 5)


def finding(positive: np.ndarray, share: float) -> float:
    """A threshold of four digits that at least `share` of the positives (N,), one or more, reach."""
    # One of their own values: between two of them, few positives would be fewer than promised.
    return math.floor(float(np.quantile(positive, 1 - share, method="lower")) * 1e4) / 1e4


def sparing(negative: np.ndarray, share: float) -> float:
    """The lowest threshold of four digits that at least `share` of the negatives (N,), one or more, stay
    below."""
    passing = math.floor((1 - share) * len(negative) + 1e-9)
    highest = float(np.sort(negative)[len(negative) - passing - 1])
    return (math.floor(highest * 1e4) + 1) / 1e4


def operating_points(
    task: Task, probs: np.ndarray, targets: np.ndarray, sensitivity: float = 0.95, specificity: float = 0.95
) -> dict[str, dict[str, float]]:
    """Per label, the calibrated probabilities from which a finding is `possible` and `likely`.

    `high_sensitivity` finds at least `sensitivity` of the positives; `high_specificity` lets at most
    `1 - specificity` of the negatives pass. Both come from validation items. `possible` never starts below
    0.02, `likely` never below 0.5, nor below `possible`, nor above 0.98, whatever that promise takes.
    """
    points = {}
    for k, name in enumerate(task.names):
        known = ~np.isnan(targets[:, k])
        positive = probs[known, k][targets[known, k] > 0.5]
        negative = probs[known, k][targets[known, k] < 0.5]
        sensitive = finding(positive, sensitivity) if len(positive) else 0.5
        specific = sparing(negative, specificity) if len(negative) else 0.5
        possible = min(sensitive, 0.5)
        points[name] = {
            "high_sensitivity": round(max(possible, 0.02), 4),
            "high_specificity": round(min(max(specific, possible, 0.5), 0.98), 4),
        }
    return points


def points_by_age(
    task: Task,
    probs: np.ndarray,
    targets: np.ndarray,
    ages: Sequence[str],
    points: Mapping[str, Mapping[str, float]],
    promise: float = 0.95,
) -> dict[str, dict[str, dict[str, float]]]:
    """Operating points of their own for the age groups and labels in which the common `points` break their
    promise: by age, by label.

    Only where an age has 40 positives and 40 negatives of a label, and only where the common points lose more
    than two hundredths of sensitivity or specificity there. A sensitive point that would let fewer than six
    of ten negatives go is raised until it does.
    """
    given = np.asarray(list(ages))
    found: dict[str, dict[str, dict[str, float]]] = {}
    for age in AGE_GROUPS:
        rows = given == age
        own = operating_points(task, probs[rows], targets[rows])
        for k, name in enumerate(task.names):
            positive = probs[rows, k][targets[rows, k] > 0.5]
            negative = probs[rows, k][targets[rows, k] < 0.5]
            if min(len(positive), len(negative)) < _FEWEST_FOR_POINTS:
                continue
            sensitivity = float((positive >= points[name]["high_sensitivity"]).mean())
            specificity = float((negative < points[name]["high_specificity"]).mean())
            if min(sensitivity, specificity) < promise - _BROKEN:
                possible = max(own[name]["high_sensitivity"], sparing(negative, _SPARED))
                found.setdefault(age, {})[name] = {
                    "high_sensitivity": min(possible, own[name]["high_specificity"]),
                    "high_specificity": own[name]["high_specificity"],
                }
    return found
