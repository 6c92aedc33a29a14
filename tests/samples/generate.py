"""Tiny scans made by code: no real person's pixels are kept in the repository."""

import io
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image
from pydicom import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import UID, ExplicitVRLittleEndian, generate_uid

PATIENT = "Zyxwvut^Quentin"
PATIENT_ID = "PID-77123-SECRET"
SECRETS = (
    b"Zyxwvut",
    b"Quentin",
    b"PID-77123",
    b"Elm Tree Hospital",
    b"Dr Nosey",
    b"19610203",
    b"19990203",
    b"SCANNER-AET",
)


def film_pixels(rows: int = 48, columns: int = 40, top: int = 4000) -> np.ndarray:
    """A dark film with a bright square in its upper left quarter and a grey bar at its foot."""
    image = np.full((rows, columns), top // 20, dtype=np.uint16)
    image[4 : rows // 4, 4 : columns // 4] = top
    image[-6:-2, 8:-8] = top // 2
    return image


def dataset(pixels: np.ndarray, modality: str = "DX", **attributes: object) -> Dataset:
    """A de facto complete DICOM data set, full of identifiers, around (rows, columns) uint16 pixels."""
    one = Dataset()
    one.SOPClassUID = "1.2.840.10008.5.1.4.1.1.1.1" if modality == "DX" else "1.2.840.10008.5.1.4.1.1.4"
    one.SOPInstanceUID, one.SeriesInstanceUID, one.StudyInstanceUID = (generate_uid() for _ in range(3))
    one.PatientName, one.PatientID, one.PatientBirthDate = PATIENT, PATIENT_ID, "19610203"
    one.InstitutionName, one.ReferringPhysicianName = "Elm Tree Hospital", "Dr Nosey"
    one.StudyDate, one.StudyTime, one.Modality = "19990203", "101010", modality
    one.StudyDescription = "Film of Quentin"
    one.SoftwareVersions = "made for Quentin Zyxwvut"  # no table names this: the last search must
    step = Dataset()
    step.ScheduledProcedureStepDescription, step.ScheduledStationAETitle = "see Quentin", "SCANNER-AET"
    one.RequestAttributesSequence = Sequence([step])
    referenced = Dataset()
    referenced.ReferencedSOPClassUID, referenced.ReferencedSOPInstanceUID = (
        one.SOPClassUID,
        one.SOPInstanceUID,
    )
    one.SourceImageSequence = Sequence([referenced])
    block = one.private_block(0x0011, "MAKER Quentin", create=True)
    block.add_new(1, "LO", "Zyxwvut again")
    one.add_new((0x6000, 0x1500), "LO", "Quentin's label")
    one.Rows, one.Columns, one.SamplesPerPixel = pixels.shape[0], pixels.shape[1], 1
    one.BitsAllocated, one.BitsStored, one.HighBit, one.PixelRepresentation = 16, 12, 11, 0
    one.PhotometricInterpretation = "MONOCHROME2"
    one.PixelData = pixels.astype("<u2").tobytes()
    for keyword, value in attributes.items():
        setattr(one, keyword, value)
    return one


def to_bytes(one: Dataset, syntax: UID = ExplicitVRLittleEndian) -> bytes:
    """The data set as a file, with a preamble and meta information that name people too."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = one.SOPClassUID, one.SOPInstanceUID
    meta.TransferSyntaxUID = syntax
    meta.ImplementationClassUID = generate_uid()
    meta.SourceApplicationEntityTitle = "SCANNER-AET"
    one.file_meta, one.preamble = meta, b"Quentin Zyxwvut".ljust(128, b"\0")
    out = io.BytesIO()
    one.save_as(out, enforce_file_format=True)
    return out.getvalue()


def head(x: int = 32, y: int = 40, z: int = 24) -> np.ndarray:
    """(x, y, z) RAS: an ellipsoid with a bright mark on the patient's right, in front, and on top."""
    grid = np.meshgrid(*(np.linspace(-1, 1, size) for size in (x, y, z)), indexing="ij")
    volume = np.where(sum(axis**2 for axis in grid) < 0.8, 300, 10).astype(np.uint16)
    volume[-8:-5, y // 2, z // 2] = 1000
    volume[x // 2, -8:-5, z // 2] = 1500
    volume[x // 2, y // 2, -6:-4] = 2000
    return volume


def axial_series(spacing: tuple[float, float, float] = (0.9, 1.1, 2.5), **attributes: object) -> list[bytes]:
    """`head` as axial MR slices, in an order and with numbers that say nothing about their place."""
    volume, series = head(), generate_uid()
    files = []
    for k in range(volume.shape[2]):
        # DICOM rows run from anterior to posterior, columns from the patient's right to left.
        pixels = volume[::-1, ::-1, k].T
        one = dataset(
            pixels,
            "MR",
            SeriesInstanceUID=series,
            ImageOrientationPatient=[1, 0, 0, 0, 1, 0],
            ImagePositionPatient=[-10.0, -20.0, 5.0 + spacing[2] * k],
            PixelSpacing=[spacing[1], spacing[0]],
            SliceThickness=spacing[2],
            InstanceNumber=(k * 7) % volume.shape[2],
            **attributes,
        )
        files.append(to_bytes(one))
    return files[::2] + files[1::2]


def picture(mode: str = "L", size: tuple[int, int] = (40, 48)) -> Image.Image:
    """A picture (columns, rows) whose upper left quarter is bright."""
    image = np.full((size[1], size[0]), 20, dtype=np.uint8)
    image[: size[1] // 2, : size[0] // 2] = 220
    return Image.fromarray(image).convert(mode)


def zip_of(folder: Path, members: dict[str, bytes], name: str = "scan.zip") -> Path:
    """A deflated zip with these members."""
    target = folder / name
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, content in members.items():
            archive.writestr(member, content)
    return target
