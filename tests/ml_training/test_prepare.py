"""`prepare` on drawn data: every problem is found, no group is taken apart, nothing is half-written."""

from __future__ import annotations

import csv
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter

from ml_training.__main__ import main
from ml_training.data import prepare as prepare_module
from tests.ml_training.conftest import write_manifest


def picture(seed: int) -> np.ndarray:
    noise = gaussian_filter(np.random.default_rng(seed).normal(size=(56, 64)), 2.5) * 400 + 120
    return np.clip(noise, 0, 255).astype(np.uint8)


@pytest.fixture
def rows(tmp_path: Path) -> list[dict[str, str]]:
    """120 pictures of 60 patients, three labels, two sources."""
    made = []
    for seed in range(120):
        name = f"{seed:03d}.png"
        Image.fromarray(picture(seed)).save(tmp_path / name)
        patient = seed // 2
        part = ("train", "train", "train", "val", "test")[patient % 5]
        made.append(
            {
                "file": name,
                "label": str(patient % 3),
                "patient": f"p{patient}",
                "part": part,
                "source": "x" if patient % 2 else "y",
            }
        )
    return made


def run(tmp_path: Path, rows: list[dict[str, str]], *more: str) -> int:
    manifest = write_manifest(tmp_path, rows)
    out = tmp_path / "out"
    return main(["prepare", str(manifest), "--out", str(out), "--group-column", "patient", *more])


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as handle:
        return list(csv.DictReader(handle))


def test_clean_data_are_split_by_whole_groups(tmp_path: Path, rows: list[dict[str, str]]) -> None:
    assert run(tmp_path, rows, "--kind", "knee_xray") == 0
    out = tmp_path / "out"
    made = read(out / "manifest.csv")
    assert len(made) == 120 and read(out / "problems.csv") == []
    parts, folds = defaultdict(set), defaultdict(set)
    for row in made:
        parts[row["patient"]].add(row["split"])
        folds[row["patient"]].add(row["fold"])
        assert (row["split"] == "test") == (row["fold"] == "")
        assert (out / row["file"]).is_file() and len(row["sha256"]) == 64 and row["width"] == "64"
    assert {len(found) for found in parts.values()} == {1} == {len(found) for found in folds.values()}
    share = [sum(row["split"] == part for row in made) / 120 for part in ("train", "val", "test")]
    assert np.allclose(share, (0.7, 0.15, 0.15), atol=0.06)
    assert {row["label"] for row in made if row["split"] == "test"} == {"0", "1", "2"}
    assert {row["fold"] for row in made} == {"", "1", "2", "3", "4", "5"}
    page = (out / "report.html").read_text("utf-8")
    assert "http://" not in page and "Shortcuts" in page and "<script" not in page


def test_every_kind_of_problem_is_named_with_its_row(tmp_path: Path, rows: list[dict[str, str]]) -> None:
    (tmp_path / "000.png").unlink()
    (tmp_path / "001.png").write_bytes((tmp_path / "002.png").read_bytes()[:900])
    (tmp_path / "003.png").write_text("no picture")
    rows[4]["label"], rows[5]["label"] = "", "7"
    Image.fromarray(np.full((40, 40), 9, np.uint8)).save(tmp_path / "006.png")
    Image.fromarray(picture(7)[:8, :8]).save(tmp_path / "007.png")
    rows.append(rows[8])
    # Row 20 (label 1) again as row 23 (label 2), exactly; row 24 mirrored and brighter as row 28.
    Image.fromarray(picture(20)).save(tmp_path / "023.png")
    Image.fromarray((picture(24)[:, ::-1] * 0.8 + 20).astype(np.uint8)).save(tmp_path / "028.png")
    assert run(tmp_path, rows, "--kind", "knee_xray") == 0
    problems = {row["row"]: row for row in read(tmp_path / "out" / "problems.csv")}
    kinds = {number: row["problem"] for number, row in problems.items()}
    assert kinds == {
        "2": "missing file",
        "3": "corrupt file",
        "5": "corrupt file",
        "6": "missing label",
        "7": "unknown label",
        "8": "blank",
        "9": "too small",
        "122": "listed twice",
        "25": "contradicting duplicate",
        "30": "contradicting duplicate",
    }
    assert "exact twin of 020.png (line 22)" in problems["25"]["detail"]
    assert "mirrored" in problems["30"]["detail"]
    made = {Path(row["file"]).name: row for row in read(tmp_path / "out" / "manifest.csv")}
    assert len(made) == 113 and "000.png" not in made
    assert made["020.png"]["cluster"] == made["023.png"]["cluster"] != ""
    # The twins tie their patients together: all four pictures stand in one group.
    tied = {made[name]["group"] for name in ("020.png", "021.png", "022.png", "023.png")}
    assert len(tied) == 1 and made["030.png"]["cluster"] == ""
    assert len({made[f"0{n}.png"]["split"] for n in (24, 25, 28, 29)}) == 1


def test_a_kept_split_that_leaks_is_refused(
    tmp_path: Path, rows: list[dict[str, str]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, rows, "--keep-split", "part") == 0
    kept = read(tmp_path / "out" / "manifest.csv")
    assert [row["split"] for row in kept] == [row["part"] for row in rows]
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    rows[0]["part"] = "test"
    capsys.readouterr()
    assert run(tmp_path, rows, "--keep-split", "part") == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "'p0' straddles" in said and "000.png (line 2)" in said
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before


def test_a_near_duplicate_across_a_kept_split_is_refused(
    tmp_path: Path, rows: list[dict[str, str]], capsys: pytest.CaptureFixture[str]
) -> None:
    # Patient 3 is in val, patient 4 in test.
    Image.fromarray(picture(6)[::-1]).save(tmp_path / "008.png")
    assert run(tmp_path, rows, "--keep-split", "part") == 2
    assert "near-duplicates counted: group 'p3' straddles" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_kill_while_writing_leaves_the_old_manifest(
    tmp_path: Path, rows: list[dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(tmp_path, rows) == 0
    old = (tmp_path / "out" / "manifest.csv").read_bytes()

    def killed(path: Path, content: bytes) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(prepare_module, "write_atomic", killed)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, rows, "--seed", "5")
    assert (tmp_path / "out" / "manifest.csv").read_bytes() == old
    monkeypatch.undo()
    assert run(tmp_path, rows, "--seed", "5") == 0
    assert (tmp_path / "out" / "manifest.csv").read_bytes() != old
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "manifest.csv",
        "problems.csv",
        "report.html",
    }


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--group-column", "nobody"], "no column 'nobody'"),
        (["--label-column", "grade"], "no label column 'grade'"),
        (["--kind", "elbow"], "kind 'elbow' is unknown"),
        (["--val", "0.6", "--test", "0.5"], "leave nothing"),
        (["--folds", "1"], "at least 2"),
        (["--keep-split", "source"], "not train, val or test"),
    ],
)
def test_a_wrong_option_is_one_line(
    tmp_path: Path, rows: list[dict[str, str]], capsys: pytest.CaptureFixture[str], more: list[str], said: str
) -> None:
    assert run(tmp_path, rows, *more) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1


def test_a_class_per_folder_tree(tmp_path: Path) -> None:
    for seed in range(40):
        folder = tmp_path / "tree" / ("cat" if seed % 2 else "dog") / "deep"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture(seed)).save(folder / f"{seed}.jpg")
    assert main(["prepare", str(tmp_path / "tree"), "--out", str(tmp_path / "out")]) == 0
    made = read(tmp_path / "out" / "manifest.csv")
    assert [row["label"] for row in made].count("cat") == 20
