"""Which slices of a volume are read, and how their readings become one. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cases.imaging.volume import CanonicalVolume
from ml_training.pooling import window_pool

MAX_SLICES = 48
_ENOUGH_TISSUE = 0.3  # of the fullest slice's


def choose_plane(volume: CanonicalVolume, known: Sequence[str]) -> str:
    """The plane to read: the one the scan was taken in if the model knows it, else the sharpest of those it
    knows.

    `known` empty means that the model knows every plane. The sharpest plane has the smallest pixels, where
    spacing is known; among equals the earlier in `known` wins.
    """
    planes = list(known) or ["axial", "coronal", "sagittal"]
    if volume.plane in planes:
        return volume.plane
    if volume.spacing is None:
        return planes[0]
    x, y, z = volume.spacing
    pixel = {"axial": x * y, "coronal": x * z, "sagittal": y * z}
    return min(planes, key=lambda plane: (round(pixel[plane], 2), planes.index(plane)))


def choose_slices(
    volume: CanonicalVolume, plane: str, limit: int = MAX_SLICES, trim: float = 0.05
) -> list[int]:
    """Indices of at most `limit` slices, evenly over the extent that holds tissue, less `trim` of it at
    either end.
    """
    count = volume.n_slices(plane)
    if count == 1:
        return [0]
    axis = {"sagittal": 0, "coronal": 1, "axial": 2}[plane]
    data = np.moveaxis(volume.data, axis, 0)
    rows, columns = (max(1, side // 64) for side in data.shape[1:])
    small = np.asarray(data[:, ::rows, ::columns], dtype=np.float32)
    low, high = np.percentile(small, (1, 99))
    tissue = (small > low + 0.15 * (high - low)).mean(axis=(1, 2))
    kept = np.flatnonzero(tissue >= _ENOUGH_TISSUE * tissue.max()) if tissue.max() > 0 else np.arange(count)
    first, last = int(kept[0]), int(kept[-1])
    margin = round((last - first) * trim)
    first, last = first + margin, max(first + margin, last - margin)
    wanted = min(limit, last - first + 1)
    return sorted({round(index) for index in np.linspace(first, last, wanted)})


def pool(
    probabilities: np.ndarray, normal: int | None, pooling: Mapping[str, Any]
) -> tuple[np.ndarray, np.ndarray]:
    """Many slices' probabilities (N, K) as one reading (K,), and the weight (N,) that each slice had in it.

    `pooling["method"]`: `window`, calibrated on volumes (see `ml_training.pooling`); `mean` over all slices;
    `top_mean` (the default) over the `fraction` of slices that look least normal (`normal` is the column of
    the label "nothing found"; without one, those with the highest probability of any label). Averaging whole
    rows keeps probabilities that exclude each other summing to one.
    """
    count = len(probabilities)
    method = str(pooling.get("method", "top_mean")) if pooling else "top_mean"
    if method == "window" and normal is not None and count > 1:
        return window_pool(probabilities, normal, pooling)
    if method in {"mean", "window"} or count == 1:
        weights = np.full(count, 1.0 / count)
    elif method == "top_mean":
        fraction = float(pooling.get("fraction", 0.2)) if pooling else 0.2
        telling = 1.0 - probabilities[:, normal] if normal is not None else probabilities.max(axis=1)
        kept = np.argsort(-telling, kind="stable")[: max(1, round(count * fraction))]
        weights = np.zeros(count)
        weights[kept] = 1.0 / len(kept)
    else:
        raise ValueError(f"unknown pooling method {method!r}")
    return weights @ probabilities, weights
