"""`python -m ml_training slices`: a manifest of single slices, cut from volumes whose label is known."""

from __future__ import annotations

import argparse
import csv
import io
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ml_training.errors import TrainingError
from ml_training.report import write_atomic

COLUMNS = ("file", "label", "group", "plane", "source", "fold")
# In RAS axes, the axis that each plane is cut across.
_AXES = {"axial": 2, "coronal": 1, "sagittal": 0}
_SMALLEST = 16  # pixels a side
_ENOUGH_TISSUE = 0.2  # of the fullest slice's

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Slice:
    """One slice as a doctor sees it: anterior or superior up, the patient's right on the left (sagittal:
    anterior on the left). `image` is (rows, columns) uint8 with square pixels; `marked` says whether a mask
    marks a point of it.
    """

    plane: str
    index: int
    image: np.ndarray
    marked: bool = False


def add_slices(verbs: Any) -> None:
    """Add the verb to the parser's verbs."""
    verb: argparse.ArgumentParser = verbs.add_parser(
        "slices", help="cut volumes (NIfTI) whose label is known into single slices with a manifest"
    )
    verb.add_argument("volumes", nargs="+", type=Path, help="NIfTI files; each is one group of the manifest")
    verb.add_argument("--label", required=True, help="what every slice of them shows, e.g. none")
    verb.add_argument("--out", type=Path, required=True, help="new folder for manifest.csv and images")
    verb.add_argument("--step", type=float, default=4.0, help="millimetres between two slices")
    verb.add_argument("--planes", nargs="+", choices=list(_AXES), default=list(_AXES), help="default: all")
    verb.add_argument(
        "--masks", type=Path, help="folder: a volume of the same name marks slices that are left out"
    )
    verb.add_argument("--marked-label", default="", help="with --masks: what the marked slices show instead")
    verb.add_argument("--source", default="volumes", help="hospital or collection")
    verb.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Cut as the options say; nothing is written before every volume has been read."""
    if (options.out / "manifest.csv").exists():
        raise TrainingError(f"{options.out} holds a manifest already; choose another --out")
    names = [path.name.removesuffix(".gz").removesuffix(".nii") for path in options.volumes]
    for name in names:
        if names.count(name) > 1:
            raise TrainingError(f"{name}: two volumes of this name would be one group; rename one")
    if options.marked_label and not options.masks:
        raise TrainingError("--marked-label belongs to --masks")
    masks = [options.masks and options.masks / path.name for path in options.volumes]
    for mask in masks:
        if mask and not mask.is_file():
            raise TrainingError(f"--masks: {mask} is not there")
    cut = [
        list(slices_of(path, options.step, options.planes, mask))
        for path, mask in zip(options.volumes, masks, strict=True)
    ]
    rows = []
    (options.out / "images").mkdir(parents=True, exist_ok=True)
    for number, (name, found) in enumerate(zip(names, cut, strict=True), start=1):
        kept = [one for one in found if options.marked_label or not one.marked]
        for one in kept:
            label = options.marked_label if one.marked else options.label
            file = f"images/{name}_{one.plane}_{one.index:03d}.png"
            Image.fromarray(one.image).save(options.out / file)
            rows.append((file, label, name, one.plane, options.source, number))
        logger.info("%s: %d slices", name, len(kept))
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerows([COLUMNS, *rows])
    write_atomic(options.out / "manifest.csv", text.getvalue().encode())


def slices_of(
    path: Path, step: float, planes: Sequence[str] = tuple(_AXES), mask: Path | None = None
) -> Iterator[Slice]:
    """Slices of a volume in every plane, `step` millimetres apart, without the nearly empty ones at its ends;
    those in which a point of `mask`, a volume of the same size, is not zero are marked.

    Grey values between the volume's 0.5th and 99.5th percentile become 0..255.

    Raises:
        TrainingError: not a volume (unreadable, several volumes, a single slice), nothing in it, or it does
            not say how the patient lay; a mask of another size.
    """
    if not step > 0:
        raise TrainingError(f"--step must be above 0 mm, not {step}")
    data, spacing = _read(path)
    marked = np.zeros(data.shape, dtype=bool) if mask is None else _read(mask)[0] != 0
    if marked.shape != data.shape:
        raise TrainingError(f"{mask}: {marked.shape} points, but {path.name} has {data.shape}")
    low, high = np.percentile(data, (0.5, 99.5))
    if not high > low:
        raise TrainingError(f"{path}: an empty volume, every point has the same value")
    grey = np.clip((data - low) / (high - low), 0, 1)
    for plane in planes:
        axis = _AXES[plane]
        across = np.moveaxis(grey, axis, 0)
        tissue = (across > 0.15).mean(axis=(1, 2))
        every = max(1, round(step / spacing[axis]))
        left, up = (spacing[other] for other in range(3) if other != axis)
        for index in range(every // 2, len(across), every):
            if tissue[index] >= _ENOUGH_TISSUE * tissue.max():
                shown = across[index][::-1, ::-1].T
                seen = bool(np.take(marked, index, axis).any())
                yield Slice(plane, index, _square(shown, up, left), seen)


def _read(path: Path) -> tuple[np.ndarray, tuple[float, ...]]:
    """Voxels in RAS axes, and their size in millimetres."""
    import nibabel as nib

    try:
        image = nib.load(path)
        if not isinstance(image, nib.Nifti1Image):
            raise TypeError("another format")
        oriented = image.header["sform_code"] > 0 or image.header["qform_code"] > 0
        turned = nib.as_closest_canonical(nib.funcs.squeeze_image(image))
        data = np.nan_to_num(np.asarray(turned.dataobj, dtype=np.float32))
        spacing = tuple(float(size) for size in turned.header.get_zooms()[:3])
    except Exception as error:  # nibabel raises many kinds for many kinds of damage
        what = " ".join(str(error).split())[:200]
        raise TrainingError(f"{path}: not a readable NIfTI volume ({what})") from error
    if data.ndim != 3:
        raise TrainingError(f"{path}: one volume is needed, and this has {data.ndim} dimensions")
    if min(data.shape) < _SMALLEST:
        raise TrainingError(f"{path}: too small for a volume ({' x '.join(map(str, data.shape))})")
    if not oriented:
        raise TrainingError(f"{path}: it does not say how the patient lay")
    return data, spacing


def _square(image: np.ndarray, row: float, column: float) -> np.ndarray:
    """(rows, columns) of 0..1 as uint8 with pixels as small as the smaller side, in both directions."""
    pixel = min(row, column)
    size = (round(image.shape[1] * column / pixel), round(image.shape[0] * row / pixel))
    whole = Image.fromarray(np.rint(np.ascontiguousarray(image) * 255).astype(np.uint8))
    return np.asarray(whole.resize(size, Image.Resampling.BICUBIC))
