"""JPEG, PNG, TIFF and WebP: from a scanner, a phone or a screen."""

from __future__ import annotations

import struct
import threading
import warnings
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from PIL import Image, ImageOps

from cases.imaging.codestream import strip_jpeg
from cases.imaging.colour import has_colour, luminance
from cases.imaging.disk import is_full
from cases.imaging.volume import CanonicalVolume, ImagingError, from_film, robust_window
from pmi_site.words import Words
from pmi_site.words import words as _

MIN_SIDE: Final = 16
_FORMATS: Final = {"jpeg": "JPEG", "png": "PNG", "tiff": "TIFF", "webp": "WEBP"}
_ORIENTATION: Final = 0x0112
_TIFF_PHOTOMETRIC: Final = 262
_PNG_KEPT: Final = {b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"gAMA", b"sRGB", b"sBIT"}
_PIL_LOCK: Final = threading.Lock()


class Raster(NamedTuple):
    """A decoded picture. `original` is the stored form, without EXIF, GPS or text; `suffix` names its
    format.
    """

    volume: CanonicalVolume
    original: Path
    suffix: str
    notes: list[Words]


def too_large(columns: int, rows: int, limit: int) -> ImagingError:
    return ImagingError(
        "too_many_pixels",
        _(
            "This image says it is %(columns)d x %(rows)d pixels, more than the %(limit)d million that PMI "
            "reads. Send a smaller copy.",
            columns=columns,
            rows=rows,
            limit=limit // 1_000_000,
        ),
    )


def too_small() -> ImagingError:
    return ImagingError(
        "too_small",
        _("This image is too small to be a scan. Send the full-size picture, not its thumbnail."),
    )


def read_raster(path: Path, kind: str, workdir: Path, max_pixels: int) -> Raster:
    """Decode a picture to a film and write its EXIF-free form into `workdir`.

    Size is taken from the header and refused before anything is decoded. Raises ImagingError.
    """
    try:
        return _read(path, kind, workdir, max_pixels)
    except ImagingError:
        raise
    except Image.DecompressionBombError as error:
        raise ImagingError(
            "too_many_pixels",
            _(
                "This image has more than the %(limit)d million pixels that PMI reads. Send a smaller copy.",
                limit=max_pixels // 1_000_000,
            ),
        ) from error
    except MemoryError as error:
        raise ImagingError(
            "too_many_pixels", _("This image is too large to open. Send a smaller copy.")
        ) from error
    except Exception as error:  # Pillow raises OSError, SyntaxError, ValueError, struct.error and more
        if is_full(error):
            raise
        raise ImagingError(
            "image_damaged",
            _(
                "This picture is damaged or incomplete and cannot be opened. Copy it again from where "
                "you got it."
            ),
        ) from error


def _open(path: Path, kind: str, max_pixels: int) -> Image.Image:
    with _PIL_LOCK, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        before = Image.MAX_IMAGE_PIXELS
        Image.MAX_IMAGE_PIXELS = max_pixels
        try:
            image = Image.open(path, formats=[_FORMATS[kind]])
        finally:
            Image.MAX_IMAGE_PIXELS = before
    columns, rows = image.size
    if columns * rows > max_pixels or min(columns, rows) < MIN_SIDE:
        image.close()
        raise too_large(columns, rows, max_pixels) if columns * rows > max_pixels else too_small()
    return image


def _read(path: Path, kind: str, workdir: Path, max_pixels: int) -> Raster:
    notes: list[Words] = []
    with _open(path, kind, max_pixels) as image:
        # Not n_frames: of a TIFF it reads every directory, and there may be a hundred thousand.
        if getattr(image, "is_animated", False):
            notes.append(_("The file holds several pictures; only the first one was read."))
        image.seek(0)
        with _PIL_LOCK, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            before = Image.MAX_IMAGE_PIXELS
            Image.MAX_IMAGE_PIXELS = max_pixels
            try:
                image.load()
            finally:
                Image.MAX_IMAGE_PIXELS = before
        white_is_zero = kind == "tiff" and image.mode in ("I;16", "F") and _white_is_zero(image)
        turned = _orientation(image) != 1
        plain = ImageOps.exif_transpose(image) if turned else image
        pixels, top, colour = _grey(plain)
        if white_is_zero:
            pixels = float(pixels.max()) - pixels
            # What is kept is written anew, and does not say that white is zero.
            plain = Image.fromarray(pixels if image.mode == "F" else pixels.astype(np.uint16))
        stored, suffix = _store(path, kind, plain, turned, workdir)
    window = (0.0, 255.0) if top == 255.0 else robust_window(pixels, 0.1, 99.9)
    volume = from_film(pixels, modality="", source_format="raster", window=window, is_colour=colour)
    return Raster(volume, stored, suffix, notes)


def _white_is_zero(image: Image.Image) -> bool:
    """Pillow turns 1- and 8-bit films of photometric 0 round by itself, but not 16-bit and float ones."""
    tags = getattr(image, "tag_v2", {})
    return bool(tags.get(_TIFF_PHOTOMETRIC) == 0)


def _orientation(image: Image.Image) -> int:
    try:
        value = image.getexif().get(_ORIENTATION, 1)
        return value if isinstance(value, int) and 1 <= value <= 8 else 1
    except Exception:  # a broken EXIF block must not cost the picture
        return 1


def _grey(image: Image.Image) -> tuple[np.ndarray, float, bool]:
    """(rows, columns) lightness, the value of full white (0.0 when it is not 255), and whether there is
    colour.
    """
    mode = image.mode
    if mode in ("I;16", "I;16B", "I;16L", "I;16N", "I", "F"):
        values = np.asarray(image)
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            values = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
        return values.astype(np.float32), 0.0, False
    if mode == "1":
        image = image.convert("L")
    if "transparency" in image.info or mode in ("LA", "La", "PA", "RGBa", "RGBA"):
        image = _flatten(image.convert("RGBA"))
    if image.mode == "L":
        return np.asarray(image), 255.0, False
    rgb = np.asarray(image.convert("RGB"))
    return luminance(rgb), 255.0, has_colour(rgb)


def _flatten(image: Image.Image) -> Image.Image:
    """Lay a see-through picture on black, as a film without exposure beside it would be."""
    black = Image.new("RGBA", image.size, (0, 0, 0, 255))
    return Image.alpha_composite(black, image).convert("RGB")


def _store(path: Path, kind: str, plain: Image.Image, turned: bool, workdir: Path) -> tuple[Path, str]:
    """Write the picture without anything but its pixels: by cutting segments out, else as a lossless PNG
    or TIFF.
    """
    workdir.mkdir(parents=True, exist_ok=True)
    if not turned and kind in ("jpeg", "png"):
        raw = path.read_bytes()
        # An embedded profile names devices and people's studios now and then, and grey films do not need it.
        clean = strip_jpeg(raw) if kind == "jpeg" else strip_png(raw)
        if clean is not None:
            target = workdir / f"picture.{'jpg' if kind == 'jpeg' else 'png'}"
            target.write_bytes(clean)
            return target, target.suffix[1:]
    bare = plain.copy()
    bare.info = {key: value for key, value in bare.info.items() if key == "transparency"}
    if bare.mode in ("F", "I", "I;16B", "I;16L", "I;16N"):
        target = workdir / "picture.tif"
        Image.fromarray(np.asarray(bare)).save(target, format="TIFF", compression="tiff_lzw")
        return target, "tif"
    if bare.mode not in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"):
        bare = bare.convert("RGBA" if bare.mode in ("La", "PA", "RGBa") else "RGB")
    target = workdir / "picture.png"
    bare.save(target, format="PNG", compress_level=3, exif=b"", icc_profile=None)
    return target, "png"


def strip_png(raw: bytes) -> bytes | None:
    """The same PNG with only the chunks that make its pixels; None when it is broken."""
    out = bytearray(raw[:8])
    position = 8
    while position + 12 <= len(raw):
        (length,) = struct.unpack_from(">I", raw, position)
        name = raw[position + 4 : position + 8]
        end = position + 12 + length
        if end > len(raw):
            return None
        if name in _PNG_KEPT:
            out += raw[position:end]
        if name == b"IEND":
            return bytes(out)
        position = end
    return None
