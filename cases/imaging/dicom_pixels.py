"""Decoding the pixels of a DICOM file: modality LUT, then VOI for films, colour to grey, frame by frame."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice

import numpy as np
from pydicom import Dataset
from pydicom.encaps import generate_frames
from pydicom.multival import MultiValue
from pydicom.pixels import apply_color_lut, apply_modality_lut, apply_voi_lut
from pydicom.pixels.utils import iter_pixels
from pydicom.uid import HTJ2K, JPEG2000, UID, JPEGLSNearLossless

from cases.imaging.codestream import ends_properly, is_lossy, rle_fits, stream_size
from cases.imaging.colour import has_colour, luminance
from cases.imaging.dicom import damaged, integer, number, positive, quiet, text, truncated
from cases.imaging.raster import too_large
from cases.imaging.volume import ImagingError, compact
from pmi_site.words import words as _

_COLOUR_FRAMES = 8  # of a film loop, enough to tell
_PART = 1 << 20  # cells looked at together
_MAYBE_LOSSY = (JPEGLSNearLossless, JPEG2000, HTJ2K)


@dataclass(frozen=True)
class Pixels:
    """Decoded frames: grey (rows, columns) float32 or integer arrays in modality units, or display units
    for films.
    """

    frames: list[np.ndarray]
    padding: list[np.ndarray | None]  # of each frame: what is marked as no part of the picture
    is_colour: bool
    inverted: bool  # MONOCHROME1: the caller, who sees the whole stack, turns it round
    window: tuple[float, float] | None


def decode(dataset: Dataset, syntax: UID, indices: Sequence[int], max_pixels: int, *, film: bool) -> Pixels:
    """Decode some frames. Films get their VOI LUT or window, others keep modality units. Raises
    ImagingError.
    """
    with decoding():
        return _decode(dataset, syntax, indices, max_pixels, film=film)


@contextmanager
def decoding() -> Iterator[None]:
    """Whatever goes wrong in a decoder becomes an ImagingError."""
    try:
        with quiet(), np.errstate(all="ignore"):
            yield
    except ImagingError:
        raise
    except MemoryError as error:
        raise ImagingError(
            "too_many_pixels", _("This image is too large to open. Send a smaller copy.")
        ) from error
    except BaseException as error:
        # Each codec fails in its own way; a panic of the Rust one is not even an Exception.
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise ImagingError(
            "pixels_damaged",
            _("The picture in this DICOM file is damaged or cut short. Copy it again and resend it."),
        ) from error


def _decode(dataset: Dataset, syntax: UID, indices: Sequence[int], max_pixels: int, *, film: bool) -> Pixels:
    if not any(keyword in dataset for keyword in ("PixelData", "FloatPixelData", "DoubleFloatPixelData")):
        if "Rows" not in dataset:  # the reader gave up before the end
            raise truncated()
        raise ImagingError(
            "no_pixels", _("This DICOM file has a header but no picture in it. Export it again.")
        )
    cell: Cell | None = None
    if "PixelData" in dataset:
        if syntax.is_encapsulated:
            _check_streams(dataset, syntax, max_pixels)
        else:
            _check_native(dataset)
        cell = cell_of(dataset, syntax)
    frames: list[np.ndarray] = []
    paddings: list[np.ndarray | None] = []
    colour = False
    window: tuple[float, float] | None = None
    photometric = text(dataset, "PhotometricInterpretation").upper()
    for index, raw in zip(indices, raw_frames(dataset, indices), strict=True):
        if cell is not None:
            raw = cell.values(raw)
        if photometric == "PALETTE COLOR":
            raw = apply_color_lut(raw, dataset)
        if raw.ndim == 3:
            top = float(max(255, 2 ** max(8, int(raw.max()).bit_length()) - 1))
            if not colour and len(frames) < _COLOUR_FRAMES:
                colour = has_colour(raw[..., :3], top)
            frames.append(luminance(raw[..., :3]))
            paddings.append(None)
            window = (0.0, top)
            continue
        padding = _padding(raw, dataset)
        values = _modality(raw, dataset, index)
        if film:
            values, window = _voi(values, padding, dataset, index)
        frames.append(values)
        paddings.append(padding)
    if not film and window is None:
        window = header_window(dataset)
    return Pixels(frames, paddings, colour, photometric == "MONOCHROME1", window)


@dataclass(frozen=True)
class Cell:
    """Where in its pixel cell a value lies (PS3.5 8.1.1): `stored` bits, the uppermost of them bit `high`.
    The other bits may hold anything; older scanners keep an overlay there.
    """

    stored: int
    high: int

    def values(self, cells: np.ndarray) -> np.ndarray:
        """The values in these cells, a new array. Negative ones keep their sign."""
        allocated = cells.dtype.itemsize * 8
        found = cells << max(0, allocated - 1 - self.high)
        found >>= max(0, allocated - self.stored)  # of signed cells this repeats the sign
        return found

    def cleaned(self, cells: np.ndarray) -> np.ndarray:
        """The same cells with nothing but their values, a new array."""
        return self.values(cells) << (self.high + 1 - self.stored)


def cell_of(dataset: Dataset, syntax: UID) -> Cell | None:
    """The cell of Pixel Data, None when values fill it or its description makes no sense. What compressed
    frames hold beyond their own precision is no part of it. Nor has a lossy one a cell: what it holds above
    its stored bits are values that the coding made a little too large.
    """
    allocated, stored = integer(dataset, "BitsAllocated"), integer(dataset, "BitsStored")
    if allocated not in (8, 16, 32, 64) or not 0 < stored < allocated:
        return None
    used = allocated
    if syntax.is_encapsulated and "RLE" not in syntax.name:
        # The wavelet that could be reversed loses values, too, where the stream was cut: the header tells.
        if syntax in _MAYBE_LOSSY and text(dataset, "LossyImageCompression") == "01":
            return None
        used = 0
        for stream in compressed_frames(dataset):
            size = stream_size(stream)
            used = max(used, size.bits if size else 0)
            if is_lossy(stream):
                return None
        if used <= stored:
            return None
    high = integer(dataset, "HighBit", stored - 1)
    lowest = Cell(stored, stored - 1)
    if not stored <= high < used or _fits(lowest, high + 1 - stored, _cells(dataset, syntax)):
        return lowest
    return Cell(stored, high)


def _fits(lowest: Cell, spare: int, parts: Iterable[np.ndarray]) -> bool:
    """Whether values lie in the lowest bits though High Bit says otherwise: nothing is above them, and the
    bits that it calls spare are taken.
    """
    taken = False
    for cells in parts:
        if not np.array_equal(lowest.values(cells), cells):
            return False
        taken = taken or bool((cells & ((1 << spare) - 1)).any())
    return taken


def _cells(dataset: Dataset, syntax: UID) -> Iterator[np.ndarray]:
    """All cells of Pixel Data, part by part."""
    if syntax.is_encapsulated:
        yield from raw_frames(dataset, range(max(1, integer(dataset, "NumberOfFrames", 1))))
        return
    kind = "i" if integer(dataset, "PixelRepresentation") == 1 else "u"
    order = "<" if syntax.is_little_endian else ">"
    form = np.dtype(f"{order}{kind}{integer(dataset, 'BitsAllocated') // 8}")
    count = len(dataset.PixelData) // form.itemsize
    cells = np.frombuffer(dataset.PixelData, dtype=form, count=count)
    for start in range(0, count, _PART):
        yield cells[start : start + _PART].astype(form.newbyteorder("="))


def raw_frames(dataset: Dataset, indices: Sequence[int]) -> Iterator[np.ndarray]:
    """Decoded frames with all the bits of their cells."""
    return iter_pixels(dataset, indices=list(indices), correct_unused_bits=False)


def _padding(raw: np.ndarray, dataset: Dataset) -> np.ndarray | None:
    """Where a frame is marked as no part of the picture (PS3.3 C.7.5.1.1.2); None when that is nowhere."""
    first = number(dataset.get("PixelPaddingValue"))
    if first is None or raw.dtype.kind not in "iu":
        return None
    last = number(dataset.get("PixelPaddingRangeLimit"))
    bits = raw.dtype.itemsize * 8
    ends = [int(one) for one in (first, first if last is None else last)]
    if not all(-(1 << (bits - 1)) <= one < 1 << bits for one in ends):  # no cell can hold it
        return None
    # Some writers give a negative value as the unsigned one of the same bits.
    ends = [one % (1 << bits) for one in ends]
    ends = [one - (1 << bits) if raw.dtype.kind == "i" and one >> (bits - 1) else one for one in ends]
    padding = (raw >= min(ends)) & (raw <= max(ends))
    return padding if padding.any() else None


def darken_padding(
    frames: Sequence[np.ndarray], paddings: Sequence[np.ndarray | None], *, dark_is_high: bool = False
) -> list[np.ndarray]:
    """The frames of one picture with their padding as dark as its darkest part. It stays as it is where it
    may be part of the picture after all: between its other values, or bright within it and never at its edge.
    """
    pairs = list(zip(frames, paddings, strict=True))
    padded = _ends(frame[padding] for frame, padding in pairs if padding is not None)
    picture = _ends(frame if padding is None else frame[~padding] for frame, padding in pairs)
    if padded is None or picture is None:
        return list(frames)
    (below, above), (low, high) = padded, picture
    if low < below and above < high:
        return list(frames)
    is_dark = above >= high if dark_is_high else below <= low
    if not is_dark and not any(padding is not None and _at_the_edge(padding) for padding in paddings):
        return list(frames)
    dark = np.float32(high if dark_is_high else low)
    return [frame if padding is None else compact(np.where(padding, dark, frame)) for frame, padding in pairs]


def _ends(parts: Iterable[np.ndarray]) -> tuple[float, float] | None:
    """The lowest and the highest value of all."""
    ends = [(float(part.min()), float(part.max())) for part in parts if part.size]
    return (min(low for low, _high in ends), max(high for _low, high in ends)) if ends else None


def _at_the_edge(padding: np.ndarray) -> bool:
    return bool(padding[0].any() or padding[-1].any() or padding[:, 0].any() or padding[:, -1].any())


def _check_native(dataset: Dataset) -> None:
    bits = int(dataset.BitsAllocated)
    pixels = int(dataset.Rows) * int(dataset.Columns) * max(1, integer(dataset, "NumberOfFrames", 1))
    needed = pixels * integer(dataset, "SamplesPerPixel", 1) * bits / 8
    if text(dataset, "PhotometricInterpretation") == "YBR_FULL_422":
        needed = needed * 2 / 3
    if len(dataset.PixelData) < math.floor(needed):
        raise truncated()


def _check_streams(dataset: Dataset, syntax: UID, max_pixels: int) -> None:
    """Each compressed frame must be whole and of the size that the header promises: decoders allocate what
    it says.
    """
    rows, columns = int(dataset.Rows), int(dataset.Columns)
    rle = "RLE" in syntax.name
    for stream in compressed_frames(dataset):
        if rle:
            # Some encoders pad to an even row or column; the decoder has no bound of its own.
            if not rle_fits(stream, (rows + 1) * (columns + 1) + 1024):
                raise damaged()
            continue
        size = stream_size(stream)
        if size is None:  # a decoder that makes more of it than we do would have no bound
            raise damaged()
        if size.rows * size.columns * max(1, size.components) > max(max_pixels, 4 * rows * columns):
            raise too_large(size.columns, size.rows, max_pixels)
        if size.rows > 2 * rows + 64 or size.columns > 2 * columns + 64:
            raise damaged()
        if stream[:2] == b"\xff\xd8" and not ends_properly(stream):
            raise truncated()


def compressed_frames(dataset: Dataset) -> Iterator[bytes]:
    """Whole compressed frames, cut as the decoder cuts them: by the extended offset table, else the basic
    one, else by fragments (PS3.5 A.4). Raises ImagingError when frames overlap, ValueError when some lack.
    """
    count = max(1, integer(dataset, "NumberOfFrames", 1))
    starts, lengths = dataset.get("ExtendedOffsetTable"), dataset.get("ExtendedOffsetTableLengths")
    extended = (starts, lengths) if starts and lengths and len(starts) == len(lengths) else None
    left = len(dataset.PixelData)
    frames = generate_frames(dataset.PixelData, number_of_frames=count, extended_offsets=extended)
    for frame in islice(frames, count):
        left -= len(frame)
        if left < 0:  # the same bytes again and again would fill the memory
            raise damaged()
        yield frame


def _functional(dataset: Dataset, index: int, sequence: str) -> Dataset | None:
    per_frame = dataset.get("PerFrameFunctionalGroupsSequence")
    groups = [per_frame[index]] if per_frame and index < len(per_frame) else []
    groups += list(dataset.get("SharedFunctionalGroupsSequence") or [])[:1]
    for group in groups:
        items = group.get(sequence)
        if items:
            return items[0]
    return None


def _modality(raw: np.ndarray, dataset: Dataset, index: int) -> np.ndarray:
    item = _functional(dataset, index, "PixelValueTransformationSequence")
    source = item if item is not None and "RescaleSlope" in item else dataset
    slope = number(source.get("RescaleSlope"))
    if "ModalityLUTSequence" in source and source.ModalityLUTSequence:
        return apply_modality_lut(raw, source)
    if slope is None or slope == 0:
        return raw
    intercept = number(source.get("RescaleIntercept")) or 0.0
    if slope == 1 and intercept == int(intercept):
        return raw.astype(np.int32) + np.int32(intercept) if intercept else raw
    return (raw * slope + intercept).astype(np.float32)


def _voi(
    values: np.ndarray, padding: np.ndarray | None, dataset: Dataset, index: int
) -> tuple[np.ndarray, tuple[float, float]]:
    """Values for display and their range. A window that leaves nothing to see is not followed."""
    item = _functional(dataset, index, "FrameVOILUTSequence")
    source = dataset if item is None else item
    low, high = float(values.min()), float(values.max())
    if source.get("VOILUTSequence") or (source.get("WindowCenter") is not None and source.get("WindowWidth")):
        if source is not dataset:
            merged = Dataset()
            merged.update(dataset)
            merged.update(source)
            source = merged
        try:
            shown = np.asarray(apply_voi_lut(values, source, index=0), dtype=np.float32)
        except Exception:
            return values, (low, max(high, low + 1))
        sample = shown[::4, ::4]
        if padding is not None and not padding[::4, ::4].all():
            sample = sample[~padding[::4, ::4]]
        bottom, top = (float(one) for one in np.percentile(sample, (2, 98)))
        whole = float(shown.max()) - float(shown.min())
        if whole > 0 and top - bottom > 0.05 * whole:
            return shown, (float(shown.min()), float(shown.max()))
    return values, (low, max(high, low + 1))


def header_window(dataset: Dataset) -> tuple[float, float] | None:
    """The header's first window as (low, high), or None."""
    centre, width = dataset.get("WindowCenter"), dataset.get("WindowWidth")
    first = [one[0] if isinstance(one, (list, MultiValue)) and one else one for one in (centre, width)]
    middle, span = number(first[0]), positive(first[1])
    if middle is None or span is None:
        return None
    return middle - span / 2, middle + span / 2
