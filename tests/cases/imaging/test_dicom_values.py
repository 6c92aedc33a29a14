"""Values as the file means them: where they lie in their cells, and what is no part of the picture."""

import numpy as np
import pydicom
import pytest
from pydicom.filebase import DicomBytesIO
from pydicom.uid import (
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from cases.intake import IncomingFile, prepare
from tests.samples import generate


def one(tmp_path, data, syntax=ExplicitVRLittleEndian):
    (tmp_path / "film").write_bytes(generate.to_bytes(data, syntax))
    ((scan,), refused) = prepare([IncomingFile("film", tmp_path / "film")], tmp_path / "work")
    assert refused == []
    return scan


def packed(data, syntax):
    """The data set with its pixels compressed in all their bits, whatever Bits Stored says of them."""
    stored, high = data.BitsStored, data.HighBit
    data.BitsStored, data.HighBit = data.BitsAllocated, data.BitsAllocated - 1
    source = pydicom.dcmread(DicomBytesIO(generate.to_bytes(data)))
    source.compress(syntax)
    source.BitsStored, source.HighBit = stored, high
    return source


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, RLELossless, JPEGLSLossless, JPEG2000Lossless])
@pytest.mark.parametrize("kind", ["u2", "i2"])
def test_values_at_the_upper_end_of_their_cells(tmp_path, kind, syntax):
    values = generate.film_pixels().astype(np.int64) - (2000 if kind == "i2" else 0)
    overlay = np.indices(values.shape).sum(axis=0) % 16
    data = generate.dataset((values << 4 | overlay).astype(kind).view("u2"), HighBit=15)
    data.PixelRepresentation = int(kind == "i2")
    scan = one(tmp_path, data if syntax == ExplicitVRLittleEndian else packed(data, syntax), syntax)
    assert np.array_equal(scan.volume.slice_image(0), values)


@pytest.mark.parametrize("frames", [1, 2])
@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, RLELossless, JPEGLSLossless, JPEG2000Lossless])
@pytest.mark.parametrize("kind", ["u2", "i2"])
def test_values_that_do_not_lie_where_the_high_bit_says(tmp_path, kind, syntax, frames):
    values = generate.film_pixels().astype(np.int64) // 2 - (1000 if kind == "i2" else 0) + 1
    data = generate.dataset(values.astype(kind).view("u2"), HighBit=15)
    data.PixelRepresentation = int(kind == "i2")
    if frames > 1:  # the first, dark one must not decide for itself
        data.NumberOfFrames, data.PixelData = 2, np.full(values.shape, 16, kind).tobytes() + data.PixelData
    scan = one(tmp_path, data if syntax == ExplicitVRLittleEndian else packed(data, syntax), syntax)
    assert np.array_equal(scan.volume.slice_image(frames - 1), values)
    kept = pydicom.dcmread(scan.originals[0][1])
    assert np.array_equal(kept.pixel_array.reshape(-1, *values.shape)[-1], values)


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless, JPEG2000Lossless])
def test_overlays_above_the_values_are_not_shown(tmp_path, syntax):
    values = generate.film_pixels()
    overlay = (np.indices(values.shape).sum(axis=0) % 16 << 12).astype(np.uint16)
    scan = one(tmp_path, packed(generate.dataset(values | overlay), syntax), syntax)
    assert np.array_equal(scan.volume.slice_image(0), values)


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
@pytest.mark.parametrize("last", [None, 4090])
@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_padding_is_as_dark_as_the_darkest_part_of_the_picture(tmp_path, photometric, last, syntax):
    values = generate.film_pixels(top=3000)
    values[:, :3] = 4095 if last is None else 4092
    data = generate.dataset(values, PhotometricInterpretation=photometric)
    data.add_new("PixelPaddingValue", "US", 4095)
    if last is not None:
        data.add_new("PixelPaddingRangeLimit", "US", last)
    image = one(tmp_path, data, syntax).volume.slice_image(0)
    assert (image[:, :3] == image.min()).all() and image.max() - image.min() < 3000
    assert (image[6, 6] > image[20, 30]) == (photometric == "MONOCHROME2")


def test_negative_padding_given_as_the_unsigned_value_of_its_bits(tmp_path):
    values = generate.film_pixels().astype(np.int16)
    values[:, :3] = -2000
    data = generate.dataset(values.view("u2"), "CT", BitsStored=16, HighBit=15, PixelRepresentation=1)
    data.add_new("PixelPaddingValue", "US", 65536 - 2000)
    assert one(tmp_path, data).volume.data.min() == 200


def test_a_picture_that_is_padding_alone_stays(tmp_path):
    data = generate.dataset(np.full((48, 40), 7, dtype=np.uint16))
    data.add_new("PixelPaddingValue", "US", 7)
    assert (one(tmp_path, data).volume.data == 7).all()


def padded(values, value, **attributes):
    data = generate.dataset(values, **attributes)
    data.add_new("PixelPaddingValue", "SS" if attributes.get("PixelRepresentation") else "US", value)
    return data


def chest(top=3000):
    """A chest film in right polarity between two strips of zeros."""
    rows, columns = np.mgrid[0:1:48j, 0:1:40j]
    lungs = np.exp(-(((np.abs(columns - 0.5) - 0.22) / 0.12) ** 2) - ((rows - 0.45) / 0.3) ** 2)
    body = np.clip((0.5 - np.abs(columns - 0.5)) * 4, 0, 1)
    values = (200 + (top - 200) * np.clip(body * (1 - 0.8 * lungs), 0, 1)).astype(np.uint16)
    values[:, :5] = values[:, -5:] = 0
    return values


def test_a_wrong_tag_of_a_chest_film_is_seen_beside_its_padding(tmp_path):
    data = padded(chest(), 0, PhotometricInterpretation="MONOCHROME1", BodyPartExamined="CHEST")
    scan = one(tmp_path, data)
    image = scan.volume.slice_image(0)
    assert any("turned round" in note for note in scan.notes)
    assert image[24, 20] > image[24, 11] and image[24, 2] == image.min()


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("at_the_edge", [True, False])
def test_bright_padding_within_the_picture_may_be_part_of_it(tmp_path, photometric, at_the_edge):
    values = generate.film_pixels(top=3000)
    values[20:25, 20:25] = 4095
    if at_the_edge:
        values[:, :2] = 4095
    bright = 4095
    if photometric == "MONOCHROME1":
        values, bright = 4095 - values, 0
    image = one(tmp_path, padded(values, bright, PhotometricInterpretation=photometric)).volume.slice_image(0)
    assert (image[22, 22] == image.max()) == (not at_the_edge)
    assert (image[22, 22] == image.min()) == at_the_edge


def test_padding_between_the_values_of_the_picture_stays(tmp_path):
    values = (generate.film_pixels().astype(np.int16) - 1000) // 4
    values[:, :3] = 0
    data = padded(values.view("u2"), 0, PixelRepresentation=1)
    assert (one(tmp_path, data).volume.slice_image(0)[:, :3] == 0).all()


def test_padding_that_no_cell_can_hold_is_no_padding(tmp_path):
    values = generate.film_pixels(top=200).astype(np.uint8)
    values[:, :3] = 255
    data = padded(values, 65535, BitsAllocated=8, BitsStored=8, HighBit=7, PixelData=values.tobytes())
    data["PixelData"].VR = "OB"
    assert (one(tmp_path, data).volume.slice_image(0)[:, :3] == 255).all()


def test_padding_is_the_same_in_every_slice_of_a_scan(tmp_path):
    files, series = [], pydicom.uid.generate_uid()
    for number in range(4):
        values = generate.film_pixels() + 10 * number
        values[:, :3] = 0
        data = padded(values, 0, Modality="MR", SeriesInstanceUID=series, InstanceNumber=number)
        data.ImageOrientationPatient, data.PixelSpacing = [1, 0, 0, 0, 1, 0], [1, 1]
        data.ImagePositionPatient = [0, 0, 3 * number]
        (tmp_path / f"{number}").write_bytes(generate.to_bytes(data))
        files.append(IncomingFile(f"{number}", tmp_path / f"{number}"))
    ((scan,), refused) = prepare(files, tmp_path / "work")
    assert refused == [] and scan.volume.data.dtype == np.int16
    assert [int(scan.volume.slice_image(k)[9, 1]) for k in range(4)] == [200] * 4
