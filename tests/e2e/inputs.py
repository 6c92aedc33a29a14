"""Files that people drop on the page."""

import csv
import os
from pathlib import Path

import nibabel
import numpy as np
from PIL import Image

from tests.e2e.running_site import REPOSITORY
from tests.inference.pictures import picture


def drawn_film(path: Path, kind: str, label: str, seed: int = 99) -> Path:
    """A drawn film as a picture file; its ending says which."""
    pixels = np.clip(picture(kind, label, seed), 0, 255).astype(np.uint8)
    Image.fromarray(pixels).resize((384, 384), Image.Resampling.BICUBIC).save(path)
    return path


def drawn_brain(path: Path, slices: int = 40) -> Path:
    """A drawn brain with a tumour on some slices, as NIfTI."""
    stack = [
        picture("brain_mri", "glioma" if 12 <= z < 26 else "none", 500 + z, side=160) for z in range(slices)
    ]
    # (z, rows, columns) as displayed: front of the head up, the patient's right on the left.
    data = np.stack(stack)[:, ::-1, ::-1].transpose(2, 1, 0).astype(np.int16)
    nibabel.save(nibabel.Nifti1Image(data, np.diag([1.2, 1.2, 3.0, 1.0])), path)
    return path


def holiday_photo(path: Path) -> Path:
    """A colourful picture that is no scan."""
    rng = np.random.default_rng(4)
    rows, columns = np.mgrid[0:480, 0:640]
    pixels = np.zeros((480, 640, 3))
    pixels[..., 2] = 230 - rows / 3
    pixels[..., 1] = 120 + rows / 6
    pixels[300:, :, 0], pixels[300:, :, 1], pixels[300:, :, 2] = 205, 180, 90
    pixels[(rows - 90) ** 2 + (columns - 500) ** 2 < 45**2] = (255, 225, 60)
    for _ in range(14):
        row, column, size = rng.integers(280, 460), rng.integers(0, 600), rng.integers(8, 36)
        pixels[row : row + size, column : column + size] = rng.integers(0, 255, 3)
    noisy = np.clip(pixels + rng.normal(0, 6, pixels.shape), 0, 255).astype(np.uint8)
    Image.fromarray(noisy).save(path)
    return path


def garbage(path: Path) -> Path:
    """Bytes that are no picture, under a name that promises one."""
    path.write_bytes(np.random.default_rng(8).integers(0, 256, 5000, dtype=np.uint8).tobytes())
    return path


def real_knee(folder: Path) -> Path | None:
    """A knee with clear signs as a JPEG, from the public data where this machine has it."""
    data = Path(os.environ.get("PMI_DATA") or REPOSITORY.parent / "shared" / "data") / "knee_xray"
    if not (data / "manifest.csv").is_file():
        return None
    with (data / "manifest.csv").open(newline="") as handle:
        for row in csv.DictReader(handle):
            source = next((data / value for value in row.values() if value and value.endswith(".webp")), None)
            if source is None or row.get("label") != "4" or row.get("split") != "val":
                continue
            source = source if source.is_file() else data / "images" / source.name
            target = folder / "knee.jpg"
            Image.open(source).convert("L").save(target, quality=92)
            return target
    return None
