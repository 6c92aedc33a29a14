"""No trace of the person may be left in a stored file."""

from pathlib import Path

import pydicom
import pytest
from pydicom import Dataset
from pydicom.data import get_testdata_file
from pydicom.datadict import DicomDictionary, tag_for_keyword
from pydicom.uid import RLELossless

from cases.imaging.deidentify import Deidentifier, rule_for
from cases.intake import IncomingFile, prepare
from tests.samples import generate


def stored(tmp_path, *files):
    incoming = []
    for number, content in enumerate(files):
        (tmp_path / str(number)).write_bytes(content)
        incoming.append(IncomingFile(str(number), tmp_path / str(number)))
    scans, refused = prepare(incoming, tmp_path / "work")
    assert refused == []
    return [path.read_bytes() for scan in scans for _, path in scan.originals]


def read(content):
    return pydicom.dcmread(pydicom.filebase.DicomBytesIO(content))


def test_nothing_identifying_is_left(tmp_path):
    source = generate.dataset(generate.film_pixels())
    content = generate.to_bytes(source)
    assert all(secret in content for secret in generate.SECRETS)
    (clean,) = stored(tmp_path, content)
    for secret in (*generate.SECRETS, source.SOPInstanceUID.encode(), source.SeriesInstanceUID.encode()):
        assert secret not in clean, secret
    assert clean[:128] == bytes(128)
    data = read(clean)
    assert not any(element.tag.is_private or element.tag.group == 0x6000 for element in data.iterall())
    assert data.file_meta.ImplementationVersionName == "PMI"
    assert "SourceApplicationEntityTitle" not in data.file_meta


def test_colour_profiles_go_at_every_level(tmp_path):
    source = generate.dataset(generate.film_pixels(), ICCProfile=b"screen of Quentin Zyxwvut")
    nested = Dataset()
    nested.ICCProfile = source.ICCProfile
    source.OpticalPathSequence = [nested]
    (clean,) = stored(tmp_path, generate.to_bytes(source))
    assert b"Zyxwvut" not in clean and b"\x28\x00\x00\x20" not in clean


def test_it_is_said_how_it_was_done(tmp_path):
    data = read(stored(tmp_path, generate.to_bytes(generate.dataset(generate.film_pixels())))[0])
    assert data.PatientIdentityRemoved == "YES" and "PS3.15" in data.DeidentificationMethod
    (code,) = data.DeidentificationMethodCodeSequence
    assert (code.CodeValue, code.CodingSchemeDesignator) == ("113100", "DCM")


def test_uids_agree_within_an_upload_and_not_between(tmp_path):
    files = generate.axial_series()[:3]
    first = [read(content) for content in stored(tmp_path, *files)]
    assert len({data.SeriesInstanceUID for data in first}) == 1
    assert len({data.SOPInstanceUID for data in first}) == 3
    data = first[0]
    assert data.SourceImageSequence[0].ReferencedSOPInstanceUID == data.SOPInstanceUID
    assert data.file_meta.MediaStorageSOPInstanceUID == data.SOPInstanceUID
    again = read(stored(tmp_path, *files)[0])
    assert again.SeriesInstanceUID != data.SeriesInstanceUID
    assert data.SOPClassUID == "1.2.840.10008.5.1.4.1.1.4"


def test_bytes_hidden_behind_the_picture_go(tmp_path):
    source = generate.dataset(generate.film_pixels())
    source.PixelData += b"Quentin was here"
    assert b"was here" not in stored(tmp_path, generate.to_bytes(source))[0]


def test_rule_table():
    assert rule_for(0x00100010) == "Z" and rule_for(0x0020000D) == "U" and rule_for(0x00081030) == "X"
    assert rule_for(0x60023000) == "X" and rule_for(0x00280010) == ""


UNNAMED = (
    "PatientBirthDateInAlternativeCalendar",
    "PatientDeathDateInAlternativeCalendar",
    "PatientAlternativeCalendar",
    "PlacerOrderNumberProcedure",
    "FillerOrderNumberProcedure",
    "PlacerOrderNumberImagingServiceRequestRetired",
    "FillerOrderNumberImagingServiceRequestRetired",
)


@pytest.mark.parametrize("nested", [False, True])
def test_identifying_attributes_that_the_table_lacks_go(nested):
    source = generate.dataset(generate.film_pixels())
    item = Dataset() if nested else source
    for keyword in UNNAMED:
        assert rule_for(tag_for_keyword(keyword)) == ""  # once the table names it, this list need not
        setattr(item, keyword, "HEBREW 5721")
    if nested:
        source.RealWorldValueMappingSequence = [item]
    clean = Deidentifier().to_bytes(source, pydicom.uid.ExplicitVRLittleEndian)
    assert b"HEBREW" not in clean
    assert not any(element.keyword in UNNAMED for element in read(clean).iterall())


MOMENTS = {"DA": "20010203", "DT": "20010203112358", "TM": "112358.132134"}


@pytest.mark.parametrize("nested", [False, True])
def test_no_date_and_no_time_of_the_whole_dictionary_is_left(nested):
    source = generate.dataset(generate.film_pixels())
    item = Dataset() if nested else source
    named = {row[4]: row[0] for row in DicomDictionary.values() if row[0] in MOMENTS}
    assert len(named) > 150
    for keyword, kind in named.items():
        setattr(item, keyword, MOMENTS[kind])
    if nested:
        source.RealWorldValueMappingSequence = [item]
    content = generate.to_bytes(source)
    clean = Deidentifier().to_bytes(source, pydicom.uid.ExplicitVRLittleEndian)
    for moment in (b"20010203", b"112358.132134"):
        assert content.count(moment) > 50 and moment not in clean


def test_text_about_patient_visit_and_order_goes_and_codes_stay():
    source = generate.dataset(generate.film_pixels())
    source.BreedRegistrationNumber = source.RouteOfAdmissions = source.ResourceDescription = "Rex of 1961"
    source.PatientSex = "F"
    code, values, request = Dataset(), Dataset(), Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "mm", "UCUM", "millimetre"
    values.LUTLabel, values.MeasurementUnitsCodeSequence = "SUVbw", [code]
    source.RealWorldValueMappingSequence = [values]
    request.PerformedProcedureTypeDescription = "Rex of 1961"
    source.RequestAttributesSequence = [request]
    clean = Deidentifier().to_bytes(source, pydicom.uid.ExplicitVRLittleEndian)
    assert b"Rex" not in clean
    (kept,) = read(clean).RealWorldValueMappingSequence
    assert kept.LUTLabel == "SUVbw" and kept.MeasurementUnitsCodeSequence[0] == code


def test_unwritable_attribute_does_not_cost_the_picture():
    source = read(generate.to_bytes(generate.dataset(generate.film_pixels())))
    source.add_new(0x00280106, "US", "nor this")
    clean = Deidentifier().to_bytes(source, pydicom.uid.ExplicitVRLittleEndian)
    assert read(clean).pixel_array.shape == (48, 40)


def test_compressed_stays_compressed(tmp_path):
    source = generate.dataset(generate.film_pixels())
    source = read(generate.to_bytes(source))
    source.compress(RLELossless)
    data = read(stored(tmp_path, generate.to_bytes(source, RLELossless))[0])
    assert data.file_meta.TransferSyntaxUID == RLELossless


REFERENCE = (
    "CT_small.dcm",
    "MR_small.dcm",
    "JPEG2000.dcm",
    "MR_small_RLE.dcm",
    "SC_rgb_jpeg_dcmtk.dcm",
    "examples_ybr_color.dcm",
    "examples_overlay.dcm",
    "MR_small_bigendian.dcm",
    "image_dfl.dcm",
    "examples_palette.dcm",
)
NAMING = (
    "PatientName",
    "PatientID",
    "InstitutionName",
    "StudyID",
    "AccessionNumber",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "SOPInstanceUID",
    "ReferringPhysicianName",
    "StationName",
)


@pytest.mark.parametrize("name", REFERENCE)
def test_reference_files(tmp_path, name):
    path = Path(str(get_testdata_file(name)))
    source = pydicom.dcmread(path)
    (clean,) = stored(tmp_path, path.read_bytes())
    assert read(clean).pixel_array.shape == source.pixel_array.shape
    for keyword in NAMING:
        value = str(source.get(keyword) or "")
        if len(value) >= 4:
            assert value.encode() not in clean, keyword
