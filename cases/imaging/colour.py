"""Colour to grey, and whether there was any colour worth the name."""

from __future__ import annotations

from typing import Final

import numpy as np

_WEIGHTS: Final = (0.299, 0.587, 0.114)
_RESIDUAL: Final = 14.0  # chroma, of 255, away from what the lightness predicts
_FRACTION: Final = 0.01
_STRONG: Final = 40.0


def luminance(rgb: np.ndarray) -> np.ndarray:
    """(..., 3) of any number type to (...) float32 lightness (BT.601), in the same units. Equal channels stay exact."""
    out = np.zeros(rgb.shape[:-1], dtype=np.float32)
    if np.array_equal(rgb[..., 0], rgb[..., 1]) and np.array_equal(rgb[..., 0], rgb[..., 2]):
        return rgb[..., 0].astype(np.float32)
    for channel, weight in enumerate(_WEIGHTS):
        out += rgb[..., channel].astype(np.float32) * np.float32(weight)
    return np.rint(out) if rgb.dtype.kind in "iu" else out


def has_colour(rgb: np.ndarray, top: float = 255.0) -> bool:
    """Whether (rows, columns, 3) carries real chroma. `top` is the value of full white.

    A film with an even tint (a blue base, a yellow lamp, one phone camera's white balance) is not a colour picture:
    the part of the chroma that follows lightness linearly is taken out before counting.
    """
    step = max(1, int((rgb.shape[0] * rgb.shape[1] / 250_000) ** 0.5))
    sample = rgb[::step, ::step].reshape(-1, 3).astype(np.float32) * np.float32(255.0 / top)
    if not len(sample):
        return False
    lightness = sample @ np.asarray(_WEIGHTS, dtype=np.float32)
    chroma = np.stack([sample[:, 0] - lightness, sample[:, 2] - lightness], axis=1)
    if float(np.abs(chroma).max(axis=1).mean()) > _STRONG:
        return True
    design = np.stack([lightness, np.ones_like(lightness)], axis=1)
    fitted = design @ np.linalg.lstsq(design, chroma, rcond=None)[0]
    away = np.abs(chroma - fitted).max(axis=1)
    return bool((away > _RESIDUAL).mean() > _FRACTION)
