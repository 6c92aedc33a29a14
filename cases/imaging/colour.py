"""Colour to grey, and whether there was any colour worth the name."""

from __future__ import annotations

from typing import Final

import numpy as np

_WEIGHTS: Final = (0.299, 0.587, 0.114)
_RESIDUAL: Final = 14.0  # chroma, of 255, away from what the lightness predicts
_FRACTION: Final = 0.01
_STRONG: Final = 40.0


def luminance(rgb: np.ndarray) -> np.ndarray:
    """(..., 3) of any number type to (...) float32 lightness (BT.601), in the same units. Equal channels
    stay exact.
    """
    out = np.zeros(rgb.shape[:-1], dtype=np.float32)
    if np.array_equal(rgb[..., 0], rgb[..., 1]) and np.array_equal(rgb[..., 0], rgb[..., 2]):
        return rgb[..., 0].astype(np.float32)
    for channel, weight in enumerate(_WEIGHTS):
        out += rgb[..., channel].astype(np.float32) * np.float32(weight)
    return np.rint(out) if rgb.dtype.kind in "iu" else out


def has_colour(rgb: np.ndarray, top: float = 255.0) -> bool:
    """Whether (rows, columns, 3) carries real chroma. `top` is the value of full white.

    A film with an even tint (a blue base, a yellow lamp, one phone camera's white balance) is not a colour
    picture: the part of the chroma that follows lightness linearly is taken out before counting.
    """
    step = max(1, int((rgb.shape[0] * rgb.shape[1] / 100_000) ** 0.5))
    sample = rgb[::step, ::step].reshape(-1, 3).astype(np.float32) * np.float32(255.0 / top)
    if not len(sample):
        return False
    red, green, blue = sample[:, 0], sample[:, 1], sample[:, 2]
    lightness = red * _WEIGHTS[0] + green * _WEIGHTS[1] + blue * _WEIGHTS[2]
    tints = (red - lightness, blue - lightness)
    if float(np.maximum(np.abs(tints[0]), np.abs(tints[1])).mean()) > _STRONG:
        return True
    away = np.maximum(*(_off_the_line(lightness, tint) for tint in tints))
    return bool((away > _RESIDUAL).mean() > _FRACTION)


def _off_the_line(lightness: np.ndarray, tint: np.ndarray) -> np.ndarray:
    """Distance of each value from the straight line that fits tint to lightness best."""
    centred = lightness - lightness.mean()
    variance = float((centred * centred).mean())
    slope = float((centred * tint).mean()) / variance if variance > 0 else 0.0
    return np.abs(tint - tint.mean() - slope * centred)
