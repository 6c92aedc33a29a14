"""From a trained run to a bundle: calibrate on validation items, look at the test items once."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import monai
import numpy as np
import torch
from torch import nn

from ml_training import calibrate, ood, pooling
from ml_training.bundle import write_bundle
from ml_training.card import model_card
from ml_training.data.manifest import Item
from ml_training.errors import TrainingError
from ml_training.evaluate import by_part, report
from ml_training.labels import NORMAL_CONDITIONS, Task, task_of
from ml_training.specs import TrainConfig, to_plain
from ml_training.train import Splits, load_network, make_splits, predict

# Share of validation images that a bundle's distance bound lets through.
_KEPT = {"gate": 0.99}
_KEPT_READING = 0.995
_GATE_MIN_PROBABILITY = 0.6


def publish(config: TrainConfig, data_dir: Path, run_dir: Path, bundle_dir: Path) -> Path:
    """Write the bundle of a finished run to `bundle_dir/<kind>` and return its path.

    Raises:
        TrainingError: no whole checkpoint, or data that no longer match.
    """
    task = task_of(config.kind)
    if config.network.architecture != "densenet":
        raise TrainingError("a teacher is for learning from; only network.architecture densenet is published")
    splits = make_splits(config, data_dir)
    # Figures are those of the half-precision weights that are shipped, not of the ones that were trained.
    network = load_network(config, run_dir / "best.ckpt").half().float()
    _, train_embedding, train_target = predict(network, config, splits.train)
    val_logits, val_embedding, val_target = predict(network, config, splits.val)
    calibration = calibrate.fit(task, val_logits, val_target)
    points = calibrate.operating_points(task, calibration(val_logits), val_target)
    statistics = _ood(task, train_embedding, train_target, val_embedding, val_target)

    test_logits, test_embedding, test_target = predict(network, config, splits.test)
    test_probs = calibration(test_logits)
    figures = by_part(task, test_probs, test_target, splits.test)
    if task.kind == "gate":
        figures |= _gate_figures(
            task, test_probs, statistics.distances(test_embedding).min(1), test_target, statistics
        )
    pooled: dict[str, Any] = dict(config.pooling)
    if pooled.get("method") == pooling.METHOD:
        pooled, figures["simulated volumes"] = _pooling(task, config, network, calibration, splits)
    metadata = _metadata(config, task, calibration, points, statistics, figures, splits)
    metadata["pooling"] = pooled
    bundle = write_bundle(
        bundle_dir / config.kind, metadata, network, model_card(metadata), _inference_config(config, task)
    )
    return bundle.path


def _pooling(
    task: Task, config: TrainConfig, network: nn.Module, calibration: calibrate.Calibration, splits: Splits
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Pooling fitted on volumes simulated from validation slices, and its figures on those of test slices."""
    normal = next(k for k, label in enumerate(task.labels) if label.condition in NORMAL_CONDITIONS)

    def read(items: Sequence[Item], augmented: bool) -> np.ndarray:
        logits, _, _ = predict(network, config, list(items), augmented=augmented)
        return calibration(logits)

    torch.manual_seed(config.seed)
    volumes = pooling.simulate(task, normal, splits.val, read, seed=config.seed)
    fitted = pooling.fit(volumes, normal)
    truth = np.stack([volume.truth for volume in volumes])
    read_val = pooling.read_volumes(volumes, normal, fitted)
    points = calibrate.operating_points(task, read_val, truth)
    fitted["operating_points"] = pooling.spare_the_healthy(points, task, normal, read_val, truth)
    tests = pooling.simulate(task, normal, splits.test, read, seed=config.seed + 1)
    answers = pooling.read_volumes(tests, normal, fitted)
    figures = report(
        task, answers, np.stack([volume.truth for volume in tests]), [volume.group for volume in tests]
    )
    return fitted, figures


def _ood(
    task: Task, train: np.ndarray, train_target: np.ndarray, val: np.ndarray, val_target: np.ndarray
) -> ood.OutOfDistribution:
    """Statistics over the classes a reading may come from; the gate's `other` is no such class."""
    names = task.names
    train_class, val_class = np.nan_to_num(train_target).argmax(1), np.nan_to_num(val_target).argmax(1)
    if task.kind == "gate":
        names = [name for name in names if name != "other"]
        inside, val_inside = train_class < len(names), val_class < len(names)
        train, train_class, val = train[inside], train_class[inside], val[val_inside]
    present = sorted(set(train_class.tolist()))
    index = np.searchsorted(present, train_class)
    kept = _KEPT.get(task.kind, _KEPT_READING)
    return ood.fit(train, index, val, tuple(names[k] for k in present), kept)


def _gate_figures(
    task: Task,
    probs: np.ndarray,
    distance: np.ndarray,
    targets: np.ndarray,
    statistics: ood.OutOfDistribution,
) -> dict[str, Any]:
    other = task.names.index("other")
    truth, guess = targets.argmax(1), probs.argmax(1)
    accepted = (guess != other) & (probs.max(1) >= _GATE_MIN_PROBABILITY) & (distance <= statistics.threshold)
    right, wrong = truth != other, truth == other
    return {
        "gate": {
            "right_inputs": int(right.sum()),
            "right_inputs_refused": round(float((~accepted[right]).mean()), 4),
            "right_inputs_taken_for_another_kind": round(
                float((accepted & (guess != truth))[right].mean()), 4
            ),
            "wrong_inputs": int(wrong.sum()),
            "wrong_inputs_refused": round(float((~accepted[wrong]).mean()), 4),
        }
    }


def _metadata(
    config: TrainConfig,
    task: Task,
    calibration: calibrate.Calibration,
    points: dict[str, dict[str, float]],
    statistics: ood.OutOfDistribution,
    figures: dict[str, Any],
    splits: Any,
) -> dict[str, Any]:
    return {
        "name": f"PMI {config.kind}",
        "kind": config.kind,
        "version": config.version,
        "changelog": {config.version: config.changelog},
        "monai_version": monai.__version__,
        "pytorch_version": torch.__version__.partition("+")[0],
        "numpy_version": np.__version__,
        "task": "2D image classification",
        "created": time.strftime("%Y-%m-%d", time.gmtime()),
        "intended_use": config.intended_use,
        "limits": list(config.limits),
        "training_data": [dict(entry) for entry in config.training_data],
        "images": {name: len(getattr(splits, name)) for name in ("train", "val", "test")},
        "labels": [
            {"name": label.name, "condition": label.condition, **points[label.name],
             "claimed": label.claimed, "limits": label.limits, "ages": list(label.ages)}
            for label in task.labels
        ],
        "planes": list(task.planes),
        "activation": task.activation,
        "preprocessing": to_plain(config.preprocessing),
        "network": config.network.arguments(),
        "calibration": calibration.to_plain(),
        "pooling": dict(config.pooling),
        "gate": {"min_probability": _GATE_MIN_PROBABILITY} if config.kind == "gate" else None,
        "ood": statistics.to_plain(),
        "eval_metrics": figures,
        "network_data_format": _data_format(config.preprocessing.size, task.names),
    }  # fmt: skip


def _data_format(size: int, labels: list[str]) -> dict[str, Any]:
    """MONAI's description of the network's input and output."""
    shared = {"dtype": "float32", "value_range": [0, 1], "is_patch_data": False}
    image = {"type": "image", "format": "magnitude", "num_channels": 1, "spatial_shape": [size, size]}
    pred = {"type": "probabilities", "format": "classes", "num_channels": len(labels)}
    return {
        "inputs": {"image": {**image, **shared, "channel_def": {"0": "grey"}}},
        "outputs": {
            "pred": {**pred, **shared, "channel_def": {str(k): name for k, name in enumerate(labels)}}
        },
    }


def _inference_config(config: TrainConfig, task: Task) -> dict[str, Any]:
    """What MONAI's `bundle run` executes; `ml_training/README.md` shows the command."""
    network = {"_target_": "DenseNet", "spatial_dims": 2, "in_channels": 1, "out_channels": len(task.labels)}
    # MONAI binds a dotted import under its whole name, which no expression can use; hence the aliases.
    modules = ["torch", "pathlib", "safetensors.torch as weights", "ml_training.bundle as bundles"]
    modules += ["ml_training.specs as specs", "ml_training.transforms as transforms"]
    modules += ["ml_training.data.dataset as dataset"]
    spec = f"specs.PreprocessingSpec(**{to_plain(config.preprocessing)!r})"
    return {
        "imports": [f"$import {module}" for module in modules],
        "bundle_root": ".",
        "image": "",
        "network_def": {**network, **config.network.arguments()},
        "state": "$weights.load_file(@bundle_root + '/models/model.safetensors')",
        "transform": f"$transforms.serving_transform({spec})",
        "bundle": "$bundles.Bundle.load(pathlib.Path(@bundle_root))",
        "tensor": "$torch.from_numpy(@transform(dataset.load_grey(@image)))[None]",
        "run": [
            "$@network_def.load_state_dict(@state)",
            "$@network_def.eval()",
            "$print(@bundle.describe(@network_def(@tensor).detach().numpy()))",
        ],
    }
