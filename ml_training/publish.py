"""From a trained run to a bundle: calibrated on validation items, measured on the test items."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import monai
import numpy as np
import torch
from torch import nn

from ml_training import pooling
from ml_training.bundle import WEIGHTS, write_bundle
from ml_training.calibrating import (
    Calibrated,
    judged_splits,
    reader_of,
    shipped_network,
    stored_or_new,
)
from ml_training.card import model_card
from ml_training.claim import claim_table
from ml_training.data.manifest import age_groups
from ml_training.errors import TrainingError
from ml_training.evaluate import by_part, finite, report
from ml_training.evaluation import label_words
from ml_training.gate_figures import gate_figures
from ml_training.labels import BACKBONE, Task, required_healthy_label, task_of
from ml_training.looking import heat_on_body, masked_logits, stripped_logits
from ml_training.retrieval import retrieval
from ml_training.specs import TrainConfig, to_plain
from ml_training.train import Splits, predict

_GATE_MIN_PROBABILITY = 0.6


def publish(config: TrainConfig, data_dir: Path, run_dir: Path, bundle_dir: Path) -> Path:
    """Write the bundle of a finished run to `bundle_dir/<kind>` and return its path.

    `calibration.json` of the run folder is used where it fits, see `calibrating.stored_or_new`. The same run
    and data give the same bundle, bit by bit.

    Raises:
        TrainingError: no whole checkpoint, or a config or data that are not the run's.
    """
    task = task_of(config.kind)
    if task.kind == BACKBONE:
        raise TrainingError("a backbone is for starting from (init), not for reading; it is never published")
    if config.network.architecture != "densenet":
        raise TrainingError("a teacher is for learning from; only network.architecture densenet is published")
    splits = judged_splits(config, data_dir, run_dir)
    if not splits.test:
        raise TrainingError(
            "there are no test items to measure on: give a source test_column or test_fraction"
        )
    # Figures are those of the half-precision weights that are shipped, not of the ones that were trained.
    network = shipped_network(config, run_dir)
    found = stored_or_new(config, run_dir, network, splits)
    measured = _measured(config, task, network, found, splits)
    metadata = _metadata(config, task, found, splits, run_dir) | finite(measured)
    bundle = write_bundle(
        bundle_dir / config.kind,
        metadata,
        network,
        model_card(metadata),
        _inference_config(config, task),
        claim_table(metadata),
    )
    return bundle.path


def _measured(
    config: TrainConfig, task: Task, network: nn.Module, found: Calibrated, splits: Splits
) -> dict[str, Any]:
    """Figures on the test items."""
    items = splits.test
    ages = age_groups(items) if task.takes_age else None
    groups = [item.group for item in items]
    logits, embedding, target = predict(network, config, items)
    probs = found.calibration(logits, ages)
    figures = by_part(task, probs, target, items, _points(task, found, age_groups(items)))
    if found.statistics is not None:
        distances = found.statistics.distances(embedding)
        figures["gate"] = gate_figures(
            task, items, probs, distances, target, found.statistics, _GATE_MIN_PROBABILITY
        )
        return {"eval_metrics": figures}
    if found.pooling.get("method") == pooling.METHOD:
        figures["simulated volumes"] = _volume_figures(config, task, network, found, splits)
    network = network.cpu()
    masked = found.calibration(masked_logits(network, config.preprocessing, items), ages)
    if task.planes:
        stripped = found.calibration(stripped_logits(network, config.preprocessing, items), ages)
        more = {"skull_cut_off": report(task, stripped, target, groups)}
    else:
        more = {}
    weights = network.state_dict()["densenet.class_layers.out.weight"].numpy()
    return {
        "eval_metrics": figures,
        "border_masked": report(task, masked, target, groups),
        **more,
        "heatmaps": heat_on_body(task, network, config.preprocessing, items, weights),
        "retrieval": retrieval(embedding, [label_words(task, item) for item in items], groups),
    }


def _points(task: Task, found: Calibrated, ages: Sequence[str]) -> np.ndarray:
    """Operating points (2, N, K) for items of these age groups, possible and likely."""
    own = {age: {**found.points, **found.points_by_age.get(age, {})} for age in set(ages)}
    names = ("high_sensitivity", "high_specificity")
    return np.array([[[own[age][label][name] for label in task.names] for age in ages] for name in names])


def _volume_figures(
    config: TrainConfig, task: Task, network: nn.Module, found: Calibrated, splits: Splits
) -> dict[str, Any]:
    """Figures of the fitted pooling on volumes simulated from test slices."""
    normal = required_healthy_label(task, "pooling")
    read = reader_of(network, config, found.calibration)
    tests = pooling.simulate(task, normal, splits.test, read, seed=config.seed + 1)
    if not tests:
        return {}
    answers = pooling.read_volumes(tests, normal, found.pooling)
    truth = np.stack([volume.truth for volume in tests])
    return report(task, answers, truth, [volume.group for volume in tests])


def _metadata(
    config: TrainConfig, task: Task, found: Calibrated, splits: Splits, run_dir: Path
) -> dict[str, Any]:
    # The day on which training ended: the same run gives the same bundle on any day.
    trained = time.strftime("%Y-%m-%d", time.gmtime((run_dir / "best.ckpt").stat().st_mtime))
    return {
        "name": f"PMI {config.kind}",
        "kind": config.kind,
        "version": config.version,
        "changelog": {config.version: config.changelog},
        "monai_version": monai.__version__,
        "pytorch_version": torch.__version__.partition("+")[0],
        "numpy_version": np.__version__,
        "task": "2D image classification",
        "created": trained,
        "source_revision": _revision(run_dir),
        "intended_use": config.intended_use,
        "limits": list(config.limits),
        "training_data": [dict(entry) for entry in config.training_data],
        "images": {name: len(getattr(splits, name)) for name in ("train", "val", "test")},
        "labels": [
            {"name": label.name, "condition": label.condition, **found.points[label.name],
             "claimed": label.claimed, "limits": label.limits, "ages": list(label.ages)}
            for label in task.labels
        ],
        "operating_points_by_age": found.points_by_age,
        "planes": list(task.planes),
        "activation": task.activation,
        "preprocessing": to_plain(config.preprocessing),
        "network": config.network.arguments(),
        "training": _training(config, run_dir),
        "calibration": found.calibration.to_plain(),
        "calibration_quality": found.quality,
        "pooling": found.pooling,
        "gate": {"min_probability": _GATE_MIN_PROBABILITY} if config.kind == "gate" else None,
        "ood": found.statistics.to_plain() if found.statistics else None,
        "network_data_format": _data_format(config.preprocessing.size, task.names),
    }  # fmt: skip


def _training(config: TrainConfig, run_dir: Path) -> dict[str, Any]:
    """How it was trained, without places on a disk."""
    start = config.init
    if start not in ("", "imagenet"):
        # A run folder holds its checkpoint, a bundle its weights one folder further down.
        folder = Path(start).parent
        start = folder.parent.name if folder.name == Path(WEIGHTS).parent.name else folder.name
    return {
        "init": start,
        "teachers": [Path(teacher).name for teacher in config.teachers],
        "epochs": config.epochs,
        "batch_size": config.batch_size,
        "learning_rate": config.learning_rate,
        "seed": config.seed,
        "augmentation": to_plain(config.augmentation),
        "cross_validation": _cross_validation(
            Path(config.cross_validation) if config.cross_validation else run_dir
        ),
    }


def _cross_validation(run_dir: Path) -> str:
    """One line about the run's cross-validation, where there is one beside it."""
    path = run_dir / "cv.json"
    if not path.is_file():
        return ""
    try:
        whole = json.loads(path.read_text(encoding="utf-8"))
        figures = [
            f"{name.replace('_', ' ')} {own['mean']} ± {own['sd']}" for name, own in whole["figures"].items()
        ]
        return f"{whole['folds']} folds of whole groups: " + ", ".join(figures)
    except (ValueError, KeyError, TypeError) as error:
        raise TrainingError(f"{path} is not whole ({error!r})") from error


def _revision(run_dir: Path) -> str:
    """The source revision that the run was trained with, "" where it is not known."""
    try:
        git = json.loads((run_dir / "run.json").read_text(encoding="utf-8")).get("git", "")
    except (OSError, ValueError):
        return ""
    return "" if git == "unknown" else str(git)


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
