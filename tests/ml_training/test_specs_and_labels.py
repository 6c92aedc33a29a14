"""Configs and labels refuse what they do not know, in one line that names it."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from ml_training.errors import TrainingError
from ml_training.labels import TASKS, task_of
from ml_training.specs import load_config

FOLDER = Path(__file__).parents[2] / "ml_training" / "configs"
CONFIGS = sorted([*FOLDER.glob("*.yaml"), *FOLDER.glob("onward/*.yaml")])


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_shipped_configs_load(path: Path) -> None:
    config = load_config(path)
    assert config.kind == path.stem
    assert config.limits and config.intended_use and config.training_data


@pytest.mark.parametrize(
    ("override", "named"),
    [
        ("epoch=3", "config.epoch"),
        ("epochs=many", "config.epochs"),
        ("preprocessing.size=100", "multiple of 32"),
        ("network.growth=3", "config.network.growth"),
        ("epochs", "key=value"),
    ],
)
def test_a_typo_stops_the_run_and_is_named(config_path: Path, override: str, named: str) -> None:
    with pytest.raises(TrainingError, match=named):
        load_config(config_path, [override])


def test_overrides_reach_nested_keys(config_path: Path) -> None:
    config = load_config(config_path, ["network.growth_rate=6", "epochs=2"])
    assert (config.network.growth_rate, config.epochs) == (6, 2)


def test_unknown_kind() -> None:
    with pytest.raises(TrainingError, match="toe_xray"):
        task_of("toe_xray")


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ("no_finding", [1, 0, 0, 0, 0]),
        ("pneumonia|bacterial", [0, 1, 1, 0, 0]),
        ("pneumonia|viral", [0, 1, 0, 1, 0]),
        ("pneumonia|covid19", [0, 1, None, None, 1]),
        ("pneumonia|edema", [0, 1, None, None, 0]),
        ("effusion", [0, None, None, None, 0]),
    ],
)
def test_chest_targets_leave_the_unknown_unknown(labels: str, expected: list[float | None]) -> None:
    target = task_of("chest_xray").target({"file": "x", "labels": labels})
    assert [None if math.isnan(value) else value for value in target] == expected


@pytest.mark.parametrize("labels", ["", "measles", "no_finding|pneumonia"])
def test_chest_labels_outside_the_set_are_refused(labels: str) -> None:
    with pytest.raises(TrainingError, match="film.webp"):
        task_of("chest_xray").target({"file": "film.webp", "labels": labels})


def test_every_reading_label_has_a_condition() -> None:
    for kind, task in TASKS.items():
        if kind != "gate":
            assert all(label.condition for label in task.labels)
