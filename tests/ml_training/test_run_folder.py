"""A run folder knows what it has learnt from, how many processes began it, its best epoch and its end."""

from __future__ import annotations

import dataclasses
import json
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from ml_training.__main__ import main
from ml_training.errors import TrainingError, Unfinished
from ml_training.run_folder import CONFIG, RUN, claim, learnt_marks
from ml_training.specs import TrainConfig, load_config
from ml_training.train import train


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The validation losses of the epochs to come; a test fills it."""
    losses: list[float] = []
    monkeypatch.setattr("ml_training.crossfit.log_losses", lambda *_: np.array([losses.pop(0)]))
    return losses


def one_epoch(config: TrainConfig, data_dir: Path, run: Path) -> None:
    """A sitting that is over after its first epoch."""
    with pytest.raises(Unfinished):
        train(config, data_dir, run, progress=False, deadline=time.monotonic())


def epochs(run: Path) -> list[int]:
    return [entry["epoch"] for entry in json.loads((run / "history.json").read_text())]


def epoch_of(checkpoint: Path) -> int:
    return int(torch.load(checkpoint, weights_only=True)["epoch"])  # noqa: TID251


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["calibrate", "publish"])
def test_a_run_is_not_judged_on_what_it_has_learnt_from(
    verb: str,
    published_run: Path,
    config_path: Path,
    data_dir: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = shutil.copytree(published_run, tmp_path / "run")
    before = (run / "calibration.json").read_bytes()
    command = [verb, str(config_path), "--run-dir", str(run), "--data-dir", str(data_dir)]
    command += ["--bundle-dir", str(tmp_path / "b")] if verb == "publish" else []
    source = "sources=[{manifest: tiny/manifest.csv, group_column: patient, test_column: split"
    for override, said in {
        "split_seed=5": "validation items and 0 of the 30 test items; this config is not the run's",
        f"{source}, test_values: [train]}}]": "of the 120 test items",
        "preprocessing.size=64": "preprocessing.size: the config has 64, the run in",
        "preprocessing.margins=[0.0, 0.1]": "preprocessing.margins: the config has (0.0, 0.1), the run in",
        "network.growth_rate=6": "network.growth_rate: the config has 6, the run in",
    }.items():
        assert main([*command[:2], override, *command[2:]]) == 2
        error = capsys.readouterr().err
        assert said in error and error.count("\n") == 1
    assert not (tmp_path / "b").exists() and (run / "calibration.json").read_bytes() == before
    # A folder that says nothing of what was learnt, as `adopt` makes it, is judged all the same.
    about = json.loads((run / RUN).read_text())
    (run / RUN).write_text(json.dumps({key: about[key] for key in about if key != "learnt"}))
    assert main([*command[:2], "split_seed=5", *command[2:]]) == 0


@pytest.mark.slow
def test_a_run_goes_on_with_as_many_processes_as_began_it(
    config_path: Path, data_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    command = ["train", str(config_path), "epochs=2", "--run-dir", str(run), "--data-dir", str(data_dir)]
    one_epoch(load_config(config_path, ["epochs=2"]), data_dir, run)
    written = [(run / name).stat().st_mtime_ns for name in (CONFIG, RUN)]
    assert json.loads((run / RUN).read_text())["processes"] == 1
    assert main([*command, "--quiet", "--devices", "2"]) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("error: ") and said.endswith(
        "run was begun with 1 processes and this call would go on with 2; give --devices 1"
    )
    assert epochs(run) == [0]
    assert [(run / name).stat().st_mtime_ns for name in (CONFIG, RUN)] == written
    assert main([*command, "--quiet", "--devices", "1"]) == 0
    assert epochs(run) == [0, 1] and (run / CONFIG).stat().st_mtime_ns == written[0]


def test_a_run_that_began_before_processes_were_counted_goes_on(config: TrainConfig, tmp_path: Path) -> None:
    images = {"train": 1, "val": 1, "test": 1}
    assert claim(config, tmp_path, images, [], 2)
    about = json.loads((tmp_path / RUN).read_text())
    del about["processes"]
    (tmp_path / RUN).write_text(json.dumps(about))
    (tmp_path / "last.ckpt").touch()
    assert claim(config, tmp_path, images, [], 3)
    assert "processes" not in json.loads((tmp_path / RUN).read_text())


def test_a_run_folder_cut_off_while_it_was_described_is_one_line(config: TrainConfig, tmp_path: Path) -> None:
    (tmp_path / RUN).write_text('{"images": {"tr')
    with pytest.raises(TrainingError, match=r"run.json is not whole") as caught:
        claim(config, tmp_path, {}, [], 1)
    assert "\n" not in str(caught.value)
    with pytest.raises(TrainingError, match=r"run.json is not whole"):
        learnt_marks(dataclasses.replace(config, teachers=(str(tmp_path),)), [], [])


@pytest.mark.slow
def test_a_moved_run_keeps_its_best_epoch(
    config_path: Path, data_dir: Path, tmp_path: Path, judged: list[float]
) -> None:
    config = load_config(config_path, ["epochs=3"])
    judged += [1.0, 3.0, 0.5]
    one_epoch(config, data_dir, tmp_path / "here")
    run = tmp_path / "there"
    (tmp_path / "here").rename(run)
    one_epoch(config, data_dir, run)
    assert (epoch_of(run / "best.ckpt"), epoch_of(run / "last.ckpt")) == (0, 1)
    assert not (tmp_path / "here").exists()
    train(config, data_dir, run, progress=False)
    assert epoch_of(run / "best.ckpt") == 2
    keys = torch.load(run / "last.ckpt", weights_only=True)["callbacks"]  # noqa: TID251
    assert sum(key.startswith("ModelCheckpoint{") for key in keys) == 2


@pytest.mark.slow
def test_a_best_checkpoint_left_behind_is_made_anew(
    config_path: Path, data_dir: Path, tmp_path: Path, judged: list[float]
) -> None:
    config = load_config(config_path, ["epochs=2"])
    judged += [1.0, 3.0]
    one_epoch(config, data_dir, tmp_path / "here")
    run = tmp_path / "there"
    run.mkdir()
    for name in ("last.ckpt", CONFIG, RUN):
        shutil.copy(tmp_path / "here" / name, run)
    assert epoch_of(train(config, data_dir, run, progress=False)) == 1


@pytest.mark.slow
def test_a_run_that_patience_ended_stays_ended(
    config_path: Path, data_dir: Path, tmp_path: Path, judged: list[float]
) -> None:
    config, run = load_config(config_path, ["epochs=5", "patience=1"]), tmp_path / "run"
    judged += [1.0, 2.0, 0.1]
    best = train(config, data_dir, run, progress=False)
    before = [(path, path.stat().st_mtime_ns) for path in sorted(run.glob("*.*"))]
    assert epochs(run) == [0, 1]
    assert train(config, data_dir, run, progress=False) == best
    assert [(path, path.stat().st_mtime_ns) for path in sorted(run.glob("*.*"))] == before


@pytest.mark.slow
def test_patience_and_a_deadline_in_the_same_epoch_are_an_end(
    config_path: Path, data_dir: Path, tmp_path: Path, judged: list[float]
) -> None:
    config, run = load_config(config_path, ["epochs=5", "patience=1"]), tmp_path / "run"
    judged += [1.0, 2.0, 0.1]
    one_epoch(config, data_dir, run)
    assert "finished" not in json.loads((run / RUN).read_text())
    train(config, data_dir, run, progress=False, deadline=time.monotonic())
    assert epochs(run) == [0, 1] and json.loads((run / RUN).read_text())["finished"]
