"""One DICOM file: reading it safely, what its header says, and its pixels in display values."""

from __future__ import annotations

import logging
import math
import warnings
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import numpy as np
import pydicom
from pydicom import Dataset
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from cases.imaging.archive import too_many_bytes
from cases.imaging.raster import MIN_SIDE, too_large, too_small
from cases.imaging.volume import ImagingError
from pmi_site.words import Words
from pmi_site.words import words as _

logging.getLogger("pydicom").setLevel(
    logging.CRITICAL
)  # it would put values of a patient's file into the log

FILM_MODALITIES: Final = {
    "CR",
    "DX",
    "MG",
    "RG",
    "IO",
    "PX",
    "RF",
    "XA",
    "SC",
    "OT",
    "XC",
    "GM",
    "SM",
    "ES",
    "US",
}
_OFTEN_WRITTEN_ON: Final = {"SC", "US", "ES", "XC", "OT", "GM"}
# Lateral, left lateral and right lateral (CID 4010), in SNOMED CT and as it was coded before.
_LATERAL_CODES: Final = {"399067008", "399173006", "399198007", "R-102CD", "R-10236", "R-10232"}
_NO_PICTURE: Final = {
    "SR": _("a written report"),
    "KO": _("a list of key images"),
    "PR": _("a description of how to show other images"),
    "RTPLAN": _("a radiotherapy plan"),
    "RTSTRUCT": _("outlines for radiotherapy"),
    "RTRECORD": _("a radiotherapy record"),
    "ECG": _("a heart trace"),
    "DOC": _("a document"),
    "REG": _("an alignment of other images"),
    "SEG": _("outlines on other images"),
}


@dataclass(frozen=True)
class Frame:
    """One frame and where it lies. Positions are DICOM's (LPS, mm); None where the file does not say."""

    index: int
    position: tuple[float, float, float] | None
    orientation: tuple[float, ...] | None  # six direction cosines
    spacing: tuple[float, float] | None  # row, column
    split: dict[str, str] = field(default_factory=dict)  # what may tell stacks at the same place apart


@dataclass(frozen=True)
class Instance:
    """What grouping needs to know of one file; the rest of the header is not kept."""

    path: Path
    sha256: str
    name: str
    series: str
    modality: str
    body_part: str
    view: str  # position of a film, as ViewPosition names it
    rows: int
    columns: int
    samples: int
    number: int
    location: float | None
    frames: list[Frame]
    film_spacing: tuple[float, float] | None
    film_aspect: float  # height of a film's pixel by its width
    thickness: float | None
    notes: list[Words]
    # Number and name of the patient, for a comparison within the upload; never kept.
    person: tuple[str, str] = field(repr=False)

    @property
    def has_geometry(self) -> bool:
        return self.modality not in FILM_MODALITIES and all(
            frame.position is not None and frame.orientation is not None for frame in self.frames
        )


@contextmanager
def quiet() -> Iterator[None]:
    """pydicom reads and writes whatever it can, without warnings: they would carry values of the file."""
    with warnings.catch_warnings(), pydicom.config.disable_value_validation():
        warnings.simplefilter("ignore")
        yield


def damaged() -> ImagingError:
    return ImagingError(
        "dicom_damaged",
        _("This DICOM file is damaged or incomplete. Export or copy it again and send the new file."),
    )


def truncated() -> ImagingError:
    return ImagingError(
        "truncated",
        _("This file is cut short: part of the picture is missing. Copy it again and send it once more."),
    )


def read_dataset(path: Path, max_bytes: int, *, pixels: bool) -> tuple[Dataset, UID]:
    """The data set of a DICOM file and its transfer syntax, guessed when the file has no meta information.

    A file above `max_bytes` is refused unread; a deflated one is inflated under the same bound. Raises
    ImagingError.
    """
    try:
        with quiet():
            return _read_dataset(path, max_bytes, pixels=pixels)
    except ImagingError:
        raise
    except Exception as error:  # damaged files make pydicom raise nearly anything
        raise damaged() from error


def _read_dataset(path: Path, max_bytes: int, *, pixels: bool) -> tuple[Dataset, UID]:
    if path.stat().st_size > max_bytes:  # a member of a zip may be larger than any upload
        raise too_many_bytes(max_bytes)
    source: Any = path
    deflated = _inflate(path, max_bytes)
    if deflated is not None:
        source = BytesIO(deflated)
    dataset = pydicom.dcmread(source, force=True, stop_before_pixels=not pixels)
    meta = getattr(dataset, "file_meta", None)
    syntax = UID(str(meta.get("TransferSyntaxUID", "") or "")) if meta is not None else UID("")
    if not syntax or not syntax.is_transfer_syntax:
        implicit, little = dataset.original_encoding
        plain = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
        syntax = plain if little else ExplicitVRBigEndian
    if syntax.is_deflated:
        syntax = ExplicitVRLittleEndian
    if dataset.get("file_meta") is None:
        dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    return dataset, syntax


def _inflate(path: Path, max_bytes: int) -> bytes | None:
    """A deflated file as a plain explicit little endian one, or None when it is not deflated.

    The transfer syntax is found exactly as the reader finds it, which would inflate without a bound.
    """
    with path.open("rb") as source:
        pydicom.filereader.read_preamble(source, force=True)
        meta = pydicom.filereader._read_file_meta_info(source)
        if meta.get("TransferSyntaxUID") != DeflatedExplicitVRLittleEndian:
            return None
        inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        body = inflater.decompress(source.read(), max_bytes + 1)
    if len(body) > max_bytes:
        raise ImagingError(
            "zip_bomb", _("This file unpacks to far more than it should, so it was not opened.")
        )
    if body.startswith(b"\2\0"):  # more meta information, which could name the deflated syntax once more
        raise damaged()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    out = BytesIO()
    pydicom.filewriter.write_file_meta_info(pydicom.filebase.DicomFileLike(out), meta, enforce_standard=False)
    return bytes(128) + b"DICM" + out.getvalue() + body


def describe(path: Path, sha256: str, name: str, max_bytes: int, max_pixels: int) -> Instance:
    """Read the header, refuse what has no usable picture, and say what is in it. Raises ImagingError."""
    dataset, _syntax = read_dataset(path, max_bytes, pixels=False)
    try:
        with quiet():
            return _describe(dataset, path, sha256, name, max_pixels)
    except ImagingError:
        raise
    except Exception as error:
        raise damaged() from error


def _describe(dataset: Dataset, path: Path, sha256: str, name: str, max_pixels: int) -> Instance:
    modality = text(dataset, "Modality").upper()
    _refuse_without_picture(dataset, path, modality)
    rows, columns = integer(dataset, "Rows"), integer(dataset, "Columns")
    frames = max(1, integer(dataset, "NumberOfFrames", 1))
    samples = integer(dataset, "SamplesPerPixel", 1)
    if samples not in (1, 3, 4):
        raise damaged()
    if rows * columns * frames > max_pixels or frames > 20_000:
        raise too_large(columns, rows * frames, max_pixels)
    if min(rows, columns) < MIN_SIDE:
        raise too_small()
    if "MOSAIC" in _image_type(dataset):
        raise ImagingError(
            "mosaic",
            _(
                "This file holds many small slices in one picture (a mosaic), which PMI cannot take apart. "
                "Send the series with one slice in each picture."
            ),
        )
    writing = _writing_note(dataset, modality)
    spacing, note = film_spacing(dataset)
    return Instance(
        path=path,
        sha256=sha256,
        name=name,
        series=text(dataset, "SeriesInstanceUID") or f"file:{sha256}",
        modality=modality if modality.isalnum() and len(modality) <= 16 else "",
        body_part=_body_part(dataset),
        view=_view(dataset),
        rows=rows,
        columns=columns,
        samples=samples,
        number=integer(dataset, "InstanceNumber", 0),
        location=number(dataset.get("SliceLocation")),
        frames=[_frame(dataset, index) for index in range(frames)],
        film_spacing=spacing,
        film_aspect=_aspect(dataset),
        thickness=positive(dataset.get("SliceThickness")),
        notes=[one for one in (writing, note) if one],
        person=_person(dataset),
    )


def _body_part(dataset: Dataset) -> str:
    return _word(text(dataset, "BodyPartExamined").upper())


def _word(value: str) -> str:
    return value if len(value) <= 16 and value.replace(" ", "").replace("_", "").isalnum() else ""


def _view(dataset: Dataset) -> str:
    position = _word(text(dataset, "ViewPosition").upper())
    if not position and dataset.get("ViewCodeSequence"):
        position = "LATERAL" if text(dataset.ViewCodeSequence[0], "CodeValue") in _LATERAL_CODES else ""
    return position


def _image_type(dataset: Dataset) -> set[str]:
    value = dataset.get("ImageType") or []
    return {str(one).strip().upper() for one in ([value] if isinstance(value, str) else value)}


def _writing_note(dataset: Dataset, modality: str) -> Words | None:
    said = text(dataset, "BurnedInAnnotation").upper()
    if said == "YES":
        return _("The file says that writing is burned into the picture; it may name the patient.")
    copied = (
        modality in _OFTEN_WRITTEN_ON
        or "ConversionType" in dataset
        or bool(_image_type(dataset) & {"SECONDARY", "SCREEN SAVE"})
    )
    if said == "NO" or not copied:
        return None
    return _("This kind of picture may carry writing that names the patient. Look at it before you share it.")


def _aspect(dataset: Dataset) -> float:
    pair = numbers(dataset.get("PixelAspectRatio"), 2)
    return pair[0] / pair[1] if pair and min(pair) > 0 and 0.1 <= pair[0] / pair[1] <= 10 else 1.0


def _person(dataset: Dataset) -> tuple[str, str]:
    name = text(dataset, "PatientName").replace("^", " ").replace("=", " ")
    return text(dataset, "PatientID").casefold(), " ".join(name.casefold().split())


def _refuse_without_picture(dataset: Dataset, path: Path, modality: str) -> None:
    sop_class = text(dataset, "SOPClassUID") or text(dataset.file_meta, "MediaStorageSOPClassUID")
    if sop_class == "1.2.840.10008.1.3.10" or "DirectoryRecordSequence" in dataset:
        raise ImagingError(
            "dicomdir",
            _(
                "This is only the index of a CD. Send the whole folder as a zip, or the image files "
                "listed in it."
            ),
        )
    if "Rows" in dataset and "Columns" in dataset:
        return
    if not len(dataset) or not (sop_class or "SOPInstanceUID" in dataset or modality):
        raise damaged()
    what = _NO_PICTURE.get(modality, _("a file of another kind"))
    raise ImagingError(
        "no_pixels",
        _(
            "This DICOM file holds no picture: it is %(what)s. Send the image files of the same examination.",
            what=what,
        ),
    )


def _frame(dataset: Dataset, index: int) -> Frame:
    groups: list[Dataset] = []
    per_frame = dataset.get("PerFrameFunctionalGroupsSequence")
    if per_frame and index < len(per_frame):
        groups.append(per_frame[index])
    if dataset.get("SharedFunctionalGroupsSequence"):
        groups.append(dataset.SharedFunctionalGroupsSequence[0])

    def find(sequence: str, keyword: str) -> Any:
        for group in groups:
            items = group.get(sequence)
            if items and keyword in items[0]:
                return items[0].get(keyword)
        return None

    if groups:
        position = find("PlanePositionSequence", "ImagePositionPatient")
        orientation = find("PlaneOrientationSequence", "ImageOrientationPatient")
        spacing = find("PixelMeasuresSequence", "PixelSpacing")
        split = {
            "stack": find("FrameContentSequence", "StackID"),
            "echo": find("MREchoSequence", "EffectiveEchoTime"),
            "b": find("MRDiffusionSequence", "DiffusionBValue"),
            "time": find("FrameContentSequence", "TemporalPositionIndex"),
            "type": find("MRImageFrameTypeSequence", "FrameType"),
        }
    else:
        # A classic multi-frame object has one position for all its frames at most: not geometry.
        single = integer(dataset, "NumberOfFrames", 1) <= 1
        position = dataset.get("ImagePositionPatient") if single else None
        orientation = dataset.get("ImageOrientationPatient") if single else None
        spacing = dataset.get("PixelSpacing")
        split = {
            "echo": dataset.get("EchoTime"),
            "echo number": dataset.get("EchoNumbers"),
            "type": dataset.get("ImageType"),
            "b": dataset.get("DiffusionBValue"),
            "time": dataset.get("TemporalPositionIdentifier"),
            "acquisition": dataset.get("AcquisitionNumber"),
            "inversion": dataset.get("InversionTime"),
        }
    xyz, cosines, pair = numbers(position, 3), numbers(orientation, 6), numbers(spacing, 2)
    return Frame(
        index=index,
        position=(xyz[0], xyz[1], xyz[2]) if xyz else None,
        orientation=cosines if cosines and _orthogonal(cosines) else None,
        spacing=(pair[0], pair[1]) if pair and min(pair) > 0 else None,
        split={key: str(value) for key, value in split.items() if value is not None},
    )


def _orthogonal(cosines: Sequence[float]) -> bool:
    row, column = np.array(cosines[:3]), np.array(cosines[3:])
    lengths = (float(np.linalg.norm(row)), float(np.linalg.norm(column)))
    return all(0.9 < length < 1.1 for length in lengths) and abs(float(row @ column)) < 0.1


def film_spacing(dataset: Dataset) -> tuple[tuple[float, float] | None, Words | None]:
    """(row, column) spacing in mm of a film and a note. Size at the detector is used when no other is
    known.
    """
    for keyword, note in (
        ("PixelSpacing", None),
        ("ImagerPixelSpacing", _("Sizes are those at the detector; in the body they are somewhat smaller.")),
        (
            "NominalScannedPixelSpacing",
            _("Sizes are those of the scanned film; in the body they may be smaller."),
        ),
    ):
        pair = numbers(dataset.get(keyword), 2)
        if pair and min(pair) > 1e-4 and max(pair) < 100:
            return (pair[0], pair[1]), note
    return None, None


def text(dataset: Dataset, keyword: str) -> str:
    """An attribute as stripped text, "" when missing or unreadable."""
    try:
        value = dataset.get(keyword)
    except Exception:
        return ""
    return str(value).strip("\0 ") if value is not None else ""


def number(value: Any) -> float | None:
    """A finite number, or None."""
    try:
        found = float(value)
    except (TypeError, ValueError):
        return None
    return found if math.isfinite(found) else None


def positive(value: Any) -> float | None:
    """A finite number above zero, or None."""
    found = number(value)
    return found if found is not None and found > 0 else None


def integer(dataset: Dataset, keyword: str, default: int = 0) -> int:
    """An attribute as a whole number, `default` when missing or unreadable."""
    found = number(text(dataset, keyword) or None)
    return int(found) if found is not None else default


def numbers(value: Any, count: int) -> tuple[float, ...] | None:
    """Exactly `count` finite numbers, or None."""
    try:
        found = tuple(float(one) for one in value)
    except (TypeError, ValueError):
        return None
    return found if len(found) == count and all(math.isfinite(one) for one in found) else None
