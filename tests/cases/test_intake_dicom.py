"""DICOM: display values, geometry, grouping, and what is refused."""

import random
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.filebase import DicomBytesIO
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    RLELossless,
    generate_uid,
)

from cases.intake import IncomingFile, Limits, prepare
from tests.samples import generate

DEFAULT = Limits()


def take(tmp_path, *files, limits=DEFAULT):
    incoming = []
    for number, content in enumerate(files):
        path = tmp_path / f"in-{number}"
        path.write_bytes(content)
        incoming.append(IncomingFile(f"file {number}.txt", path))
    return prepare(incoming, tmp_path / "work", limits)


def one(tmp_path, *files):
    scans, refused = take(tmp_path, *files)
    assert refused == []
    assert len(scans) == 1
    return scans[0]


def film(**attributes):
    return generate.dataset(generate.film_pixels(), "DX", **attributes)


def image_of(scan):
    return scan.volume.slice_image(0)


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_polarity_follows_the_tag(tmp_path, photometric):
    image = image_of(one(tmp_path, generate.to_bytes(film(PhotometricInterpretation=photometric))))
    bright = image[6, 6] > image[20, 30]
    assert bright == (photometric == "MONOCHROME2")


def test_rescale_then_window_then_inversion(tmp_path):
    attributes = {"RescaleSlope": 2, "RescaleIntercept": -100, "WindowCenter": 4000, "WindowWidth": 4000}
    volume = one(tmp_path, generate.to_bytes(film(**attributes))).volume
    low, high = volume.window
    image = volume.slice_image(0)
    assert image[20, 30] == low and image[6, 6] == high  # 300 and 7,900 lie outside 2,000 to 6,000
    assert low < image[-4, 20] < high  # 3,900 lies inside
    inverse = film(PhotometricInterpretation="MONOCHROME1", **attributes)
    turned = one(tmp_path, generate.to_bytes(inverse)).volume
    assert np.allclose(turned.slice_image(0), low + high - image)


def test_a_window_that_shows_nothing_is_not_followed(tmp_path):
    image = image_of(one(tmp_path, generate.to_bytes(film(WindowCenter=60000, WindowWidth=2))))
    assert image[6, 6] > image[20, 30]


@pytest.mark.parametrize("keyword", ["PixelSpacing", "ImagerPixelSpacing", None])
def test_film_spacing(tmp_path, keyword):
    scan = one(tmp_path, generate.to_bytes(film(**({keyword: [0.3, 0.2]} if keyword else {}))))
    assert scan.volume.spacing == ((0.2, 0.3, 1.0) if keyword else None)
    assert any("detector" in note for note in scan.notes) == (keyword == "ImagerPixelSpacing")


def test_burned_in_writing_is_noted(tmp_path):
    assert "burned" in one(tmp_path, generate.to_bytes(film(BurnedInAnnotation="YES"))).notes[0]


def test_transfer_syntaxes_agree(tmp_path):
    plain = image_of(one(tmp_path, generate.to_bytes(film())))
    swapped = film(PixelData=generate.film_pixels().astype(">u2").tobytes())
    packed = pydicom.dcmread(DicomBytesIO(generate.to_bytes(film())))
    packed.compress(RLELossless)
    for data, syntax in (
        (film(), ImplicitVRLittleEndian),
        (film(), DeflatedExplicitVRLittleEndian),
        (swapped, ExplicitVRBigEndian),
        (packed, RLELossless),
    ):
        scan = one(tmp_path, generate.to_bytes(data, syntax))
        assert np.array_equal(image_of(scan), plain), syntax.name
        assert np.array_equal(pydicom.dcmread(scan.originals[0][1]).pixel_array, plain), syntax.name


def test_deflated_bomb_is_bounded(tmp_path):
    content = generate.to_bytes(film(PixelData=bytes(30_000_000)), DeflatedExplicitVRLittleEndian)
    assert len(content) < 100_000
    assert take(tmp_path, content, limits=Limits(max_bytes=10_000_000))[1][0].code == "zip_bomb"


def test_series_is_sorted_by_place(tmp_path):
    scan = one(tmp_path, *generate.axial_series())
    volume = scan.volume
    assert np.array_equal(volume.data, generate.head())
    assert volume.spacing == pytest.approx((0.9, 1.1, 2.5)) and volume.plane == "axial"
    assert len(scan.originals) == 24 and scan.notes == []
    assert volume.affine[:3, 3] == pytest.approx((10 - 31 * 0.9, 20 - 39 * 1.1, 5.0))


def test_two_series_become_two_scans_and_equal_bytes_one(tmp_path):
    first, second = generate.axial_series(), generate.axial_series()
    scans, refused = take(tmp_path, *first, *second, *first[:3])
    assert refused == [] and [scan.volume.n_slices() for scan in scans] == [24, 24]
    assert scans[0].sha256 != scans[1].sha256
    alone = one(tmp_path, *reversed(first))
    assert alone.sha256 == scans[0].sha256


def test_missing_slices_are_said(tmp_path):
    files = generate.axial_series()
    places = [pydicom.dcmread(DicomBytesIO(raw)).ImagePositionPatient[2] for raw in files]
    kept = [raw for place, raw in zip(places, files, strict=True) if place not in (25.0, 27.5)]
    scan = one(tmp_path, *kept)
    assert scan.volume.spacing[2] == pytest.approx(2.5)
    assert "2 slices" in scan.notes[0]


def test_broken_slice_is_named_and_the_rest_goes_in(tmp_path):
    files = generate.axial_series()
    files[4] = files[4][:-500]
    scans, refused = take(tmp_path, *files)
    assert [scan.volume.n_slices() for scan in scans] == [23]
    assert [(one.name, one.code) for one in refused] == [("file 4.txt", "truncated")]


def test_localizer_is_split_by_orientation(tmp_path):
    series, files = generate_uid(), []
    for cosines in ([1, 0, 0, 0, 1, 0], [1, 0, 0, 0, 0, -1], [0, 1, 0, 0, 0, -1]):
        for step in range(2):
            place = list(np.cross(cosines[:3], cosines[3:]) * 5.0 * step)
            files.append(
                generate.to_bytes(
                    generate.dataset(
                        generate.film_pixels(),
                        "MR",
                        SeriesInstanceUID=series,
                        ImageOrientationPatient=cosines,
                        ImagePositionPatient=place,
                        PixelSpacing=[1.0, 1.0],
                    )
                )
            )
    scans, refused = take(tmp_path, *files)
    assert refused == []
    assert sorted(scan.volume.plane for scan in scans) == ["axial", "coronal", "sagittal"]
    for scan in scans:
        image = scan.volume.slice_image(0, scan.volume.plane)
        assert np.array_equal(image, generate.film_pixels())  # as on any viewer: nothing flipped


def test_two_echoes_are_two_scans(tmp_path):
    series, files = generate_uid(), []
    for echo in (20, 90):
        for k in range(4):
            place = {"ImagePositionPatient": [0, 0, 3.0 * k], "ImageOrientationPatient": [1, 0, 0, 0, 1, 0]}
            place |= {"SeriesInstanceUID": series, "EchoTime": echo, "PixelSpacing": [1, 1]}
            one_slice = generate.dataset(generate.film_pixels() + echo, "MR", **place)
            files.append(generate.to_bytes(one_slice))
    scans, _ = take(tmp_path, *files)
    assert [scan.volume.n_slices() for scan in scans] == [4, 4]
    assert len({int(scan.volume.data.min()) for scan in scans}) == 2


def test_cut_short_and_without_pixels(tmp_path):
    whole = generate.to_bytes(film())
    bare = film()
    del bare.PixelData
    scans, refused = take(tmp_path, whole[:-300], generate.to_bytes(bare), whole)
    assert len(scans) == 1
    assert [one.code for one in refused] == ["truncated", "no_pixels"]


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("test-SR.dcm", "no_pixels"),
        ("rtplan.dcm", "no_pixels"),
        ("MR_truncated.dcm", "truncated"),
        ("DICOMDIR", "dicomdir"),
    ],
)
def test_reference_files_that_are_refused(tmp_path, name, code):
    scans, refused = prepare([IncomingFile(name, Path(str(get_testdata_file(name))))], tmp_path / "work")
    assert scans == []
    assert [(one.name, one.code) for one in refused] == [(name, code)]
    assert refused[0].message.endswith((".", "again."))


def test_colour(tmp_path):
    for name in ("examples_rgb_color.dcm", "examples_palette.dcm", "SC_rgb_jpeg_dcmtk.dcm"):
        scans, refused = prepare([IncomingFile(name, Path(str(get_testdata_file(name))))], tmp_path / name)
        assert refused == [] and scans[0].volume.is_colour, name


def test_huge_header(tmp_path):
    scans, refused = take(tmp_path, generate.to_bytes(film(Rows=60000, Columns=60000)))
    assert scans == [] and refused[0].code == "too_many_pixels"


def reference_files():
    import data_store  # type: ignore[import-untyped]

    folders = [Path(pydicom.__file__).parent / "data", Path(data_store.__file__).parent / "data"]
    return [path for folder in folders for path in sorted(folder.rglob("*")) if path.is_file()]


@pytest.mark.slow
def test_no_reference_file_raises(tmp_path):
    files = [path for path in reference_files() if path.name != "color3d_jpeg_baseline.dcm"]
    limits = Limits(max_stacks=1000)
    scans, refused = prepare([IncomingFile(path.name, path) for path in files], tmp_path / "work", limits)
    assert len(scans) > 90
    assert "unreadable" not in {one.code for one in refused}


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_damaged_files_are_answered(tmp_path, seed):
    dice = random.Random(seed)
    files = [path for path in reference_files() if path.stat().st_size < 100_000]
    contents = [generate.to_bytes(film()), *generate.axial_series()[:2]]
    for round_ in range(60):
        content = bytearray(dice.choice([*contents, dice.choice(files).read_bytes()]))
        if dice.random() < 0.3:
            del content[dice.randrange(len(content) + 1) :]
        for _ in range(dice.choice([1, 3, 30])):
            if content:
                content[int(dice.random() ** 2 * len(content))] = dice.randrange(256)
        path = tmp_path / str(round_)
        path.write_bytes(content)
        scans, refused = prepare(
            [IncomingFile("x", path)], tmp_path / f"w{round_}", Limits(max_pixels=20_000_000)
        )
        assert scans or refused
