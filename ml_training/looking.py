"""Where a model looks: class activation maps, how much of them lies on the body, and what is left of the
figures when the borders are masked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn

from ml_training.data.dataset import load_grey
from ml_training.data.manifest import Item
from ml_training.data.probes import class_maps, foreground, heat_inside, masked_border
from ml_training.labels import NORMAL_CONDITIONS, Task
from ml_training.specs import PreprocessingSpec
from ml_training.transforms import ellipse, serving_transform

BORDER = 0.12
_STRIPPED = 0.85
_BATCH = 64


def masked_logits(network: nn.Module, spec: PreprocessingSpec, items: Sequence[Item]) -> np.ndarray:
    """Logits (N, K) with the outer part of every image blacked out: letters, frames and collimator edges are
    gone, the anatomy in the middle is not.
    """
    return _changed_logits(network, spec, items, lambda image: masked_border(image, BORDER))


def stripped_logits(network: nn.Module, spec: PreprocessingSpec, items: Sequence[Item]) -> np.ndarray:
    """Logits (N, K) of heads as brain extraction leaves them, roughly: only an ellipse of 85 % of the bright
    part's height and width is kept.
    """
    return _changed_logits(network, spec, items, _stripped)


def _stripped(image: np.ndarray) -> np.ndarray:
    inside = ellipse(image[0], _STRIPPED)
    return image if inside is None else image * inside


@torch.inference_mode()
def _changed_logits(
    network: nn.Module,
    spec: PreprocessingSpec,
    items: Sequence[Item],
    change: Callable[[np.ndarray], np.ndarray],
) -> np.ndarray:
    rows = []
    for batch in _batches(spec, items):
        changed = np.stack([change(image) for image in batch])
        rows.append(network(torch.from_numpy(changed.astype(np.float32)))[0].numpy())
    return np.concatenate(rows)


@torch.inference_mode()
def heat_on_body(
    task: Task, network: nn.Module, spec: PreprocessingSpec, items: Sequence[Item], weights: np.ndarray
) -> dict[str, Any]:
    """Share of the heatmaps' mass that lies on the body.

    One map per image with a disease: that of its true disease label (of several, the one with the highest
    logit). The body is what is brighter than half of Otsu's threshold (`probes.foreground`), a rough outline.
    `area` is the share of the picture that the outline covers: a map that knew nothing would have that share
    of its mass inside. `weights` (K, C) are the classifier's.
    """
    diseases = [k for k, label in enumerate(task.labels) if label.condition not in NORMAL_CONDITIONS]
    shown = [item for item in items if any(item.target[k] == 1 for k in diseases)]
    inside, area = [], []
    for start in range(0, len(shown), _BATCH):
        part = shown[start : start + _BATCH]
        batch = next(_batches(spec, part))
        logits, features, _ = (tensor.numpy() for tensor in network(torch.from_numpy(batch)))
        for n, item in enumerate(part):
            label = max((k for k in diseases if item.target[k] == 1), key=lambda k: logits[n, k])
            small = class_maps(features[n : n + 1], weights, label, exclusive=task.activation == "softmax")[0]
            image = batch[n, 0]
            enlarged = Image.fromarray(small).resize(image.shape[::-1], Image.Resampling.BILINEAR)
            share = heat_inside(np.asarray(enlarged), image)
            if not np.isnan(share):
                inside.append(share)
                area.append(float(foreground(image).mean()))
    if not inside:
        return {"images": 0}
    return {
        "images": len(inside),
        "inside": round(float(np.mean(inside)), 4),
        "inside_worst_tenth": round(float(np.quantile(inside, 0.1)), 4),
        "area": round(float(np.mean(area)), 4),
    }


def _batches(spec: PreprocessingSpec, items: Sequence[Item]) -> Any:
    prepare = serving_transform(spec)
    for start in range(0, len(items), _BATCH):
        yield np.stack([prepare(load_grey(item.path)) for item in items[start : start + _BATCH]])
