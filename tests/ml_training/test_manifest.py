"""A manifest with a hole or a leak is refused before an hour is spent on it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ml_training.data.dataset import cached_dataset
from ml_training.data.manifest import Item, group_split, read_manifest, read_source, sampling_weights
from ml_training.data.negatives import CHANGES, changed
from ml_training.errors import TrainingError
from ml_training.labels import task_of
from ml_training.specs import PreprocessingSpec, SourceSpec, TrainConfig
from ml_training.train import make_splits
from tests.ml_training.conftest import write_manifest

KNEE = task_of("knee_xray")
SOURCE = SourceSpec("tiny/manifest.csv", group_column="patient", test_column="split", test_values=("test",))


def test_test_rows_are_held_out(data_dir: Path) -> None:
    development, test = read_source(SOURCE, data_dir, KNEE)
    assert (len(development), len(test)) == (120, 30)


def test_a_group_on_both_sides_is_refused(data_dir: Path, tiny_rows: list[dict[str, str]]) -> None:
    tiny_rows[0]["split"] = "train"
    write_manifest(data_dir / "tiny", tiny_rows)
    with pytest.raises(TrainingError, match="'p0' stands on both sides"):
        read_source(SOURCE, data_dir, KNEE)


def test_a_missing_image_is_named_with_its_line(data_dir: Path) -> None:
    (data_dir / "tiny" / "001.png").unlink()
    with pytest.raises(TrainingError, match=r"line 3: image 001\.png is missing"):
        read_source(SOURCE, data_dir, KNEE)


def test_a_label_outside_the_set_is_named(data_dir: Path, tiny_rows: list[dict[str, str]]) -> None:
    tiny_rows[4]["label"] = "7"
    write_manifest(data_dir / "tiny", tiny_rows)
    with pytest.raises(TrainingError, match=r"004\.png: label '7'"):
        read_source(SOURCE, data_dir, KNEE)


def test_a_missing_column_is_named(data_dir: Path) -> None:
    with pytest.raises(TrainingError, match="'hospital'"):
        read_source(SourceSpec("tiny/manifest.csv", group_column="hospital"), data_dir, KNEE)


def test_a_test_value_that_no_row_has_is_named(data_dir: Path) -> None:
    source = SourceSpec(
        "tiny/manifest.csv", group_column="patient", test_column="split", test_values=("test", "tset")
    )
    with pytest.raises(TrainingError, match="test_values: no row has 'tset' as its split"):
        read_source(source, data_dir, KNEE)


def test_a_row_that_is_cut_short_is_named(data_dir: Path) -> None:
    path = data_dir / "tiny" / "manifest.csv"
    path.write_text(path.read_text(encoding="utf-8").rstrip().rpartition(",")[0], encoding="utf-8")
    with pytest.raises(TrainingError, match="line 151: the row is cut short, it has no 'split'"):
        read_source(SOURCE, data_dir, KNEE)


def test_a_row_with_a_comma_too_many_is_named(data_dir: Path) -> None:
    path = data_dir / "tiny" / "manifest.csv"
    lines = path.read_text(encoding="utf-8").splitlines()
    lines[3] = lines[3].replace(",", ", lateral,", 1)
    path.write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(TrainingError, match="line 4: the row has more cells than the header"):
        read_source(SOURCE, data_dir, KNEE)


def test_too_few_items_of_each_label_for_a_split_are_one_line(data_dir: Path) -> None:
    development, _ = read_source(SOURCE, data_dir, KNEE)
    few = [Item(item.path, item.target, f"p{n}", item.row) for n, item in enumerate(development[:10])]
    with pytest.raises(TrainingError, match="val_fraction: 10 items are too few of each label for 5 parts"):
        group_split(few, 0.2, seed=1)


def test_a_file_that_is_no_manifest(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(TrainingError, match="column 'file'"):
        read_manifest(path)


def test_validation_keeps_patients_whole_and_labels_in_proportion(data_dir: Path) -> None:
    development, _ = read_source(SOURCE, data_dir, KNEE)
    train, val = group_split(development, 0.2, seed=1)
    assert not {item.group for item in train} & {item.group for item in val}
    assert len(train) + len(val) == 120
    assert {item.target for item in val} == {item.target for item in train}
    again, _ = group_split(development, 0.2, seed=1)
    assert [item.path for item in again] == [item.path for item in train]


def test_hashed_test_groups_do_not_move_when_rows_are_added(
    data_dir: Path, tiny_rows: list[dict[str, str]]
) -> None:
    source = SourceSpec("tiny/manifest.csv", group_column="patient", test_fraction=0.3)
    _, before = read_source(source, data_dir, KNEE)
    write_manifest(data_dir / "tiny", tiny_rows[:75])
    _, after = read_source(source, data_dir, KNEE)
    assert 0 < len(before) < 150
    assert {item.path for item in after} <= {item.path for item in before}


def test_rare_cells_weigh_more(data_dir: Path) -> None:
    development, _ = read_source(SOURCE, data_dir, KNEE)
    weights = sampling_weights(development[:6], (), power=1.0)
    assert weights[0] == weights[5] == 0.5
    assert weights[1] == 1.0


def test_a_source_may_follow_the_groups_of_another(data_dir: Path, tiny_rows: list[dict[str, str]]) -> None:
    more = [{**row, "file": f"../tiny/{row['file']}"} for row in tiny_rows[::5]]
    (data_dir / "more").mkdir()
    write_manifest(data_dir / "more", more)
    following = SourceSpec("more/manifest.csv", group_column="patient", follows="tiny/manifest.csv")
    alone = make_splits(TrainConfig("knee_xray", "1.0.0", (SOURCE,), val_fraction=0.2), data_dir)
    both = make_splits(TrainConfig("knee_xray", "1.0.0", (SOURCE, following), val_fraction=0.2), data_dir)
    for before, after in zip(
        (alone.train, alone.val, alone.test), (both.train, both.val, both.test), strict=True
    ):
        assert after[: len(before)] == before
        assert {item.group for item in after} == {item.group for item in before}
        assert len(after) > len(before)
    more[0]["patient"] = "stranger"
    write_manifest(data_dir / "more", more)
    with pytest.raises(TrainingError, match="group 'stranger' is not in tiny/manifest.csv"):
        make_splits(TrainConfig("knee_xray", "1.0.0", (SOURCE, following), val_fraction=0.2), data_dir)


def test_a_gate_sees_some_scans_turned_as_nothing_to_read(data_dir: Path) -> None:
    source = SourceSpec(
        "tiny/manifest.csv",
        label="knee_xray",
        group_column="patient",
        test_column="split",
        test_values=("test",),
    )
    config = TrainConfig("gate", "1.0.0", (source,), val_fraction=0.2, turned_negatives=0.5)
    splits = make_splits(config, data_dir)
    for part in (splits.train, splits.val, splits.test):
        upright = [item for item in part if "change" not in item.row]
        turned = [item for item in part if "change" in item.row]
        assert 0.2 < len(turned) / len(upright) < 0.8
        assert all(item.target == (0.0, 0.0, 0.0, 1.0) for item in turned)
        assert {item.group for item in turned} <= {item.group for item in upright}
    assert {item.row["change"] for item in splits.train if "change" in item.row} == set(CHANGES)
    assert splits == make_splits(config, data_dir)


@pytest.mark.parametrize(
    ("change", "corner"),
    [("upside_down", (3, 3)), ("on_the_left", (3, 0)), ("on_the_right", (0, 3)), ("inverted", None)],
)
def test_turned_scans_are_turned(tmp_path: Path, change: str, corner: tuple[int, int] | None) -> None:
    """A bright top left corner, in a picture of 4 by 4 blocks."""
    image = np.full((128, 128), 50, dtype=np.uint8)
    image[:32, :32] = 200
    Image.fromarray(image).save(tmp_path / "a.png")
    item = Item(tmp_path / "a.png", (0.0, 0.0, 0.0, 1.0), "p", {"change": change})
    blocks = cached_dataset([item], PreprocessingSpec(size=64))[0][0][0].numpy()[8::16, 8::16]
    if corner is None:
        assert blocks.argmin() == 0 and blocks[1:].min() > blocks[0, 0]
    else:
        assert np.unravel_index(blocks.argmax(), blocks.shape) == corner
    with pytest.raises(ValueError, match="no such change: bent"):
        changed(image, "bent")
