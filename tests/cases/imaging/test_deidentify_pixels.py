"""Nothing but the picture may be left in stored pixel data, and the picture must stay what it was."""

import io

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.encaps import encapsulate, generate_fragments
from pydicom.filebase import DicomBytesIO
from pydicom.uid import (
    JPEG2000,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from cases.imaging.codestream import is_lossy
from cases.imaging.deidentify import Deidentifier
from cases.imaging.dicom_pixels import cell_of
from cases.imaging.volume import ImagingError
from cases.intake import IncomingFile, prepare
from tests.samples import generate


def stored(tmp_path, content):
    (tmp_path / "film").write_bytes(content)
    ((scan,), refused) = prepare([IncomingFile("film", tmp_path / "film")], tmp_path / "work")
    assert refused == []
    return scan, pydicom.dcmread(scan.originals[0][1])


def cells(data, kind):
    return np.frombuffer(data.PixelData, dtype=kind, count=int(data.Rows) * int(data.Columns))


def film(pixels, stored_bits, high=None, **attributes):
    data = generate.dataset(pixels, **attributes)
    data.BitsAllocated, data.BitsStored = pixels.dtype.itemsize * 8, stored_bits
    data.HighBit = stored_bits - 1 if high is None else high
    data.PixelRepresentation = int(pixels.dtype.kind == "i")
    data.PixelData = pixels.tobytes()
    if pixels.dtype.itemsize == 1:
        data["PixelData"].VR = "OB"
    return data


def overlay(shape=(48, 40)):
    """Stripes, where a name would stand."""
    return (np.indices(shape).sum(axis=0) // 3 % 2).astype(np.int64)


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian])
@pytest.mark.parametrize(
    ("kind", "stored_bits"), [("u1", 6), ("i1", 6), ("u2", 12), ("i2", 12), ("u4", 20), ("i4", 20)]
)
def test_overlays_in_unused_bits_go_and_values_stay(tmp_path, kind, stored_bits, syntax):
    order = ">" if syntax == ExplicitVRBigEndian else "<"
    values = (generate.film_pixels(top=60 if kind[1] == "1" else 4000) // 2).astype(np.int64)
    if kind[0] == "i":
        values -= int(values.max()) // 2
    allocated = int(kind[1]) * 8
    # The overlay turns every bit above the stored ones round.
    mask = (1 << allocated) - (1 << stored_bits)
    raw = (values & ((1 << allocated) - 1)) ^ (overlay() * mask)
    dirty = raw.astype(f"{order}u{kind[1]}").view(f"{order}{kind}")
    plain = film(values.astype(f"{order}{kind}"), stored_bits)
    scan, data = stored(tmp_path, generate.to_bytes(film(dirty, stored_bits), syntax))
    assert np.array_equal(cells(data, f"{order}{kind}").reshape(values.shape), values)
    assert np.array_equal(data.pixel_array, values)
    (tmp_path / "plain").mkdir()
    wanted, _ = stored(tmp_path / "plain", generate.to_bytes(plain, syntax))
    assert np.array_equal(scan.volume.data, wanted.volume.data)


@pytest.mark.parametrize("kind", ["<u2", "<i2"])
def test_overlays_below_the_stored_bits_go_too(kind):
    values = (generate.film_pixels().astype(np.int64) - (2000 if kind[1] == "i" else 0)) << 4
    dirty = (values | overlay() * 15).astype(kind)
    clean = Deidentifier().to_bytes(film(dirty, 12, high=15), ExplicitVRLittleEndian)
    assert np.array_equal(cells(pydicom.dcmread(DicomBytesIO(clean)), kind).reshape(values.shape), values)


def packed(data, syntax):
    """The data set with its pixels compressed in all their bits, whatever Bits Stored says of them."""
    bits, high = data.BitsStored, data.HighBit
    data.BitsStored, data.HighBit = data.BitsAllocated, data.BitsAllocated - 1
    source = pydicom.dcmread(DicomBytesIO(generate.to_bytes(data)))
    source.compress(syntax)
    source.BitsStored, source.HighBit = bits, high
    return generate.to_bytes(source, syntax)


@pytest.mark.parametrize("frames", [1, 2])
@pytest.mark.parametrize("kind", ["<u2", "<i2"])
@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless, JPEG2000Lossless])
def test_overlays_in_compressed_pixels_go_and_values_stay(tmp_path, syntax, kind, frames):
    values = generate.film_pixels().astype(np.int64) // 2 - (1000 if kind == "<i2" else 0)
    data = film(((values & 0xFFFF) ^ (overlay() << 12)).astype("<u2").view(kind), 12)
    if frames > 1:
        data.NumberOfFrames = frames
        data.PixelData = values.astype(kind).tobytes() + data.PixelData
    scan, kept = stored(tmp_path, packed(data, syntax))
    assert kept.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    found = np.frombuffer(kept.PixelData, dtype=kind).reshape(-1, *values.shape)
    assert len(found) == frames and all(np.array_equal(one, values) for one in found)
    assert np.array_equal(scan.volume.slice_image(0), values)


@pytest.mark.parametrize("kind", ["<u2", "<i2"])
@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless, JPEG2000Lossless])
def test_clean_compressed_pixels_stay_compressed(tmp_path, syntax, kind):
    values = generate.film_pixels().astype(np.int64) // 2 - (1000 if kind == "<i2" else 0)
    scan, kept = stored(tmp_path, packed(film(values.astype(kind), 12), syntax))
    assert kept.file_meta.TransferSyntaxUID == syntax
    assert np.array_equal(kept.pixel_array, values) and np.array_equal(scan.volume.slice_image(0), values)


def saturated():
    values = generate.film_pixels(top=4095)
    values += np.random.default_rng(0).integers(0, 300, values.shape, dtype=np.uint16)
    return np.minimum(values, 4095)


def lossy_jpeg2000(values, *, irreversible):
    out = io.BytesIO()
    Image.fromarray(values).save(
        out,
        format="JPEG2000",
        no_jp2=True,
        irreversible=irreversible,
        quality_mode="rates",
        quality_layers=[6],
    )
    return out.getvalue()


@pytest.mark.parametrize(
    ("irreversible", "said"),
    [(True, True), (True, False), (False, True)],  # nothing else tells a cut stream from a whole one
)
def test_values_that_lossy_coding_made_too_large_are_no_overlay(tmp_path, irreversible, said):
    data = film(saturated(), 12)
    if said:
        data.LossyImageCompression = "01"
    data.PixelData = encapsulate([lossy_jpeg2000(saturated(), irreversible=irreversible)])
    data["PixelData"].VR, data["PixelData"].is_undefined_length = "OB", True
    scan, kept = stored(tmp_path, generate.to_bytes(data, JPEG2000))
    assert kept.file_meta.TransferSyntaxUID == JPEG2000 and kept.pixel_array.max() > 4095
    assert scan.volume.slice_image(0)[6:10, 6:8].min() > 3500


@pytest.mark.parametrize(("near", "syntax"), [(0, JPEGLSLossless), (3, JPEGLSNearLossless)])
def test_near_lossless_frames_have_no_cell(near, syntax):
    data = pydicom.dcmread(DicomBytesIO(generate.to_bytes(film(saturated(), 12))))
    data.compress(syntax, jls_error=near)
    data.BitsStored, data.HighBit = 10, 9
    assert (cell_of(data, syntax) is None) == (near > 0)


def test_only_jpegs_by_cosine_transform_are_lossy():
    assert is_lossy(jpeg(0)) and not is_lossy(jpeg(0).replace(b"\xff\xc0", b"\xff\xc3", 1))
    assert not is_lossy(b"\xff\xd8") and not is_lossy(b"") and not is_lossy(b"\xff\x4f\xff\x51")


@pytest.mark.parametrize("high", [3, 40])
def test_a_senseless_high_bit_is_not_followed(high):
    values = generate.film_pixels()
    clean = Deidentifier().to_bytes(film(values, 12, high=high), ExplicitVRLittleEndian)
    assert np.array_equal(cells(pydicom.dcmread(DicomBytesIO(clean)), "<u2").reshape(values.shape), values)


def jpeg(number):
    out = io.BytesIO()
    picture = Image.fromarray((generate.film_pixels(top=200) + number).astype(np.uint8))
    exif = Image.Exif()
    exif[0x010E] = "Quentin's film"
    picture.save(out, format="JPEG", exif=exif, comment=b"Zyxwvut was here")
    return out.getvalue()


def fragmented(frames, fragments, *, table):
    """A film loop of compressed frames, each cut into so many fragments."""
    data = generate.dataset(generate.film_pixels(), "XA", NumberOfFrames=len(frames))
    data.BitsAllocated, data.BitsStored, data.HighBit = 8, 8, 7
    data.PixelData = encapsulate(frames, fragments_per_frame=fragments, has_bot=table)
    data["PixelData"].VR = "OB"
    data["PixelData"].is_undefined_length = True
    return data


@pytest.mark.parametrize("table", [True, False])
@pytest.mark.parametrize(("frames", "fragments"), [(1, 1), (1, 3), (3, 1), (3, 2)])
def test_text_in_compressed_frames_goes_however_they_are_cut(tmp_path, frames, fragments, table):
    source = fragmented([jpeg(number) for number in range(frames)], fragments, table=table)
    content = generate.to_bytes(source, JPEGBaseline8Bit)
    before = pydicom.dcmread(DicomBytesIO(content)).pixel_array
    assert b"Zyxwvut was" in content and b"Quentin's film" in content
    scan, data = stored(tmp_path, content)
    raw = scan.originals[0][1].read_bytes()
    assert b"Zyxwvut" not in raw and b"Quentin" not in raw
    assert np.array_equal(data.pixel_array, before)
    assert len(list(generate_fragments(data.PixelData))) == frames + 1  # the offset table is the first item


def test_boxes_around_a_jpeg2000_stream_go(tmp_path):
    out = io.BytesIO()
    Image.fromarray(generate.film_pixels(top=200).astype(np.uint8)).save(out, format="JPEG2000")
    box = b"<name>Quentin</name>"
    content = out.getvalue() + (len(box) + 8).to_bytes(4, "big") + b"xml " + box
    start = content.index(b"jp2h") - 4
    content = content[:start] + (len(box) + 8).to_bytes(4, "big") + b"xml " + box + content[start:]
    source = generate.to_bytes(fragmented([content], 1, table=True), JPEG2000Lossless)
    scan, data = stored(tmp_path, source)
    assert source.count(box) == 2 and b"<name>" not in scan.originals[0][1].read_bytes()
    assert np.array_equal(data.pixel_array, generate.film_pixels(top=200))


def test_frames_of_an_extended_offset_table(tmp_path):
    frames = [jpeg(number) for number in range(2)]
    source = fragmented(frames, 1, table=False)
    source.PixelData, source.ExtendedOffsetTable, source.ExtendedOffsetTableLengths = (
        pydicom.encaps.encapsulate_extended(frames)
    )
    scan, data = stored(tmp_path, generate.to_bytes(source, JPEGBaseline8Bit))
    assert b"Zyxwvut" not in scan.originals[0][1].read_bytes() and "ExtendedOffsetTable" not in data
    assert data.pixel_array.shape == (2, 48, 40)


def test_frames_that_overlap_are_refused(tmp_path):
    source = fragmented([jpeg(0)] * 3, 1, table=False)
    whole = len(source.PixelData) - 16
    source.ExtendedOffsetTable = bytes(24)
    source.ExtendedOffsetTableLengths = whole.to_bytes(8, "little") * 3
    (tmp_path / "film").write_bytes(generate.to_bytes(source, JPEGBaseline8Bit))
    scans, refused = prepare([IncomingFile("film", tmp_path / "film")], tmp_path / "work")
    assert scans == [] and refused[0].code == "dicom_damaged"


def test_text_that_cannot_be_taken_out_is_refused():
    broken = jpeg(0).replace(b"\xff\xdb", b"..\xff\xdb", 1)  # stray bytes: the parser gives up
    with pytest.raises(ImagingError) as refusal:
        Deidentifier().to_bytes(fragmented([broken], 1, table=True), JPEGBaseline8Bit)
    assert refusal.value.code == "dicom_damaged"
