"""Slips that used to cost hours, or went unseen: each is one line before anything is learnt."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ml_training.__main__ import main
from ml_training.cv import cross_validate, judged
from ml_training.data.manifest import read_manifest
from ml_training.data.mirror import _names, _save
from ml_training.errors import TrainingError, Unfinished
from ml_training.labels import task_of
from ml_training.specs import load_config
from ml_training.train import ReadingModule, make_splits, train
from tests.ml_training.conftest import write_manifest


@pytest.mark.parametrize(
    ("override", "said"),
    [
        (
            "sources=[{manifest: tiny/manifest.csv, group_column: patient, test_values: [test]}]",
            "test_column",
        ),
        ("sources=[{manifest: tiny/manifest.csv, group_column: patient, test_column: split}]", "test_values"),
        ("sources=[{manifest: tiny/manifest.csv, test_fraction: 1.5}]", "test_fraction"),
        ("batch_size=0", "config.batch_size"),
        ("epochs=0", "config.epochs"),
        ("learning_rate=-1", "config.learning_rate"),
        ("label_smoothing=5", "config.label_smoothing"),
        ("ema_decay=2", "config.ema_decay"),
        ("distil_temperature=0", "config.distil_temperature"),
        ("balance_power=.nan", "config.balance_power"),
        ("seed=-1", "config.seed"),
    ],
)
def test_what_a_config_cannot_mean_is_refused(config_path: Path, override: str, said: str) -> None:
    with pytest.raises(TrainingError, match=said):
        load_config(config_path, [override])


def test_numbers_as_people_write_them(config_path: Path) -> None:
    assert load_config(config_path, ["learning_rate=1e-3"]).learning_rate == 1e-3


def test_overrides_may_stand_behind_options(
    config_path: Path, data_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["train", str(config_path), "--run-dir", str(tmp_path / "run"), "--data-dir", str(data_dir)]
    assert main([*command, "epoch=3"]) == 2
    assert "config.epoch: unknown key" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main([*command, "--no-such-option"])
    with pytest.raises(SystemExit):
        main([*command, "word"])


@pytest.mark.parametrize("part", ["train", "test"])
@pytest.mark.parametrize("damage", ["cut", "empty"])
def test_a_damaged_image_of_any_part_is_named_first(
    config_path: Path, data_dir: Path, tmp_path: Path, part: str, damage: str
) -> None:
    config = load_config(config_path)
    broken = getattr(make_splits(config, data_dir), part)[0].path
    broken.write_bytes(broken.read_bytes()[:90] if damage == "cut" else b"")
    with pytest.raises(TrainingError, match=f"{broken.name}: not a readable image"):
        train(config, data_dir, tmp_path / "run", progress=False)
    assert not (tmp_path / "run" / "last.ckpt").exists()


def test_a_folder_without_an_epoch_is_free(config_path: Path, data_dir: Path, tmp_path: Path) -> None:
    missing = load_config(config_path, ["epochs=1", "init=nowhere/best.ckpt"])
    with pytest.raises(TrainingError):
        train(missing, data_dir, tmp_path / "run", progress=False)
    best = train(load_config(config_path, ["epochs=1"]), data_dir, tmp_path / "run", progress=False)
    assert best.is_file()


def test_a_run_that_diverges_ends_in_one_line(config_path: Path, data_dir: Path, tmp_path: Path) -> None:
    config = load_config(config_path, ["learning_rate=10", "epochs=2", "weight_decay=10"])
    object.__setattr__(config, "learning_rate", 1e30)
    with pytest.raises(TrainingError, match="no number; lower learning_rate"):
        train(config, data_dir, tmp_path / "run", progress=False)


def test_a_run_does_not_go_on_with_other_items(
    config_path: Path, data_dir: Path, tmp_path: Path, tiny_rows: list[dict[str, str]]
) -> None:
    config = load_config(config_path, ["epochs=3"])
    with pytest.raises(Unfinished):
        train(config, data_dir, tmp_path / "run", progress=False, deadline=0.0)
    learnt = (tmp_path / "run" / "run.json").read_text()
    more = [
        {**row, "file": f"new{row['file']}", "patient": f"new{row['patient']}"} for row in tiny_rows[60:90]
    ]
    for row, new in zip(tiny_rows[60:90], more, strict=True):
        shutil.copy(data_dir / "tiny" / row["file"], data_dir / "tiny" / new["file"])
    write_manifest(data_dir / "tiny", [*tiny_rows, *more])
    with pytest.raises(TrainingError, match="begun with other items"):
        train(config, data_dir, tmp_path / "run", progress=False)
    assert (tmp_path / "run" / "run.json").read_text() == learnt


@pytest.mark.slow
def test_answers_of_folds_stay_with_their_images(
    config_path: Path, data_dir: Path, tmp_path: Path, tiny_rows: list[dict[str, str]]
) -> None:
    config = load_config(config_path, ["epochs=1", "val_fraction=0.2"])
    cross_validate(config, data_dir, tmp_path / "cv", 2, progress=False)
    before = judged(tmp_path / "cv", data_dir)
    write_manifest(data_dir / "tiny", tiny_rows[::-1])
    after = judged(tmp_path / "cv", data_dir)
    answers = {item.path: row.tolist() for item, row in zip(before.items, before.probs, strict=True)}
    assert {item.path: row.tolist() for item, row in zip(after.items, after.probs, strict=True)} == answers
    (tmp_path / "cv" / "fold1" / "held.json").write_text('{"logits": [], "files": []}')
    with pytest.raises(TrainingError, match="other files"):
        judged(tmp_path / "cv", data_dir)


@pytest.mark.parametrize("unknown", ["covid-19", "COVID19"])
def test_a_slip_in_what_is_unknown_is_no_negative(unknown: str) -> None:
    row = {"file": "a.png", "labels": "pneumonia", "unknown": unknown}
    with pytest.raises(TrainingError, match="unknown .* is not one of"):
        task_of("chest_xray").target(row)
    spaced = task_of("chest_xray").target({**row, "unknown": "covid19 | viral"})
    assert np.isnan(spaced[4]) and np.isnan(spaced[3])


def test_manifests_of_spreadsheets(tmp_path: Path) -> None:
    path = tmp_path / "manifest.csv"
    path.write_text("file,label\na.png,1\n", encoding="utf-8-sig")
    assert read_manifest(path) == [{"file": "a.png", "label": "1"}]
    path.write_text("file;label\na.png;1\n", encoding="utf-8")
    with pytest.raises(TrainingError, match="separated by commas .* found 'file;label'"):
        read_manifest(path)


def test_equal_names_in_folders_are_two_pictures(tmp_path: Path) -> None:
    rows = [{"file": name} for name in ("glioma/1.png", "meningioma/1.png", "images/2.webp")]
    names = _names(rows)
    assert names["images/2.webp"] == "2" and len(set(names.values())) == 3
    made = [
        _save(tmp_path, names, row, "with", np.full((8, 8), 9 * n, np.uint8), "")
        for n, row in enumerate(rows)
    ]
    assert [int(np.asarray(Image.open(tmp_path / one["file"]))[0, 0]) for one in made] == [0, 9, 18]


def test_prepare_does_not_write_over_what_it_reads(
    data_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = data_dir / "tiny" / "manifest.csv"
    before = manifest.read_bytes()
    assert main(["prepare", str(manifest), "--kind", "knee_xray", "--out", str(manifest.parent)]) == 2
    assert "write over the manifest" in capsys.readouterr().err and manifest.read_bytes() == before


@pytest.mark.slow
def test_predictions_say_what_is_true(bundle_path: Path, data_dir: Path, tmp_path: Path) -> None:
    out = tmp_path / "figures"
    command = ["evaluate", str(bundle_path), str(data_dir / "tiny" / "manifest.csv"), "--out", str(out)]
    assert main([*command, "--where", "split=test", "--group-column", "patient"]) == 0
    with (out / "predictions.csv").open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    names = json.loads((bundle_path / "configs" / "metadata.json").read_text())["labels"]
    assert all(row[f"truth_{row['truth']}"] == "1" for row in rows)
    assert all(sum(int(row[f"truth_{label['name']}"]) for label in names) == 1 for row in rows)
    assert (bundle_path / "models" / "model.safetensors").stat().st_mode & 0o044 == 0o044


def test_one_file_in_two_groups_does_not_stand_on_both_sides(
    config_path: Path, data_dir: Path, tiny_rows: list[dict[str, str]]
) -> None:
    held = next(row for row in tiny_rows if row["split"] == "test")
    again = {**held, "file": f"../tiny/{held['file']}", "patient": "another", "split": "train"}
    write_manifest(data_dir / "tiny", [*tiny_rows, again])
    with pytest.raises(TrainingError, match=f"{held['file']} stands on both sides of a split, in two groups"):
        make_splits(load_config(config_path), data_dir)


def test_lines_are_the_files_own(config_path: Path, data_dir: Path, tiny_rows: list[dict[str, str]]) -> None:
    path = data_dir / "tiny" / "manifest.csv"
    tiny_rows[4]["patient"] = " "
    write_manifest(data_dir / "tiny", tiny_rows)
    header, rest = path.read_text().split("\n", 1)
    path.write_text(f"{header}\n\n\n{rest}")
    with pytest.raises(TrainingError, match=r"manifest\.csv line 8: no patient"):
        make_splits(load_config(config_path), data_dir)


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("augmentation.border_mask=0.6", r"augmentation\.border_mask must lie between 0 and 0\.45"),
        ("augmentation.flip=2", r"augmentation\.flip: expected bool"),
        ("augmentation.cross=15", r"augmentation\.cross must lie"),
        ("augmentation.noise=-1", r"augmentation\.noise must lie"),
        ("network.growth_rate=0", r"network\.growth_rate"),
        ("network.block_config=[]", r"network\.block_config"),
        ("network.dropout_prob=1", r"network\.dropout_prob"),
        ("size_schedule=[[0.5, 100]]", "size_schedule: sizes are multiples of 32"),
        ("size_schedule=[[0.5, 64], [0.3, 32]]", "size_schedule: shares of the run must rise"),
    ],
)
def test_what_no_network_or_image_can_be_is_refused(config_path: Path, override: str, said: str) -> None:
    with pytest.raises(TrainingError, match=said):
        load_config(config_path, [override])


def test_a_start_from_an_altered_bundle_is_refused(
    config_path: Path, data_dir: Path, bundle_path: Path, tmp_path: Path
) -> None:
    weights = bundle_path / "models" / "model.safetensors"
    config = load_config(config_path, ["epochs=1", f"init={weights}"])
    whole = bytearray(weights.read_bytes())
    whole[-1] ^= 1
    weights.write_bytes(whole)
    with pytest.raises(TrainingError, match=r"init: .*model\.safetensors does not match its sha256"):
        train(config, data_dir, tmp_path / "run", progress=False)


@pytest.mark.slow
def test_a_finished_run_without_its_best_says_what_can_be_done(
    config_path: Path, data_dir: Path, tmp_path: Path
) -> None:
    config = load_config(config_path, ["epochs=1"])
    best = train(config, data_dir, tmp_path / "run", progress=False)
    best.write_bytes(best.read_bytes()[:1000])
    with pytest.raises(TrainingError, match="not a whole checkpoint"):
        train(config, data_dir, tmp_path / "run", progress=False)
    best.unlink()
    with pytest.raises(TrainingError, match=r"best\.ckpt is gone and no epoch is left .* copy last\.ckpt"):
        train(config, data_dir, tmp_path / "run", progress=False)


def test_small_images_first_are_never_larger_than_the_last(config_path: Path) -> None:
    config = load_config(config_path, ["size_schedule=[[0.5, 64]]"])
    module = ReadingModule(config, steps=1)
    assert module._image_size() == config.preprocessing.size == 32
