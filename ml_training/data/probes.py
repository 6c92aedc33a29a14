"""Two questions to a model: does it need the border, and does it look at the anatomy? NumPy only."""

from __future__ import annotations

import numpy as np


def masked_border(image: np.ndarray, share: float) -> np.ndarray:
    """A copy of the image (..., H, W) whose outer `share` of each side is filled with the inner median.

    Frames, burnt-in letters and collimator edges lie there; a model that gets much worse lived on them.

    Raises:
        ValueError: `share` is not in [0, 0.5), or nothing is left inside.
    """
    if not 0 <= share < 0.5:
        raise ValueError(f"share {share}: a border is at least 0 and less than half of the side")
    height, width = image.shape[-2:]
    y, x = round(height * share), round(width * share)
    inner = image[..., y : height - y, x : width - x]
    if not inner.size:
        raise ValueError(f"share {share} leaves nothing of an image of {height} x {width}")
    masked = np.empty_like(image)
    masked[...] = np.median(inner, axis=(-2, -1), keepdims=True)
    masked[..., y : height - y, x : width - x] = inner
    return masked


def foreground(image: np.ndarray) -> np.ndarray:
    """Mask (H, W) bool of what is not background: brighter than Otsu's threshold of the image (H, W), halved.

    Half the threshold keeps dim tissue (lungs, ventricles' rims); an image of one value is all foreground.
    """
    values = np.asarray(image, dtype=np.float64)
    low, high = float(values.min()), float(values.max())
    if high <= low:
        return np.ones(values.shape, dtype=bool)
    counts, edges = np.histogram(values, bins=256, range=(low, high))
    middles = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts)
    above = below[-1] - below
    sums = np.cumsum(counts * middles)
    with np.errstate(divide="ignore", invalid="ignore"):
        between = below * above * (sums / below - (sums[-1] - sums) / above) ** 2
    threshold = middles[int(np.nanargmax(np.where(above > 0, between, np.nan)))]
    return np.asarray(values > low + (threshold - low) / 2)


def class_maps(features: np.ndarray, weights: np.ndarray, label: int, *, exclusive: bool) -> np.ndarray:
    """Evidence for one label at each place of the feature map: (N, C, h, w) and (K, C) to (N, h, w), not
    below 0.

    Where labels exclude each other only differences between their logits matter, so the mean over the labels
    is taken off first: what speaks for all of them alike speaks for none.
    """
    own = weights[label] - weights.mean(axis=0) if exclusive else weights[label]
    maps = np.einsum("nchw,c->nhw", features.astype(np.float32), own.astype(np.float32))
    return np.maximum(maps, 0.0)


def heat_inside(heat: np.ndarray, image: np.ndarray) -> float:
    """Share (0..1) of the heatmap's positive mass (H, W) that lies on the foreground of the image (H, W).

    `nan` when the heatmap has no positive mass.

    Raises:
        ValueError: the shapes differ.
    """
    if heat.shape != image.shape:
        raise ValueError(f"heatmap {heat.shape} and image {image.shape} differ in shape")
    mass = np.clip(np.nan_to_num(np.asarray(heat, dtype=np.float64)), 0, None)
    total = float(mass.sum())
    return float(mass[foreground(image)].sum()) / total if total > 0 else float("nan")
