"""Looking at every image once: is it whole, how large, and the few numbers that the later checks need."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

THUMB = 48
STATISTICS = (1, 5, 25, 50, 75, 95, 99)


@dataclass(frozen=True)
class Look:
    """What was seen of one file. `problem` says in words why it cannot be used; the rest is then empty."""

    problem: str = ""
    width: int = 0
    height: int = 0
    sha256: str = ""  # of the decoded grey pixels, so that the same picture in another file format counts
    thumb: np.ndarray | None = None  # (THUMB, THUMB) uint8
    brightness: np.ndarray | None = None  # (12,) float32
    frame: np.ndarray | None = None  # (64,) float32: mean grey along the four edges


def look(path: Path) -> Look:
    """Decode one image file completely; never raises for a bad file."""
    if not path.is_file():
        return Look(problem="missing file")
    try:
        with Image.open(path) as image:
            keep = image.mode in {"L", "I", "F"} or image.mode.startswith("I;16")
            pixels = np.asarray(image if keep else image.convert("L"), dtype=np.float32)
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        return Look(problem=f"corrupt file: {str(error).replace(str(path), path.name)[:160]}")
    height, width = pixels.shape
    if min(height, width) < 16:
        return Look(problem=f"too small: {width} x {height}")
    digest = hashlib.sha256(f"{width}x{height}".encode() + pixels.tobytes()).hexdigest()
    low, high = float(pixels.min()), float(pixels.max())
    if not np.isfinite(pixels).all() or high <= low:
        return Look(problem="blank: every pixel has the same value")
    if high > 255 or low < 0:
        pixels = (pixels - low) * (255.0 / (high - low))
    small = Image.fromarray(pixels).resize((THUMB, THUMB), Image.Resampling.BOX)
    spread = [float(pixels.mean()), float(pixels.std())]
    ends = [float((pixels <= 2).mean()), float((pixels >= 253).mean()), width / height]
    return Look(
        width=width,
        height=height,
        sha256=digest,
        thumb=np.clip(np.asarray(small), 0, 255).astype(np.uint8),
        brightness=np.array([*np.percentile(pixels, STATISTICS), *spread, *ends], dtype=np.float32),
        frame=_frame(pixels),
    )


def _frame(pixels: np.ndarray) -> np.ndarray:
    """Mean grey of the outer 4 % in 16 pieces per side: (64,)."""
    deep = max(1, round(min(pixels.shape) * 0.04))
    sides = (
        pixels[:deep].mean(0),
        pixels[-deep:].mean(0),
        pixels[:, :deep].mean(1),
        pixels[:, -deep:].mean(1),
    )
    return np.array([piece.mean() for side in sides for piece in np.array_split(side, 16)], dtype=np.float32)


def look_at_all(paths: Sequence[Path]) -> list[Look]:
    """`look` at all of them on all cores; decoding leaves the interpreter's lock, so threads are enough."""
    with ThreadPoolExecutor(max_workers=max(2, os.cpu_count() or 2)) as pool:
        return list(pool.map(look, paths))
