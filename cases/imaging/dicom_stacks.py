"""From the files of an upload to stacks of slices. Geometry decides, never names."""

from __future__ import annotations

import hashlib
import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from operator import attrgetter
from typing import Final

import numpy as np

from cases.imaging.dicom import FILM_MODALITIES, Frame, Instance
from cases.imaging.volume import ImagingError
from pmi_site.words import Words
from pmi_site.words import words as _

_SAME_PLACE: Final = 1e-3  # mm
_ROUNDED: Final = 0.01  # mm by which repeats of a slice may differ
_MAX_SPLIT: Final = 4  # more stacks than this at one place are a time series or diffusion: its first is read
_SPLIT_KEYS: Final = ("stack", "echo", "echo number", "inversion", "b", "time", "type", "acquisition")
_EVEN_KEYS: Final = ("echo", "echo number", "inversion", "b", "time")
_MIN_EVEN: Final = 3  # slices; fewer are evenly spaced by themselves

LeftOut = list[tuple[list[Instance], ImagingError]]


@dataclass(frozen=True)
class Piece:
    """One frame of one file."""

    instance: Instance
    frame: Frame

    @cached_property
    def depth(self) -> float:
        """Where it lies along its normal, in mm."""
        return float(normal(self.frame) @ np.asarray(self.frame.position))


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


def _too_many_directions(limit: int) -> ImagingError:
    return ImagingError(
        "too_many_scans",
        _(
            "The pictures of this series lie in more than %(limit)d directions, as in a turning view, so "
            "it was left out. Send a series of parallel slices.",
            limit=limit,
        ),
    )


def group(instances: Iterable[Instance], max_stacks: int) -> tuple[list[Stack], LeftOut]:
    """Stacks of all series of an upload, and the series that were left out. Films stand alone; slices are
    stacked by series, orientation and place. Of more than `max_stacks` the series of the largest are kept.
    """
    made: list[list[Stack]] = []
    left: LeftOut = []
    series: dict[tuple[object, ...], list[Instance]] = defaultdict(list)
    for instance in instances:
        if instance.has_geometry:
            series[(instance.series, instance.modality, "space")].append(instance)
        elif instance.modality in FILM_MODALITIES or len(instance.frames) > 1 or instance.samples > 1:
            made.append([_without_geometry([instance])])
        else:
            flat = (instance.series, instance.modality, "flat", instance.rows, instance.columns)
            series[flat].append(instance)
    for key, members in series.items():
        if key[2] == "space":
            pieces = [Piece(one, frame) for one in members for frame in one.frames]
            try:
                made.append(_stacks_in_space(pieces, max_stacks))
            except ImagingError as error:
                left.append((members, error))
        else:
            members.sort(key=lambda one: (one.location is None, one.location or 0.0, one.number))
            made.append([_without_geometry(members)])
    stacks, beyond = _within(made, max_stacks)
    if beyond:
        left.append((beyond, too_many_stacks(max_stacks)))
    _tell_apart(stacks)
    return stacks, left


def _without_geometry(members: list[Instance]) -> Stack:
    pieces = [Piece(one, frame) for one in members for frame in one.frames]
    notes = [_("The files do not say where each picture lies; they are in order of number.")]
    is_film = members[0].modality in FILM_MODALITIES
    return Stack(pieces, geometry=False, notes=notes if len(pieces) > 1 and not is_film else [])


def _within(made: list[list[Stack]], max_stacks: int) -> tuple[list[Stack], list[Instance]]:
    """The stacks of as many series as there is room for, those with the largest stack first, and the files
    of the others.
    """
    kept, room = set(), max_stacks
    for place in sorted(range(len(made)), key=lambda one: (-len(made[one][0].pieces), len(made[one]))):
        if len(made[place]) <= room:
            kept.add(place)
            room -= len(made[place])
    stacks = [stack for place, found in enumerate(made) if place in kept for stack in found]
    others = [stack for place, found in enumerate(made) if place not in kept for stack in found]
    files = {one.sha256: one for stack in others for one in stack.instances}
    return stacks, list(files.values())


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
                raise _too_many_directions(max_stacks)
    stacks = []
    for found in groups:
        for part in _split_by_name(found):
            stacks += _split_same_place(part)
    for stack in stacks:
        stack.pieces.sort(key=_along)
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


def _along(piece: Piece) -> tuple[float, int, int]:
    return (round(piece.depth, 4), piece.instance.number, piece.frame.index)


def _parts(pieces: list[Piece], key: str) -> list[list[Piece]]:
    parts: dict[str, list[Piece]] = defaultdict(list)
    for piece in pieces:
        parts[piece.frame.split.get(key, "")].append(piece)
    return list(parts.values())


def _split_by_name(pieces: list[Piece]) -> list[list[Piece]]:
    """Frames by the stack that the file names for them. Not those that make one even scan together, nor
    repeats: some files name a stack for each slice or time point.
    """
    parts = _parts(pieces, "stack")
    whole = len(parts) > _MAX_SPLIT or _even(pieces) or _doubled(pieces)
    return [pieces] if whole else parts


def _split_same_place(pieces: list[Piece]) -> list[Stack]:
    doubled = _doubled(pieces)
    for key in _SPLIT_KEYS if doubled else ():
        parts = _parts(pieces, key)
        if 1 < len(parts) <= _MAX_SPLIT and not any(_doubled(part) for part in parts):
            return [Stack(part, geometry=True) for part in parts]
    # Two echoes or time points need not lie at quite the same places: each is even, but not both together.
    if doubled or not _even(pieces):
        for key in _EVEN_KEYS:
            parts = _parts(pieces, key)
            if len(parts) > 1 and all(len(part) >= _MIN_EVEN and _even(part) for part in parts):
                if len(parts) <= _MAX_SPLIT:
                    return [Stack(part, geometry=True) for part in parts]
                return [_only(min(parts, key=lambda part: min(map(_order, part))), len(pieces))]
    if not doubled:
        return [Stack(pieces, geometry=True)]
    return [_only(_one_at_each_place(pieces), len(pieces))]


def _only(kept: list[Piece], count: int) -> Stack:
    note = _(
        "%(count)d more pictures lie at the same places (repeats or time points); only the first were read.",
        count=count - len(kept),
    )
    return Stack(kept, geometry=True, notes=[note])


def _one_at_each_place(pieces: list[Piece]) -> list[Piece]:
    """The first by number of those that lie together."""
    near = _near(_gaps(pieces))
    kept: list[Piece] = []
    start = -math.inf
    for piece in sorted(pieces, key=attrgetter("depth")):
        if piece.depth - start >= near:
            kept.append(piece)
            start = piece.depth
        else:
            kept[-1] = min(kept[-1], piece, key=_order)
    return kept


def _order(piece: Piece) -> tuple[int, int]:
    return (piece.instance.number, piece.frame.index)


def _gaps(pieces: list[Piece]) -> np.ndarray:
    return np.diff(np.sort([piece.depth for piece in pieces]))


def _near(gaps: np.ndarray) -> float:
    """Slices nearer than this (mm) lie at the same place."""
    if not gaps.size:
        return _SAME_PLACE
    # Of many repeats most gaps are none but for rounding; those that are some tell how far slices lie apart.
    apart = gaps[gaps >= _ROUNDED]
    rounded = min(_ROUNDED, 0.1 * float(np.median(apart))) if apart.size else 0.0
    return max(_SAME_PLACE, 0.1 * float(np.median(gaps)), rounded)


def _doubled(pieces: list[Piece]) -> bool:
    gaps = _gaps(pieces)
    return bool((gaps < _near(gaps)).any())


def uneven(gaps: np.ndarray) -> np.ndarray:
    """Which gaps (mm) differ from the usual one."""
    median = float(np.median(gaps))
    return np.abs(gaps - median) > max(0.05 * median, 0.01)


def _even(pieces: list[Piece]) -> bool:
    gaps = _gaps(pieces)
    return not gaps.size or not (uneven(gaps) | (gaps < _near(gaps))).any()
