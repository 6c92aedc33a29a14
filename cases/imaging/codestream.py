"""Reading the headers of JPEG, JPEG-LS, JPEG 2000 and RLE streams, and taking comments out of them without
decoding.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from itertools import pairwise
from typing import Final, NamedTuple

# Frames, and the whole of hierarchical ones (DHP).
_SOF: Final = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC} | {0xDE, 0xF7}
_SOF_LS: Final = 0xF7
_SOF_LOSSLESS: Final = {0xC3, 0xC7, 0xCB, 0xCF, _SOF_LS}
# APP0 (JFIF), APP8 (HP colour transform of JPEG-LS) and APP14 (Adobe colour transform) change how pixels
# are decoded.
_KEPT_APPS: Final = {0xE0, 0xE8, 0xEE}
_APPS: Final = set(range(0xE0, 0xF0))
_COMMENT: Final = 0xFE
# A stuffed byte, and the markers that have no segment.
_ALONE: Final = {0x00, 0x01, *range(0xD0, 0xD9)}
_MAX_PARTS: Final = 10_000  # segments or boxes before the header that is looked for
_HEAD: Final = 16  # bytes of a segment, enough for what is read of it
_J2K_MAGIC: Final = b"\xff\x4f\xff\x51"


class StreamSize(NamedTuple):
    """Size that a codestream's own header declares."""

    rows: int
    columns: int
    components: int
    bits: int


def stream_size(stream: bytes) -> StreamSize | None:
    """Size declared by a JPEG, JPEG-LS or JPEG 2000 stream; None when there is no readable header."""
    size = _jpeg_size(stream) if stream[:2] == b"\xff\xd8" else _jpeg2000_size(stream)
    # Without rows or columns the real ones follow elsewhere, where only the decoder would look.
    return size if size is not None and min(size.rows, size.columns) > 0 else None


def _jpeg2000_size(stream: bytes) -> StreamSize | None:
    start = _jpeg2000_start(stream)
    if start < 0 or len(stream) < start + 43:
        return None
    siz = stream[start + 4 :]

    def word(offset: int) -> int:
        return int.from_bytes(siz[offset : offset + 4], "big")

    return StreamSize(
        rows=word(8) - word(16),
        columns=word(4) - word(12),
        components=int.from_bytes(siz[36:38], "big"),
        bits=(siz[38] & 0x7F) + 1,
    )


def _jpeg2000_start(stream: bytes) -> int:
    """Where the codestream begins: at once, or in the first such box of a JP2 file (ISO/IEC 15444-1 I.4), for
    other boxes may hold what looks like one. -1 where there is none.
    """
    if stream.startswith(_J2K_MAGIC):
        return 0
    position = 0
    for _box in range(_MAX_PARTS if stream.startswith(b"jP  ", 4) else 0):
        if position + 8 > len(stream):
            break
        length, kind = struct.unpack_from(">I4s", stream, position)
        head = 16 if length == 1 else 8
        if kind == b"jp2c":
            return position + head if stream.startswith(_J2K_MAGIC, position + head) else -1
        if length == 1:
            length = int.from_bytes(stream[position + 8 : position + 16], "big")
        if length < head:  # 0: up to the end
            break
        position += length
    return -1


def _jpeg_segments(stream: bytes) -> Iterator[tuple[int, bytes]]:
    """Markers up to the first scan, each with the first bytes of its segment. Like a decoder, pass over stray
    bytes and markers without a segment.
    """
    position = 2
    for _part in range(_MAX_PARTS):
        position = stream.find(b"\xff", position)
        if position < 0 or position + 4 > len(stream):
            return
        marker = stream[position + 1]
        if marker == 0xFF:
            position += 1
            continue
        if marker in _ALONE:
            position += 2
            continue
        yield marker, stream[position + 4 : position + 4 + _HEAD]
        if marker in (0xD9, 0xDA):
            return
        position += 2 + int.from_bytes(stream[position + 2 : position + 4], "big")


def _jpeg_size(stream: bytes) -> StreamSize | None:
    """What the frame header says."""
    for marker, part in _jpeg_segments(stream):
        if marker in _SOF:
            if len(part) < 6:
                return None
            rows, columns = int.from_bytes(part[1:3], "big"), int.from_bytes(part[3:5], "big")
            return StreamSize(rows=rows, columns=columns, components=part[5], bits=part[0])
    return None


def is_lossy(stream: bytes) -> bool:
    """Whether the coding by itself changes values: JPEG by cosine transform, near-lossless JPEG-LS, JPEG 2000
    with its irreversible wavelet.
    """
    if stream[:2] != b"\xff\xd8":
        return _jpeg2000_is_lossy(stream)
    frame = None
    for marker, part in _jpeg_segments(stream):
        if marker in _SOF:
            frame = marker
        elif marker == 0xDA and frame == _SOF_LS:
            near = part[1 + 2 * part[0] :] if part else b""  # behind the components of the scan
            return near[:1] > b"\0"
    return frame is not None and frame not in _SOF_LOSSLESS


def _jpeg2000_is_lossy(stream: bytes) -> bool:
    position = _jpeg2000_start(stream) + 2
    for _part in range(_MAX_PARTS if position > 1 else 0):
        marker = stream[position : position + 2]
        if marker == b"\xff\x52":  # COD, with the wavelet in its tenth byte
            return stream[position + 13 : position + 14] == b"\0"
        if len(marker) < 2 or marker == b"\xff\x90":
            break
        position += 2 + int.from_bytes(stream[position + 2 : position + 4], "big")
    return False


def strip_jpeg(stream: bytes, *, keep_icc: bool = False) -> bytes | None:
    """The same JPEG without comments, EXIF, XMP, thumbnails and whatever follows the picture; None if it
    is broken.

    Pixels are untouched: only marker segments go.
    """
    if stream[:2] != b"\xff\xd8":
        return None
    out = bytearray(b"\xff\xd8")
    position, size = 2, len(stream)
    while position + 2 <= size:
        if stream[position] != 0xFF:
            return None
        marker = stream[position + 1]
        if marker == 0xFF:
            position += 1
            continue
        if marker == 0xD9:
            out += b"\xff\xd9"
            return bytes(out)
        if position + 4 > size:
            return None
        end = position + 2 + int.from_bytes(stream[position + 2 : position + 4], "big")
        segment = stream[position:end]
        if end > size or end < position + 4:
            return None
        if marker == 0xE0:
            segment = _clean_app0(segment)
        drop = marker == _COMMENT or (marker in _APPS and marker not in _KEPT_APPS)
        if keep_icc and marker == 0xE2 and segment[4:16] == b"ICC_PROFILE\0":
            drop = False
        if not drop:
            out += segment
        position = end
        if marker == 0xDA:
            end = _scan_end(stream, position)
            out += stream[position:end]
            position = end
    return None


def _clean_app0(segment: bytes) -> bytes:
    """A plain JFIF header without its thumbnail; nothing when APP0 is something else."""
    if segment[4:9] != b"JFIF\0" or len(segment) < 18:
        return b""
    return b"\xff\xe0\x00\x10" + segment[4:16] + b"\0\0"


def _scan_end(stream: bytes, position: int) -> int:
    """Where the entropy-coded data of a scan stops: at the next marker that is not a restart or a stuffed
    byte.
    """
    while True:
        position = stream.find(b"\xff", position)
        if position < 0 or position + 1 >= len(stream):
            return len(stream)
        follows = stream[position + 1]
        # JPEG-LS stuffs a bit, not a byte: after 0xFF any value below 0x80 is data.
        if follows >= 0x80 and not 0xD0 <= follows <= 0xD7 and follows != 0xFF:
            return position
        position += 1 if follows == 0xFF else 2


def strip_jpeg2000(stream: bytes) -> bytes | None:
    """The same JPEG 2000 codestream without comment segments in its main header, and without file boxes
    around it; None if it is broken.
    """
    start = _jpeg2000_start(stream)
    if start < 0:
        return None
    out = bytearray(b"\xff\x4f")
    position = start + 2
    while position + 4 <= len(stream):
        marker = int.from_bytes(stream[position : position + 2], "big")
        if marker == 0xFF90:
            return bytes(out) + stream[position : _jpeg2000_end(stream, position)]
        end = position + 2 + int.from_bytes(stream[position + 2 : position + 4], "big")
        if marker < 0xFF00 or end <= position + 2 or end > len(stream):
            return None
        if marker != 0xFF64:
            out += stream[position:end]
        position = end
    return None


def _jpeg2000_end(stream: bytes, position: int) -> int:
    """Where the codestream whose first tile-part is at `position` ends (ISO/IEC 15444-1 A.4): behind its EOC;
    the end of `stream` where the lengths of the tile-parts do not lead there.
    """
    while stream[position : position + 2] == b"\xff\x90":
        length = int.from_bytes(stream[position + 6 : position + 10], "big")
        if length < 14:  # 0: the last tile-part, up to the EOC
            break
        position += length
    return position + 2 if stream[position : position + 2] == b"\xff\xd9" else len(stream)


def ends_properly(stream: bytes) -> bool:
    """Whether a JPEG family stream reaches its end-of-image marker (padding after it is allowed)."""
    return b"\xff\xd9" in stream[-64:] or stream.rstrip(b"\0")[-2:] == b"\xff\xd9"


def rle_fits(stream: bytes, limit: int) -> bool:
    """Whether each segment of an RLE frame decodes to `limit` bytes at most (PS3.5 Annex G); False, too, when
    its header makes no sense. Run lengths are summed, nothing is expanded.
    """
    if len(stream) < 64:
        return False
    segments, *offsets = struct.unpack("<16L", stream[:64])
    bounds = [*offsets[:segments], len(stream)]
    if not 1 <= segments <= 15 or bounds[0] < 64 or bounds != sorted(bounds):
        return False
    return all(_rle_length_within(stream, start, end, limit) for start, end in pairwise(bounds))


def _rle_length_within(stream: bytes, position: int, end: int, limit: int) -> bool:
    # The worst honest segment spends two bytes on each; a longer one has only no-ops to keep us busy.
    if end - position > 2 * limit:
        return False
    length = 0
    while position < end:
        run = stream[position]
        if run < 128:  # the next run + 1 bytes as they are
            length += run + 1
            position += run + 2
        elif run > 128:  # the next byte 257 - run times
            length += 257 - run
            position += 2
        else:  # nothing
            position += 1
        if length > limit:
            return False
    return True
