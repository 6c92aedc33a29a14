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
from torch import nn

from ml_training import calibrate, crossfit, ood, pooling
from ml_training.cv import HeldOut, digest_of_answers, held_out
from ml_training.data.manifest import Item, age_groups
from ml_training.errors import TrainingError
from ml_training.labels import Task, required_healthy_label, task_of
from ml_training.report import write_atomic
from ml_training.run_folder import refuse_learnt, refuse_other_config
from ml_training.specs import WORDS, TrainConfig, to_plain
from ml_training.train import Splits, make_splits, predict
from ml_training.weights import load_network

FILE = "calibration.json"
# Raise it when the same run would be calibrated otherwise.
_FORMAT = 6
# Share of readable validation images that the gate's distance bound lets through.
_KEPT = 0.99

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


def shipped_network(config: TrainConfig, run_dir: Path) -> nn.Module:
    """The run's best network with the half-precision weights that a bundle ships.

    Raises:
        TrainingError: no whole checkpoint, or a network or preprocessing that is not the run's.
    """
    refuse_other_config(config, run_dir)
    return load_network(config, run_dir / "best.ckpt").half().float()


def judged_splits(config: TrainConfig, data_dir: Path, run_dir: Path) -> Splits:
    """The config's items, for a run that has learnt from none of those it is judged on.

    Raises:
        TrainingError: it has, or see `make_splits`.
    """
    splits = make_splits(config, data_dir)
    refuse_learnt(run_dir, splits.val, splits.test)
    return splits


def calibrate_run(config: TrainConfig, data_dir: Path, run_dir: Path) -> Calibrated:
    """Calibrate a finished run and write `calibration.json`.

    Raises:
        TrainingError: no whole checkpoint, or a config or data that are not the run's.
    """
    network = shipped_network(config, run_dir)
    return _calibrated(config, run_dir, network, judged_splits(config, data_dir, run_dir))


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
    described = {key: value for key, value in to_plain(config).items() if key not in WORDS}
    items = hashlib.sha256()
    for item in splits.train + splits.val:
        items.update(repr((item.row["file"], item.group, item.target, item.row.get("age_group"))).encode())
    return {
        "format": _FORMAT,
        "checkpoint": hashlib.sha256((run_dir / "best.ckpt").read_bytes()).hexdigest(),
        "config": hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest(),
        "items": items.hexdigest(),
        "held": digest_of_answers(Path(config.cross_validation)) if config.cross_validation else "",
    }


def _calibrated(config: TrainConfig, run_dir: Path, network: nn.Module, splits: Splits) -> Calibrated:
    task = task_of(config.kind)
    held = None if splits.val else _held_out(config, splits)
    items = held.items if held else splits.val
    target = np.array([item.target for item in items])
    embedding = np.empty((0, 0))
    if held:
        logits = held.logits
    else:
        logits, embedding, _ = predict(network, config, items)
    ages = age_groups(items)
    draws = None
    if config.calibration_draws:
        seeds = [(config.seed - 1 - n) % 2**32 for n in range(config.calibration_draws)]
        draws = np.stack([_variants(config, network, held, items, seed) for seed in seeds])
    val = crossfit.Validation(logits, target, ages, [item.group for item in items], draws)
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
        read = (
            held_reader(held, config, fitted.calibration)
            if held
            else reader_of(network, config, fitted.calibration)
        )
        pooled = _pooling(task, config, items, read)
    found = Calibrated(fitted.calibration, points, by_age, statistics, pooled, fitted.quality)
    plain = {"belongs_to": _belongs_to(config, run_dir, splits), **found.to_plain()}
    write_atomic(run_dir / FILE, (json.dumps(plain, indent=1) + "\n").encode())
    # Rounded as it is stored, so that a bundle does not depend on which way it came.
    return Calibrated.from_plain(plain, task)


def _variants(
    config: TrainConfig, network: nn.Module, held: HeldOut | None, items: Sequence[Item], seed: int
) -> np.ndarray:
    """Logits (N, K) of the variants of the items that `seed` draws."""
    if held is None:
        return predict(network, config, list(items), augmented=True, seed=seed)[0]
    logits = np.empty_like(held.logits)
    for number in sorted(set(held.folds)):
        rows = [i for i, fold in enumerate(held.folds) if fold == number]
        own = load_network(config, held.run_dir / f"fold{number}" / "best.ckpt")
        logits[rows] = predict(own, config, [items[i] for i in rows], augmented=True, seed=seed)[0]
    return logits


def _held_out(config: TrainConfig, splits: Splits) -> HeldOut:
    if config.kind == "gate":
        raise TrainingError("val_fraction: the gate's distances need validation items of its own")
    if not config.cross_validation:
        raise TrainingError(
            "val_fraction is 0: name a finished cross-validation of the same recipe as cross_validation"
        )
    return held_out(config, splits.train)


def held_reader(held: HeldOut, config: TrainConfig, calibration: calibrate.Calibration) -> Read:
    """Like `reader_of`, but every item is read by the network of the fold that held it."""
    fold_of = {item.path: number for item, number in zip(held.items, held.folds, strict=True)}
    readers = {
        number: reader_of(
            load_network(config, held.run_dir / f"fold{number}" / "best.ckpt"), config, calibration
        )
        for number in sorted(set(held.folds))
    }

    def read(items: Sequence[Item], augmented: bool) -> np.ndarray:
        answers = np.empty((len(items), len(task_of(config.kind).labels)))
        for number, own in readers.items():
            rows = [i for i, item in enumerate(items) if fold_of[item.path] == number]
            if rows:
                answers[rows] = own([items[i] for i in rows], augmented)
        return answers

    return read


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


def _pooling(task: Task, config: TrainConfig, items: Sequence[Item], read: Read) -> dict[str, Any]:
    """Pooling fitted on volumes simulated from slices that were not learnt, with its own operating points."""
    normal = required_healthy_label(task, "pooling")
    doubtful = config.pooling.get("doubtful", [])
    if unknown := [name for name in doubtful if name not in task.names or name == task.names[normal]]:
        raise TrainingError(f"pooling.doubtful: {unknown[0]!r} is no disease of {task.kind}")
    volumes = pooling.simulate(task, normal, items, read, seed=config.seed)
    fitted = pooling.fit(volumes, normal)
    if doubtful:
        fitted["ceilings"] = pooling.ceilings(task, doubtful)
    if "max_slices" in config.pooling:
        fitted["max_slices"] = config.pooling["max_slices"]
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
