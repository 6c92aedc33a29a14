"""From the files of an upload to stacks, and from a stack to a canonical volume. Geometry decides, never
names.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np

from cases.imaging.dicom import FILM_MODALITIES, Frame, Instance, read_dataset
from cases.imaging.dicom_pixels import Pixels, decode
from cases.imaging.polarity import tag_is_wrong
from cases.imaging.volume import (
    CanonicalVolume,
    ImagingError,
    compact,
    from_affine,
    from_film,
    from_frames,
    robust_window,
)
from pmi_site.words import Words
from pmi_site.words import words as _

_LPS_TO_RAS: Final = np.diag([-1.0, -1.0, 1.0, 1.0])
_SAME_PLACE: Final = 1e-3  # mm
_MAX_SPLIT: Final = 4  # more stacks than this at one place are a time series or diffusion: its first is read
_SPLIT_KEYS: Final = ("stack", "echo", "echo number", "inversion", "b", "time", "type", "acquisition")


@dataclass(frozen=True)
class Piece:
    """One frame of one file."""

    instance: Instance
    frame: Frame


@dataclass
class Stack:
    """Frames that make one scan, in order. `geometry` says whether their positions place them in space."""

    pieces: list[Piece]
    geometry: bool
    notes: list[Words] = field(default_factory=list)
    part: str = ""  # tells stacks of the same files apart

    @property
    def instances(self) -> list[Instance]:
        """The files of this stack, each once, in order of appearance."""
        return list({piece.instance.sha256: piece.instance for piece in self.pieces}.values())

    @property
    def sha256(self) -> str:
        """Hash of the file, or of the sorted hashes of the files; salted when one file holds several
        scans.
        """
        hashes = sorted(instance.sha256 for instance in self.instances)
        if len(hashes) == 1 and not self.part:
            return hashes[0]
        return hashlib.sha256("".join([*hashes, self.part]).encode()).hexdigest()


def too_many_stacks(limit: int) -> ImagingError:
    return ImagingError(
        "too_many_scans",
        _("There are more than %(limit)d scans in this upload. Send one series at a time.", limit=limit),
    )


def group(instances: Iterable[Instance], max_stacks: int) -> list[Stack]:
    """Stacks of all series of an upload. Films stand alone; slices are stacked by series, orientation and
    place. Raises ImagingError as soon as there are more than `max_stacks`.
    """
    stacks: list[Stack] = []
    series: dict[tuple[object, ...], list[Instance]] = defaultdict(list)
    for instance in instances:
        if instance.has_geometry:
            series[(instance.series, instance.modality, "space")].append(instance)
        elif instance.modality in FILM_MODALITIES or len(instance.frames) > 1 or instance.samples > 1:
            stacks.append(Stack([Piece(instance, frame) for frame in instance.frames], geometry=False))
        else:
            flat = (instance.series, instance.modality, "flat", instance.rows, instance.columns)
            series[flat].append(instance)
        if len(stacks) + len(series) > max_stacks:  # each series makes one at least
            raise too_many_stacks(max_stacks)
    for key, members in series.items():
        if key[2] == "space":
            pieces = [Piece(one, frame) for one in members for frame in one.frames]
            stacks.extend(_stacks_in_space(pieces, max_stacks))
        else:
            members.sort(key=lambda one: (one.location is None, one.location or 0.0, one.number))
            pieces = [Piece(one, frame) for one in members for frame in one.frames]
            notes = [_("The files do not say where each picture lies; they are in order of number.")]
            stacks.append(Stack(pieces, geometry=False, notes=notes if len(pieces) > 1 else []))
        if len(stacks) > max_stacks:
            raise too_many_stacks(max_stacks)
    _tell_apart(stacks)
    return stacks


def _tell_apart(stacks: list[Stack]) -> None:
    """Two scans out of the very same files must not share a hash."""
    seen: dict[tuple[str, ...], int] = defaultdict(int)
    for stack in stacks:
        key = tuple(sorted(instance.sha256 for instance in stack.instances))
        seen[key] += 1
        if seen[key] > 1:
            stack.part = f"#{seen[key]}"


def _stacks_in_space(pieces: list[Piece], max_stacks: int) -> list[Stack]:
    groups: list[list[Piece]] = []
    for piece in pieces:
        for found in groups:
            if _alike(found[0], piece):
                found.append(piece)
                break
        else:
            groups.append([piece])
            if len(groups) > max_stacks:  # each piece is compared with each group
                raise too_many_stacks(max_stacks)
    stacks = []
    for found in groups:
        for stack in _split_same_place(found):
            stack.pieces.sort(key=_along)
            stacks.append(stack)
    # The largest first: localizers and single extra slices follow.
    return sorted(stacks, key=lambda stack: -len(stack.pieces))


def _alike(one: Piece, other: Piece) -> bool:
    first, second = one.instance, other.instance
    if (first.rows, first.columns, first.samples) != (second.rows, second.columns, second.samples):
        return False
    if not _close(one.frame.orientation or (), other.frame.orientation or (), 0.01, 0.0):
        return False
    if one.frame.spacing is None or other.frame.spacing is None:
        return one.frame.spacing == other.frame.spacing
    return _close(one.frame.spacing, other.frame.spacing, 0.0, 0.01)


def _close(one: Sequence[float], other: Sequence[float], absolute: float, relative: float) -> bool:
    """numpy.allclose is a hundred times slower for so few numbers."""
    return all(
        abs(first - second) <= absolute + relative * abs(second)
        for first, second in zip(one, other, strict=True)
    )


def normal(frame: Frame) -> np.ndarray:
    """Unit normal of a frame's plane, LPS."""
    cosines = np.asarray(frame.orientation, dtype=np.float64)
    cross = np.cross(cosines[:3], cosines[3:])
    return cross / np.linalg.norm(cross)


def _depth(piece: Piece) -> float:
    return float(normal(piece.frame) @ np.asarray(piece.frame.position))


def _along(piece: Piece) -> tuple[float, int, int]:
    return (round(_depth(piece), 4), piece.instance.number, piece.frame.index)


def _split_same_place(pieces: list[Piece]) -> list[Stack]:
    if not _doubled(pieces):
        return [Stack(pieces, geometry=True)]
    for key in _SPLIT_KEYS:
        parts: dict[str, list[Piece]] = defaultdict(list)
        for piece in pieces:
            parts[piece.frame.split.get(key, "")].append(piece)
        if 1 < len(parts) <= _MAX_SPLIT and not any(_doubled(part) for part in parts.values()):
            return [Stack(part, geometry=True) for part in parts.values()]
    kept: dict[float, Piece] = {}
    for piece in sorted(pieces, key=lambda one: (one.instance.number, one.frame.index)):
        kept.setdefault(round(_depth(piece) / _SAME_PLACE / 10), piece)
    left = len(pieces) - len(kept)
    note = _(
        "%(count)d more pictures lie at the same places (repeats or time points); only the first were read.",
        count=left,
    )
    return [Stack(list(kept.values()), geometry=True, notes=[note])]


def _doubled(pieces: list[Piece]) -> bool:
    depths = sorted(_depth(piece) for piece in pieces)
    return any(after - before < _SAME_PLACE for before, after in zip(depths, depths[1:], strict=False))


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
    meta: dict[str, Any] = {
        "modality": first.modality,
        "body_part": first.body_part,
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
    meta["plane"] = ("sagittal", "coronal", "axial")[int(np.argmax(np.abs(normal(stack.pieces[0].frame))))]
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
        for number, frame in zip(numbers, last.frames, strict=True):
            frames[number] = compact(frame)
    if last is None:
        raise broken[0][1]
    order = sorted(frames)
    stack.pieces = [stack.pieces[number] for number in order]
    return [frames[number] for number in order], replace(last, frames=[], is_colour=colour), broken


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
    window = pixels.window if film else None
    low, high = window or (float(image.min()), float(image.max()))
    if pixels.inverted:
        image = low + high - image
    if _is_chest_film(first) and tag_is_wrong(image):
        image = low + high - image
        notes.append(
            _("The file's light-dark tag was wrong for a chest film, so the picture was turned round.")
        )
    if high <= low:
        window = None
    return from_film(image, spacing=spacing, window=window or robust_window(image), **meta)


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
    depths = np.array([_depth(piece) for piece in pieces])
    gaps = np.diff(depths)
    median = float(np.median(gaps))
    places = np.array([piece.frame.position for piece in pieces], dtype=np.float64)
    uneven = np.abs(gaps - median) > max(0.05 * median, 0.01)
    if uneven.any():
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
        steps = np.diff(places, axis=0)[~uneven]
        lean = steps.mean(axis=0) if len(steps) else normal(pieces[0].frame) * median
        return lean * (median / float(normal(pieces[0].frame) @ lean)), True
    return (places[-1] - places[0]) / (len(pieces) - 1), True
