"""`calibrate`: all that a bundle knows about its own answers, from a trained run's validation items.

Calibration (by age group where that holds better), operating points, the distance from what was learnt, and
the pooling of volumes. It is written to `calibration.json` in the run folder, from where `publish` takes it
while checkpoint, config and items are the same.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from ml_training import calibrate, crossfit, ood, pooling
from ml_training.data.manifest import Item
from ml_training.errors import TrainingError
from ml_training.labels import NORMAL_CONDITIONS, Task, task_of
from ml_training.report import write_atomic
from ml_training.specs import TrainConfig, to_plain
from ml_training.train import Splits, load_network, make_splits, predict

FILE = "calibration.json"
# Raise it when the same run would be calibrated otherwise.
_FORMAT = 3
# Share of readable validation images that the gate's distance bound lets through.
_KEPT = 0.99
# What a config says about a model rather than about how it was trained.
_WORDS = ("version", "changelog", "intended_use", "limits", "training_data")

log = logging.getLogger(__name__)

Read = Callable[[Sequence[Item], bool], np.ndarray]


@dataclass(frozen=True)
class Calibrated:
    """What `calibrate` found; `quality` is that of `ml_training.crossfit`."""

    calibration: calibrate.Calibration
    points: dict[str, dict[str, float]]
    points_by_age: dict[str, dict[str, dict[str, float]]]
    statistics: ood.OutOfDistribution | None
    pooling: dict[str, Any]
    quality: dict[str, Any]

    def to_plain(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "calibration": self.calibration.to_plain(),
            "operating_points": self.points,
            "operating_points_by_age": self.points_by_age,
            "ood": self.statistics.to_plain() if self.statistics else None,
            "pooling": self.pooling,
            "quality": self.quality,
        }

    @classmethod
    def from_plain(cls, raw: dict[str, Any], task: Task) -> Calibrated:
        """What `to_plain` described."""
        return cls(
            calibrate.Calibration.from_plain(raw["calibration"], task.activation),
            raw["operating_points"],
            raw["operating_points_by_age"],
            ood.OutOfDistribution.from_plain(raw["ood"]) if raw["ood"] else None,
            raw["pooling"],
            raw["quality"],
        )


def age_groups(items: Sequence[Item]) -> list[str]:
    """The manifest's age group of each item, "" where it has none."""
    return [item.row.get("age_group", "") for item in items]


def shipped_network(config: TrainConfig, run_dir: Path) -> nn.Module:
    """The run's best network with the half-precision weights that a bundle ships.

    Raises:
        TrainingError: no whole checkpoint.
    """
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False
    return load_network(config, run_dir / "best.ckpt").half().float()


def calibrate_run(config: TrainConfig, data_dir: Path, run_dir: Path) -> Calibrated:
    """Calibrate a finished run and write `calibration.json`.

    Raises:
        TrainingError: no whole checkpoint, or data that no longer match.
    """
    network = shipped_network(config, run_dir)
    return _calibrated(config, run_dir, network, make_splits(config, data_dir))


def stored_or_new(config: TrainConfig, run_dir: Path, network: nn.Module, splits: Splits) -> Calibrated:
    """The run's `calibration.json` if it belongs to this checkpoint, config and data; otherwise made anew."""
    path = run_dir / FILE
    if path.is_file():
        try:
            raw = json.loads(path.read_text(encoding="utf-8"))
            if raw["belongs_to"] == _belongs_to(config, run_dir, splits):
                log.info("calibration: %s", path)
                return Calibrated.from_plain(raw, task_of(config.kind))
        except (ValueError, KeyError, TypeError) as error:
            raise TrainingError(f"{path} is not whole ({error!r}); remove it to calibrate anew") from error
        log.info("calibration: %s belongs to another state of the run; made anew", path)
    return _calibrated(config, run_dir, network, splits)


def _belongs_to(config: TrainConfig, run_dir: Path, splits: Splits) -> dict[str, Any]:
    described = {key: value for key, value in to_plain(config).items() if key not in _WORDS}
    items = hashlib.sha256()
    for item in splits.train + splits.val:
        items.update(repr((item.row["file"], item.group, item.target, item.row.get("age_group"))).encode())
    return {
        "format": _FORMAT,
        "checkpoint": hashlib.sha256((run_dir / "best.ckpt").read_bytes()).hexdigest(),
        "config": hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest(),
        "items": items.hexdigest(),
    }


def _calibrated(config: TrainConfig, run_dir: Path, network: nn.Module, splits: Splits) -> Calibrated:
    task = task_of(config.kind)
    logits, embedding, target = predict(network, config, splits.val)
    ages = age_groups(splits.val)
    val = crossfit.Validation(logits, target, ages, [item.group for item in splits.val])
    fitted = crossfit.fit_by_age(task, val)
    probs = fitted.calibration(logits, ages if task.takes_age else None)
    points = calibrate.operating_points(task, probs, target)
    by_age = calibrate.points_by_age(task, probs, target, ages, points) if task.takes_age else {}
    statistics = None
    if task.kind == "gate":
        _, train_embedding, train_target = predict(network, config, splits.train)
        statistics = _statistics(task, train_embedding, train_target, embedding, target)
    pooled: dict[str, Any] = dict(config.pooling)
    if pooled.get("method") == pooling.METHOD:
        pooled = _pooling(task, config, splits, reader_of(network, config, fitted.calibration))
    found = Calibrated(fitted.calibration, points, by_age, statistics, pooled, fitted.quality)
    plain = {"belongs_to": _belongs_to(config, run_dir, splits), **found.to_plain()}
    write_atomic(run_dir / FILE, (json.dumps(plain, indent=1) + "\n").encode())
    # Rounded as it is stored, so that a bundle does not depend on which way it came.
    return Calibrated.from_plain(plain, task)


def reader_of(network: nn.Module, config: TrainConfig, calibration: calibrate.Calibration) -> Read:
    """`read(items, augmented)` for `pooling.simulate`; each augmented call draws anew, the same in every
    run.
    """
    calls = iter(range(1, 10**6))

    def read(items: Sequence[Item], augmented: bool) -> np.ndarray:
        seed = config.seed + next(calls)
        logits, _, _ = predict(network, config, list(items), augmented=augmented, seed=seed)
        return calibration(logits)

    return read


def normal_label(task: Task) -> int:
    """Column of the label that says that nothing was found."""
    return next(k for k, label in enumerate(task.labels) if label.condition in NORMAL_CONDITIONS)


def _pooling(task: Task, config: TrainConfig, splits: Splits, read: Read) -> dict[str, Any]:
    """Pooling fitted on volumes simulated from validation slices, with operating points of its own."""
    normal = normal_label(task)
    volumes = pooling.simulate(task, normal, splits.val, read, seed=config.seed)
    fitted = pooling.fit(volumes, normal)
    truth = np.stack([volume.truth for volume in volumes])
    answers = pooling.read_volumes(volumes, normal, fitted)
    points = calibrate.operating_points(task, answers, truth)
    fitted["operating_points"] = pooling.spare_the_healthy(points, task, normal, answers, truth)
    return fitted


def _statistics(
    task: Task, train: np.ndarray, train_target: np.ndarray, val: np.ndarray, val_target: np.ndarray
) -> ood.OutOfDistribution:
    """The gate's statistics over the classes that a reading may come from; `other` is no such class.

    The reading models have none: measured on what the gate lets in, their own distance said nothing about
    wrong answers (see `ml_training/README.md`).
    """
    names = [name for name in task.names if name != "other"]
    train_class, val_class = train_target.argmax(1), val_target.argmax(1)
    inside, val_inside = train_class < len(names), val_class < len(names)
    return ood.fit(train[inside], train_class[inside], val[val_inside], tuple(names), _KEPT)
