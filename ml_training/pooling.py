"""Many slices' probabilities as one reading of a volume: the rule, and how its numbers are fitted.

Errors on single slices add up over a hundred slices, so the rule asks for neighbouring slices that agree, and
its final probability is calibrated on volumes. Labelled volumes are rare where labelled slices are not:
`simulate` therefore composes them from validation slices that the network never learnt from.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, logit

from ml_training.calibrate import sparing
from ml_training.data.manifest import Item
from ml_training.labels import Task
from ml_training.specs import SHORTEST_VOLUME

METHOD = "window"
WIDTHS = (0.06, 0.1, 0.16, 0.25, 0.4)
_FEWEST = 3
_EDGE = 1e-4
# A volume's reading is "likely" a disease from here on at the earliest. There are no labelled volumes to
# choose it on: simulated ones say 0.5, and a healthy head unlike all that was learnt from once read 0.54.
LIKELY_VOLUME = 0.8
# A disease of which volumes have shown that healthy ones look the same: no more than even odds.
_DOUBTFUL = 0.5


def window_pool(
    probabilities: np.ndarray, normal: int, pooling: Mapping[str, Any]
) -> tuple[np.ndarray, np.ndarray]:
    """Slices' probabilities (N, K), in their order, as one reading (K,), and the slices' weights (N,).

    The log-odds of "not normal" are averaged over a window of `pooling["width"]` of the slices (three at
    least); the most suspicious window counts. `sigmoid(slope * log-odds + intercept)` is the volume's
    probability of not being normal, of fewer than 20 slices the window's own; the diseases share it as they
    do in that window.

    Labels with a value below 1 in `pooling["ceilings"]` (K,), where there are any, are doubtful: many healthy
    volumes have slices that look like them. They have no say in which window the others are read from, and
    get, of the probability that the others leave, at most that share. The weights are those of the window
    that said more.
    """
    ceilings = np.asarray(pooling.get("ceilings", np.ones(probabilities.shape[1])), dtype=float)
    doubtful = ceilings < 1
    every, anywhere = _window(probabilities, normal, pooling)
    if not doubtful.any():
        return every, anywhere
    firm = probabilities.copy()
    firm[:, normal] += firm[:, doubtful].sum(axis=1)
    firm[:, doubtful] = 0
    pooled, weights = _window(firm, normal, pooling)
    left = pooled[normal]
    pooled[doubtful] = left * np.minimum(every, ceilings)[doubtful]
    pooled[normal] = left - pooled[doubtful].sum()
    return pooled, weights if 1 - left >= pooled[doubtful].sum() else anywhere


def _window(
    probabilities: np.ndarray, normal: int, pooling: Mapping[str, Any]
) -> tuple[np.ndarray, np.ndarray]:
    """`window_pool` where no label is doubtful."""
    count = len(probabilities)
    odds = logit(np.clip(1.0 - probabilities[:, normal], _EDGE, 1 - _EDGE))
    width = min(count, max(_FEWEST, round(count * float(pooling["width"]))))
    means = np.convolve(odds, np.ones(width) / width, mode="valid")
    first = int(means.argmax())
    weights = np.zeros(count)
    weights[first : first + width] = 1.0 / width
    slope, intercept = float(pooling["slope"]), float(pooling["intercept"])
    if count < SHORTEST_VOLUME:
        # The fit makes up for the worst window of many being suspicious in healthy volumes, too. Few slices
        # have no such excuse: of them it would make "nothing found" where each by itself shows a disease.
        slope, intercept = 1.0, 0.0
    abnormal = float(expit(slope * means[first] + intercept))
    shares = np.delete(weights @ probabilities, normal)
    shares = shares / max(float(shares.sum()), 1e-12)
    return np.insert(abnormal * shares, normal, 1.0 - abnormal), weights


@dataclass(frozen=True)
class Volume:
    """Probabilities (N, K) of a simulated volume's slices, its truth (K,), and the group it was made of."""

    slices: np.ndarray
    truth: np.ndarray
    group: str


def simulate(
    task: Task,
    normal: int,
    items: Sequence[Item],
    read: Callable[[Sequence[Item], bool], np.ndarray],
    each: int = 4,
    copies: int = 5,
    seed: int = 0,
) -> list[Volume]:
    """Volumes made of single slices.

    A healthy volume is one cluster of normal slices (one head, as far as anyone knows) with augmented copies,
    so that what the network gets wrong about a head stays wrong through the volume. A diseased one is a
    healthy one with a run of slices of one patient, in one plane: the patient's own head, in the tumour's own
    sequence, where the group has normal slices (see `mirror`), anyone's otherwise. `read(items, augmented)`
    gives calibrated probabilities (N, K). `each` volumes are made of every group.
    """
    random = np.random.default_rng(seed)
    healthy: dict[str, list[np.ndarray]] = defaultdict(list)
    patients: dict[tuple[str, str], list[int]] = defaultdict(list)
    plain = read(items, False)
    normals = [i for i, item in enumerate(items) if item.target[normal] == 1]
    for i in normals:
        healthy[items[i].group].append(plain[i])
    for _ in range(copies):
        for i, row in zip(normals, read([items[i] for i in normals], True), strict=True):
            healthy[items[i].group].append(row)
    for i, item in enumerate(items):
        if item.target[normal] == 0:
            patients[(item.group, item.row.get("plane", ""))].append(i)
    names = list(healthy)
    heads = [np.array(rows) for rows in healthy.values()]
    if not heads or not patients:
        return []

    def head(index: int) -> np.ndarray:
        rows = heads[index]
        return rows[random.integers(len(rows), size=int(random.integers(SHORTEST_VOLUME, 49)))]

    volumes = []
    nothing = np.eye(len(task.labels))[normal]
    for index, group in enumerate(names):
        volumes += [Volume(head(index), nothing, group) for _ in range(each)]
    for (group, _), rows in patients.items():
        for _ in range(each if len(rows) > 1 else 1):
            own = names.index(group) if group in healthy else int(random.integers(len(heads)))
            background = head(own)
            length = max(_FEWEST, round(len(background) * random.uniform(0.08, 0.35)))
            run = plain[sorted(random.choice(rows, size=length))]
            start = int(random.integers(len(background) - 1))
            slices = np.concatenate([background[:start], run, background[start:]])
            volumes.append(Volume(slices, np.asarray(items[rows[0]].target), group))
    return volumes


def fit(volumes: Sequence[Volume], normal: int) -> dict[str, Any]:
    """`pooling` for a bundle: the width with the smallest cross-entropy of the volume's own truth, with its
    slope and intercept.
    """
    sick = np.array([1.0 - volume.truth[normal] for volume in volumes])
    # Both sides count the same: how often a head is sick is not what simulated volumes can tell.
    weight = np.where(sick > 0.5, 0.5 / max(sick.sum(), 1), 0.5 / max((1 - sick).sum(), 1))
    best: tuple[float, dict[str, Any]] | None = None
    for width in WIDTHS:
        odds = np.array([_window_odds(volume.slices, normal, width) for volume in volumes])

        def loss(p: np.ndarray, odds: np.ndarray = odds) -> float:
            z = p[0] * odds + p[1]
            return float((weight * (np.logaddexp(0, z) - sick * z)).sum() + 1e-3 * (p[0] - 1) ** 2)

        found = minimize(loss, np.array([1.0, 0.0]), method="L-BFGS-B", bounds=[(0.05, 5), (-15, 15)])
        if best is None or found.fun < best[0]:
            slope, intercept = (round(float(value), 5) for value in found.x)
            best = (
                float(found.fun),
                {"method": METHOD, "width": width, "slope": slope, "intercept": intercept},
            )
    if best is None:
        raise ValueError("no volumes to fit on")
    return best[1]


def ceilings(task: Task, doubtful: Sequence[str]) -> list[float]:
    """What each label's share is at most (K,): even odds for the doubtful ones."""
    return [_DOUBTFUL if name in doubtful else 1.0 for name in task.names]


def _window_odds(slices: np.ndarray, normal: int, width: float) -> float:
    neutral = {"width": width, "slope": 1.0, "intercept": 0.0}
    pooled, _ = window_pool(slices, normal, neutral)
    return float(logit(np.clip(1.0 - pooled[normal], _EDGE, 1 - _EDGE)))


def read_volumes(volumes: Sequence[Volume], normal: int, pooling: Mapping[str, Any]) -> np.ndarray:
    """Pooled probabilities (V, K) of volumes."""
    return np.stack([window_pool(volume.slices, normal, pooling)[0] for volume in volumes])


def spare_the_healthy(
    points: Mapping[str, Mapping[str, float]], task: Task, normal: int, answers: np.ndarray, truth: np.ndarray
) -> dict[str, dict[str, float]]:
    """Operating points at which no disease is possible on more than 5 % of the healthy volumes, and none is
    likely below `LIKELY_VOLUME`.

    A sensitive point alone may lie so low, where a few diseased volumes were missed altogether, that every
    healthy head would be suspected. It never starts below one in ten.
    """
    healthy = answers[truth[:, normal] == 1]
    spared: dict[str, dict[str, float]] = {}
    for k, name in enumerate(task.names):
        own = dict(points[name])
        if k != normal:
            floor = sparing(healthy[:, k], 0.95) if len(healthy) else 0.1
            own["high_sensitivity"] = round(min(0.5, max(own["high_sensitivity"], floor, 0.1)), 4)
            own["high_specificity"] = max(own["high_specificity"], LIKELY_VOLUME)
        spared[name] = own
    return spared
