"""The same picture twice: exactly, or nearly (re-encoded, resized, brighter, mirrored, turned by quarters).

Every image becomes a perceptual vector: its low cosine frequencies without the lowest, which all images of
one anatomy share. Mirroring flips signs in it and turning permutes it, so all eight forms are cheap, and a
matrix product compares everything with everything. What that finds is verified on high-pass thumbnails.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.fft import dctn
from scipy.ndimage import gaussian_filter

KEPT = 14  # cosine frequencies per axis
CANDIDATE = 0.90  # correlation of the perceptual vectors
VERIFIED = 0.95  # correlation of the high-pass thumbnails
FORMS = (
    "same",
    "mirrored",
    "upside down",
    "turned 180",
    "transposed",
    "turned 270",
    "turned 90",
    "transverse",
)
_BLOCK = 1024


@dataclass(frozen=True)
class Pair:
    """Two images (positions in the list, left < right) that show the same; `form` is how right is turned."""

    left: int
    right: int
    form: str
    correlation: float
    exact: bool = False


def form_of(image: np.ndarray, form: int) -> np.ndarray:
    """The image (..., H, W), square, in one of the eight forms of FORMS (bit 0: left-right, 1: up-down, 2:
    transposed last)."""
    if form & 1:
        image = image[..., ::-1]
    if form & 2:
        image = image[..., ::-1, :]
    return np.swapaxes(image, -1, -2) if form & 4 else image


def perceptual_vectors(thumbs: np.ndarray) -> np.ndarray:
    """Unit vectors (8, N, D) float32 of thumbnails (N, S, S): one per form."""
    waves = dctn(thumbs.astype(np.float32), axes=(-2, -1), norm="ortho")[:, :KEPT, :KEPT]
    # Higher frequencies are weaker; scaling them up makes the details count that tell two patients apart.
    row, column = np.mgrid[:KEPT, :KEPT]
    waves = waves * np.where(row + column < 3, 0.0, row + column)
    flips = [np.where(axis % 2 == 1, -1.0, 1.0) for axis in (column, row)]
    forms = []
    for form in range(8):
        turned = waves * (flips[0] if form & 1 else 1.0) * (flips[1] if form & 2 else 1.0)
        forms.append((np.swapaxes(turned, -1, -2) if form & 4 else turned).reshape(len(thumbs), -1))
    vectors = np.stack(forms).astype(np.float32)
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-6))


def high_pass(thumbs: np.ndarray) -> np.ndarray:
    """Thumbnails (N, S, S) without their coarse shading, zero mean and unit length: (N, S, S) float32."""
    values = thumbs.astype(np.float32)
    values = values - gaussian_filter(values, (0, 2.5, 2.5))
    values -= values.mean((-2, -1), keepdims=True)
    length = np.sqrt((values**2).sum((-2, -1), keepdims=True))
    return np.asarray(values / np.maximum(length, 1e-6))


def near_pairs(thumbs: np.ndarray, verified: float = VERIFIED) -> list[Pair]:
    """All pairs of thumbnails (N, S, S) that show nearly the same, with the form that fits best."""
    if len(thumbs) < 2:
        return []
    vectors, sharp = perceptual_vectors(thumbs), high_pass(thumbs)
    best: dict[tuple[int, int], tuple[float, int]] = {}
    for form in range(8):
        for start in range(0, len(thumbs), _BLOCK):
            likeness = vectors[0, start : start + _BLOCK] @ vectors[form, start:].T
            left, right = np.nonzero(likeness >= CANDIDATE)
            keep = right > left
            _verify(sharp, form, left[keep] + start, right[keep] + start, verified, best)
    return [Pair(left, right, FORMS[form], value) for (left, right), (value, form) in sorted(best.items())]


def _verify(
    sharp: np.ndarray,
    form: int,
    left: np.ndarray,
    right: np.ndarray,
    verified: float,
    best: dict[tuple[int, int], tuple[float, int]],
) -> None:
    for begin in range(0, len(left), 4096):
        a, b = left[begin : begin + 4096], right[begin : begin + 4096]
        values = (sharp[a] * form_of(sharp[b], form)).sum((-2, -1))
        for i in np.nonzero(values >= verified)[0]:
            key = (int(a[i]), int(b[i]))
            if float(values[i]) > best.get(key, (-1.0, 0))[0]:
                best[key] = (float(values[i]), form)


def exact_pairs(hashes: Sequence[str]) -> list[Pair]:
    """Each later image with the first one of the same pixel hash."""
    first: dict[str, int] = {}
    pairs = []
    for position, digest in enumerate(hashes):
        if digest in first:
            pairs.append(Pair(first[digest], position, FORMS[0], 1.0, exact=True))
        else:
            first[digest] = position
    return pairs


def united(count: int, links: Iterable[tuple[int, int]]) -> list[int]:
    """Union-find: for each of `count` items the smallest item that it hangs together with."""
    parent = list(range(count))

    def root(item: int) -> int:
        while parent[item] != item:
            parent[item] = parent[parent[item]]
            item = parent[item]
        return item

    for left, right in links:
        a, b = root(left), root(right)
        if a != b:
            parent[max(a, b)] = min(a, b)
    return [root(item) for item in range(count)]
