"""Taking out of the pixel data what is not the picture: text in compressed frames, surplus bytes and bits."""

from __future__ import annotations

import re
from typing import Final

import numpy as np
from pydicom import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID

from cases.imaging.codestream import strip_jpeg, strip_jpeg2000
from cases.imaging.dicom import damaged, integer
from cases.imaging.dicom_pixels import compressed_frames

# Markers of segments that carry text: APPn but for those that decoding needs, and COM. Compressed data cannot
# hold them: it stuffs after 0xFF.
_JPEG_TEXT: Final = re.compile(rb"\xff[\xe1-\xe7\xe9-\xed\xef\xfe]")
_JPEG2000_TEXT: Final = re.compile(rb"\xff\x64")
_JP2_BOX: Final = re.compile(rb"jP  ")


def clean_pixels(dataset: Dataset, syntax: UID) -> None:
    """Leave only the picture in Pixel Data: no comments or EXIF in compressed frames, nothing behind or
    beside uncompressed ones. Raises ImagingError when text in a frame cannot be taken out.
    """
    data = dataset.get("PixelData")
    if data is None:
        return
    if syntax.is_encapsulated:
        _clean_frames(dataset)
        return
    expected = _native_length(dataset)
    if expected and len(data) > expected + 1:
        dataset["PixelData"].value = data[: expected + (expected & 1)]
    _clear_unused_bits(dataset, little_endian=syntax.is_little_endian)


def _clean_frames(dataset: Dataset) -> None:
    """Clean whole frames, for one may be cut anywhere into fragments (PS3.5 A.4), and write each as one."""
    frames = [_clean_stream(frame) for frame in compressed_frames(dataset)]
    dataset["PixelData"].value = encapsulate(frames)
    dataset["PixelData"].is_undefined_length = True
    for keyword in ("ExtendedOffsetTable", "ExtendedOffsetTableLengths"):
        if keyword in dataset:
            delattr(dataset, keyword)


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


def _clear_unused_bits(dataset: Dataset, *, little_endian: bool) -> None:
    """Clear what a pixel cell holds outside its Bits Stored: older scanners keep an overlay there, with the
    name (retired, PS3.5-2004 8.1.2). Negative values keep their sign.
    """
    allocated, stored = integer(dataset, "BitsAllocated"), integer(dataset, "BitsStored")
    if allocated not in (8, 16, 32, 64) or not 0 < stored < allocated:
        return
    high = integer(dataset, "HighBit", stored - 1)
    if not stored - 1 <= high < allocated:  # no pixel can lie so: the decoder, too, reads the lowest bits
        high = stored - 1
    kind = "i" if integer(dataset, "PixelRepresentation") == 1 else "u"
    cell = np.dtype(f"{'<' if little_endian else '>'}{kind}{allocated // 8}")
    data = dataset["PixelData"].value
    cells = np.frombuffer(data, dtype=cell, count=len(data) // cell.itemsize).astype(cell.newbyteorder("="))
    cells <<= allocated - 1 - high
    cells >>= allocated - stored  # of signed cells this repeats the sign
    cells <<= high + 1 - stored
    dataset["PixelData"].value = cells.astype(cell).tobytes()
