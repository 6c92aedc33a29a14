"""NIfTI-1 and NIfTI-2, packed or not."""

from __future__ import annotations

import gzip
import logging
from pathlib import Path
from typing import IO, Any, Final, NamedTuple, cast

import nibabel as nib
import numpy as np

from cases.imaging.colour import has_colour, luminance
from cases.imaging.disk import is_full
from cases.imaging.volume import (
    CanonicalVolume,
    ImagingError,
    from_affine,
    from_film,
    plane_of,
    robust_window,
)
from pmi_site.words import Words
from pmi_site.words import words as _

logging.getLogger("nibabel.global").setLevel(logging.CRITICAL)  # it would echo header text

_CHUNK: Final = 1 << 20
_UNITS: Final = {"mm": 1.0, "meter": 1000.0, "micron": 0.001, "unknown": 1.0}
# Free text in the header, as (offset, length): data_type, db_name, descrip, aux_file, intent_name; what is
# unused at the end of a NIfTI-2 one.
_TEXT_1: Final = ((4, 10), (14, 18), (148, 80), (228, 24), (328, 16))
_TEXT_2: Final = ((240, 80), (320, 24), (508, 16), (525, 15))


class Nifti(NamedTuple):
    """A read NIfTI. `original` is a .nii.gz whose header text and extensions are gone."""

    volume: CanonicalVolume
    original: Path
    notes: list[Words]


def read_nifti(path: Path, workdir: Path, max_voxels: int) -> Nifti:
    """Read an unpacked .nii file. Dimensions are bounded from the header before data are touched.

    Of a 4D file the first volume is read. Raises ImagingError.
    """
    try:
        return _read(path, workdir, max_voxels)
    except ImagingError:
        raise
    except Exception as error:  # nibabel raises many kinds for many kinds of damage
        if is_full(error):
            raise
        raise _damaged() from error


def _damaged() -> ImagingError:
    return ImagingError(
        "nifti_damaged",
        _("This NIfTI file is damaged or incomplete. Export it again and send the new file."),
    )


def _read(path: Path, workdir: Path, max_voxels: int) -> Nifti:
    with path.open("rb") as source:
        second = source.read(4) in (b"\x1c\x02\0\0", b"\0\0\x02\x1c")
    header_class = nib.Nifti2Header if second else nib.Nifti1Header
    with path.open("rb") as source:
        header = header_class.from_fileobj(source, check=False)
    shape = tuple(int(size) for size in header.get_data_shape())
    if not shape or any(size < 1 for size in shape):
        raise _damaged()
    space = shape[:3] + (1,) * (3 - len(shape))
    rest = int(np.prod([1, *shape[3:]], dtype=object))
    voxels = int(np.prod(space, dtype=object))
    if voxels > max_voxels:
        raise ImagingError(
            "too_many_pixels",
            _(
                "This volume says it has %(size)s points, more than PMI reads. Send a smaller copy.",
                size=" x ".join(map(str, space)),
            ),
        )
    dtype = header.get_data_dtype()
    if dtype.kind == "c":
        raise ImagingError(
            "complex_data", _("This NIfTI holds raw complex numbers, not pictures. Send magnitudes.")
        )
    offset = int(header.get_data_offset())
    expected = offset + voxels * rest * dtype.itemsize
    if offset < header_class.sizeof_hdr or path.stat().st_size < expected:
        raise ImagingError(
            "truncated",
            _("This NIfTI file is cut short: part of the picture is missing. Copy it again and resend it."),
        )
    notes: list[Words] = []
    if rest > 1:
        notes.append(_("The file holds %(count)d volumes; only the first one was read.", count=rest))
    data, colour = _first_volume(path, header, dtype, offset, space)
    affine, known, oriented = _geometry(header, space)
    if not oriented:
        notes.append(_("The file does not say how the patient lay, so left and right may be swapped."))
    if not known:
        notes.append(_("The file does not say how large a pixel is."))
    plane = _plane(space, affine) if oriented else ""
    meta: dict[str, Any] = {
        "modality": "",
        "source_format": "nifti",
        "is_colour": colour,
        "oriented": oriented,
    }
    if space[2] == 1 and not oriented:
        image = data[:, ::-1, 0].T
        zooms = np.abs(np.diag(affine)[:3])
        film_spacing = (float(zooms[1]), float(zooms[0])) if known else None
        volume = from_film(image, spacing=film_spacing, window=robust_window(data), **meta)
    else:
        volume = from_affine(data, affine, known=known, window=robust_window(data), plane=plane, **meta)
    if min(sorted(volume.data.shape)[1:]) < 16:
        raise ImagingError("too_small", _("This volume is too small to be a scan. Send the full-size file."))
    workdir.mkdir(parents=True, exist_ok=True)
    original = workdir / "volume.nii.gz"
    _write_clean(path, original, second, header.endianness, offset, expected)
    return Nifti(volume, original, notes)


def _first_volume(
    path: Path, header: Any, dtype: np.dtype, offset: int, space: tuple[int, ...]
) -> tuple[np.ndarray, bool]:
    raw = np.memmap(path, dtype=dtype, mode="r", offset=offset, shape=space, order="F")
    if dtype.names:  # RGB24 or RGBA32
        rgb = np.stack([np.asarray(raw[name]) for name in dtype.names[:3]], axis=-1)
        middle = rgb[:, :, rgb.shape[2] // 2]
        return luminance(rgb), has_colour(middle)
    slope, intercept = (float(value) if value is not None else value for value in header.get_slope_inter())
    values = np.asarray(raw)
    if slope in (None, 0.0) or not np.isfinite([slope, intercept or 0.0]).all():
        slope, intercept = 1.0, 0.0
    if slope != 1.0 or intercept:
        values = values.astype(np.float32) * np.float32(slope) + np.float32(intercept or 0.0)
    if values.dtype.kind == "f":
        with np.errstate(over="ignore"):
            values = np.nan_to_num(values.astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    return values, False


def _geometry(header: Any, space: tuple[int, ...]) -> tuple[np.ndarray, bool, bool]:
    """Affine in mm, whether the spacing is known, and whether the orientation is."""
    zooms = np.abs(np.asarray(header.get_zooms()[:3], dtype=np.float64))
    zooms = np.concatenate([zooms, np.ones(3 - len(zooms))])
    unit = header.get_xyzt_units()[0]
    oriented = bool(header["sform_code"] > 0 or header["qform_code"] > 0)
    affine = np.asarray(header.get_best_affine(), dtype=np.float64)
    if not _usable(affine):
        affine, oriented = np.diag([*np.where(zooms > 0, zooms, 1.0), 1.0]), False
    elif not oriented:
        centre = (np.asarray(space) - 1) / 2 * np.diag(affine)[:3]
        affine = affine.copy()
        affine[:3, 3] = -centre
    known = bool(np.isfinite(zooms).all() and (zooms > 0).all())
    if unit == "unknown" and not oriented:
        known = False
    scale = _UNITS.get(unit, 1.0)
    affine[:3] *= scale
    return affine, known, oriented


def _usable(affine: np.ndarray) -> bool:
    if not np.isfinite(affine).all() or np.abs(affine).max() > 1e6:
        return False
    sizes = np.linalg.norm(affine[:3, :3], axis=0)
    return bool((sizes > 1e-6).all() and abs(np.linalg.det(affine[:3, :3] / sizes)) > 0.01)


def _plane(space: tuple[int, ...], affine: np.ndarray) -> str:
    """The plane of the thickest steps, when one direction is clearly coarser than the other two."""
    sizes = nib.affines.voxel_sizes(affine)
    thick = int(np.argmax(sizes))
    if 1 in space:
        thick = space.index(1)
    elif sizes[thick] < 1.5 * float(np.median(sizes)):
        return ""
    return plane_of(affine, thick)


def _write_clean(path: Path, target: Path, second: bool, endian: str, offset: int, end: int) -> None:
    size, texts = (540, _TEXT_2) if second else (348, _TEXT_1)
    start = 544 if second else 352
    with path.open("rb") as source, gzip.GzipFile(target, "wb", compresslevel=1, mtime=0) as out:
        header = bytearray(source.read(size))
        for begin, length in texts:
            header[begin : begin + length] = bytes(length)
        order = "<" if endian == "<" else ">"
        if second:
            header[168:176] = np.array(start, dtype=f"{order}i8").tobytes()
        else:
            header[108:112] = np.array(start, dtype=f"{order}f4").tobytes()
        out.write(bytes(header) + b"\0\0\0\0")
        source.seek(offset)
        _pump(source, cast(IO[bytes], out), end - offset)


def _pump(source: IO[bytes], out: IO[bytes], left: int) -> None:
    while left > 0:
        chunk = source.read(min(_CHUNK, left))
        if not chunk:
            raise _damaged()
        out.write(chunk)
        left -= len(chunk)
