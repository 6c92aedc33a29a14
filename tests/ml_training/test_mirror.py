"""Mirrored halves: the side with the tumour is found, both pictures are made, in the patient's group."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter, rotate

from ml_training.__main__ import main
from ml_training.data.dataset import load_grey
from ml_training.data.manifest import read_manifest
from ml_training.data.mirror import halves, middle_half, midline

SIDE = 192
TUMOUR = (90, 125)


def head(*spots: tuple[int, int], grey: float = 0.9, radius: int = 16) -> np.ndarray:
    """An ellipse of tissue under a bright skull, with ventricles and a blob at each (row, column)."""
    rows, columns = np.ogrid[:SIDE, :SIDE]
    away = ((rows - SIDE / 2) / 84) ** 2 + ((columns - SIDE / 2) / 66) ** 2
    image = np.where(away < 1, 0.95, 0.0)
    image[away < 0.85] = 0.4
    for sign in (-1, 1):
        image[((rows - 90) / 16) ** 2 + ((columns - SIDE / 2 - sign * 14) / 6) ** 2 < 1] = 0.2
    for row, column in spots:
        image[(rows - row) ** 2 + (columns - column) ** 2 < radius**2] = grey
    noisy = gaussian_filter(image, 1.0) + np.random.default_rng(0).normal(0, 0.01, image.shape)
    return np.clip(noisy, 0, 1) * 255


def bright(picture: np.ndarray) -> tuple[int, int]:
    """Bright pixels inside the skull, in the left and in the right half."""
    rows, columns = np.ogrid[:SIDE, :SIDE]
    inside = ((rows - SIDE / 2) / 84) ** 2 + ((columns - SIDE / 2) / 66) ** 2 < 0.6
    found = (picture > 180) & inside
    return int(found[:, : SIDE // 2].sum()), int(found[:, SIDE // 2 :].sum())


@pytest.mark.parametrize("column", [TUMOUR[1], SIDE - TUMOUR[1]], ids=["right", "left"])
def test_one_picture_is_without_the_tumour_and_one_has_it_twice(column: int) -> None:
    pair = halves(head((TUMOUR[0], column)))
    assert pair is not None
    without, with_it = pair
    assert without.dtype == np.uint8 and without.shape == (SIDE, SIDE)
    assert bright(without) == (0, 0)
    left, right = bright(with_it)
    assert left == right > 300
    for picture in pair:
        assert np.array_equal(picture, picture[:, ::-1])


def test_a_dark_lesion_is_found_too() -> None:
    pair = halves(head(TUMOUR, grey=0.05))
    assert pair is not None
    without, with_it = pair
    assert (without[80:100, 115:135] > 60).all()
    assert (with_it[80:100, 120:130] < 60).all() and (with_it[80:100, 62:72] < 60).all()


def test_a_tilted_head_is_turned_upright_first() -> None:
    tilted = rotate(head(TUMOUR), 8, reshape=False, order=1)
    assert midline(tilted / 255).degrees == pytest.approx(-8, abs=2)
    pair = halves(tilted)
    assert pair is not None and bright(pair[0]) == (0, 0)


@pytest.mark.parametrize(
    "image",
    [
        pytest.param(head(), id="nothing there"),
        pytest.param(head((70, SIDE // 2 + 6), radius=26), id="across the midline"),
        pytest.param(head(TUMOUR, (TUMOUR[0], SIDE - TUMOUR[1])), id="both sides alike"),
        pytest.param(np.zeros((SIDE, SIDE)), id="blank"),
    ],
)
def test_where_no_side_plainly_has_it_nothing_is_made(image: np.ndarray) -> None:
    assert halves(image) is None


@pytest.mark.parametrize("column", [SIDE // 2 - 8, SIDE // 2 + 8], ids=["left", "right"])
def test_of_a_tumour_on_the_midline_the_half_with_more_of_it_is_kept(column: int) -> None:
    picture = middle_half(head((120, column), radius=10))
    assert picture is not None and picture.shape == (SIDE, SIDE)
    assert np.array_equal(picture, picture[:, ::-1])
    left, right = bright(picture)
    assert left == right > 150
    assert middle_half(np.zeros((SIDE, SIDE))) is None


ROWS = (
    ("a.png", "glioma", "axial", "p1", "1"),
    ("b.png", "glioma", "sagittal", "p1", "1"),
    ("c.png", "none", "", "n1", "1"),
    ("d.png", "glioma", "axial", "p2", "4"),
    ("e.png", "pituitary", "axial", "p3", "1"),
)


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    folder = tmp_path / "data" / "heads"
    folder.mkdir(parents=True)
    for file, *_ in ROWS:
        Image.fromarray(head(TUMOUR).astype(np.uint8)).save(folder / file)
    with (folder / "manifest.csv").open("w", newline="") as handle:
        csv.writer(handle).writerows([("file", "label", "plane", "group", "fold"), *ROWS])
    return folder / "manifest.csv"


def test_what_is_made_stays_in_its_group(manifest: Path, tmp_path: Path) -> None:
    out = tmp_path / "data" / "mirrored"
    assert main(["mirror", str(manifest), "--leave", "fold=4", "--out", str(out)]) == 0
    rows = read_manifest(out / "manifest.csv")
    assert [(row["label"], row["group"], row["made"]) for row in rows] == [
        ("none", "p1", "mirrored half without tumour"),
        ("glioma", "p1", "mirrored half with tumour"),
    ]
    assert {row["original"] for row in rows} == {"a.png"}
    assert all(load_grey(out / row["file"]).shape == (SIDE, SIDE) for row in rows)


def test_a_tumour_on_the_midline_keeps_its_label_and_has_no_healthy_half(
    manifest: Path, tmp_path: Path
) -> None:
    out = tmp_path / "data" / "mirrored"
    assert main(["mirror", str(manifest), "--midline", "pituitary", "--out", str(out)]) == 0
    made = [(row["original"], row["label"], row["made"]) for row in read_manifest(out / "manifest.csv")]
    assert made[-1] == ("e.png", "pituitary", "mirrored half with tumour")
    assert sum(original == "e.png" for original, *_ in made) == 1


def test_what_somebody_saw_in_a_half_is_heeded(manifest: Path, tmp_path: Path) -> None:
    seen = tmp_path / "seen.csv"
    seen.write_text("file,shows\na.png,tumour\nd.png,sella\n")
    out = tmp_path / "data" / "mirrored"
    assert main(["mirror", str(manifest), "--seen", str(seen), "--out", str(out)]) == 0
    rows = read_manifest(out / "manifest.csv")
    assert [(row["original"], row["label"], row["shows"]) for row in rows] == [
        ("d.png", "none", "sella"),
        ("d.png", "glioma", "sella"),
    ]


def test_a_note_that_means_nothing_is_refused(
    manifest: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seen = tmp_path / "seen.csv"
    seen.write_text("file,shows\na.png,tumor\n")
    assert main(["mirror", str(manifest), "--seen", str(seen), "--out", str(tmp_path / "mirrored")]) == 2
    assert "line 2: shows is 'tumor'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--midline", "glioma"], "'glioma' is in --labels and in --midline"),
        (["--midline", "stroke"], "'stroke' is not a disease of brain_mri"),
        (["--labels", "glioma", "stroke"], "'stroke' is not a disease of brain_mri"),
        (["--labels", "none"], "'none' is not a disease"),
        (["--leave", "ward=4"], "no column 'ward'"),
        (["--kind", "chest_xray", "--labels", "pneumonia"], "mirror: chest_xray has no single label"),
    ],
)
def test_what_cannot_be_is_said_and_nothing_written(
    manifest: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    if "chest_xray" in arguments:
        manifest.write_text("file,group\na.png,p1\n")
    out = tmp_path / "mirrored"
    assert main(["mirror", str(manifest), *arguments, "--out", str(out)]) == 2
    assert message in capsys.readouterr().err
    assert not out.exists()


def test_nothing_to_make_is_said(manifest: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["mirror", str(manifest), "--labels", "pituitary", "--leave", "plane=axial"]
    assert main([*arguments, "--out", str(tmp_path / "mirrored")]) == 2
    assert "no slice has a tumour plainly on one side" in capsys.readouterr().err


def test_a_folder_in_use_is_left_alone(
    manifest: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "mirrored"
    assert main(["mirror", str(manifest), "--out", str(out)]) == 0
    before = (out / "manifest.csv").read_bytes()
    assert main(["mirror", str(manifest), "--out", str(out)]) == 2
    assert "holds a manifest already" in capsys.readouterr().err
    assert (out / "manifest.csv").read_bytes() == before
