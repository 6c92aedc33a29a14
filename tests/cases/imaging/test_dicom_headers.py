"""What a header says of a picture: writing, view, shape of pixels, whose it is and how the patient lay."""

import numpy as np
import pytest
from pydicom import Dataset

from cases.imaging.volume import CanonicalVolume
from cases.intake import IncomingFile, prepare
from tests.samples import generate


def take(tmp_path, *contents):
    files = []
    for number, content in enumerate(contents):
        (tmp_path / f"in-{number}").write_bytes(content)
        files.append(IncomingFile(f"file {number}", tmp_path / f"in-{number}"))
    return prepare(files, tmp_path / "work")


def film(modality="DX", **attributes):
    return generate.to_bytes(generate.dataset(generate.film_pixels(), modality, **attributes))


@pytest.mark.parametrize(
    ("modality", "attributes", "noted"),
    [
        ("DX", {}, False),
        ("DX", {"ImageType": ["ORIGINAL", "PRIMARY"]}, False),
        ("SC", {}, True),
        ("OT", {"BurnedInAnnotation": "NO"}, False),
        ("DX", {"ConversionType": "DF"}, True),
        ("CR", {"ImageType": ["DERIVED", "SECONDARY"]}, True),
        ("CT", {"ImageType": ["DERIVED", "PRIMARY", "SCREEN SAVE"]}, True),
        ("DX", {"ConversionType": "DF", "BurnedInAnnotation": "NO"}, False),
    ],
)
def test_pictures_that_often_carry_writing_are_noted(tmp_path, modality, attributes, noted):
    ((scan,), _) = take(tmp_path, film(modality, **attributes))
    assert any("may carry writing" in note for note in scan.notes) == noted


def test_a_mosaic_is_refused_in_words(tmp_path):
    scans, refused = take(tmp_path, film("MR", ImageType=["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"]))
    assert scans == [] and [one.code for one in refused] == ["mosaic"]
    assert "one slice in each picture" in refused[0].message


def coded(value):
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "SCT", "some view"
    return [item]


@pytest.mark.parametrize(
    ("attributes", "view"),
    [
        ({"ViewPosition": "LL"}, "LL"),
        ({"ViewPosition": "pa"}, "PA"),
        ({}, ""),
        ({"ViewPosition": "x" * 20 + "^"}, ""),
        ({"ViewCodeSequence": coded("399067008")}, "LATERAL"),
        ({"ViewCodeSequence": coded("R-10236")}, "LATERAL"),
        ({"ViewCodeSequence": coded("399348003")}, ""),
        ({"ViewCodeSequence": coded("399067008"), "ViewPosition": "AP"}, "AP"),
    ],
)
def test_the_view_of_a_film_is_kept(tmp_path, attributes, view):
    ((scan,), _) = take(tmp_path, film(**attributes))
    assert scan.volume.view == view
    scan.volume.to_nifti().to_filename(tmp_path / "scan.nii.gz")
    assert CanonicalVolume.from_nifti(tmp_path / "scan.nii.gz").view == view


@pytest.mark.parametrize(
    ("attributes", "aspect"),
    [
        ({}, 1.0),
        ({"PixelAspectRatio": [2, 1]}, 2.0),
        ({"PixelAspectRatio": [0, 1]}, 1.0),
        ({"PixelAspectRatio": [2, 1], "PixelSpacing": [0.3, 0.3]}, 1.0),
    ],
)
def test_pixels_that_are_not_square_keep_their_shape_without_a_size(tmp_path, attributes, aspect):
    ((scan,), _) = take(tmp_path, film(**attributes))
    assert scan.volume.pixel_aspect() == pytest.approx(aspect)
    assert (scan.volume.spacing is None) == ("PixelSpacing" not in attributes)
    scan.volume.to_nifti().to_filename(tmp_path / "scan.nii.gz")
    back = CanonicalVolume.from_nifti(tmp_path / "scan.nii.gz")
    assert back.pixel_aspect() == pytest.approx(aspect) and back.spacing == scan.volume.spacing


@pytest.mark.parametrize(
    ("other", "noted"),
    [
        ({}, False),
        ({"PatientID": generate.PATIENT_ID.lower(), "PatientName": "ZYXWVUT^quentin^"}, False),
        ({"PatientID": "", "PatientName": ""}, False),
        ({"PatientID": "another"}, True),
        ({"PatientName": "Another^One"}, True),
    ],
)
def test_two_people_in_one_upload_are_noted_and_not_named(tmp_path, other, noted):
    scans, refused = take(tmp_path, film(), film(**other))
    assert refused == [] and len(scans) == 2
    for scan in scans:
        assert any("more than one person" in note for note in scan.notes) == noted
        assert not any("nother" in note or "Quentin" in note for note in scan.notes)


def test_pictures_without_a_place_have_no_left_and_right(tmp_path):
    frames = generate.dataset(generate.film_pixels(), "MR", NumberOfFrames=3)
    frames.PixelData = frames.PixelData * 3
    series = [
        generate.dataset(generate.film_pixels() + number, "MR", SeriesInstanceUID="1.2.3")
        for number in range(3)
    ]
    for contents in ([generate.to_bytes(frames)], [generate.to_bytes(one) for one in series]):
        ((scan,), _) = take(tmp_path, *contents)
        assert scan.volume.n_slices() == 3 and not scan.volume.oriented
        assert any("do not say where each picture lies" in note for note in scan.notes)
    ((scan,), _) = take(tmp_path, *generate.axial_series())
    assert scan.volume.oriented and scan.notes == []


def test_a_series_with_a_place_but_no_spacing_has_a_left_and_a_right(tmp_path):
    cosines = {"ImageOrientationPatient": [1, 0, 0, 0, 1, 0], "SeriesInstanceUID": "1.2.3"}
    files = [
        generate.to_bytes(
            generate.dataset(
                generate.film_pixels() + k, "MR", ImagePositionPatient=[0, 0, 3.0 * k], **cosines
            )
        )
        for k in range(3)
    ]
    ((scan,), _) = take(tmp_path, *files)
    assert scan.volume.spacing is None and scan.volume.oriented
    assert np.array_equal(scan.volume.slice_image(1), generate.film_pixels() + 1)
