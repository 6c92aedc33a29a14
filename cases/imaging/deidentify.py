"""Taking the person out of a DICOM file: PS3.15 Basic Application Level Confidentiality Profile.

The table comes from the `dicom-anonymizer` package; applying it is done here, because every level of
nesting, every date and every leftover must be covered, and replaced UIDs must agree within one upload and
with nothing else.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import uuid
from collections.abc import Iterator
from io import BytesIO
from typing import Any, Final

from dicomanonymizer.dicom_anonymization_databases import dicomfields_2026c as table
from pydicom import DataElement, Dataset, FileMetaDataset, Sequence, dcmwrite
from pydicom.datadict import dictionary_has_tag
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_data_element
from pydicom.tag import BaseTag, Tag
from pydicom.uid import PYDICOM_IMPLEMENTATION_UID, UID

from cases.imaging.deidentify_pixels import clean_pixels

METHOD: Final = "PMI: PS3.15 Basic Profile, private out"
# CID 7050. Only the profile itself: no retain option is used and pixels are not cleaned.
METHOD_CODES: Final = (("113100", "Basic Application Confidentiality Profile"),)
_STANDARD_ROOT: Final = "1.2.840.10008."
_PIXEL_TAGS: Final = {Tag(0x7FE0, element) for element in (0x0001, 0x0002, 0x0008, 0x0009, 0x0010)}
# Groups dropped whole: stray meta information, directory records, digital signatures, padding. Curves and
# overlays go too (see _dropped): their labels are free text.
_DROPPED_GROUPS: Final = {0x0000, 0x0002, 0x0004, 0x4FFE, 0xFFFA, 0xFFFC}
# Text and moments that the table does not name: newer or private-minded attributes, so better gone.
_DROPPED_VRS: Final = {"PN", "LT", "ST", "UT", "UC", "UR", "DA", "DT", "TM", "AE", "AS", "UN"}
_TEXT_VRS: Final = {"LO", "SH", "LT", "ST", "UT", "UC", "UR", "PN", "AE"}
# Identifying attributes that the table lacks: birth and death dates in another calendar and its name,
# retired order numbers, and colour profiles, which may name devices and people.
_UNNAMED: Final = {
    Tag("PatientBirthDateInAlternativeCalendar"),
    Tag("PatientDeathDateInAlternativeCalendar"),
    Tag("PatientAlternativeCalendar"),
    Tag("PlacerOrderNumberProcedure"),
    Tag("FillerOrderNumberProcedure"),
    Tag("ICCProfile"),
    Tag("PlacerOrderNumberImagingServiceRequestRetired"),
    Tag("FillerOrderNumberImagingServiceRequestRetired"),
}
# Patient, study, visit and procedure: text that the table does not name goes from these groups. Codes stay,
# those of code sequence items (group 0008) as well as coded strings (CS).
_PERSONAL_GROUPS: Final = {0x0010, 0x0032, 0x0038, 0x0040}
# The label of a real world value map is a technical term, and the map is not valid without it (PS3.3
# C.7.6.16.2.11).
_KEPT_TEXT: Final = {Tag("LUTLabel")}
_IDENTIFYING: Final = (
    "PatientName",
    "PatientID",
    "IssuerOfPatientID",
    "OtherPatientIDs",
    "OtherPatientNames",
    "PatientBirthName",
    "PatientMotherBirthName",
    "PatientAddress",
    "PatientTelephoneNumbers",
    "AccessionNumber",
    "StudyID",
    "InstitutionName",
    "InstitutionAddress",
    "StationName",
    "ReferringPhysicianName",
    "PerformingPhysicianName",
    "NameOfPhysiciansReadingStudy",
    "OperatorsName",
    "RequestingPhysician",
    "DeviceSerialNumber",
)
_DUMMY: Final[dict[str, Any]] = {
    "DA": "19000101",
    "DT": "19000101000000",
    "TM": "000000",
    "AS": "000Y",
    "DS": "0",
    "IS": "0",
    "UR": "http://removed.invalid",
    "PN": "REMOVED",
    **dict.fromkeys(("AE", "CS", "LO", "LT", "SH", "ST", "UC", "UT"), "REMOVED"),
    **dict.fromkeys(("FD", "FL", "SL", "SS", "SV", "UL", "US", "UV"), 0),
    **dict.fromkeys(("OB", "OW", "UN"), b"\0\0"),
}


def _rules() -> tuple[dict[int, str], list[tuple[int, int, str]]]:
    exact: dict[int, str] = {}
    masked: list[tuple[int, int, str]] = []
    actions = (
        ("D", table.D_TAGS),
        ("Z", table.Z_TAGS),
        ("X", table.X_TAGS),
        ("U", table.U_TAGS),
        ("D", table.Z_D_TAGS),
        ("Z", table.X_Z_TAGS),
        ("D", table.X_D_TAGS),
        ("D", table.X_Z_D_TAGS),
        ("U*", table.X_Z_U_STAR_TAGS),
    )
    for action, tags in actions:
        for entry in tags:
            tag = (entry[0] << 16) | entry[1]
            if len(entry) == 2:
                exact[tag] = action
            else:
                masked.append((tag, (entry[2] << 16) | entry[3], action))
    return exact, masked


_EXACT, _MASKED = _rules()


def rule_for(tag: BaseTag | int) -> str:
    """The table's action for a tag: D, Z, X, U, U* (sequence of references), or "" when the table has
    none.
    """
    number = int(tag)
    found = _EXACT.get(number)
    if found:
        return found
    for value, mask, action in _MASKED:
        if number & mask == value & mask:
            return action
    return ""


class Deidentifier:
    """De-identifies the files of one upload. UIDs are replaced the same way in all of them, never the same
    elsewhere.
    """

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)

    def uid(self, old: str) -> str:
        """The new UID for an old one; standard UIDs (SOP classes, transfer syntaxes) stay."""
        plain = str(old).strip("\0 ")
        if not plain or plain.startswith(_STANDARD_ROOT):
            return plain
        digest = hmac.new(self._key, plain.encode("utf-8", "replace"), hashlib.sha256).digest()[:16]
        return f"2.25.{uuid.UUID(bytes=digest, version=4).int}"

    def to_bytes(self, dataset: Dataset, syntax: UID) -> bytes:
        """A whole de-identified DICOM file. `dataset` is changed. Attributes that cannot be written are
        left out. Raises ImagingError when a compressed frame holds text that cannot be taken out.
        """
        identifiers = set(_identifiers(dataset))
        self._clean(dataset, identifiers)
        syntax = clean_pixels(dataset, syntax)
        _mark(dataset)
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID = UID(str(dataset.get("SOPClassUID", "") or "1.2.840.10008.5.1.4.1.1.7"))
        if not dataset.get("SOPInstanceUID"):
            dataset.SOPInstanceUID = self.uid(secrets.token_hex(8))
        meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        meta.TransferSyntaxUID = syntax
        meta.ImplementationClassUID = PYDICOM_IMPLEMENTATION_UID
        meta.ImplementationVersionName = "PMI"
        dataset.file_meta = meta
        dataset.preamble = bytes(128)
        out = BytesIO()
        try:
            _write(dataset, out, syntax)
        except Exception:  # one unwritable attribute must not cost the picture
            _drop_unwritable(dataset, syntax)
            out = BytesIO()
            _write(dataset, out, syntax)
        return out.getvalue()

    def _clean(self, dataset: Dataset, identifiers: set[str]) -> None:
        for tag in list(dataset.keys()):
            if tag in _PIXEL_TAGS:
                continue
            if self._dropped(tag):
                del dataset[tag]
                continue
            try:
                element = dataset[tag]
                self._apply(dataset, element, identifiers)
            except Exception:  # an attribute that cannot be read cannot be shown to be harmless
                dataset.pop(tag, None)

    @staticmethod
    def _dropped(tag: BaseTag) -> bool:
        if tag.is_private or tag.element == 0 or tag.group in _DROPPED_GROUPS or tag in _UNNAMED:
            return True
        return tag.group & 0xFF00 in (0x5000, 0x6000) or not dictionary_has_tag(tag)

    def _apply(self, dataset: Dataset, element: DataElement, identifiers: set[str]) -> None:
        rule, vr = rule_for(element.tag), element.VR
        if rule == "X":
            del dataset[element.tag]
        elif vr == "SQ":
            if rule in ("D", "Z"):
                element.value = Sequence()
                return
            for item in element.value:
                self._clean(item, identifiers)
        elif vr == "UI":
            if rule == "Z":
                element.value = ""
            elif element.tag != 0x00080016:
                values = element.value if element.VM > 1 else [element.value]
                fresh = [self.uid(value) for value in values if value]
                element.value = fresh[0] if len(fresh) == 1 else fresh or ""
        elif rule == "D":
            if vr not in _DUMMY:
                del dataset[element.tag]
            else:
                element.value = _DUMMY[vr] if not element.is_empty else element.value
        elif rule == "Z":
            element.value = element.empty_value
        elif vr in _DROPPED_VRS or (
            vr in _TEXT_VRS and (_is_personal(element.tag) or _names_someone(element, identifiers))
        ):
            del dataset[element.tag]


def _identifiers(dataset: Dataset) -> Iterator[str]:
    """Strings of four characters and more that name the patient, the place or the staff, for a last
    search.
    """
    for keyword in _IDENTIFYING:
        try:
            value = dataset.get(keyword)
        except Exception:  # noqa: S112 - an unreadable name is removed with its attribute
            continue
        if value is None:
            continue
        values = value if isinstance(value, (list, tuple)) or hasattr(value, "append") else [value]
        for one in values:
            text = str(one).strip()
            for part in (text, *text.replace("=", "^").split("^")):
                if len(part.strip()) >= 4:
                    yield part.strip().casefold()


def _is_personal(tag: BaseTag) -> bool:
    return tag.group in _PERSONAL_GROUPS and tag not in _KEPT_TEXT


def _names_someone(element: DataElement, identifiers: set[str]) -> bool:
    if not identifiers or element.is_empty:
        return False
    text = str(element.value).casefold()
    return any(identifier in text for identifier in identifiers)


def _mark(dataset: Dataset) -> None:
    dataset.PatientIdentityRemoved = "YES"
    dataset.DeidentificationMethod = METHOD
    codes = []
    for value, meaning in METHOD_CODES:
        item = Dataset()
        item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "DCM", meaning
        codes.append(item)
    dataset.DeidentificationMethodCodeSequence = Sequence(codes)
    dataset.LongitudinalTemporalInformationModified = "REMOVED"


def _write(dataset: Dataset, out: BytesIO, syntax: UID) -> None:
    dcmwrite(
        out,
        dataset,
        enforce_file_format=True,
        implicit_vr=syntax.is_implicit_VR,
        little_endian=syntax.is_little_endian,
    )


def _drop_unwritable(dataset: Dataset, syntax: UID) -> None:
    for tag in list(dataset.keys()):
        probe = DicomBytesIO()
        probe.is_little_endian = syntax.is_little_endian
        probe.is_implicit_VR = syntax.is_implicit_VR
        try:
            write_data_element(probe, dataset[tag])
        except Exception:
            dataset.pop(tag, None)
