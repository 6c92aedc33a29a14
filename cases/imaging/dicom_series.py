"""From a stack of DICOM frames to a canonical volume."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import Any, Final

import numpy as np

from cases.imaging.dicom import FILM_MODALITIES, Frame, Instance, read_dataset
from cases.imaging.dicom_pixels import Pixels, darken_padding, decode
from cases.imaging.dicom_stacks import Stack, normal, uneven
from cases.imaging.polarity import tag_is_wrong
from cases.imaging.volume import (
    CanonicalVolume,
    ImagingError,
    compact,
    from_affine,
    from_film,
    from_frames,
    plane_of,
    robust_window,
)
from pmi_site.words import Words
from pmi_site.words import words as _

_LPS_TO_RAS: Final = np.diag([-1.0, -1.0, 1.0, 1.0])

Broken = list[tuple[Instance, ImagingError]]


def build(stack: Stack, max_bytes: int, max_pixels: int) -> tuple[CanonicalVolume, list[Words], Broken]:
    """Decode a stack to its canonical volume, with notes for the user and the files that could not be
    decoded.

    Broken files leave the stack. Raises ImagingError when nothing is left of it.
    """
    first = stack.pieces[0].instance
    if first.rows * first.columns * len(stack.pieces) > max_pixels:
        raise ImagingError(
            "too_many_pixels",
            _(
                "This series has %(count)d pictures of %(columns)d x %(rows)d pixels, more than PMI reads at "
                "once. Send fewer slices.",
                count=len(stack.pieces),
                columns=first.columns,
                rows=first.rows,
            ),
        )
    film = not stack.geometry and (len(stack.pieces) == 1 or first.modality in FILM_MODALITIES)
    frames, pixels, broken = _decode_all(stack, max_bytes, max_pixels, film)
    notes = list(dict.fromkeys([*stack.notes, *(note for one in stack.instances for note in one.notes)]))
    if len({frame.shape for frame in frames}) != 1:
        raise ImagingError(
            "mixed_sizes", _("The pictures of this series differ in size. Export the series again.")
        )
    if stack.geometry or len(frames) > 1:
        frames = darken_padding(frames, pixels.padding, dark_is_high=pixels.inverted)
        pixels = replace(pixels, padding=[])
    meta: dict[str, Any] = {
        "modality": first.modality,
        "body_part": first.body_part,
        "view": first.view,
        "source_format": "dicom",
        "is_colour": pixels.is_colour,
    }
    if not stack.geometry:
        return _flat(stack, frames, pixels, film, notes, meta), notes, broken
    data = np.stack(frames, axis=-1)  # (rows, columns, slices)
    data = compact(np.ascontiguousarray(data.transpose(1, 0, 2)))
    if pixels.inverted:
        data = _turn_round(data)
    affine, known = _affine(stack, notes)
    meta["plane"] = plane_of(affine, 2)
    window = pixels.window if first.modality == "CT" else None
    return from_affine(data, affine, known=known, window=window or robust_window(data), **meta), notes, broken


def _decode_all(
    stack: Stack, max_bytes: int, max_pixels: int, film: bool
) -> tuple[list[np.ndarray], Pixels, Broken]:
    """All frames in the stack's order, each file read once; broken files are taken out of the stack."""
    wanted: dict[str, list[int]] = defaultdict(list)
    for number, piece in enumerate(stack.pieces):
        wanted[piece.instance.sha256].append(number)
    frames: dict[int, np.ndarray] = {}
    paddings: dict[int, np.ndarray | None] = {}
    last: Pixels | None = None
    broken: Broken = []
    colour = False
    for instance in stack.instances:
        numbers = wanted[instance.sha256]
        indices = [stack.pieces[number].frame.index for number in numbers]
        try:
            dataset, syntax = read_dataset(instance.path, max_bytes, pixels=True)
            last = decode(dataset, syntax, indices, max_pixels, film=film)
        except ImagingError as error:
            broken.append((instance, error))
            continue
        colour = colour or last.is_colour
        for number, frame, padding in zip(numbers, last.frames, last.padding, strict=True):
            frames[number], paddings[number] = compact(frame), padding
    if last is None:
        raise broken[0][1]
    order = sorted(frames)
    stack.pieces = [stack.pieces[number] for number in order]
    pixels = replace(last, frames=[], padding=[paddings[number] for number in order], is_colour=colour)
    return [frames[number] for number in order], pixels, broken


def _turn_round(data: np.ndarray) -> np.ndarray:
    return compact(data.max().astype(np.float32) + data.min().astype(np.float32) - data.astype(np.float32))


def _flat(
    stack: Stack,
    frames: list[np.ndarray],
    pixels: Pixels,
    film: bool,
    notes: list[Words],
    meta: dict[str, Any],
) -> CanonicalVolume:
    first = stack.pieces[0].instance
    spacing = first.film_spacing
    if len(frames) > 1:
        data = np.stack(frames)
        if pixels.inverted:
            data = _turn_round(data)
        return from_frames(data, window=robust_window(data), **meta)
    image = np.asarray(frames[0], dtype=np.float32)
    turned = pixels.inverted
    if _is_chest_film(first) and tag_is_wrong(-image if turned else image):
        turned = not turned
        notes.append(
            _("The file's light-dark tag was wrong for a chest film, so the picture was turned round.")
        )
    window = pixels.window if film else None
    if pixels.padding[0] is not None:  # which side is dark is known only now
        image = darken_padding([image], pixels.padding, dark_is_high=turned)[0].astype(np.float32)
        window = None if window is None else (float(image.min()), float(image.max()))
    low, high = window or (float(image.min()), float(image.max()))
    if turned:
        image = low + high - image
    if high <= low:
        window = None
    return from_film(
        image, spacing=spacing, aspect=first.film_aspect, window=window or robust_window(image), **meta
    )


def _is_chest_film(instance: Instance) -> bool:
    return instance.modality in ("CR", "DX", "RG", "OT", "SC") and instance.body_part in (
        "CHEST",
        "THORAX",
        "LUNG",
    )


def _affine(stack: Stack, notes: list[Words]) -> tuple[np.ndarray, bool]:
    """Voxel (column, row, slice) to mm in RAS, and whether the spacing is known."""
    start = stack.pieces[0].frame
    cosines = np.asarray(start.orientation, dtype=np.float64)
    known = start.spacing is not None
    row_mm, column_mm = start.spacing or (1.0, 1.0)
    step, stepped = _step(stack, notes)
    affine = np.eye(4)
    affine[:3, 0] = cosines[:3] / np.linalg.norm(cosines[:3]) * column_mm
    affine[:3, 1] = cosines[3:] / np.linalg.norm(cosines[3:]) * row_mm
    affine[:3, 2] = step
    affine[:3, 3] = start.position
    if not known:
        notes.append(_("The file does not say how large a pixel is."))
    return _LPS_TO_RAS @ affine, known and stepped


def _step(stack: Stack, notes: list[Words]) -> tuple[np.ndarray, bool]:
    """Vector from one slice to the next (LPS, mm), and whether it is known. It may lean: gantry tilt."""
    pieces = stack.pieces
    if len(pieces) == 1:
        return normal(pieces[0].frame) * (pieces[0].instance.thickness or 1.0), True
    depths = np.array([piece.depth for piece in pieces])
    gaps = np.diff(depths)
    median = float(np.median(gaps))
    places = np.array([piece.frame.position for piece in pieces], dtype=np.float64)
    odd = uneven(gaps)
    if _wanders(pieces[0].frame, places, gaps):
        notes.append(
            _(
                "The pictures of this series do not lie straight behind one another, so shapes across "
                "them may look wrong."
            )
        )
    if odd.any():
        missing = int(sum(max(0, round(gap / median) - 1) for gap in gaps))
        if missing:
            notes.append(
                _(
                    "About %(missing)d slices seem to be missing between the others; the usual distance of "
                    "%(distance).2f mm was used.",
                    missing=missing,
                    distance=median,
                )
            )
        else:
            notes.append(
                _(
                    "The slices are not evenly spaced; the usual distance of %(distance).2f mm was used.",
                    distance=median,
                )
            )
        steps = np.diff(places, axis=0)[~odd]
        lean = steps.mean(axis=0) if len(steps) else normal(pieces[0].frame) * median
        return lean * (median / float(normal(pieces[0].frame) @ lean)), True
    return (places[-1] - places[0]) / (len(pieces) - 1), True


def _wanders(frame: Frame, places: np.ndarray, gaps: np.ndarray) -> bool:
    """Whether steps from slice to slice go sideways by more than a pixel, other than by one common lean."""
    steps = np.diff(places, axis=0)
    sideways = steps - np.outer(gaps, steps.sum(axis=0) / gaps.sum())
    row_mm, column_mm = frame.spacing or (1.0, 1.0)
    cosines = np.asarray(frame.orientation, dtype=np.float64).reshape(2, 3)
    off = np.abs(sideways @ (cosines / np.linalg.norm(cosines, axis=1, keepdims=True)).T)
    return bool((off > (column_mm, row_mm)).any())
