"""A small file must not become much memory, much work or many scans."""

import io
import struct
import time
import tracemalloc
import zlib

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom import Dataset
from pydicom.encaps import encapsulate
from pydicom.filebase import DicomBytesIO
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    HTJ2KLossless,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    RLELossless,
)

from cases.imaging import dicom_stacks
from cases.imaging.codestream import rle_fits, stream_size
from cases.imaging.deidentify import Deidentifier
from cases.imaging.dicom import read_dataset
from cases.imaging.volume import ImagingError
from cases.intake import IncomingFile, Limits, prepare
from tests.samples import generate

DEFAULT = Limits()


def take(tmp_path, *contents, limits=DEFAULT):
    files = []
    for number, content in enumerate(contents):
        (tmp_path / f"in-{number}").write_bytes(content)
        files.append(IncomingFile(f"file {number}.dcm", tmp_path / f"in-{number}"))
    return prepare(files, tmp_path / "work", limits)


def rle(*segments):
    """An RLE frame of these encoded segments."""
    starts = [64 + sum(len(one) for one in segments[:number]) for number in range(len(segments))]
    header = [len(segments), *starts, *[0] * (15 - len(segments))]
    return struct.pack("<16L", *header) + b"".join(segments)


@pytest.mark.parametrize(
    ("segment", "fits"),
    [
        (bytes([0x81, 7]), True),  # 128 bytes out of two
        (bytes([0x81, 7]) * 2, False),
        (bytes([127]) + bytes(128), True),  # 128 bytes as they are
        (bytes([127]) + bytes(128) + bytes([0, 0]), False),
        (bytes([0x80]) * 9 + bytes([0x81, 7]), True),  # no-ops
        (bytes([0x80]) * 1000, False),
    ],
)
def test_rle_runs_are_summed(segment, fits):
    assert rle_fits(rle(segment), 128) == fits
    assert rle_fits(rle(b"\x81\0", segment), 128) == fits


@pytest.mark.parametrize(
    "header", [(0, 0), (16, 64), (2**32 - 1, 64), (1, 0), (1, 2**31), (2, 70, 64)], ids=str
)
def test_rle_headers_that_make_no_sense(header):
    assert not rle_fits(struct.pack("<16L", *header, *[0] * (16 - len(header))) + bytes(20), 128)
    assert not rle_fits(b"\1", 128)


def packed(*segments):
    source = pydicom.dcmread(DicomBytesIO(generate.to_bytes(generate.dataset(generate.film_pixels()))))
    source.compress(RLELossless)
    if segments:
        source.PixelData = encapsulate([rle(*segments)])
    return generate.to_bytes(source, RLELossless)


def test_rle_bomb_is_refused_before_it_is_decoded(tmp_path, monkeypatch):
    decoded = []
    monkeypatch.setattr("pydicom.pixels.decoders.rle._rle_decode_segment", decoded.append)
    bomb = bytes([0x81, 7]) * 100_000
    scans, refused = take(tmp_path, packed(bomb, bomb), packed())
    assert len(scans) == 1 and [(one.name, one.code) for one in refused] == [("file 0.dcm", "dicom_damaged")]
    assert decoded == []


def test_a_file_out_of_a_zip_is_held_to_the_limit_too(tmp_path):
    large = generate.dataset(generate.film_pixels(2000, 2000))
    small = generate.dataset(generate.film_pixels())
    members = {"large.dcm": generate.to_bytes(large), "small.dcm": generate.to_bytes(small)}
    packed_ = generate.zip_of(tmp_path, members)
    assert packed_.stat().st_size < 1_000_000
    limits = Limits(max_bytes=1_000_000)
    scans, refused = prepare([IncomingFile("scan.zip", packed_)], tmp_path / "work", limits)
    assert len(scans) == 1
    assert [(one.name, one.code) for one in refused] == [("scan.zip: large.dcm", "too_many_bytes")]
    (tmp_path / "large").write_bytes(members["large.dcm"])
    for pixels in (True, False):
        with pytest.raises(ImagingError):
            read_dataset(tmp_path / "large", 1_000_000, pixels=pixels)


def turned(frames, turns):
    """One enhanced MR file whose frames lie in `turns` orientations."""
    data = generate.dataset(generate.film_pixels(16, 16), "MR", NumberOfFrames=frames)
    data.PixelData = data.PixelData * frames
    measures, shared = Dataset(), Dataset()
    measures.PixelSpacing = [1, 1]
    shared.PixelMeasuresSequence = [measures]
    data.SharedFunctionalGroupsSequence = [shared]
    groups = []
    for number in range(frames):
        angle = 2 * np.pi * (number % turns) / turns
        group, place, plane = Dataset(), Dataset(), Dataset()
        place.ImagePositionPatient = [0, 0, float(number)]
        plane.ImageOrientationPatient = [round(float(np.cos(angle)), 6), round(float(np.sin(angle)), 6), 0]
        plane.ImageOrientationPatient += [
            -plane.ImageOrientationPatient[1],
            plane.ImageOrientationPatient[0],
            0,
        ]
        group.PlanePositionSequence, group.PlaneOrientationSequence = [place], [plane]
        groups.append(group)
    data.PerFrameFunctionalGroupsSequence = groups
    return generate.to_bytes(data)


def test_one_file_cannot_become_countless_scans(tmp_path, monkeypatch):
    compared = []
    real = dicom_stacks._alike

    def count(one, other):
        compared.append(other)
        return real(one, other)

    monkeypatch.setattr(dicom_stacks, "_alike", count)
    scans, refused = take(tmp_path, turned(300, 300))
    assert scans == [] and [(one.name, one.code) for one in refused] == [("file 0.dcm", "too_many_scans")]
    assert "more than 50 directions" in refused[0].message
    assert len(compared) <= 50 * 51 / 2  # it stops when it has seen enough


def test_of_too_many_scans_the_largest_series_are_kept(tmp_path):
    films = [generate.to_bytes(generate.dataset(generate.film_pixels())) for _ in range(3)]
    slices = [generate.to_bytes(generate.dataset(generate.film_pixels(), "MR")) for _ in range(3)]
    mixed = [films[0], turned(4, 2)]
    for contents, left in ((films, 1), (slices, 1), ([*films[:2], slices[0]], 1), (mixed, 0)):
        scans, refused = take(tmp_path, *contents, limits=Limits(max_stacks=2))
        assert len(scans) == 2 and [one.code for one in refused] == ["too_many_scans"]
        assert refused[0].name == ("file 0.dcm" if left == 0 else "file 2.dcm")
        assert "more than 2 scans" in refused[0].message
        assert len(take(tmp_path, *contents, limits=Limits(max_stacks=3))[0]) == 3
    assert [scan.volume.n_slices() for scan in scans] == [2, 2]
    scans, refused = take(tmp_path, *films, *generate.axial_series(), limits=Limits(max_stacks=1))
    assert [scan.volume.n_slices() for scan in scans] == [24]
    assert [one.name for one in refused] == ["file 0.dcm (and 2 more)"]


def test_a_turning_view_costs_no_other_series(tmp_path):
    members = {f"T1/{number}": content for number, content in enumerate(generate.axial_series())}
    turns = {"MIP/all": turned(60, 60)}
    archive = generate.zip_of(tmp_path, {**turns, **members})
    scans, refused = prepare([IncomingFile("cd.zip", archive)], tmp_path / "work")
    assert [scan.volume.n_slices() for scan in scans] == [24]
    assert [(one.name, one.code) for one in refused] == [("cd.zip: MIP/all", "too_many_scans")]


def test_a_file_of_many_scans_is_deidentified_once(tmp_path, monkeypatch):
    calls = []
    real = Deidentifier.to_bytes

    def count(self, dataset, syntax):
        calls.append(syntax)
        return real(self, dataset, syntax)

    monkeypatch.setattr(Deidentifier, "to_bytes", count)
    scans, refused = take(tmp_path, turned(12, 3))
    assert refused == [] and [scan.volume.n_slices() for scan in scans] == [4, 4, 4]
    assert len(calls) == 1 and len({scan.sha256 for scan in scans}) == 3
    assert all([path.is_file() for _, path in scan.originals] == [True] for scan in scans)


def deflated_bomb(meta_text=b"", *, preamble=True, repeats=1):
    """A file that unpacks to some 30 MB, with an odd meta information."""

    def element(number, vr, value):
        value += b"\0" * (len(value) % 2)
        return struct.pack("<HH2sH", 2, number, vr, len(value)) + value

    syntax = element(0x10, b"UI", DeflatedExplicitVRLittleEndian.encode())
    body = generate.to_bytes(generate.dataset(generate.film_pixels(), PixelData=bytes(30_000_000)))
    body = body[body.index(b"\x08\0\x16\0UI") :]
    for _ in range(repeats):
        packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
        body = syntax + packer.compress(body) + packer.flush()
    meta = element(0x00, b"UL", bytes(4)) + element(0x03, b"UI", b"1.2.3" + meta_text)
    return (bytes(128) + b"DICM" if preamble else b"") + meta + body


@pytest.mark.parametrize(
    "bomb",
    [
        {},
        {"meta_text": bytes(5000)},
        {"preamble": False},
        {"preamble": False, "meta_text": bytes(5000)},
        {"repeats": 2},
    ],
    ids=["plain", "padded", "bare", "bare and padded", "nested"],
)
def test_a_deflated_bomb_is_bounded_however_its_meta_information_looks(tmp_path, bomb):
    content = deflated_bomb(**bomb)
    assert len(content) < 100_000
    tracemalloc.start()
    scans, refused = take(tmp_path, content, limits=Limits(max_bytes=1_000_000))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    wanted = "dicom_damaged" if "repeats" in bomb else "zip_bomb"
    assert scans == [] and [one.code for one in refused] == [wanted]
    assert peak < 10_000_000


@pytest.mark.parametrize("bare", [False, True])
def test_deflated_files_are_read_whatever_precedes_the_syntax(tmp_path, bare):
    data = generate.dataset(generate.film_pixels())
    content = generate.to_bytes(data, DeflatedExplicitVRLittleEndian)
    scans, refused = take(tmp_path, content[132:] if bare else content)
    assert refused == [] and np.array_equal(scans[0].volume.slice_image(0), generate.film_pixels())


def compressed(stream, syntax, copies=1):
    """A small 8-bit film whose picture is this stream."""
    data = generate.dataset(generate.film_pixels(), NumberOfFrames=copies)
    data.BitsAllocated, data.BitsStored, data.HighBit = 8, 8, 7
    data.PixelData = encapsulate([stream] * copies)
    data["PixelData"].VR = "OB"
    data["PixelData"].is_undefined_length = True
    return generate.to_bytes(data, syntax)


def jpeg(rows=48, columns=40, before=b""):
    """A film as JPEG that says so large a picture, with stray bytes before its frame header."""
    out = io.BytesIO()
    Image.fromarray(generate.film_pixels(top=200).astype(np.uint8)).save(out, format="JPEG")
    head, tail = out.getvalue().split(b"\xff\xc0", 1)
    return head + before + b"\xff\xc0" + tail[:3] + struct.pack(">HH", rows, columns) + tail[7:]


def jpeg2000(rows=48, columns=40, box=b""):
    """A film as a JP2 file that says so large a picture, with a box before its codestream."""
    out = io.BytesIO()
    Image.fromarray(generate.film_pixels(top=200).astype(np.uint8)).save(out, format="JPEG2000")
    head, tail = out.getvalue().split(b"jp2c", 1)
    if box:
        box = struct.pack(">I", len(box) + 8) + b"xml " + box
    size = struct.pack(">II", columns, rows)
    return head[:-4] + box + head[-4:] + b"jp2c" + tail[:8] + size + tail[16:]


BARE_STREAM = jpeg2000()[jpeg2000().index(b"\xff\x4f\xff\x51") :]
HUGE = [
    (jpeg(15000, 15000), JPEGBaseline8Bit),
    (jpeg(15000, 15000, b"\0"), JPEGBaseline8Bit),
    (jpeg(15000, 15000, b"\xff\x01\xff\xd0"), JPEGBaseline8Bit),
    (
        jpeg(48, 40, b"\xff\xde\0\x0b\x08" + struct.pack(">HH", 15000, 15000) + b"\1\1\x11\0"),
        JPEGBaseline8Bit,
    ),
    (jpeg2000(15000, 15000, bytes(5000)), JPEG2000Lossless),
    (jpeg2000(15000, 15000, BARE_STREAM), JPEG2000Lossless),
    (jpeg2000(15000, 15000, bytes(70000)), HTJ2KLossless),
]


@pytest.mark.parametrize(("stream", "syntax"), HUGE, ids=range(len(HUGE)))
def test_a_stream_larger_than_its_header_says_is_not_decoded(tmp_path, monkeypatch, stream, syntax):
    decoded = []
    monkeypatch.setattr("cases.imaging.dicom_pixels.iter_pixels", lambda *_args, **_named: decoded.append(1))
    scans, refused = take(tmp_path, compressed(stream, syntax))
    assert scans == [] and [one.code for one in refused] == ["too_many_pixels"]
    assert decoded == []


@pytest.mark.parametrize("syntax", [JPEGBaseline8Bit, JPEGLSLossless, JPEG2000Lossless, HTJ2KLossless])
@pytest.mark.parametrize(
    "stream",
    [b"\xff\xd8" + bytes(80) + b"\xff\xd9", bytes(80), jpeg(0, 40)],
    ids=["no frame", "nothing", "no rows"],
)
def test_a_stream_without_a_readable_size_is_not_decoded(tmp_path, monkeypatch, stream, syntax):
    decoded = []
    monkeypatch.setattr("cases.imaging.dicom_pixels.iter_pixels", lambda *_args, **_named: decoded.append(1))
    scans, refused = take(tmp_path, compressed(stream, syntax))
    assert scans == [] and [one.code for one in refused] == ["dicom_damaged"]
    assert decoded == []


def test_the_codestream_of_a_jp2_file_is_the_one_in_its_box(tmp_path):
    stream = jpeg2000(box=BARE_STREAM + bytes(70000))
    scans, refused = take(tmp_path, compressed(stream, JPEG2000Lossless))
    assert refused == [] and np.array_equal(scans[0].volume.slice_image(0), generate.film_pixels(top=200))
    kept = scans[0].originals[0][1].read_bytes()
    assert len(kept) < 10_000 and kept.count(b"\xff\x4f\xff\x51") == 1


@pytest.mark.parametrize(
    "stream",
    [
        b"\xff\xd8" + b"\xff\xd0" * 1_000_000 + jpeg()[2:],
        jpeg2000()[:12] + struct.pack(">I4s", 8, b"free") * 500_000 + jpeg2000()[12:],
    ],
    ids=["markers", "boxes"],
)
def test_the_search_for_a_size_ends(stream):
    start = time.process_time()
    assert stream_size(stream) is None
    assert time.process_time() - start < 0.1
