"""The canonical form of every scan: one array in known axes, with its spacing or the honest absence of it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import nibabel as nib
import numpy as np
from nibabel.nifti1 import Nifti1Extension

from pmi_site.words import Words
from pmi_site.words import words as _

PLANES: Final = ("axial", "coronal", "sagittal")
_SLICE_AXIS: Final = {"sagittal": 0, "coronal": 1, "axial": 2}
_COMMENT_CODE: Final = 6
_META_KEY: Final = "pmi"


class ImagingError(Exception):
    """An image that cannot be used. `code` is for programs; `message` says what is wrong and what to do."""

    def __init__(self, code: str, message: Words) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True, eq=False)
class CanonicalVolume:
    """One film or one volume, decoded.

    A film (or a single slice, or one photo) is (X, Y, 1): x runs over columns left to right as displayed,
    y over rows from bottom to top. A volume is (X, Y, Z) in RAS+ axes: x towards the patient's right, y
    anterior, z superior.
    """

    data: np.ndarray  # (X, Y, Z), float32 or int16
    affine: np.ndarray  # (4, 4) voxel to millimetres, RAS; when that is unknown, to widths of a voxel
    spacing: tuple[float, float, float] | None  # mm per axis of `data`; None: unknown
    modality: str  # DICOM Modality, or "" when unknown
    source_format: str  # "raster" | "dicom" | "nifti"
    window: tuple[float, float] | None  # display (low, high) in the units of `data`
    body_part: str = ""  # DICOM BodyPartExamined in upper case, or ""
    plane: str = ""  # plane of acquisition: axial | coronal | sagittal, or "" when there is none
    view: str = ""  # DICOM ViewPosition of a film in upper case, or ""
    is_colour: bool = False  # the source carried real colour
    oriented: bool = True  # of a volume: its axes are known to be those of the patient

    def __post_init__(self) -> None:
        if self.data.ndim != 3 or 0 in self.data.shape:
            raise ValueError(f"a canonical volume has three non-empty axes, not {self.data.shape}")
        if self.data.dtype not in (np.dtype(np.float32), np.dtype(np.int16)):
            raise ValueError(f"a canonical volume is float32 or int16, not {self.data.dtype}")
        if self.affine.shape != (4, 4):
            raise ValueError("the affine is 4 x 4")

    @property
    def is_volume(self) -> bool:
        """True when there is more than one slice, False for a film, photo or single slice."""
        return self.data.shape[2] > 1

    def n_slices(self, plane: str = "axial") -> int:
        """How many images `slice_image` can give in this plane. A film has one, in every plane."""
        axis = _axis(plane)
        return int(self.data.shape[axis]) if self.is_volume else 1

    def slice_image(self, index: int, plane: str = "axial") -> np.ndarray:
        """One image in display orientation, (rows, columns) float32 in the units of `data`.

        A film comes as it is seen. Axial: anterior up, patient's right on the left. Coronal: superior up,
        patient's right on the left. Sagittal: superior up, anterior on the left. IndexError for an index
        out of range.
        """
        return np.ascontiguousarray(self._view(self.data, index, plane), dtype=np.float32)

    def place_in_volume(self, image: np.ndarray, index: int, plane: str, out: np.ndarray) -> None:
        """Write a (rows, columns) map in display orientation back into `out`, shaped like `data`."""
        if out.shape != self.data.shape:
            raise ValueError(f"out has shape {out.shape}, the volume has {self.data.shape}")
        view = self._view(out, index, plane)
        if view.shape != image.shape:
            raise ValueError(f"the map has shape {image.shape}, the slice has {view.shape}")
        view[...] = image

    def pixel_aspect(self, plane: str = "axial") -> float:
        """Row spacing / column spacing of `slice_image` in this plane. Without a spacing it is 1.0, but for
        films that tell only the shape of their pixels.
        """
        axis = _axis(plane)
        x, y, z = self.spacing or nib.affines.voxel_sizes(self.affine)
        if not self.is_volume or axis == 2:
            return float(y / x)
        return float(z / x if axis == 1 else z / y)

    def display_window(self) -> tuple[float, float]:
        """The window to show: the stored one, else the 0.5 to 99.5 percentile of the data; always low <
        high.
        """
        if self.window is not None and self.window[1] > self.window[0]:
            return self.window
        return robust_window(self.data)

    def to_nifti(self) -> nib.Nifti1Image:
        """The volume as NIfTI-1, uncompressed in memory. Everything needed to come back is in the header."""
        image = nib.Nifti1Image(self.data, self.affine)
        image.header.set_data_dtype(self.data.dtype)
        known = self.spacing is not None
        image.header.set_xyzt_units("mm" if known else "unknown")
        code = "scanner" if known and self.is_volume else "aligned"
        image.set_qform(self.affine, code=code)
        image.set_sform(self.affine, code=code)
        if self.window is not None:
            image.header["cal_min"], image.header["cal_max"] = self.window
        meta = {
            "spacing": self.spacing,
            "modality": self.modality,
            "source_format": self.source_format,
            "window": self.window,
            "body_part": self.body_part,
            "plane": self.plane,
            "view": self.view,
            "is_colour": self.is_colour,
            "oriented": self.oriented,
        }
        text = json.dumps({_META_KEY: meta}, separators=(",", ":"))
        image.header.extensions.append(Nifti1Extension(_COMMENT_CODE, text.encode("ascii")))
        return image

    @classmethod
    def from_nifti(cls, path: Path | str, **meta: Any) -> CanonicalVolume:
        """Read a file written by `to_nifti`. `meta` overrides fields. Raises ImagingError for a broken
        file.
        """
        try:
            image = nib.load(str(path))
            if not isinstance(image, nib.Nifti1Image):
                raise ImagingError("canonical_unreadable", _("The stored scan is not a NIfTI file."))
            stored = _stored_meta(image)
            data = np.asanyarray(image.dataobj)
        except ImagingError:
            raise
        except Exception as error:
            raise ImagingError("canonical_unreadable", _("The stored scan cannot be read.")) from error
        if data.dtype != np.int16:
            data = np.asarray(data, dtype=np.float32)
        zooms = tuple(float(zoom) for zoom in image.header.get_zooms()[:3])
        known = image.header.get_xyzt_units()[0] != "unknown"
        fields: dict[str, Any] = {
            "spacing": zooms if known else None,
            "modality": "",
            "source_format": "nifti",
            "window": None,
            # Files from before this was kept: the one known by its spacing had a place in space, too.
            "oriented": known,
            # A later version may have kept more than this one knows.
            **{name: value for name, value in stored.items() if name in cls.__dataclass_fields__},
            **meta,
        }
        for name in ("spacing", "window"):
            if fields[name] is not None:
                fields[name] = tuple(float(value) for value in fields[name])
        affine = np.asarray(image.affine, dtype=np.float64)
        return cls(data=np.ascontiguousarray(data), affine=affine, **fields)

    def _view(self, array: np.ndarray, index: int, plane: str) -> np.ndarray:
        axis = _axis(plane)
        if not 0 <= index < self.n_slices(plane):
            raise IndexError(f"slice {index} of {self.n_slices(plane)}")
        if not self.is_volume:
            return array[:, ::-1, 0].T
        # Both remaining axes are reversed: rows run downwards from anterior or superior, columns from the
        # patient's right (axial, coronal) or from anterior (sagittal).
        return _select(array, index, axis)


def _select(array: np.ndarray, index: int, axis: int) -> np.ndarray:
    key: list[Any] = [slice(None)] * 3
    key[axis] = index
    return array[tuple(key)][::-1, ::-1].T


def _axis(plane: str) -> int:
    try:
        return _SLICE_AXIS[plane]
    except KeyError:
        raise ValueError(f"plane is one of {', '.join(PLANES)}, not {plane!r}") from None


def _stored_meta(image: nib.Nifti1Image) -> dict[str, Any]:
    for extension in image.header.extensions:
        if extension.get_code() != _COMMENT_CODE:
            continue
        try:
            content = extension.get_content()
            text = content.decode("utf-8") if isinstance(content, bytes) else str(content)
            found = json.loads(text.rstrip("\0 "))
        except (UnicodeDecodeError, ValueError):
            continue
        if isinstance(found, dict) and isinstance(found.get(_META_KEY), dict):
            return dict(found[_META_KEY])
    return {}


def robust_window(data: np.ndarray, low: float = 0.5, high: float = 99.5) -> tuple[float, float]:
    """Percentile window of an array, from at most about a million samples; always low < high."""
    flat = data.reshape(-1)
    sample = flat[:: max(1, flat.size // 1_000_000)]
    bottom, top = (float(value) for value in np.percentile(sample, (low, high)))
    if top <= bottom:
        bottom, top = float(sample.min()), float(sample.max())
    return (bottom, top) if top > bottom else (bottom, bottom + 1.0)


def compact(data: np.ndarray) -> np.ndarray:
    """int16 when that loses nothing, float32 otherwise (not-a-number and infinities become 0)."""
    if data.dtype == np.int16:
        return data
    if data.dtype.kind in "iub":
        if data.size and int(data.min()) >= -32768 and int(data.max()) <= 32767:
            return data.astype(np.int16)
        return data.astype(np.float32)
    values = np.asarray(data, dtype=np.float32)
    if not np.isfinite(values).all():
        values = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
    if values.size and values.min() >= -32768 and values.max() <= 32767 and (values == np.rint(values)).all():
        return values.astype(np.int16)
    return values


def from_film(
    image: np.ndarray,
    *,
    spacing: tuple[float, float] | None = None,
    aspect: float = 1.0,
    thickness: float = 1.0,
    **meta: Any,
) -> CanonicalVolume:
    """Make a film of a (rows, columns) image as displayed. `spacing` is (row, column) in mm, or None where
    at most the `aspect` is known, row by column.
    """
    data = compact(np.ascontiguousarray(image[::-1].T)[:, :, np.newaxis])
    if spacing is None:
        return CanonicalVolume(data=data, affine=np.diag([1.0, aspect, 1.0, 1.0]), spacing=None, **meta)
    row, column = spacing
    affine = np.diag([column, row, thickness, 1.0])
    return CanonicalVolume(data=data, affine=affine, spacing=(column, row, thickness), **meta)


def from_frames(frames: np.ndarray, **meta: Any) -> CanonicalVolume:
    """A stack of (frames, rows, columns) without geometry: each frame is seen upright in the axial plane."""
    data = compact(np.ascontiguousarray(frames[:, ::-1, ::-1].transpose(2, 1, 0)))
    return CanonicalVolume(data=data, affine=np.eye(4), spacing=None, oriented=False, **meta)


def plane_of(affine: np.ndarray, axis: int) -> str:
    """The plane whose slices follow one another along this voxel axis, as `from_affine` lays them."""
    towards = int(nib.orientations.io_orientation(affine)[axis, 0])
    return next(name for name, number in _SLICE_AXIS.items() if number == towards)


def from_affine(data: np.ndarray, affine: np.ndarray, *, known: bool = True, **meta: Any) -> CanonicalVolume:
    """Turn (I, J, K) voxels with any affine into the closest RAS+ axes. `known` False: the spacing is not
    to be trusted.

    A stack of one slice becomes a film in the display orientation of its plane.
    """
    ornt = nib.orientations.io_orientation(affine)
    turned = nib.orientations.apply_orientation(data, ornt)
    turned_affine = affine @ nib.orientations.inv_ornt_aff(ornt, data.shape)
    zooms = tuple(float(zoom) for zoom in nib.affines.voxel_sizes(turned_affine))
    spacing = (zooms[0], zooms[1], zooms[2]) if known else None
    if 1 in turned.shape:
        axis = int(turned.shape.index(1)) if turned.shape[2] != 1 else 2
        plane = next(name for name, number in _SLICE_AXIS.items() if number == axis)
        meta["plane"] = meta.get("plane") or plane
        image = _select(turned, 0, axis)
        in_plane = {0: (2, 1), 1: (2, 0), 2: (1, 0)}[axis]
        rows_columns = (zooms[in_plane[0]], zooms[in_plane[1]]) if known else None
        return from_film(image, spacing=rows_columns, thickness=zooms[axis] if known else 1.0, **meta)
    canonical = np.asarray(turned_affine if known else np.eye(4), dtype=np.float64)
    return CanonicalVolume(
        data=compact(np.ascontiguousarray(turned)), affine=canonical, spacing=spacing, **meta
    )
