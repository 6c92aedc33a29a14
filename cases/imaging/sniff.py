"""What a file is, told from its first bytes and never from its name."""

from __future__ import annotations

from typing import Final

from pmi_site.words import Words
from pmi_site.words import words as _

HEAD_BYTES: Final = 4096
RASTER: Final = ("jpeg", "png", "tiff", "webp")

_MAGIC: Final = (
    (b"\xff\xd8\xff", "jpeg"),
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"II*\0", "tiff"),
    (b"MM\0*", "tiff"),
    (b"II+\0", "tiff"),
    (b"MM\0+", "tiff"),
    (b"PK\x03\x04", "zip"),
    (b"PK\x05\x06", "zip"),
    (b"PK\x07\x08", "zip"),
    (b"\x1f\x8b", "gzip"),
    (b"%PDF", "pdf"),
    (b"GIF8", "gif"),
    (b"BM", "bmp"),
    (b"Rar!\x1a\x07", "archive"),
    (b"7z\xbc\xaf\x27\x1c", "archive"),
    (b"BZh", "archive"),
    (b"\xfd7zXZ\0", "archive"),
    (b"\x28\xb5\x2f\xfd", "archive"),
    (b"\x1aE\xdf\xa3", "video"),
    (b"\0\0\x01\xba", "video"),
    (b"\0\0\x01\xb3", "video"),
    (b"\xd0\xcf\x11\xe0", "office"),
    (b"MZ", "program"),
    (b"\x7fELF", "program"),
    (b"\0\0\0\x0cjP  ", "jpeg2000"),
    (b"\xff\x4f\xff\x51", "jpeg2000"),
)
# The first tag of a DICOM file written without its 128-byte preamble: groups 2 and 8, low elements, both
# byte orders.
_BARE_DICOM: Final = (
    b"\x02\x00\x00\x00",
    b"\x02\x00\x01\x00",
    b"\x02\x00\x10\x00",
    b"\x08\x00",
    b"\x00\x08\x00",
)
_HEIF: Final = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1", b"avif", b"avis")


def sniff(head: bytes) -> str:
    """The kind of a file by its first HEAD_BYTES bytes; "unknown" when nothing fits, "empty" when there
    are none.

    Kinds: jpeg, png, tiff, webp, dicom, dicom-bare, nifti, nifti-header, zip, gzip, and names of what PMI
    does not read.
    """
    if not head:
        return "empty"
    if head[128:132] == b"DICM":
        return "dicom"
    if head[344:348] in (b"n+1\0", b"ni1\0") or head[4:8] in (b"n+2\0", b"ni2\0"):
        return "nifti" if b"n+" in (head[344:346], head[4:6]) else "nifti-header"
    if head[:4] == b"RIFF":
        return "webp" if head[8:12] == b"WEBP" else "video"
    if head[4:8] == b"ftyp":
        return "heic" if head[8:12] in _HEIF else "video"
    for magic, kind in _MAGIC:
        if head.startswith(magic):
            return kind
    if head.startswith(_BARE_DICOM) and _plausible_tag(head):
        return "dicom-bare"
    return "text" if _is_text(head) else "unknown"


def _plausible_tag(head: bytes) -> bool:
    """The first element must fit in 4 KB, or be marked by a two-letter value representation."""
    if len(head) < 12:
        return False
    if head[4:6].isalpha() and head[4:6].isupper():
        return True
    return int.from_bytes(head[4:8], "little") < HEAD_BYTES or int.from_bytes(head[4:8], "big") < HEAD_BYTES


def _is_text(head: bytes) -> bool:
    if head.startswith((b"\xff\xfe", b"\xfe\xff", b"\xef\xbb\xbf")):
        return True
    if b"\0" in head:
        return False
    try:
        head[: HEAD_BYTES - 4].decode("utf-8", errors="strict")
    except UnicodeDecodeError as error:
        return error.start > len(head) - 8
    return True


REASONS: Final[dict[str, tuple[str, Words]]] = {
    "empty": (
        "empty_file",
        _("This file is empty. Copy it again from where you got it, and send it once more."),
    ),
    "pdf": (
        "pdf",
        _(
            "This is a PDF, which is usually the written report and not the scan. Ask the clinic for the "
            "pictures (DICOM), or send a picture of the film."
        ),
    ),
    "video": (
        "video",
        _("This is a video or sound file. Send a still picture of the scan, or the DICOM files."),
    ),
    "heic": (
        "heic",
        _(
            "This picture is in a phone format (HEIC or AVIF) that PMI does not read. Save or share it as "
            "JPEG and send it again."
        ),
    ),
    "gif": (
        "gif",
        _("This is a GIF, which keeps too few greys for a scan. Send the scan as JPEG, PNG or DICOM."),
    ),
    "bmp": (
        "bmp",
        _("This is a BMP picture, which PMI does not read. Save it as PNG and send it again."),
    ),
    "jpeg2000": (
        "jpeg2000",
        _("This is a bare JPEG 2000 picture. Save it as PNG, or send the DICOM file it came from."),
    ),
    "archive": (
        "archive",
        _("This archive is of a kind that PMI does not open. Pack the files as a plain zip instead."),
    ),
    "office": (
        "document",
        _(
            "This is an office document, not a scan. Send the scan as a picture (JPEG, PNG, TIFF or WebP), "
            "DICOM, NIfTI, or a zip of DICOM files."
        ),
    ),
    "program": (
        "program",
        _(
            "This is a computer program, not a scan. Send the scan as a picture (JPEG, PNG, TIFF or WebP), "
            "DICOM, NIfTI, or a zip of DICOM files."
        ),
    ),
    "text": (
        "text",
        _(
            "This file holds text, not a picture, whatever its name says. Send the scan as a picture (JPEG, "
            "PNG, TIFF or WebP), DICOM, NIfTI, or a zip of DICOM files."
        ),
    ),
    "nifti-header": (
        "nifti_pair",
        _(
            "This is one half of a NIfTI pair (.hdr and .img). Convert the pair to one .nii or .nii.gz file "
            "and send that."
        ),
    ),
    "unknown": (
        "unknown_format",
        _(
            "PMI does not know this kind of file. Send the scan as a picture (JPEG, PNG, TIFF or WebP), "
            "DICOM, NIfTI, or a zip of DICOM files."
        ),
    ),
}
