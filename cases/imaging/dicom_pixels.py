"""Decoding the pixels of a DICOM file: modality LUT, then VOI for films, colour to grey, frame by frame."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice

import numpy as np
from pydicom import Dataset
from pydicom.encaps import generate_frames
from pydicom.multival import MultiValue
from pydicom.pixels import apply_color_lut, apply_modality_lut, apply_voi_lut
from pydicom.pixels.utils import iter_pixels
from pydicom.uid import UID

from cases.imaging.codestream import ends_properly, rle_fits, stream_size
from cases.imaging.colour import has_colour, luminance
from cases.imaging.dicom import damaged, integer, number, positive, quiet, text, truncated
from cases.imaging.raster import too_large
from cases.imaging.volume import ImagingError
from pmi_site.words import words as _

_COLOUR_FRAMES = 8  # of a film loop, enough to tell


@dataclass(frozen=True)
class Pixels:
    """Decoded frames: grey (rows, columns) float32 or integer arrays in modality units, or display units
    for films.
    """

    frames: list[np.ndarray]
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
            window = (0.0, top)
            continue
        values = _modality(_without_padding(raw, dataset, photometric), dataset, index)
        if film:
            values, window = _voi(values, dataset, index)
        frames.append(values)
    if not film and window is None:
        window = header_window(dataset)
    return Pixels(frames, colour, photometric == "MONOCHROME1", window)


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
    frames hold beyond their own precision is no part of it.
    """
    allocated, stored = integer(dataset, "BitsAllocated"), integer(dataset, "BitsStored")
    if allocated not in (8, 16, 32, 64) or not 0 < stored < allocated:
        return None
    used = allocated
    if syntax.is_encapsulated and "RLE" not in syntax.name:
        used = max((size.bits for size in map(stream_size, compressed_frames(dataset)) if size), default=0)
        if used <= stored:
            return None
    high = integer(dataset, "HighBit", stored - 1)
    return Cell(stored, high if stored - 1 <= high < used else stored - 1)


def raw_frames(dataset: Dataset, indices: Sequence[int]) -> Iterator[np.ndarray]:
    """Decoded frames with all the bits of their cells."""
    return iter_pixels(dataset, indices=list(indices), correct_unused_bits=False)


def _without_padding(raw: np.ndarray, dataset: Dataset, photometric: str) -> np.ndarray:
    """What is marked as no part of the picture becomes as dark as its darkest part (PS3.3 C.7.5.1.1.2)."""
    first = number(dataset.get("PixelPaddingValue"))
    if first is None or raw.dtype.kind not in "iu":
        return raw
    last = number(dataset.get("PixelPaddingRangeLimit"))
    bits = raw.dtype.itemsize * 8
    # Some writers give a negative value as the unsigned one of the same bits.
    ends = [int(one) % (1 << bits) for one in (first, first if last is None else last)]
    ends = [one - (1 << bits) if raw.dtype.kind == "i" and one >> (bits - 1) else one for one in ends]
    padding = (raw >= min(ends)) & (raw <= max(ends))
    if not padding.any() or padding.all():
        return raw
    picture = raw[~padding]
    return np.where(padding, picture.max() if photometric == "MONOCHROME1" else picture.min(), raw)


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


def _voi(values: np.ndarray, dataset: Dataset, index: int) -> tuple[np.ndarray, tuple[float, float]]:
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
        bottom, top = (float(one) for one in np.percentile(shown[::4, ::4], (2, 98)))
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
