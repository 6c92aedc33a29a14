"""Heatmap files in private storage: written before the rows that name them, removed when those rows do not
come.

Every attempt writes into a folder of its own (`analyses/<analysis>/<attempt>/`), so that what a killed worker
left behind can be told from what is in use.
"""

from __future__ import annotations

import contextlib
import tempfile
import uuid
from pathlib import Path, PurePosixPath

import nibabel
import numpy as np
from django.core.files import File
from django.core.files.base import ContentFile

from cases.imaging.volume import CanonicalVolume
from cases.storage import private_storage, remove_files, work_root
from inference import heat


def folder(analysis_id: uuid.UUID, attempt: int | None = None) -> str:
    """The private folder of an analysis, or of one attempt of it."""
    base = f"analyses/{analysis_id}"
    return base if attempt is None else f"{base}/{attempt}"


def write(
    analysis_id: uuid.UUID,
    attempt: int,
    finding_id: uuid.UUID,
    volume: CanonicalVolume,
    heatmap: np.ndarray,
    key: tuple[int, str],
) -> tuple[str, str]:
    """Stores one finding's heatmap: NIfTI in the scan's own space, and a PNG of the key slice (index, plane)
    under it.

    `heatmap` is uint8 (X, Y, Z); the NIfTI's header scales it to 0..1. Returns the two storage names. Removes
    what it wrote when it fails.
    """
    storage = private_storage()
    place = folder(analysis_id, attempt)
    written: list[str] = []
    try:
        with tempfile.TemporaryDirectory(prefix="heatmap-", dir=work_root()) as work:
            path = Path(work) / "heatmap.nii.gz"
            nibabel.save(to_nifti(volume, heatmap), path)
            with path.open("rb") as handle:
                written.append(storage.save(f"{place}/{finding_id}.nii.gz", File(handle)))
        png = heat.overlay_png(volume, heatmap, *key)
        written.append(storage.save(f"{place}/{finding_id}.png", ContentFile(png)))
    except BaseException:
        remove_files(written)
        raise
    return written[0], written[1]


def to_nifti(volume: CanonicalVolume, heatmap: np.ndarray) -> nibabel.Nifti1Image:
    """A heatmap as NIfTI in the scan's space, uint8 with a slope of 1/255."""
    image = nibabel.Nifti1Image(heatmap.astype(np.uint8), volume.affine)
    known = volume.spacing is not None
    image.header.set_xyzt_units("mm" if known else "unknown")
    code = "scanner" if known and volume.is_volume else "aligned"
    image.set_qform(volume.affine, code=code)
    image.set_sform(volume.affine, code=code)
    image.header.set_slope_inter(1 / 255, 0)
    image.header["cal_min"], image.header["cal_max"] = 0.0, 1.0
    return image


def remove(names: list[str]) -> None:
    """Removes files that no row will name."""
    remove_files(names)


def remove_other_attempts(analysis_id: uuid.UUID, keep: int) -> None:
    """Removes what attempts other than `keep` left behind, for example when their worker was killed."""
    with contextlib.suppress(OSError, NotImplementedError):
        folders, _files = private_storage().listdir(folder(analysis_id))
        for name in folders:
            if name != str(keep):
                _remove_tree(f"{folder(analysis_id)}/{name}")


def remove_analysis_files(analysis_id: uuid.UUID) -> None:
    """Removes all files of an analysis."""
    _remove_tree(folder(analysis_id))


def _remove_tree(place: str) -> None:
    storage = private_storage()
    with contextlib.suppress(OSError, NotImplementedError):
        folders, files = storage.listdir(place)
        for name in folders:
            _remove_tree(str(PurePosixPath(place) / name))
        remove_files([str(PurePosixPath(place) / name) for name in files])
        storage.delete(place)
