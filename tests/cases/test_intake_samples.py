"""Polarity, orientation and spacing of the real sample scans."""

import nibabel as nib
import numpy as np
import pytest

from cases.imaging.polarity import chest_polarity
from cases.intake import IncomingFile, prepare


def take(samples_dir, tmp_path, name):
    path = samples_dir / name
    if not path.is_file():
        pytest.skip(f"sample {name} is absent")
    scans, refused = prepare([IncomingFile(name, path)], tmp_path / name)
    assert refused == []
    assert len(scans) == 1
    return scans[0]


def test_true_monochrome1(samples_dir, tmp_path):
    volume = take(samples_dir, tmp_path, "cxr_pa_monochrome1_jpeg2000.dcm").volume
    image = volume.slice_image(0)
    assert volume.spacing is None  # the file says 0.000
    assert (volume.modality, volume.body_part, image.shape) == ("CR", "CHEST", (1955, 1841))
    assert image[600:1200, 850:1000].mean() > image[600:1000, 500:650].mean() + 1000  # spine over lung
    assert image[:200, :100].mean() < image[1700:, 600:1200].mean()  # air above the shoulder, belly below
    assert chest_polarity(image) > 0.2


def test_lying_monochrome1(samples_dir, tmp_path):
    right = take(samples_dir, tmp_path, "cxr_rsna_jpeg.dcm")
    lie = take(samples_dir, tmp_path, "cxr_rsna_tag_says_monochrome1.dcm")
    assert not any("turned round" in note for note in right.notes)
    assert any("turned round" in note for note in lie.notes)
    assert np.array_equal(right.volume.data, lie.volume.data)
    image = right.volume.slice_image(0)
    assert image[400:700, 480:540].mean() > image[400:600, 280:380].mean() + 20
    assert right.volume.spacing == pytest.approx((0.168, 0.168, 1.0))


def test_tibia_polarity(samples_dir, tmp_path):
    volume = take(samples_dir, tmp_path, "tibia_cr_jpeg2000.dcm").volume
    image = volume.slice_image(0)
    assert volume.spacing is None and volume.body_part == "EXTREMITY"
    assert image[1300:1700, 600:680].mean() < image[1500:1650, 850:1000].mean()  # air beside the ankle bone


def test_big_endian_ct(samples_dir, tmp_path):
    volume = take(samples_dir, tmp_path, "ct_abdomen_big_endian.dcm").volume
    image = volume.slice_image(0)
    assert (volume.modality, volume.plane, volume.window) == ("CT", "axial", (-140.0, 260.0))
    assert image[5, 5] < -800  # air, in Hounsfield units
    assert volume.spacing == pytest.approx((0.746, 0.746, 5.0), abs=1e-3)
    bone_rows, bone_columns = np.nonzero(image > 300)
    body_rows, body_columns = np.nonzero(image > -100)
    assert np.median(bone_rows) > np.median(body_rows)  # the spine is down
    assert abs(np.median(bone_columns) - np.median(body_columns)) < 40


def test_t1_series(samples_dir, tmp_path):
    scan = take(samples_dir, tmp_path, "mr_brain_t1_series.zip")
    volume = scan.volume
    assert (volume.modality, volume.plane, volume.data.shape) == ("MR", "axial", (274, 384, 192))
    assert volume.spacing == pytest.approx((0.7, 0.6667, 1.3333), abs=1e-3)
    assert nib.aff2axcodes(volume.affine) == ("R", "A", "S")
    assert len(scan.originals) == 192 and "192 slices" in scan.description
    middle = volume.slice_image(137, "sagittal")  # superior up, anterior left
    assert middle[:12].mean() < 5  # air above the head
    assert middle[130:, :60].mean() < middle[60:130, 200:260].mean()  # air before the chin, brain behind
    # The neck leaves the head at the back: more tissue behind than in front at the foot of the picture.
    assert middle[-20:, 192:].mean() > middle[-20:, :150].mean()
    axial = volume.slice_image(110, "axial")
    assert (axial > 20).sum() > 5000


def test_nifti_head(samples_dir, tmp_path):
    volume = take(samples_dir, tmp_path, "mr_head_pd.nii.gz").volume
    assert volume.data.shape == (191, 256, 54) and volume.plane == "axial"
    assert volume.spacing == pytest.approx((0.858, 0.859, 2.4), abs=1e-3)
    assert nib.aff2axcodes(volume.affine) == ("R", "A", "S")


def test_enhanced_multiframe(samples_dir, tmp_path):
    volume = take(samples_dir, tmp_path, "mr_enhanced_multiframe_siemens.dcm").volume
    assert volume.data.shape == (64, 64, 6)
    assert volume.spacing == pytest.approx((3.375, 3.375, 2.4), abs=1e-3)
