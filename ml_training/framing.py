"""Which part of an image is looked at: scanners, viewers and web pages leave frames around it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
from scipy.ndimage import uniform_filter

# A line is flat where all but its brightest and darkest twentieth (letters) lie within this share of the
# image's own range: more than the noise of air or of a compressed frame, less than the rim of a body.
_FLAT = 0.06
_OUTLIERS = (5.0, 95.0)
_RANGE = (0.5, 99.5)
# More margin than this, and the image hardly shows anything: it is left for others to judge.
_MOST_MARGIN = 0.8
_COARSE = 256  # pixels of the longer side are enough to find margins
_SMOOTH = 5  # coarse pixels, against the noise of air


@dataclass(frozen=True)
class Window:
    """Rows `top` to `bottom` and columns `left` to `right` of an image (H, W), and how many pixels of margin
    (top, bottom, left, right) they get."""

    top: int
    bottom: int
    left: int
    right: int
    margins: tuple[int, int, int, int]

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of what `cut` gives."""
        top, bottom, left, right = self.margins
        return self.bottom - self.top + top + bottom, self.right - self.left + left + right


def flat_margins(image: np.ndarray) -> tuple[int, int, int, int]:
    """How many rows and columns at the top, bottom, left and right of an image (H, W) are flat."""
    block = max(1, min(max(image.shape) // _COARSE, *image.shape))
    height, width = (side // block for side in image.shape)
    blocks = image[: height * block, : width * block].reshape(height, block, width, block)
    coarse = uniform_filter(blocks.mean(axis=(1, 3), dtype=np.float32), _SMOOTH, mode="nearest")
    low, high = np.percentile(coarse, _RANGE)
    bound = _FLAT * max(float(high - low), 1e-6)

    def leading(lines: np.ndarray) -> int:
        ends = np.percentile(lines, _OUTLIERS, axis=1)
        rough = np.flatnonzero(ends[1] - ends[0] > bound)
        if not len(rough):
            return block * len(lines)
        # Smoothing carries a rim half its width outwards.
        return block * (int(rough[0]) + _SMOOTH // 2 if rough[0] else 0)

    return leading(coarse), leading(coarse[::-1]), leading(coarse.T), leading(coarse.T[::-1])


def window(images: Sequence[np.ndarray], least: float, most: float) -> Window:
    """What the images (H, W) of one scan show, with margins between `least` and `most` of its longer side.

    All of an image, and no margins, where there is hardly anything to see.
    """
    # The brightest of all slices: one that shows air only has nothing to say.
    picture = reduce(np.maximum, images)
    height, width = picture.shape
    flat = flat_margins(picture)
    if flat[0] + flat[1] > _MOST_MARGIN * height or flat[2] + flat[3] > _MOST_MARGIN * width:
        return Window(0, height, 0, width, (0, 0, 0, 0))
    longer = max(height - flat[0] - flat[1], width - flat[2] - flat[3])
    top, bottom, left, right = (min(max(side, round(least * longer)), round(most * longer)) for side in flat)
    return Window(flat[0], height - flat[1], flat[2], width - flat[3], (top, bottom, left, right))


def cut(image: np.ndarray, seen: Window) -> np.ndarray:
    """That part of an image (H, W) in margins of its darkest value."""
    inside = image[seen.top : seen.bottom, seen.left : seen.right]
    top, bottom, left, right = seen.margins
    return np.pad(inside, ((top, bottom), (left, right)), constant_values=inside.min())


def put_back(part: np.ndarray, seen: Window, height: int, width: int) -> np.ndarray:
    """A map of what `cut` gave, on the whole image (height, width) again; zero outside of the window."""
    whole = np.zeros((height, width), dtype=part.dtype)
    top, _, left, _ = seen.margins
    rows, columns = seen.bottom - seen.top, seen.right - seen.left
    whole[seen.top : seen.bottom, seen.left : seen.right] = part[top : top + rows, left : left + columns]
    return whole
