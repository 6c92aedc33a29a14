"""Tumours moved into heads without one, and healthy tissue moved the same way.

Where pictures with and without a disease come from different scanners, a network learns the scanner. Here a
lesion, known from the two pictures that `mirror` makes of a slice, is put into a slice without a tumour
(CarveMix, Zhang X et al. 2021, arXiv:2108.06883, does so with outlined lesions). As often the same piece
of the donor's healthy half is put there and the label stays, so that neither the look of a scanner nor a
trace of the knife tells a tumour.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.ndimage import (
    affine_transform,
    binary_dilation,
    binary_erosion,
    binary_fill_holes,
    center_of_mass,
    gaussian_filter,
    label,
)

from ml_training.data.manifest import Item
from ml_training.transforms import look, remap

# Lengths are shares of the picture's side, grey values 0..1. Chosen by looking at some 200 pictures.
_BLUR = 0.015
_UNLIKE = 0.06  # grey values apart that count as lesion
_RIM = 0.06  # of the head is left out: scalp and skull are never quite alike
_SMALLEST, _LARGEST = 0.002, 0.12  # of the picture
_MARGIN = 0.015  # around the lesion comes along
_SOFT = 0.012  # of its edge
_HEAD = 0.12  # brighter is head
_INSIDE = 0.8  # of the piece must come to lie on the head
_SEEN = 0.06  # grey values: a lesion that is less unlike what was there before cannot be seen
_NEARER, _FARTHER = 0.7, 1.25  # size beside the donor's
_SHIFT = 0.08
_TURN = 25.0  # degrees


@dataclass(frozen=True)
class Donor:
    """A slice's healthy half and its half with the tumour, each completed by its mirror image, (S, S) in
    0..1; where the tumour lies in its left half, (S, S) in 0..1; and its target (K,).
    """

    clean: np.ndarray
    sick: np.ndarray
    piece: np.ndarray
    target: torch.Tensor


def lesion(clean: np.ndarray, sick: np.ndarray) -> np.ndarray | None:
    """Where two symmetric pictures (S, S) in 0..1 differ most, in the left half of the brain, as a soft mask
    (S, S) in 0..1; None where that is too small or too large to be a lesion.
    """
    size = len(clean)
    unlike = np.abs(gaussian_filter(sick, _BLUR * size) - gaussian_filter(clean, _BLUR * size)) > _UNLIKE
    unlike[:, size // 2 :] = False
    inside = binary_fill_holes((clean > _HEAD) | (sick > _HEAD))
    unlike &= binary_erosion(inside, iterations=max(1, round(_RIM * size)))
    parts, count = label(unlike)
    if not count:
        return None
    areas = np.bincount(parts.ravel())[1:]
    if not _SMALLEST < areas.max() / size**2 < _LARGEST:
        return None
    largest = binary_dilation(parts == 1 + int(areas.argmax()), iterations=max(1, round(_MARGIN * size)))
    return np.asarray(np.clip(gaussian_filter(largest.astype(np.float32), _SOFT * size), 0.0, 1.0))


def head_box(image: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Middle and half lengths (row, column) of the head in a picture (S, S); None where hardly any is."""
    bright = np.argwhere(image > _HEAD)
    if len(bright) < 64:
        return None
    low, high = np.percentile(bright, 2, axis=0), np.percentile(bright, 98, axis=0)
    return (low + high) / 2, np.maximum((high - low) / 2, 1.0)


def put(image: np.ndarray, donor: Donor, sick: bool, random: np.random.Generator) -> np.ndarray | None:
    """A picture (S, S) in 0..1 with the donor's lesion, or with the same piece of its healthy half.

    It comes to lie about where it lay in the donor's head, in the picture's own grey values. None where that
    is beside the head, or where the lesion would not be seen.
    """
    own, other = look(donor.clean), look(image)
    there, here = head_box(donor.clean), head_box(image)
    if own is None or other is None or there is None or here is None:
        return None
    picture, piece = donor.sick if sick else donor.clean, donor.piece
    if random.random() < 0.5:
        picture, piece = picture[:, ::-1], piece[:, ::-1]
    size = len(image)
    centre = np.array(center_of_mass(piece))
    goal = here[0] + (centre - there[0]) / there[1] * here[1] + random.uniform(-_SHIFT, _SHIFT, 2) * size
    turn = np.deg2rad(random.uniform(-_TURN, _TURN))
    scale = random.uniform(_NEARER, _FARTHER) * float(np.mean(here[1] / there[1]))
    back = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) / scale
    offset = centre - back @ goal
    share = affine_transform(piece, back, offset, order=1)
    if share.sum() < 1 or (share * (image > _HEAD / 2)).sum() < _INSIDE * share.sum():
        return None
    moved = affine_transform(remap(picture, own, other), back, offset, order=1)
    if sick and (share * np.abs(moved - image)).sum() < _SEEN * share.sum():
        return None
    return np.asarray((1 - share) * image + share * moved, dtype=np.float32)


class Transplant:
    """Operates on slices without a tumour, with probability `prob`; `healthy` is their label's index."""

    def __init__(self, prob: float, donors: Sequence[Donor], healthy: int) -> None:
        self.prob = prob
        self.donors = donors
        self.healthy = healthy

    def __call__(
        self, image: torch.Tensor, target: torch.Tensor, seed: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Image (1, S, S) and target (K,) after the operation that `seed` draws, or as they were."""
        random = np.random.default_rng([seed, 1])
        if not self.donors or target[self.healthy] != 1 or random.random() >= self.prob:
            return image, target
        donor = self.donors[int(random.integers(len(self.donors)))]
        sick = bool(random.random() < 0.5)
        done = put(np.asarray(image[0]), donor, sick, random)
        if done is None:
            return image, target
        return torch.from_numpy(done)[None], donor.target if sick else target


def donors(items: Sequence[Item], images: Mapping[int, np.ndarray], healthy: int) -> list[Donor]:
    """Donors among items, by the column `original` that `mirror` writes.

    `images` (S, S) in 0..1 are theirs, by index; `healthy` is the index of the label for nothing found.
    """
    pairs: dict[tuple[str, str], dict[bool, int]] = {}
    for index, item in enumerate(items):
        if item.row.get("original"):
            ill = item.target[healthy] != 1
            pairs.setdefault((item.group, item.row["original"]), {})[ill] = index
    found = []
    for pair in pairs.values():
        if len(pair) == 2:
            clean, sick = images[pair[False]], images[pair[True]]
            piece = lesion(clean, sick)
            if piece is not None:
                found.append(Donor(clean, sick, piece, torch.tensor(items[pair[True]].target)))
    return found
