"""Taking out of the pixel data what is not the picture: text in compressed frames, surplus bytes and bits."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

import numpy as np
from pydicom import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID, ExplicitVRLittleEndian

from cases.imaging.codestream import strip_jpeg, strip_jpeg2000
from cases.imaging.dicom import damaged, integer
from cases.imaging.dicom_pixels import Cell, cell_of, compressed_frames, decoding, raw_frames

# Markers of segments that carry text: APPn but for those that decoding needs, and COM. Compressed data cannot
# hold them: it stuffs after 0xFF.
_JPEG_TEXT: Final = re.compile(rb"\xff[\xe1-\xe7\xe9-\xed\xef\xfe]")
_JPEG2000_TEXT: Final = re.compile(rb"\xff\x64")
_JP2_BOX: Final = re.compile(rb"jP  ")


def clean_pixels(dataset: Dataset, syntax: UID) -> UID:
    """Leave only the picture in Pixel Data: no comments or EXIF in compressed frames, nothing behind or
    beside uncompressed ones. Answers with the transfer syntax that it now has, another one where compressed
    frames had to be unpacked to be cleaned. Raises ImagingError when text in a frame cannot be taken out.
    """
    data = dataset.get("PixelData")
    if data is None:
        return syntax
    with decoding():
        cell = cell_of(dataset, syntax)
    if syntax.is_encapsulated:
        with decoding():
            if cell is not None and _has_surplus_bits(dataset, cell):
                _unpack(dataset, cell)
                return ExplicitVRLittleEndian
        _clean_frames(dataset)
        return syntax
    expected = _native_length(dataset)
    if expected and len(data) > expected + 1:
        dataset["PixelData"].value = data[: expected + (expected & 1)]
    if cell is not None:
        _clear_unused_bits(dataset, cell, little_endian=syntax.is_little_endian)
    return syntax


def _clean_frames(dataset: Dataset) -> None:
    """Clean whole frames, for one may be cut anywhere into fragments (PS3.5 A.4), and write each as one."""
    frames = [_clean_stream(frame) for frame in compressed_frames(dataset)]
    dataset["PixelData"].value = encapsulate(frames)
    dataset["PixelData"].is_undefined_length = True
    _drop_offsets(dataset)


def _drop_offsets(dataset: Dataset) -> None:
    for keyword in ("ExtendedOffsetTable", "ExtendedOffsetTableLengths"):
        if keyword in dataset:
            delattr(dataset, keyword)


def _frames(dataset: Dataset) -> Iterator[np.ndarray]:
    return raw_frames(dataset, range(max(1, integer(dataset, "NumberOfFrames", 1))))


def _has_surplus_bits(dataset: Dataset, cell: Cell) -> bool:
    """Whether compressed frames hold more than the values: not only zeros, nor only repeated signs, beside
    them.
    """
    zeros = signs = True
    for frame in _frames(dataset):
        clean = cell.cleaned(frame)
        signs = signs and np.array_equal(clean, frame)
        bits = frame.view(f"u{frame.dtype.itemsize}")
        mask = ((1 << cell.stored) - 1) << (cell.high + 1 - cell.stored)
        zeros = zeros and not (bits & ~np.array(mask, dtype=bits.dtype)).any()
        if not (zeros or signs):
            return True
    return False


def _unpack(dataset: Dataset, cell: Cell) -> None:
    """Compressed frames as uncompressed ones that hold only the values."""
    data, size = bytearray(), 1
    for frame in _frames(dataset):
        clean = cell.cleaned(frame)
        size = clean.dtype.itemsize
        data += clean.astype(clean.dtype.newbyteorder("<")).tobytes()
    dataset.BitsAllocated = size * 8
    if integer(dataset, "SamplesPerPixel", 1) > 1:  # decoded colour comes pixel by pixel, as RGB
        dataset.PlanarConfiguration, dataset.PhotometricInterpretation = 0, "RGB"
    element = dataset["PixelData"]
    element.value, element.VR = bytes(data) + b"\0" * (len(data) % 2), "OW"
    element.is_undefined_length = False
    _drop_offsets(dataset)


def _clean_stream(stream: bytes) -> bytes:
    if stream[:2] == b"\xff\xd8":
        clean, text = strip_jpeg(stream), _JPEG_TEXT
    elif stream[:4] == b"\xff\x4f\xff\x51":
        clean, text = strip_jpeg2000(stream), _JPEG2000_TEXT
    elif _JP2_BOX.match(stream, 4):  # a whole JP2 file, whose boxes may hold text
        clean, text = strip_jpeg2000(stream), _JP2_BOX
    else:
        return stream
    if clean is None and text.search(stream):
        raise damaged()
    return stream if clean is None else clean


def _native_length(dataset: Dataset) -> int:
    try:
        samples = int(dataset.get("SamplesPerPixel") or 1)
        pixels = int(dataset.Rows) * int(dataset.Columns) * int(dataset.get("NumberOfFrames") or 1)
        bits = pixels * samples * int(dataset.BitsAllocated)
    except (AttributeError, TypeError, ValueError):
        return 0
    if str(dataset.get("PhotometricInterpretation")) == "YBR_FULL_422":
        bits = bits * 2 // 3
    return (bits + 7) // 8


def _clear_unused_bits(dataset: Dataset, cell: Cell, *, little_endian: bool) -> None:
    """Clear what a pixel cell holds outside its Bits Stored: older scanners keep an overlay there, with the
    name (retired, PS3.5-2004 8.1.2). Negative values keep their sign.
    """
    kind = "i" if integer(dataset, "PixelRepresentation") == 1 else "u"
    form = np.dtype(f"{'<' if little_endian else '>'}{kind}{integer(dataset, 'BitsAllocated') // 8}")
    data = dataset["PixelData"].value
    cells = np.frombuffer(data, dtype=form, count=len(data) // form.itemsize).astype(form.newbyteorder("="))
    dataset["PixelData"].value = cell.cleaned(cells).astype(form).tobytes()
