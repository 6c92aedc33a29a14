"""Smaller copies of scans and heatmaps for browsers: graphics cards take at most 2048 points along an axis.

Chest films are often larger. Whole blocks are averaged, so that picture and heatmap stay aligned.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from cases.imaging.volume import CanonicalVolume, compact

MAX_SIDE = 2048


def needs_reduction(*sizes: int, limit: int = MAX_SIDE) -> bool:
    """Whether one of the axes is longer than a browser can show."""
    return max(sizes) > limit


def reduction(shape: tuple[int, ...], limit: int = MAX_SIDE) -> tuple[int, int, int]:
    """How many points along each axis become one, so that no axis is longer than `limit`.

    A film (one slice) is reduced alike along both sides; a volume only where it is too long.
    """
    factors = [max(1, -(-size // limit)) for size in shape]
    if shape[2] == 1:
        factors[0] = factors[1] = max(factors[:2])
    return factors[0], factors[1], factors[2]


def reduced_array(data: np.ndarray, factors: tuple[int, int, int]) -> np.ndarray:
    """Block means of (X, Y, Z) as float32; a last block that is cut short is averaged over what there is."""
    reduced: np.ndarray = data.astype(np.float32)
    for axis, factor in enumerate(factors):
        if factor == 1:
            continue
        starts = np.arange(0, reduced.shape[axis], factor)
        counts = np.diff(np.append(starts, reduced.shape[axis])).astype(np.float32)
        shape = [1, 1, 1]
        shape[axis] = -1
        reduced = np.add.reduceat(reduced, starts, axis=axis) / counts.reshape(shape)
    return reduced


def reduced_affine(affine: np.ndarray, factors: tuple[int, int, int]) -> np.ndarray:
    """The affine of block means: larger steps, the first point in the middle of the first block."""
    scale = np.diag([*factors, 1.0]).astype(np.float64)
    scale[:3, 3] = [(factor - 1) / 2 for factor in factors]
    return affine @ scale


def for_display(volume: CanonicalVolume, limit: int = MAX_SIDE) -> CanonicalVolume:
    """The volume itself where a browser can show it, else a smaller copy of the same look."""
    factors = reduction(volume.data.shape, limit)
    if factors == (1, 1, 1):
        return volume
    spacing = volume.spacing
    return replace(
        volume,
        data=compact(np.rint(reduced_array(volume.data, factors)))
        if volume.data.dtype == np.int16
        else reduced_array(volume.data, factors),
        affine=reduced_affine(volume.affine, factors),
        spacing=None
        if spacing is None
        else (spacing[0] * factors[0], spacing[1] * factors[1], spacing[2] * factors[2]),
    )
