"""Pictures: depth, polarity, colour, orientation, and what is taken out of them."""

import io
import struct

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin

from cases.intake import IncomingFile, Limits, prepare
from tests.samples import generate

DEFAULT = Limits()


def take(tmp_path, image, name="picture", limits=DEFAULT, **save):
    path = tmp_path / name
    if isinstance(image, bytes):
        path.write_bytes(image)
    else:
        image.save(path, **save)
    return prepare([IncomingFile(name, path)], tmp_path / "work", limits)


def one(tmp_path, image, **save):
    scans, refused = take(tmp_path, image, **save)
    assert refused == []
    return scans[0]


@pytest.mark.parametrize("form", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_formats_are_told_by_their_bytes(tmp_path, form, mode):
    scan = one(tmp_path, generate.picture(mode), format=form, name="film.dcm")
    image = scan.volume.slice_image(0)
    assert image.shape == (48, 40) and image[5, 5] > 200 > 50 > image[40, 30]
    assert scan.volume.spacing is None and not scan.volume.is_colour
    assert scan.volume.window == (0.0, 255.0)


@pytest.mark.parametrize("form", ["PNG", "TIFF"])
def test_sixteen_bits_stay(tmp_path, form):
    pixels = generate.film_pixels(top=60000)
    scan = one(tmp_path, Image.fromarray(pixels), format=form)
    assert np.array_equal(scan.volume.slice_image(0), pixels)
    assert np.array_equal(np.asarray(Image.open(scan.originals[0][1])), pixels)


def test_sixteen_bit_tiff_with_white_as_zero(tmp_path):
    pixels = generate.film_pixels(top=60000)
    scan = one(tmp_path, Image.fromarray(60000 - pixels), format="TIFF", tiffinfo={262: 0})
    image = scan.volume.slice_image(0)
    assert image[5, 5] > image[20, 30]


def test_float_tiff_with_white_as_zero(tmp_path):
    pixels = generate.film_pixels(top=1000) / np.float32(1000)
    scan = one(tmp_path, Image.fromarray(1 - pixels), format="TIFF", tiffinfo={262: 0})
    assert np.allclose(scan.volume.slice_image(0), pixels - pixels.min(), atol=1e-6)
    with Image.open(scan.originals[0][1]) as kept:
        assert kept.tag_v2[262] == 1 and np.asarray(kept)[5, 5] > np.asarray(kept)[20, 30]


def chained(pages):
    """A TIFF of one picture whose directory is followed by that many copies of it."""
    out = io.BytesIO()
    generate.picture().save(out, format="TIFF")
    content = bytearray(out.getvalue())
    start = struct.unpack_from("<I", content, 4)[0]
    count = struct.unpack_from("<H", content, start)[0]
    link = start + 2 + 12 * count
    directory = bytes(content[start:link])
    for _ in range(pages):
        content += bytes(len(content) % 2)
        struct.pack_into("<I", content, link, len(content))
        link = len(content) + len(directory)
        content += directory + bytes(4)
    return bytes(content)


def test_the_directories_behind_the_first_picture_are_not_walked(tmp_path, monkeypatch):
    loaded = []
    real = TiffImagePlugin.ImageFileDirectory_v2.load

    def count(self, *args):
        loaded.append(1)
        return real(self, *args)

    monkeypatch.setattr(TiffImagePlugin.ImageFileDirectory_v2, "load", count)
    scan = one(tmp_path, chained(500))
    assert "several pictures" in scan.notes[0] and scan.volume.slice_image(0)[5, 5] == 220
    assert len(loaded) < 10
    assert one(tmp_path, chained(0)).notes == []


def test_float_tiff_with_nan(tmp_path):
    pixels = generate.film_pixels().astype(np.float32)
    pixels[0, 0] = np.nan
    scan = one(tmp_path, Image.fromarray(pixels), format="TIFF")
    assert np.isfinite(scan.volume.data).all()


def test_transparency_is_laid_on_black(tmp_path):
    image = generate.picture("RGBA")
    image.putpixel((2, 2), (255, 255, 255, 0))
    assert one(tmp_path, image, format="PNG").volume.slice_image(0)[2, 2] == 0


def test_palette(tmp_path):
    grey = generate.picture().convert("P")
    assert one(tmp_path, grey, format="PNG").volume.slice_image(0)[5, 5] == 220


def test_colour_is_real_chroma(tmp_path):
    tinted = np.asarray(generate.picture("RGB")) * np.array([0.88, 0.95, 1.0])
    assert not one(tmp_path, Image.fromarray(tinted.astype(np.uint8)), format="PNG").volume.is_colour
    random = np.random.default_rng(1).integers(0, 255, (48, 40, 3), dtype=np.uint8)
    assert one(tmp_path, Image.fromarray(random), format="PNG", name="b").volume.is_colour


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_phone_photo(tmp_path, form, orientation):
    upright = generate.picture("RGB")
    back = {
        1: None,
        3: Image.Transpose.ROTATE_180,
        6: Image.Transpose.ROTATE_90,
        8: Image.Transpose.ROTATE_270,
    }
    way = back[orientation]
    stored = upright if way is None else upright.transpose(way)
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x010E], exif[0x010F] = "Quentin Zyxwvut", "SECRETPHONE"
    exif.get_ifd(0x8825)[2] = (48.0, 51.0, 30.0)
    scan = one(tmp_path, stored, format=form, exif=exif)
    image = scan.volume.slice_image(0)
    assert image.shape == (48, 40) and image[5, 5] > 200 > 50 > image[40, 30]
    kept = scan.originals[0][1].read_bytes()
    assert b"Quentin" not in kept and b"SECRETPHONE" not in kept and b"Exif" not in kept
    again = Image.open(io.BytesIO(kept))
    assert not again.getexif() or form == "TIFF"
    assert again.size == (40, 48)


def test_jpeg_keeps_its_very_pixels_and_loses_what_follows_them(tmp_path):
    out = io.BytesIO()
    generate.picture("RGB").save(out, format="JPEG", progressive=True, comment=b"Quentin")
    scan = one(tmp_path, out.getvalue() + b"MotionPhoto Quentin film")
    kept = scan.originals[0][1].read_bytes()
    assert b"Quentin" not in kept and scan.originals[0][0] == "0001.jpg"
    assert np.array_equal(
        np.asarray(Image.open(io.BytesIO(kept))), np.asarray(Image.open(io.BytesIO(out.getvalue())))
    )


@pytest.mark.parametrize("form", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_cut_short(tmp_path, form):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64), dtype=np.uint8))
    out = io.BytesIO()
    noise.save(out, format=form)
    scans, refused = take(tmp_path, out.getvalue()[: out.tell() // 2], name="half.jpg")
    assert scans == []
    assert (refused[0].name, refused[0].code) == ("half.jpg", "image_damaged")


def huge_png() -> bytes:
    import struct
    import zlib

    def chunk(name, body):
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    empty = chunk(b"IDAT", zlib.compress(bytes(100_000)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + empty + chunk(b"IEND", b"")


def test_huge_header_is_refused_before_decoding(tmp_path):
    scans, refused = take(tmp_path, huge_png())
    assert scans == []
    assert refused[0].code == "too_many_pixels"
    scans, refused = take(
        tmp_path, generate.picture("L", (100, 100)), name="b", limits=Limits(max_pixels=9_999), format="PNG"
    )
    assert refused[0].code == "too_many_pixels"


def test_thumbnail_is_refused(tmp_path):
    assert take(tmp_path, generate.picture("L", (12, 12)), format="PNG")[1][0].code == "too_small"


def test_the_kept_original_of_a_film_whose_white_is_zero_is_no_negative(tmp_path):
    pixels = np.full((64, 64), 5000, dtype=np.uint16)
    pixels[:32] = 60000
    scan = one(tmp_path, Image.fromarray(pixels), name="film.tif", format="TIFF", tiffinfo={262: 0})
    shown = scan.volume.slice_image(0)
    assert shown[5, 5] < shown[60, 5]
    kept = np.asarray(Image.open(scan.originals[0][1])).astype(int)
    assert kept[5, 5] < kept[60, 5] and kept[60, 5] - kept[5, 5] == 55000
