"""Configs and labels refuse what they do not know, in one line that names it."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from ml_training.errors import TrainingError
from ml_training.labels import TASKS, task_of
from ml_training.specs import load_config
from ml_training.train import ReadingModule

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
        ("sources.0.limit=10", "'sources.0.limit=10': sources has no keys of its own"),
        ("version.x=1", "'version.x=1': version has no keys of its own"),
        ("teachers=[a", "'teachers=.a': while parsing"),
        ("size_schedule=[[0.5]]", r"config.size_schedule\[0\]: expected 2 values"),
        ("training_data=[film]", r"config.training_data\[0\]: expected keys and values"),
        ("pooling=window", "config.pooling: expected keys and values"),
        ("pooling={method: windw}", "pooling.method must be one of window, mean, top_mean, not 'windw'"),
        ("pooling={method: [window]}", "pooling.method must be one of"),
        ("pooling={metod: window}", "pooling.metod: unknown key"),
        ("pooling={method: window, doubtfull: [pituitary]}", "pooling.doubtfull: unknown key of window"),
        ("pooling={method: window, doubtful: pituitary}", "pooling.doubtful: expected a list"),
        ("pooling={method: mean, doubtful: [pituitary]}", "pooling.doubtful: unknown key of mean"),
        ("pooling={method: window, fraction: 0.5}", "pooling.fraction: unknown key of window"),
        ("pooling={fraction: 20}", "pooling.fraction: expected a share"),
        ("pooling={max_slices: 0}", "pooling.max_slices: expected a whole number"),
    ],
)
def test_a_typo_stops_the_run_and_is_named(config_path: Path, override: str, named: str) -> None:
    with pytest.raises(TrainingError, match=named) as caught:
        load_config(config_path, [override])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "- kind", "kind: [", "kind"])
def test_a_file_that_is_no_config_is_one_line(config_path: Path, text: str) -> None:
    config_path.write_text(text, encoding="utf-8")
    with pytest.raises(TrainingError, match=config_path.name) as caught:
        load_config(config_path, ["epochs=2"])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "more", ["learn_only: true", "test_column: split", "test_values: [test]", "test_fraction: 0.2"]
)
def test_a_source_that_follows_another_has_no_parts_of_its_own(config_path: Path, more: str) -> None:
    sources = f"sources=[{{manifest: a.csv}}, {{manifest: b.csv, follows: a.csv, {more}}}]"
    with pytest.raises(TrainingError, match=f"sources: b.csv: leave out {more.partition(':')[0]}"):
        load_config(config_path, [sources])


def test_every_way_of_pooling_has_its_keys(config_path: Path) -> None:
    for given in (
        "{}",
        "{method: window, doubtful: [pituitary], max_slices: 60}",
        "{method: mean, max_slices: 9}",
        "{fraction: 0.3, max_slices: 9}",
    ):
        load_config(config_path, [f"pooling={given}"])


def test_overrides_reach_nested_keys(config_path: Path) -> None:
    config = load_config(config_path, ["network.growth_rate=6", "epochs=2"])
    assert (config.network.growth_rate, config.epochs) == (6, 2)


def test_a_number_where_a_text_belongs_is_that_text(config_path: Path) -> None:
    config = load_config(
        config_path, ["precision=32", "sources=[{manifest: a.csv, test_column: fold, test_values: [4]}]"]
    )
    assert config.precision == "32" and config.sources[0].test_values == ("4",)


def test_an_ordinal_loss_needs_grades(config_path: Path) -> None:
    config = load_config(config_path, ["kind=brain_mri", "ordinal_loss=0.5"])
    with pytest.raises(TrainingError, match="labels of brain_mri are no grades"):
        ReadingModule(config, steps=10)


def test_the_ordinal_loss_asks_more_for_an_answer_farther_off(config_path: Path) -> None:
    config = load_config(config_path, ["ordinal_loss=1", "label_smoothing=0"])
    module = ReadingModule(config, steps=10)
    target = torch.eye(5)[:1]
    right, near, far = (module.loss(9 * torch.eye(5)[[k]], target).item() for k in (0, 1, 4))
    plain = ReadingModule(load_config(config_path, ["label_smoothing=0"]), steps=10)
    same = [plain.loss(9 * torch.eye(5)[[k]], target).item() for k in (1, 4)]
    assert same[0] == pytest.approx(same[1])
    # The distance is how many grades the mass lies off: nearly 1 for the next grade, 4 for the last.
    assert near - same[0] == pytest.approx(1, abs=0.01) and far - same[1] == pytest.approx(4, abs=0.02)
    assert right < near < far


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
