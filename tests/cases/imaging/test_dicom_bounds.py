"""A small file must not become much memory, much work or many scans."""

import struct

import numpy as np
import pydicom
import pytest
from pydicom import Dataset
from pydicom.encaps import encapsulate
from pydicom.filebase import DicomBytesIO
from pydicom.uid import RLELossless

from cases.imaging import dicom_series
from cases.imaging.codestream import rle_fits
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
    real = dicom_series._alike

    def count(one, other):
        compared.append(other)
        return real(one, other)

    monkeypatch.setattr(dicom_series, "_alike", count)
    scans, refused = take(tmp_path, turned(300, 300))
    assert scans == [] and [(one.name, one.code) for one in refused] == [("file 0.dcm", "too_many_scans")]
    assert "more than 50 scans" in refused[0].message
    assert len(compared) <= 50 * 51 / 2  # it stops when it has seen enough


def test_many_films_and_many_series_are_counted(tmp_path):
    films = [generate.to_bytes(generate.dataset(generate.film_pixels())) for _ in range(3)]
    slices = [generate.to_bytes(generate.dataset(generate.film_pixels(), "MR")) for _ in range(3)]
    mixed = [turned(4, 2), films[0]]
    for contents in (films, slices, [*films[:2], slices[0]], mixed):
        scans, refused = take(tmp_path, *contents, limits=Limits(max_stacks=2))
        assert scans == [] and [one.code for one in refused] == ["too_many_scans"]
        assert refused[0].name == f"file 0.dcm (and {len(contents) - 1} more)"
        assert len(take(tmp_path, *contents, limits=Limits(max_stacks=3))[0]) == 3


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
