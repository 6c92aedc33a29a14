"""Volumes cut into single slices: which way up, square pixels, no empty ends, whole groups, plain errors."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from ml_training.__main__ import main
from ml_training.data.dataset import load_grey
from ml_training.data.manifest import read_manifest
from ml_training.data.volumes import slices_of
from ml_training.errors import TrainingError
from ml_training.specs import load_config
from ml_training.train import make_splits
from tests.ml_training.conftest import CONFIG, make_world

# Voxels 1 mm to the sides, 2 mm front to back, 4 mm up; the file runs towards left, posterior, superior.
AFFINE = np.diag([-1.0, -2.0, 4.0, 1.0])


def head() -> np.ndarray:
    """A block of tissue in RAS axes (60, 40, 24), empty below and above, with one bright corner."""
    data = np.zeros((60, 40, 24), dtype=np.float32)
    data[10:50, 4:36, 6:18] = 100
    data[36:46, 5:12, 12:18] = 200
    return data


def save(path: Path, data: np.ndarray, affine: np.ndarray | None = AFFINE) -> Path:
    image = nib.Nifti1Image(data, affine)
    if affine is None:
        image.header["sform_code"] = image.header["qform_code"] = 0
    nib.save(image, path)
    return path


def volume(path: Path) -> Path:
    """`head`, stored in the file's own axes."""
    return save(path, head()[::-1, ::-1])


def spot(image: np.ndarray) -> tuple[float, float]:
    """Row and column of the bright corner, as shares of the image."""
    rows, columns = np.nonzero(image > 200)
    return rows.mean() / image.shape[0], columns.mean() / image.shape[1]


def test_slices_lie_as_a_doctor_sees_them_with_square_pixels(tmp_path: Path) -> None:
    found = list(slices_of(volume(tmp_path / "head.nii.gz"), 4.0))
    by_plane = {
        plane: max((s for s in found if s.plane == plane), key=lambda s: s.image.astype(int).sum()).image
        for plane in ("axial", "coronal", "sagittal")
    }
    assert by_plane["axial"].shape == (80, 60)
    assert by_plane["coronal"].shape == (96, 60)
    assert by_plane["sagittal"].shape == (48, 40)
    # The corner lies to the patient's right, behind and high: right is shown on the left, posterior of an
    # axial slice below, anterior of a sagittal one on the left.
    row, column = spot(by_plane["axial"])
    assert row > 0.7 and column < 0.4
    row, column = spot(by_plane["coronal"])
    assert row < 0.5 and column < 0.4
    row, column = spot(by_plane["sagittal"])
    assert row < 0.5 and column > 0.7


def test_empty_ends_are_left_out_and_the_step_is_in_millimetres(tmp_path: Path) -> None:
    path = volume(tmp_path / "head.nii.gz")
    every = [s.index for s in slices_of(path, 4.0) if s.plane == "axial"]
    assert every == list(range(6, 18))
    assert [s.index for s in slices_of(path, 8.0) if s.plane == "axial"] == [7, 9, 11, 13, 15, 17]


def marks(path: Path, low: int, high: int) -> Path:
    """A mask of `head`'s size that marks one point of each axial slice from `low` to below `high`."""
    data = np.zeros((60, 40, 24), dtype=np.float32)
    data[20, 20, low:high] = 1
    return save(path, data[::-1, ::-1])


def test_slices_that_a_mask_touches_are_marked(tmp_path: Path) -> None:
    path, mask = volume(tmp_path / "head.nii.gz"), marks(tmp_path / "mask.nii.gz", 9, 12)
    found = list(slices_of(path, 4.0, ["axial"], mask))
    assert {one.plane for one in found} == {"axial"}
    assert [one.index for one in found] == list(range(6, 18))
    assert [one.index for one in found if one.marked] == [9, 10, 11]


def test_masks_are_found_by_name_and_planes_chosen(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "masks").mkdir()
    path = str(volume(tmp_path / "head.nii.gz"))
    command = ["slices", path, "--label", "none", "--planes", "axial", "--masks", str(tmp_path / "masks")]
    assert main([*command, "--out", str(tmp_path / "out")]) == 2
    assert "head.nii.gz is not there" in capsys.readouterr().err
    save(tmp_path / "masks" / "head.nii.gz", np.zeros((60, 40, 23), dtype=np.float32))
    assert main([*command, "--out", str(tmp_path / "out")]) == 2
    assert "(60, 40, 23) points, but head.nii.gz has (60, 40, 24)" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    marks(tmp_path / "masks" / "head.nii.gz", 6, 16)
    assert main([*command, "--out", str(tmp_path / "out")]) == 0
    files = [row["file"] for row in read_manifest(tmp_path / "out" / "manifest.csv")]
    assert files == ["images/head_axial_016.png", "images/head_axial_017.png"]


def test_marked_slices_may_have_a_label_of_their_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(volume(tmp_path / "head.nii.gz"))
    command = ["slices", path, "--label", "none", "--planes", "axial", "--marked-label", "glioma"]
    assert main([*command, "--out", str(tmp_path / "out")]) == 2
    assert "--marked-label belongs to --masks" in capsys.readouterr().err
    (tmp_path / "masks").mkdir()
    marks(tmp_path / "masks" / "head.nii.gz", 9, 12)
    assert main([*command, "--masks", str(tmp_path / "masks"), "--out", str(tmp_path / "out")]) == 0
    rows = read_manifest(tmp_path / "out" / "manifest.csv")
    assert [row["label"] for row in rows] == ["none"] * 3 + ["glioma"] * 3 + ["none"] * 6


def test_every_volume_is_one_group_that_a_run_only_learns_from(tmp_path: Path) -> None:
    make_world(tmp_path / "data")
    volumes = [str(volume(tmp_path / f"{name}.nii.gz")) for name in ("one", "two")]
    out = tmp_path / "data" / "more"
    arguments = ["slices", *volumes, "--label", "0", "--source", "drawn", "--out", str(out), "--step", "8"]
    assert main(arguments) == 0
    rows = read_manifest(out / "manifest.csv")
    assert list(rows[0]) == ["file", "label", "group", "plane", "source", "fold"]
    assert {(row["group"], row["fold"], row["label"]) for row in rows} == {
        ("one", "1", "0"),
        ("two", "2", "0"),
    }
    assert {load_grey(out / row["file"]).ndim for row in rows} == {2}
    config = tmp_path / "c.yaml"
    source = "  - {manifest: more/manifest.csv, learn_only: true}\npreprocessing"
    config.write_text(CONFIG.replace("preprocessing", source, 1))
    splits = make_splits(load_config(config), tmp_path / "data")
    assert sum(item.row.get("source") == "drawn" for item in splits.train) == len(rows)
    assert not any(item.row.get("source") == "drawn" for item in splits.val + splits.test)
    assert splits.val and splits.test


@pytest.mark.parametrize(
    ("data", "affine", "words"),
    [
        (np.zeros((20, 20, 20, 3), np.float32), AFFINE, "has 4 dimensions"),
        (np.full((20, 20, 20), 7, np.float32), AFFINE, "an empty volume"),
        (np.ones((20, 20, 2), np.float32), AFFINE, "too small for a volume"),
        (head(), None, "how the patient lay"),
    ],
)
def test_what_is_no_volume_is_named(
    tmp_path: Path, data: np.ndarray, affine: np.ndarray | None, words: str
) -> None:
    with pytest.raises(TrainingError, match=words):
        list(slices_of(save(tmp_path / "x.nii", data, affine), 4.0))


def test_bad_input_is_one_line_and_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good, bad = volume(tmp_path / "good.nii.gz"), tmp_path / "bad.nii.gz"
    bad.write_bytes(good.read_bytes()[:200])
    out = tmp_path / "out"

    def fails(*volumes: Path, step: str = "4") -> str:
        given = [str(path) for path in volumes]
        assert main(["slices", *given, "--label", "none", "--out", str(out), "--step", step]) == 2
        error = capsys.readouterr().err
        assert error.startswith("error: ") and error.count("\n") == 1
        return error

    assert "bad.nii.gz: not a readable NIfTI volume" in fails(good, bad)
    assert "two volumes of this name" in fails(good, good)
    assert "--step must be above 0" in fails(good, step="0")
    assert not out.exists()
    assert main(["slices", str(good), "--label", "none", "--out", str(out)]) == 0
    assert "holds a manifest already" in fails(good)
