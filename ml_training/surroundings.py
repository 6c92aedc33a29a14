"""The same images in other surroundings, frames or tight crops, and what becomes of the answers."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ml_training.bundle import Bundle
from ml_training.crossfit import log_losses
from ml_training.data.dataset import load_grey
from ml_training.data.manifest import Item, age_groups
from ml_training.evaluate import headline
from ml_training.labels import task_of
from ml_training.runtime import OnnxClassifier, Outputs, gate_verdicts
from ml_training.transforms import serving_transform

_BATCH = 32
_AIR = 0.025  # standard deviation of the noise, as a share of the image's range


def _framed(share: float, level: float, sides: tuple[int, int] = (1, 1), noise: float = 0.0) -> Callable:
    def change(image: np.ndarray) -> np.ndarray:
        low, high = float(image.min()), float(image.max())
        height, width = (round(share * side * on) for side, on in zip(image.shape, sides, strict=True))
        grey = low + level * (high - low)
        around = np.pad(image, ((height, height), (width, width)), constant_values=grey)
        if noise:
            random = np.random.default_rng(0)
            around = around + random.normal(0, noise * (high - low), around.shape).astype(np.float32)
        return np.clip(around, low, high)

    return change


def _cropped(share: float) -> Callable:
    def change(image: np.ndarray) -> np.ndarray:
        height, width = (round(share * side) for side in image.shape)
        return image[height : image.shape[0] - height, width : image.shape[1] - width]

    return change


SURROUNDINGS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "as it is": lambda image: image,
    "black frame, 20 % a side": _framed(0.2, 0.0),
    "white frame, 5 % a side": _framed(0.05, 1.0),
    "frame of noisy air, 18 % a side": _framed(0.18, 0.04, noise=_AIR),
    "black left and right, 20 % a side": _framed(0.2, 0.0, (0, 1)),
    "8 % cut off each side": _cropped(0.08),
    "15 % cut off each side": _cropped(0.15),
}


def surroundings(bundle: Bundle, items: Sequence[Item]) -> dict[str, dict[str, Any]]:
    """Figures of a bundle, by the runtime that serving uses, on items whose images are changed in each of
    `SURROUNDINGS`.

    Readings: `accuracy` (mean AUC where labels do not exclude each other) and `log_loss`. The gate: the share
    of images that it lets in under their own label.
    """
    task = task_of(bundle.kind)
    prepare = serving_transform(bundle.preprocessing)
    targets = np.array([item.target for item in items])
    ages = age_groups(items) if task.takes_age else None
    found: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as cache:
        classifier = OnnxClassifier(bundle, Path(cache))
        for name, change in SURROUNDINGS.items():
            outputs = []
            for start in range(0, len(items), _BATCH):
                images = [prepare(change(load_grey(item.path))) for item in items[start : start + _BATCH]]
                outputs.append(classifier.run(np.stack(images)))
            found[name] = _figures(bundle, outputs, targets, ages)
    return found


def _figures(
    bundle: Bundle, outputs: Sequence[Outputs], targets: np.ndarray, ages: Sequence[str] | None
) -> dict[str, Any]:
    task = task_of(bundle.kind)
    if bundle.kind == "gate":
        verdicts = [verdict for part in outputs for verdict in gate_verdicts(bundle, part)]
        own = [task.names[k] for k in targets.argmax(1)]
        let_in = [v.accepted and v.label == label for v, label in zip(verdicts, own, strict=True)]
        return {"let_in": round(float(np.mean(let_in)), 4)}
    probs = bundle.predict_probabilities(np.concatenate([part.logits for part in outputs]), ages)
    score = "accuracy" if task.activation == "softmax" else "mean_auc"
    return {
        score: round(headline(task, probs, targets), 4),
        "log_loss": round(float(np.mean(log_losses(task, probs, targets))), 4),
    }
