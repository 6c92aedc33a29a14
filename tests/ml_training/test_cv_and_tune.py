"""Cross-validation and search on the tiny world: they go on after a kill, and nothing leaks."""

from __future__ import annotations

import dataclasses
import json
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import optuna
import pytest

from ml_training import cv, tune
from ml_training.__main__ import main
from ml_training.errors import Diverged, TrainingError, Unfinished
from ml_training.specs import TrainConfig, load_config

SPACE = """
learning_rate: {type: float, low: 0.001, high: 0.02, log: true}
batch_size: {type: int, low: 8, high: 16, step: 8}
size_schedule: {type: choice, choices: [[], [[0.5, 32]]]}
"""


@pytest.fixture
def short(config_path: Path) -> TrainConfig:
    return load_config(config_path, ["epochs=1"])


@pytest.fixture
def space_path(tmp_path: Path) -> Path:
    path = tmp_path / "space.yaml"
    path.write_text(SPACE, encoding="utf-8")
    return path


@pytest.mark.slow
def test_folds_hold_out_whole_groups_and_a_finished_one_is_kept(
    short: TrainConfig, config_path: Path, data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "cv"
    command = ["train", str(config_path), "epochs=1", "--run-dir", str(run), "--data-dir", str(data_dir)]
    trained: list[str] = []
    original = cv.train

    def count(*args: Any, **options: Any) -> Path:
        trained.append(args[2].name)
        if len(trained) == 2:
            raise KeyboardInterrupt
        return original(*args, **options)

    monkeypatch.setattr(cv, "train", count)
    with pytest.raises(KeyboardInterrupt):
        main([*command, "--cv", "2", "--quiet"])
    assert main([*command, "--cv", "2", "--quiet"]) == 0
    assert trained == ["fold1", "fold2", "fold2"]
    whole = json.loads((run / "cv.json").read_text())
    files = [set(json.loads((run / f"fold{n}" / "held.json").read_text())["files"]) for n in (1, 2)]
    assert not files[0] & files[1]
    # 30 patients, 6 of them for the test; a patient's five pictures stay together.
    assert len(files[0] | files[1]) == whole["items"] == 120
    patients = [{int(name[:3]) // 5 for name in own} for own in files]
    assert not patients[0] & patients[1] and not any(p % 5 == 0 for p in patients[0] | patients[1])
    own = whole["figures"]["accuracy"]
    assert own["mean"] == pytest.approx(np.mean(own["each"]), abs=1e-3) and len(own["each"]) == 2
    assert whole["pooled"]["all"]["images"] == 120
    assert "Over the folds" in (run / "cv.html").read_text()
    with pytest.raises(TrainingError, match="another config, data or --cv"):
        cv.cross_validate(short, data_dir, run, 3)


def test_a_start_that_has_seen_the_held_items_is_refused(
    config_path: Path, data_dir: Path, tmp_path: Path
) -> None:
    seen = load_config(config_path, [f"init={tmp_path / 'run' / 'best.ckpt'}"])
    with pytest.raises(TrainingError, match="has learnt from held items"):
        cv.cross_validate(seen, data_dir, tmp_path / "a", 2)
    folds = load_config(config_path, [f"teachers=['{tmp_path}/other/fold{{fold}}']"])
    with pytest.raises(TrainingError, match="holds no cross-validation"):
        cv.cross_validate(folds, data_dir, tmp_path / "b", 2)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "folds.json").write_text(json.dumps({"parts": "x"}))
    with pytest.raises(TrainingError, match="other folds"):
        cv.cross_validate(folds, data_dir, tmp_path / "c", 2)


def test_too_many_folds_are_one_line(short: TrainConfig, data_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="--cv 99: there are only 24 groups"):
        cv.cross_validate(short, data_dir, tmp_path / "cv", 99)
    with pytest.raises(TrainingError, match="--cv 1: at least 2"):
        cv.cross_validate(short, data_dir, tmp_path / "cv", 1)
    alone = dataclasses.replace(short, sources=(dataclasses.replace(short.sources[0], group_column="file"),))
    message = "--cv 30: 120 items are too few of each label for 30 parts"
    with pytest.raises(TrainingError, match=message):
        cv.cross_validate(alone, data_dir, tmp_path / "cv", 30)


def test_a_search_without_validation_items_is_refused(
    short: TrainConfig, space_path: Path, data_dir: Path, tmp_path: Path
) -> None:
    space = tune.read_space(space_path, short)
    with pytest.raises(TrainingError, match="val_fraction is 0"):
        tune.tune(dataclasses.replace(short, val_fraction=0), space, data_dir, tmp_path / "x", 1)


@pytest.mark.slow
def test_a_search_goes_on_and_ends_in_a_config_and_a_report(
    short: TrainConfig, config_path: Path, space_path: Path, data_dir: Path, tmp_path: Path
) -> None:
    run = tmp_path / "search"
    command = ["tune", str(config_path), "epochs=1", "--run-dir", str(run), "--data-dir", str(data_dir)]
    command += ["--space", str(space_path), "--quiet", "--trials"]
    assert main([*command, "2"]) == 0
    first = sorted(path.name for path in (run / "trials").iterdir())
    assert main([*command, "3"]) == 0
    now = sorted(path.name for path in (run / "trials").iterdir())
    assert set(first) <= set(now) and len(now) == 3
    best = load_config(run / "best.yaml")
    assert best.kind == "knee_xray" and best.epochs == 1 and 0.001 <= best.learning_rate <= 0.02
    page = (run / "report.html").read_text()
    assert "What mattered" in page and "Validation loss of 3 trials" in page
    space = tune.read_space(space_path, short)
    with pytest.raises(TrainingError, match="another config or search space"):
        tune.tune(short, space[:1], data_dir, run, 3, progress=False)


@pytest.mark.slow
def test_a_trial_whose_worker_died_is_taken_up_again(
    short: TrainConfig, space_path: Path, data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    space, run = tune.read_space(space_path, short), tmp_path / "search"
    monkeypatch.setattr(tune, "HEARTBEAT", 1)
    monkeypatch.setattr(tune, "GRACE", 1)
    run.mkdir()
    study = tune._study(short, space, run, "")
    dead = study.ask()
    values = {own.key: own.suggest(dead) for own in space}
    study._storage.record_heartbeat(dead._trial_id)
    time.sleep(2.5)
    tune.tune(short, space, data_dir, run, 2, progress=False)
    study = tune._study(short, space, run, "")
    states = {trial.number: trial.state.name for trial in study.trials}
    assert states[dead.number] == "FAIL"
    again = [t for t in study.trials if t.state.name == "COMPLETE" and t.params == study.trials[0].params]
    assert len(again) == 1 and tune.settings(space, again[0].params) == values


@pytest.fixture
def search_dir(tmp_path: Path) -> Path:
    run = tmp_path / "search"
    run.mkdir()
    return run


def test_settings_that_another_worker_tries_are_left_to_it(
    short: TrainConfig, space_path: Path, data_dir: Path, search_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, space = search_dir, tune.read_space(space_path, short)
    study = tune._study(short, space, run, "")
    others = study.ask()
    values = {own.key: own.suggest(others) for own in space}
    study.enqueue_trial(others.params)
    monkeypatch.setattr(tune, "train", None)  # would fail if it were reached
    tried = tune._objective(short, space, data_dir, run, False)
    study.optimize(tried, n_trials=1, catch=(tune._Taken,))
    assert values and [trial.state.name for trial in study.trials] == ["RUNNING", "FAIL"]
    assert tune._finished(study) == 0


def test_a_trial_that_diverges_is_a_bad_trial_and_no_end(
    short: TrainConfig, space_path: Path, data_dir: Path, search_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, space = search_dir, tune.read_space(space_path, short)
    asked: list[str] = []

    def diverge(*_given: Any, devices: str, **_named: Any) -> Path:
        asked.append(devices)
        raise Diverged("epoch 0: the validation loss is no number")

    monkeypatch.setattr(tune, "train", diverge)
    with pytest.raises(optuna.TrialPruned, match="no number"):
        tune._objective(short, space, data_dir, run, False)(tune._study(short, space, run, "").ask())
    assert asked == ["1"]


def test_a_sitting_that_is_over_begins_no_other_fold(
    short: TrainConfig, data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[int] = []

    def fold(*given: Any) -> Any:
        begun.append(given[4])
        return object()

    monkeypatch.setattr(cv, "_fold", fold)
    with pytest.raises(Unfinished, match="fold 2 of 2 is next"):
        cv.cross_validate(short, data_dir, tmp_path / "cv", 2, deadline=time.monotonic() - 1)
    assert begun == [1]


def test_a_start_that_grew_from_all_parts_of_the_body_has_seen_the_held_items(
    config_path: Path, data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    of = {"kind": "chest_xray", "metadata": {"training": {"init": "backbone"}}}
    monkeypatch.setattr(cv.Bundle, "load", lambda _path: SimpleNamespace(**of))
    start = tmp_path / "chest" / "models" / "model.safetensors"
    config = load_config(config_path, [f"init={start}"])
    with pytest.raises(TrainingError, match="has learnt from held items"):
        cv.cross_validate(config, data_dir, tmp_path / "a", 2)


def test_a_trial_that_does_worse_than_most_is_ended_early() -> None:
    class Trial:
        def __init__(self) -> None:
            self.told: list[tuple[int, float]] = []

        def report(self, value: float, step: int) -> None:
            self.told.append((step, value))

        def should_prune(self) -> bool:
            return True

    class Trainer:
        callback_metrics = {"val_loss": 1.5}
        is_global_zero = True
        current_epoch = 3

    trial = Trial()
    with pytest.raises(optuna.TrialPruned):
        tune._Watch(trial).on_validation_end(Trainer(), None)
    assert trial.told == [(3, 1.5)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("learnin_rate: {type: float, low: 0, high: 1}", "learnin_rate: the config has no such key"),
        ("learning_rate: {type: flot, low: 0, high: 1}", "learning_rate: needs a type"),
        ("learning_rate: {type: float, lo: 0, high: 1}", "learning_rate.lo: unknown key"),
        ("learning_rate: {type: float, low: 1, high: 0}", "low 1 and high 0 are no range"),
        ("batch_size: {type: int, low: 0.5, high: 3}", "batch_size.low: expected int"),
        ("preprocessing.size: {type: choice, choices: [100]}", "must be a multiple of 32, not 100"),
        ("val_fraction: {type: float, low: 0.1, high: 0.2}", "val_fraction: .* cannot be compared"),
        ("split_seed: {type: int, low: 1, high: 5}", "split_seed: .* cannot be compared"),
        ("[]", "expected config keys"),
        ("a: [", "while parsing"),
    ],
)
def test_a_bad_space_is_one_line(short: TrainConfig, tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "space.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(TrainingError, match=message) as caught:
        tune.read_space(path, short)
    assert "\n" not in str(caught.value)


def test_a_storage_that_cannot_be_reached_is_one_line(
    short: TrainConfig, space_path: Path, data_dir: Path, tmp_path: Path
) -> None:
    space = tune.read_space(space_path, short)
    with pytest.raises(TrainingError, match="--storage nonsense") as caught:
        tune.tune(short, space, data_dir, tmp_path / "x", 1, storage="nonsense://nowhere")
    assert "\n" not in str(caught.value)


def test_a_study_that_cannot_be_written_is_one_line(
    short: TrainConfig, space_path: Path, data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise optuna.exceptions.StorageInternalError("database or disk is full\n(Background on this error)")

    monkeypatch.setattr(optuna.Study, "optimize", full)
    space = tune.read_space(space_path, short)
    with pytest.raises(TrainingError, match="--storage: database or disk is full") as caught:
        tune.tune(short, space, data_dir, tmp_path / "x", 1)
    assert "\n" not in str(caught.value)


def test_the_shipped_space_fits_the_configs() -> None:
    folder = Path(tune.__file__).parent / "configs"
    for name in ("brain_mri", "chest_xray", "knee_xray", "gate"):
        assert tune.read_space(folder / "spaces" / "recipe.yaml", load_config(folder / f"{name}.yaml"))
