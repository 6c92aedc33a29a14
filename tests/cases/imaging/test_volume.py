"""The canonical volume: axes, display orientation, round trips."""

import json
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from nibabel.nifti1 import Nifti1Extension

from cases.imaging.preview import preview_png, slice_png
from cases.imaging.volume import PLANES, CanonicalVolume, ImagingError, from_affine, from_film, from_frames
from tests.samples import generate

META: dict[str, Any] = {"modality": "MR", "source_format": "dicom", "window": None}


def head() -> CanonicalVolume:
    return from_affine(generate.head().astype(np.int16), np.diag([0.9, 1.1, 2.5, 1.0]), **META)


def test_display_orientation_of_each_plane():
    volume = head()
    x, y, z = volume.data.shape
    axial = volume.slice_image(z // 2, "axial")
    rows, columns = np.nonzero(axial == 1500)
    assert rows.max() < y / 3  # anterior is up
    assert np.nonzero(axial == 1000)[1].max() < x / 3  # the patient's right is on the left
    coronal = volume.slice_image(y // 2, "coronal")
    assert np.nonzero(coronal == 2000)[0].max() < z / 3  # superior is up
    assert np.nonzero(coronal == 1000)[1].max() < x / 3
    sagittal = volume.slice_image(x // 2, "sagittal")
    assert np.nonzero(sagittal == 1500)[1].max() < y / 3  # anterior is on the left
    assert np.nonzero(sagittal == 2000)[0].max() < z / 3


@pytest.mark.parametrize("flip", [(1, 1, 1), (-1, 1, 1), (1, -1, -1), (-1, -1, 1)])
def test_any_storage_order_ends_in_the_same_axes(flip):
    data = generate.head().astype(np.int16)[:: flip[0], :: flip[1], :: flip[2]]
    turned = np.ascontiguousarray(data.transpose(2, 0, 1))
    affine = np.eye(4)
    affine[:3, :3] = np.array([[0, flip[0], 0], [0, 0, flip[1]], [flip[2], 0, 0]]) * 1.5
    assert np.array_equal(from_affine(turned, affine, **META).data, generate.head())


@pytest.mark.parametrize("plane", PLANES)
def test_place_in_volume_is_the_inverse(plane):
    volume, out = head(), np.zeros_like(head().data)
    for index in range(volume.n_slices(plane)):
        volume.place_in_volume(volume.slice_image(index, plane), index, plane, out)
    assert np.array_equal(out, volume.data)


def test_pixel_aspect():
    volume = head()
    assert volume.pixel_aspect("axial") == pytest.approx(1.1 / 0.9)
    assert volume.pixel_aspect("coronal") == pytest.approx(2.5 / 0.9)
    assert volume.pixel_aspect("sagittal") == pytest.approx(2.5 / 1.1)


def test_film_is_upright_and_y_runs_upwards():
    image = generate.film_pixels()
    film = from_film(image, spacing=(0.3, 0.2), **META)
    assert not film.is_volume and film.n_slices("sagittal") == 1
    assert np.array_equal(film.slice_image(0, "coronal"), image)
    assert film.data[5, -6, 0] == image[5, 5]
    assert film.spacing == (0.2, 0.3, 1.0) and film.pixel_aspect() == pytest.approx(1.5)


def test_frames_without_geometry_are_upright():
    frames = np.stack([generate.film_pixels(), generate.film_pixels() // 2])
    volume = from_frames(frames, **META)
    assert volume.spacing is None and not volume.oriented
    assert np.array_equal(volume.slice_image(1, "axial"), frames[1])


@pytest.mark.parametrize("known", [True, False])
def test_nifti_round_trip_keeps_everything(tmp_path, known):
    meta = {**META, "window": (3.0, 500.0), "body_part": "BRAIN", "plane": "axial", "is_colour": True}
    meta |= {"oriented": not known, "view": "PA"}
    volume = from_affine(generate.head().astype(np.int16), np.diag([0.9, 1.1, 2.5, 1.0]), known=known, **meta)
    nib.save(volume.to_nifti(), tmp_path / "scan.nii.gz")
    back = CanonicalVolume.from_nifti(tmp_path / "scan.nii.gz")
    assert np.array_equal(back.data, volume.data) and back.data.dtype == np.int16
    assert np.allclose(back.affine, volume.affine, atol=1e-5)
    for name in (
        "modality",
        "source_format",
        "window",
        "body_part",
        "plane",
        "is_colour",
        "oriented",
        "view",
    ):
        assert getattr(back, name) == getattr(volume, name), name
    assert back.spacing == (pytest.approx((0.9, 1.1, 2.5)) if known else None)


@pytest.mark.parametrize("known", [True, False])
def test_a_file_from_before_orientation_was_kept_is_taken_by_its_spacing(tmp_path, known):
    image = from_affine(generate.head().astype(np.int16), np.diag([0.9, 1.1, 2.5, 1.0]), known=known, **META)
    nifti = image.to_nifti()
    (extension,) = nifti.header.extensions
    stored = json.loads(extension.get_content())
    del stored["pmi"]["oriented"], stored["pmi"]["view"]
    nifti.header.extensions[0] = Nifti1Extension(6, json.dumps(stored).encode())
    nib.save(nifti, tmp_path / "scan.nii.gz")
    assert CanonicalVolume.from_nifti(tmp_path / "scan.nii.gz").oriented == known


def test_a_file_of_a_later_version_is_read(tmp_path):
    nifti = head().to_nifti()
    stored = json.loads(nifti.header.extensions[0].get_content())
    stored["pmi"]["what_comes_later"] = 1
    nifti.header.extensions[0] = Nifti1Extension(6, json.dumps(stored).encode())
    nib.save(nifti, tmp_path / "scan.nii.gz")
    assert CanonicalVolume.from_nifti(tmp_path / "scan.nii.gz").modality == "MR"


def test_broken_stored_file(tmp_path):
    (tmp_path / "scan.nii.gz").write_bytes(b"nothing of the kind")
    with pytest.raises(ImagingError):
        CanonicalVolume.from_nifti(tmp_path / "scan.nii.gz")


def test_index_and_plane_are_checked():
    with pytest.raises(IndexError):
        head().slice_image(-1)
    with pytest.raises(IndexError):
        head().slice_image(24)
    with pytest.raises(ValueError, match="plane"):
        head().slice_image(0, "oblique")


def test_previews_have_the_true_shape():
    import io

    from PIL import Image

    volume = head()
    coronal = Image.open(io.BytesIO(slice_png(volume, 20, "coronal")))
    assert coronal.mode == "L" and coronal.size == (32, round(24 * 2.5 / 0.9))
    assert max(Image.open(io.BytesIO(preview_png(volume, 20))).size) == 20


def test_flat_volume_has_a_window():
    volume = from_film(np.zeros((20, 20)), **META)
    low, high = volume.display_window()
    assert low < high
    assert preview_png(volume)
