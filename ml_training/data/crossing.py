"""Mirrored pictures made of two heads, so that a perfectly symmetric head tells nothing.

`mirror` completes one half of a head by its own mirror image. Where only such pictures show a healthy head
after contrast agent, a network can learn that symmetry is health. Here, while a run trains, one half of such
a picture is exchanged for the same half of a similar one: healthy beside healthy, a tumour beside healthy, a
tumour of the midline beside another of its kind. All labels get the same seam.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from scipy.ndimage import affine_transform, zoom

from ml_training.data.manifest import Item
from ml_training.data.transplant import head_box
from ml_training.transforms import look, remap

_SMALL = 24  # pixels a side, where heads are compared
_NEAREST = 6  # similar heads to choose from
_SEAM = 0.03  # of the width, over which one half becomes the other


class Crossing:
    """Operates on pictures made by `mirror`, with probability `prob`.

    `images` (S, S) in 0..1 are those of the items with a column `original`, by index; `healthy` is the index
    of the label for nothing found. Others are found among the items alone, so that nothing comes in from
    items that a run is judged on.
    """

    def __init__(
        self, prob: float, items: Sequence[Item], images: Mapping[int, np.ndarray], healthy: int
    ) -> None:
        self.prob = prob
        self.images = images
        self.others = _others(items, images, healthy)

    def __call__(self, index: int, image: torch.Tensor, seed: int) -> torch.Tensor:
        """Image (1, S, S) of an item, its right half from another head where `seed` says so."""
        random = np.random.default_rng([seed, 2])
        others = self.others.get(index)
        if not others or random.random() >= self.prob:
            return image
        other = self.images[others[int(random.integers(len(others)))]]
        crossed = cross(np.asarray(image[0]), other)
        return image if crossed is None else torch.from_numpy(crossed)[None]


def cross(image: np.ndarray, other: np.ndarray) -> np.ndarray | None:
    """The left half of a picture (S, S) in 0..1 and the right half of another, in the former's grey values
    and size. None where either shows no head.
    """
    own, theirs = look(image), look(other)
    here, there = head_box(image), head_box(other)
    if own is None or theirs is None or here is None or there is None:
        return None
    scale = there[1] / here[1]
    moved = affine_transform(remap(other, theirs, own), np.diag(scale), there[0] - scale * here[0], order=1)
    size = image.shape[1]
    ramp = np.clip((np.arange(size) - (size - 1) / 2) / (_SEAM * size) + 0.5, 0.0, 1.0)
    return np.asarray((1 - ramp) * image + ramp * moved, dtype=np.float32)


def _others(items: Sequence[Item], images: Mapping[int, np.ndarray], healthy: int) -> dict[int, list[int]]:
    """For every picture those whose half may stand beside its own: the most similar of the same plane and the
    same note (`mirror --seen`), without a tumour; beside one on the midline, others on the midline.
    """
    ill = {index: items[index].target[healthy] != 1 for index in images}
    clean = {(items[i].group, items[i].row["original"]): i for i in images if not ill[i]}
    small = {index: _standard(image) for index, image in images.items()}
    found = {}
    for index in images:
        row = items[index].row
        # A tumour's own healthy half says which heads are like it.
        twin = clean.get((items[index].group, row["original"]))
        alike = [
            other
            for other in images
            if other not in (index, twin)
            and items[other].row.get("plane") == row.get("plane")
            and items[other].row.get("shows", "") == row.get("shows", "")
            and (not ill[other] if twin is not None else items[other].target == items[index].target)
        ]
        own = small[index if twin is None else twin]
        alike.sort(key=lambda other: -float((own * small[other]).sum()))
        found[index] = alike[:_NEAREST]
    return found


def _standard(image: np.ndarray) -> np.ndarray:
    small = zoom(image, _SMALL / len(image), order=1)
    return np.asarray((small - small.mean()) / (small.std() + 1e-6))
