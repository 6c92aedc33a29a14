"""Pictures of a scan for pages: windowed, with the true shape of its pixels."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from cases.imaging.volume import CanonicalVolume


def default_plane(volume: CanonicalVolume) -> str:
    """The plane in which to show a volume first: the one it was taken in, else axial."""
    return volume.plane if volume.is_volume and volume.plane else "axial"


def preview_png(volume: CanonicalVolume, max_side: int = 512) -> bytes:
    """PNG of the film, or of the middle slice in the plane of acquisition; the longer side is at most
    `max_side`.
    """
    plane = default_plane(volume)
    return slice_png(volume, volume.n_slices(plane) // 2, plane, max_side)


def slice_png(volume: CanonicalVolume, index: int, plane: str = "axial", max_side: int = 768) -> bytes:
    """PNG (8-bit grey) of one slice in display orientation. IndexError when there is no such slice."""
    image = Image.fromarray(to_grey(volume.slice_image(index, plane), volume.display_window()))
    aspect = min(max(volume.pixel_aspect(plane), 0.05), 20.0)
    columns, rows = image.width, image.height * aspect
    scale = min(1.0, max_side / max(columns, rows))
    size = (max(1, round(columns * scale)), max(1, round(rows * scale)))
    if size != image.size:
        image = image.resize(size, Image.Resampling.LANCZOS if scale < 1 else Image.Resampling.BICUBIC)
    out = io.BytesIO()
    image.save(out, format="PNG", optimize=False)
    return out.getvalue()


def to_grey(image: np.ndarray, window: tuple[float, float]) -> np.ndarray:
    """(rows, columns) in any units to uint8: `window` low is black, high is white."""
    low, high = window
    scaled = (image.astype(np.float32) - np.float32(low)) * np.float32(255.0 / (high - low))
    return np.clip(np.rint(scaled), 0, 255).astype(np.uint8)
