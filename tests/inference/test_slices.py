"""Which slices of a volume are read, and how they become one reading."""

import numpy as np
import pytest

from cases.imaging.volume import CanonicalVolume
from inference.slices import choose_plane, choose_slices, pool

PLANES = ["axial", "coronal", "sagittal"]


def volume(shape=(40, 50, 60), spacing=(1.0, 1.0, 1.0), plane="", filled=slice(None)):
    data = np.zeros(shape, dtype=np.float32)
    data[10:30, 10:40, filled] = 100
    affine = np.diag([*(spacing or (1, 1, 1)), 1.0])
    return CanonicalVolume(data, affine, spacing, "MR", "nifti", None, plane=plane)


@pytest.mark.parametrize(
    ("plane", "spacing", "known", "chosen"),
    [
        ("coronal", (1, 1, 1), PLANES, "coronal"),
        ("coronal", (1, 1, 1), ["axial"], "axial"),
        ("", (1, 1, 1), PLANES, "axial"),
        ("", (1, 1, 5), PLANES, "axial"),
        ("", (5, 1, 1), PLANES, "sagittal"),
        ("", (1, 5, 1), PLANES, "coronal"),
        ("", (1, 5, 1), ["axial", "sagittal"], "axial"),
        ("", None, PLANES, "axial"),
        ("", (1, 1, 1), [], "axial"),
    ],
)
def test_plane(plane, spacing, known, chosen):
    assert choose_plane(volume(spacing=spacing, plane=plane), known) == chosen


def test_slices_lie_where_there_is_tissue():
    chosen = choose_slices(volume(filled=slice(20, 50)), "axial", limit=10)
    assert len(chosen) == 10
    assert min(chosen) >= 20
    assert max(chosen) <= 49
    assert chosen == sorted(set(chosen))


def test_few_slices_are_all_read():
    assert choose_slices(volume((40, 50, 3)), "axial") == [0, 1, 2]


def test_the_number_of_slices_is_bounded():
    assert len(choose_slices(volume((64, 64, 400)), "axial")) == 48


def test_an_empty_volume_has_slices_too():
    empty = CanonicalVolume(np.zeros((70, 70, 9), np.float32), np.eye(4), None, "MR", "nifti", None)
    assert choose_slices(empty, "axial")


def test_top_mean_keeps_exclusive_probabilities_whole():
    each = np.array([[0.1, 0.9]] * 8 + [[0.8, 0.2]] * 2)
    pooled, weights = pool(each, normal=1, pooling={"method": "top_mean", "fraction": 0.2})
    assert pooled == pytest.approx([0.8, 0.2])
    assert weights.sum() == pytest.approx(1)
    assert weights[:8].sum() == 0


def test_mean_and_single():
    each = np.array([[0.0, 1.0], [1.0, 0.0]])
    assert pool(each, 1, {"method": "mean"})[0] == pytest.approx([0.5, 0.5])
    assert pool(each[:1], 1, {})[0] == pytest.approx([0.0, 1.0])


def test_without_a_normal_label_the_surest_slices_count():
    each = np.array([[0.2, 0.3], [0.9, 0.1], [0.1, 0.2]])
    assert pool(each, None, {"method": "top_mean", "fraction": 0.3})[0] == pytest.approx([0.9, 0.1])


def test_an_unknown_method_is_an_error():
    with pytest.raises(ValueError, match="unknown pooling"):
        pool(np.ones((2, 2)), 0, {"method": "median"})


def test_a_calibrated_window_is_asked_for_by_the_bundle():
    each = np.array([[0.05, 0.95]] * 20 + [[0.95, 0.05]] * 5 + [[0.05, 0.95]] * 20)
    rule = {"method": "window", "width": 0.1, "slope": 1.0, "intercept": 0.0}
    pooled, weights = pool(each, 1, rule)
    assert pooled[0] > 0.9
    assert weights[20:25].sum() > 0.99
    assert pool(each[:1], 1, rule)[0] == pytest.approx([0.05, 0.95])
