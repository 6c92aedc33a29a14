"""Where rows come from: a manifest CSV, a class-per-folder tree, or a folder of DICOM files."""

from __future__ import annotations

import csv
import hashlib
import hmac
import logging
import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from ml_training.data.manifest import read_manifest
from ml_training.errors import TrainingError

logger = logging.getLogger(__name__)
IMAGES = {".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp"}


@dataclass
class Rows:
    """Rows as they came: `rows[i]` has `file` relative to `root`; `lines[i]` is its number for messages.

    `problems` holds (line, file, what) of files that did not even become a row.
    """

    root: Path
    rows: list[dict[str, str]]
    lines: list[int]
    problems: list[tuple[int, str, str]]


def from_manifest(path: Path) -> Rows:
    """Rows of a manifest CSV; the line numbers are the file's own."""
    table = read_manifest(path)
    rows = [{key: value or "" for key, value in row.items() if key} for row in table]
    return Rows(path.parent, rows, [row.line for row in table], [])


def from_tree(folder: Path) -> Rows:
    """One row per image below `folder`; the first folder on the way to it is its label.

    Raises:
        TrainingError: there is no image in a class folder.
    """
    files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in IMAGES and p.parent != folder)
    if not files:
        raise TrainingError(f"{folder}: no images in class folders (expected {folder.name}/LABEL/image.png)")
    names = [path.relative_to(folder) for path in files]
    rows = [{"file": name.as_posix(), "label": name.parts[0]} for name in names]
    return Rows(folder, rows, list(range(1, len(rows) + 1)), [])


def from_dicom(
    folder: Path, images: Path, key: bytes, labels: Path | None = None, names: Sequence[str] | None = ()
) -> Rows:
    """One row per DICOM image below `folder`, written to `images` as PNG without any header.

    The group is a keyed hash of the patient id, the name one of the instance; the same key gives the same
    names again. The label is the first folder on the way to a file where it is one of `names` (None takes
    any; folders are often named after patients), or the `label` column of the CSV `labels` (columns `file`,
    relative to `folder`, and `label`). Problems name files by their number in sorted order, for the same
    reason. Letters burnt into pixels stay: look at the sheet.

    Raises:
        TrainingError: nothing to read, or the label file lacks a column.
    """
    known: dict[str, str] | None = None
    if labels is not None:
        table = read_manifest(labels)
        if "label" not in table[0]:
            raise TrainingError(f"{labels}: no column 'label'")
        known = {row["file"]: row["label"] for row in table}
    result = Rows(images.parent, [], [], [])
    images.mkdir(parents=True, exist_ok=True)
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path != labels)
    for number, path in enumerate(files, start=1):
        name = path.relative_to(folder)
        label = (
            known.get(name.as_posix(), "")
            if known is not None
            else (name.parts[0] if len(name.parts) > 1 and (names is None or name.parts[0] in names) else "")
        )
        try:
            frames, patient, instance, modality = _read_dicom(path)
        except Exception as error:  # noqa: BLE001  a decoder may fail in any way on a bad file
            result.problems.append(
                (number, f"DICOM file {number}", f"not a readable DICOM image: {type(error).__name__}")
            )
            continue
        if not patient:
            result.problems.append((number, f"DICOM file {number}", "no patient id: grouped alone"))
        group = _hashed(key, f"patient:{patient or instance}")
        for index, frame in enumerate(frames):
            file = images / f"{_hashed(key, f'image:{instance}:{index}')}.png"
            _write_png(frame, file)
            row = {"file": f"{images.name}/{file.name}", "label": label, "group": group, "modality": modality}
            result.rows.append(row)
            result.lines.append(number)
    if not result.rows:
        raise TrainingError(f"{folder}: no DICOM image could be read")
    return result


def read_key(path: Path) -> bytes:
    """The key for patient hashes: made on first use, readable by its owner only, at least 16 bytes.

    Raises:
        TrainingError: it is too short or cannot be read.
    """
    try:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as handle:
                handle.write(secrets.token_hex(32).encode())
        key = path.read_bytes().strip()
    except OSError as error:
        raise TrainingError(f"{path}: {error}") from error
    if len(key) < 16:
        raise TrainingError(f"{path}: a key needs at least 16 bytes")
    return key


def _hashed(key: bytes, text: str) -> str:
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()[:16]


def _read_dicom(path: Path) -> tuple[list[np.ndarray], str, str, str]:
    """Frames (H, W) float32 with dark background, patient id, instance id and modality."""
    import pydicom
    from pydicom.pixels import apply_modality_lut, apply_voi_lut

    dataset = pydicom.dcmread(path)
    pixels = dataset.pixel_array
    if int(dataset.get("SamplesPerPixel", 1)) > 1:
        pixels = pixels.mean(-1)
    else:
        pixels = apply_voi_lut(apply_modality_lut(pixels, dataset), dataset)
    values = np.asarray(pixels, dtype=np.float32)
    if dataset.get("PhotometricInterpretation") == "MONOCHROME1":
        values = values.max() + values.min() - values
    frames = list(values) if values.ndim == 3 else [values]
    instance = str(dataset.get("SOPInstanceUID", "")) or hashlib.sha256(path.read_bytes()).hexdigest()
    return frames, str(dataset.get("PatientID", "") or ""), instance, str(dataset.get("Modality", "") or "")


def _write_png(frame: np.ndarray, path: Path) -> None:
    low, high = float(frame.min()), float(frame.max())
    grey = ((frame - low) * (255.0 / max(high - low, 1e-6))).round().astype(np.uint8)
    part = path.with_suffix(".part")
    Image.fromarray(grey).save(part, format="PNG")
    part.replace(path)


def as_csv(columns: list[str], rows: list[dict[str, str]]) -> bytes:
    """The rows as CSV bytes with exactly these columns."""
    import io

    buffer = io.StringIO(newline="")
    writer = csv.DictWriter(
        buffer, fieldnames=columns, restval="", extrasaction="ignore", lineterminator="\n"
    )
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue().encode()
