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
