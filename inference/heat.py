"""Class activation maps (Zhou et al. 2016, arXiv:1512.04150) from the forward pass, and their way back onto
the scan.

The classifier is linear on the spatial mean of the features, so a label's logit is the mean of `weights x
features`: that product is the map. No backward pass, no second look.
"""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from cases.imaging.volume import CanonicalVolume
from ml_training.data.probes import class_maps as class_maps
from ml_training.framing import Window, put_back

# Black, violet, red, orange, yellow: the order is kept in grey print and for most kinds of colour blindness.
_STOPS = np.array([0.0, 0.25, 0.5, 0.75, 1.0])
_COLOURS = np.array(
    [[0, 0, 4], [87, 16, 110], [188, 55, 84], [249, 142, 9], [252, 255, 164]], dtype=np.float64
)


def onto_slice(
    small: np.ndarray, rows: int, columns: int, aspect: float = 1.0, seen: Window | None = None
) -> np.ndarray:
    """A map (h, w) of the network's square canvas back onto the slice it came from, (rows, columns) float32.

    Undoes the preprocessing: enlarged to the padded square, the padding cut off, put back where the window
    `seen` (of the slice with square pixels) was, and rows that were stretched by `aspect` to square pixels
    brought back.
    """
    tall = max(1, round(rows * aspect))
    height, width = (tall, columns) if seen is None else seen.shape
    side = max(height, width)
    large = Image.fromarray(small.astype(np.float32)).resize((side, side), Image.Resampling.BICUBIC)
    top, left = (side - height) // 2, (side - width) // 2
    cut = large.crop((left, top, left + width, top + height))
    if seen is not None:
        cut = Image.fromarray(put_back(np.asarray(cut, dtype=np.float32), seen, tall, columns))
    if tall != rows:
        cut = cut.resize((columns, rows), Image.Resampling.BILINEAR)
    return np.maximum(np.asarray(cut, dtype=np.float32), 0.0)


def into_volume(
    volume: CanonicalVolume,
    maps: np.ndarray,
    indices: list[int],
    plane: str,
    aspect: float = 1.0,
    seen: Window | None = None,
) -> np.ndarray:
    """Maps (N, h, w) of the slices `indices` (ascending) as uint8 in the shape of the volume; `aspect` and
    `seen` as in `onto_slice`.

    Between two slices that were read the map is interpolated; beyond the first and last it is zero. The scale
    is the highest value over all slices, so that a slice with little evidence stays faint beside one with
    much.
    """
    heat = np.zeros(volume.data.shape, dtype=np.uint8)
    rows, columns = volume.slice_image(indices[0], plane).shape
    whole = [onto_slice(small, rows, columns, aspect, seen) for small in maps]
    # What lay in the margins is gone by now, and must not make the rest look faint.
    peak = max((float(one.max()) for one in whole), default=0.0)
    if peak <= 0:
        return heat
    scaled = [np.rint(one / peak * 255) for one in whole]
    for position, index in enumerate(indices):
        volume.place_in_volume(scaled[position], index, plane, heat)
        if position + 1 == len(indices):
            break
        following = indices[position + 1]
        for between in range(index + 1, following):
            share = (between - index) / (following - index)
            mixed = (1 - share) * scaled[position] + share * scaled[position + 1]
            volume.place_in_volume(np.rint(mixed), between, plane, heat)
    return heat


def colours(heat: np.ndarray) -> np.ndarray:
    """uint8 heat (rows, columns) to uint8 RGB (rows, columns, 3)."""
    x = np.arange(256) / 255
    table = np.stack([np.interp(x, _STOPS, _COLOURS[:, c]) for c in range(3)], axis=-1).astype(np.uint8)
    return table[heat]


def overlay_png(
    volume: CanonicalVolume, heat: np.ndarray, index: int, plane: str, max_side: int = 768
) -> bytes:
    """The key slice as a PNG with the heatmap laid over it, in true proportions; for browsers that cannot
    draw it.
    """
    image = volume.slice_image(index, plane)
    low, high = volume.display_window()
    grey = np.clip((image - low) / max(high - low, 1e-6), 0, 1) * 255
    layer = slice_of(volume, heat, index, plane)
    opacity = (layer.astype(np.float32) / 255 * 0.6)[..., None]
    mixed = grey[..., None] * (1 - opacity) + colours(layer) * opacity
    picture = Image.fromarray(mixed.astype(np.uint8))
    rows, columns = image.shape
    height = max(1, round(rows * volume.pixel_aspect(plane)))
    scale = min(1.0, max_side / max(height, columns))
    picture = picture.resize(
        (max(1, round(columns * scale)), max(1, round(height * scale))), Image.Resampling.BILINEAR
    )
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG", optimize=False)
    return buffer.getvalue()


def slice_of(volume: CanonicalVolume, array: np.ndarray, index: int, plane: str) -> np.ndarray:
    """One slice of an array shaped like the volume, in display orientation."""
    held = CanonicalVolume(
        data=array.astype(np.int16),
        affine=volume.affine,
        spacing=volume.spacing,
        modality="",
        source_format=volume.source_format,
        window=None,
    )
    return held.slice_image(index, plane).astype(np.uint8)
