"""The recipe for a GPU in small: a backbone, teachers, a pupil, a bundle, in sittings of one epoch each."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ml_training import recipe as recipe_module
from ml_training.__main__ import UNFINISHED, main
from ml_training.bundle import Bundle
from ml_training.errors import TrainingError
from ml_training.labels import BACKBONE, task_of
from ml_training.publish import publish
from ml_training.recipe import Places, _digest, cook, pending, read_recipe
from ml_training.specs import load_config
from ml_training.train import ReadingModule

RECIPES = Path(__file__).parents[2] / "ml_training" / "configs" / "recipes"
TINY = """
set: {epochs: 2, workers: 0}
steps:
  - {name: backbone, verb: train, config: backbone.yaml}
  - name: teacher
    verb: train
    config: tiny.yaml
    seeds: [1, 2]
    set: {init: "{runs}/backbone/best.ckpt", epochs: 1}
  - name: pupil
    verb: train
    config: tiny.yaml
    set:
      init: "{runs}/backbone/best.ckpt"
      teachers: ["{runs}/teacher_1", "{runs}/teacher_2"]
      augmentation.elastic: 0.02
  - {name: calibrated, verb: calibrate, run: pupil}
  - {name: published, verb: publish, run: pupil, set: {version: 2.0.0, changelog: by recipe}}
  - {name: folds, verb: cv, config: tiny.yaml, folds: 2, set: {epochs: 1, val_fraction: 0}}
"""


@pytest.fixture
def recipe_path(config_path: Path) -> Path:
    backbone = config_path.read_text().replace("kind: knee_xray", "kind: backbone")
    backbone = backbone.replace(
        "{manifest: tiny/manifest.csv,", "{manifest: tiny/manifest.csv, task: knee_xray,"
    )
    (config_path.parent / "backbone.yaml").write_text(backbone)
    path = config_path.parent / "recipe.yaml"
    path.write_text(TINY)
    return path


@pytest.mark.slow
def test_one_command_goes_on_until_all_is_done(
    recipe_path: Path, data_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = tmp_path / "runs"
    command = ["recipe", str(recipe_path), "--data-dir", str(data_dir), "--runs-dir", str(runs), "--quiet"]
    codes = [main([*command, "--max-minutes", "0.0001"])]
    while codes[-1] == UNFINISHED and len(codes) < 30:
        codes.append(main([*command, "--max-minutes", "0.0001"]))
    assert codes[-1] == 0 and codes[:-1] == [UNFINISHED] * (len(codes) - 1) and len(codes) > 5
    said = capsys.readouterr().out
    assert "step backbone" in said and "1 of 2 epochs" in said and "0 steps left" in said
    bundle = Bundle.load(runs / "bundles" / "knee_xray")
    assert bundle.version == "2.0.0" and bundle.metadata["changelog"] == {"2.0.0": "by recipe"}
    training = bundle.metadata["training"]
    assert training["init"] == "backbone" and training["teachers"] == ["teacher_1", "teacher_2"]
    assert json.loads((runs / "folds" / "cv.json").read_text())["folds"] == 2
    began = (runs / "recipe.json").stat().st_mtime_ns
    assert main(command) == 0 and (runs / "recipe.json").stat().st_mtime_ns == began
    # A step that has changed is open again.
    recipe = read_recipe(recipe_path, ["seed=3"])
    assert "backbone" in [step.name for step in pending(recipe, runs)]
    (runs / "recipe.json").write_text("{")
    assert main([*command, "--list"]) == 2
    assert "recipe.json is not whole" in capsys.readouterr().err


def test_devices_reach_every_training(
    recipe_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def note(*_given: Any, **named: Any) -> None:
        asked.append(named["devices"])
        raise TrainingError("enough")

    monkeypatch.setattr("ml_training.train.train", note)
    command = ["recipe", str(recipe_path), "--runs-dir", str(tmp_path / "runs"), "--devices", "2", "--quiet"]
    assert main(command) == 2 and asked == ["2"]


def test_what_is_said_on_the_command_line_is_for_every_training(recipe_path: Path) -> None:
    steps = {step.name: step for step in read_recipe(recipe_path, ["epochs=1", "seed=7"]).steps}
    assert [steps[name].set["epochs"] for name in ("backbone", "teacher_1", "pupil", "folds")] == [1] * 4
    assert steps["teacher_2"].set["seed"] == 2, "else all teachers were one"
    with pytest.raises(TrainingError, match=r"override 'size_schedule=\[\[0.5,128\]'"):
        read_recipe(recipe_path, ["size_schedule=[[0.5,128]"])


def test_what_is_made_of_a_run_is_made_again_after_it(
    recipe_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    did: list[str] = []

    def do(_recipe: Any, step: Any, places: Places, *_given: Any) -> None:
        did.append(step.name)
        if step.verb == "train":
            (places.runs_dir / step.name).mkdir(parents=True, exist_ok=True)
            (places.runs_dir / step.name / "best.ckpt").write_bytes(b"weights")

    monkeypatch.setattr(recipe_module, "_do", do)
    recipe, places = read_recipe(recipe_path), Places(tmp_path, tmp_path / "runs", tmp_path / "bundles")
    cook(recipe, places)
    assert did == [step.name for step in recipe.steps]
    did.clear()
    cook(recipe, places)
    assert not did
    (tmp_path / "runs" / "pupil" / "best.ckpt").unlink()
    cook(recipe, places)
    assert did == ["pupil", "calibrated", "published"]
    # One of Lightning's other processes trains along, and leaves the rest to the first.
    monkeypatch.setenv("LOCAL_RANK", "1")
    (tmp_path / "runs" / "pupil" / "best.ckpt").unlink()
    did.clear()
    cook(recipe, places)
    assert did == ["pupil"]


@pytest.mark.slow
def test_a_step_that_fails_says_which(recipe_path: Path, tmp_path: Path) -> None:
    places = Places(tmp_path / "nowhere", tmp_path / "runs", tmp_path / "bundles")
    with pytest.raises(TrainingError, match=r"step backbone: .*manifest.csv"):
        cook(read_recipe(recipe_path), places, progress=False)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "{name: a, verb: bake, config: tiny.yaml}",
            "verb 'bake' is not one of train, cv, calibrate, publish",
        ),
        ("{name: a, verb: train, confg: tiny.yaml}", r"recipe.yaml step 1.confg: unknown key"),
        ("{name: a, verb: train}", "train needs `config`"),
        ("{name: a, verb: train, config: gone.yaml}", "gone.yaml"),
        ("{name: a, verb: train, config: tiny.yaml, set: {epoch: 3}}", "config.epoch: unknown key"),
        ("{name: a, verb: publish, run: b}", "run 'b' is not an earlier step"),
        ("{name: a, verb: cv, config: tiny.yaml}", "cv needs it"),
    ],
)
def test_a_mistake_in_a_recipe_is_one_line_before_anything_is_trained(
    recipe_path: Path, line: str, message: str
) -> None:
    recipe_path.write_text(f"steps:\n  - {line}\n")
    with pytest.raises(TrainingError, match=message) as caught:
        read_recipe(recipe_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["[]", "steps: []", "steps: [{", "step: []"])
def test_what_is_no_recipe_is_one_line(recipe_path: Path, text: str) -> None:
    recipe_path.write_text(text)
    with pytest.raises(TrainingError) as caught:
        read_recipe(recipe_path)
    assert "\n" not in str(caught.value)


def test_the_shipped_recipe_fits_the_configs_and_the_repository() -> None:
    recipe = read_recipe(RECIPES / "gpu.yaml")
    names = [step.name for step in recipe.steps]
    assert names[0] == "backbone" and {"brain_publish", "knee_publish", "chest_publish"} <= set(names)
    fractions = {step.set["val_fraction"] for step in recipe.steps if step.verb == "train"}
    assert len(fractions) == 1, "the backbone must not learn what its pupils are judged on"


def test_a_backbone_learns_every_task_in_its_place(config_path: Path, tmp_path: Path) -> None:
    task = task_of(BACKBONE)
    target = np.array(task.target({"file": "a", "task": "knee_xray", "label": "2"}))
    known = [name for name, value in zip(task.names, target, strict=True) if not np.isnan(value)]
    assert known == [f"knee_xray/{grade}" for grade in range(5)]
    assert target[task.names.index("knee_xray/2")] == 1
    chest = np.array(task.target({"file": "a", "task": "chest_xray", "labels": "pneumonia|viral"}))
    assert chest[task.names.index("chest_xray/viral")] == 1 and np.isnan(chest[:4]).all()
    with pytest.raises(TrainingError, match="task '' is not one of brain_mri"):
        task.target({"file": "a", "label": "2"})
    config = load_config(config_path, ["kind=backbone"])
    module = ReadingModule(config, steps=1)
    logits = torch.zeros(1, len(task.labels), requires_grad=True)
    module.loss(logits, torch.tensor(target, dtype=torch.float32)[None]).backward()
    assert logits.grad is not None
    moved = logits.grad[0] != 0
    assert moved.tolist() == (~np.isnan(target)).tolist()
    with pytest.raises(TrainingError, match="never published"):
        publish(config, tmp_path, tmp_path, tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("{runs}/teacher_2", "{runs}/teacher_3", r"step pupil: \{runs\}/teacher_3 is no earlier step"),
        ('{runs}/backbone/best.ckpt", epochs', '{runs}/pupil/best.ckpt", epochs', "is no earlier step"),
        ("version: 2.0.0", "versio: 2.0.0", r"step published: config\.versio: unknown key"),
    ],
)
def test_a_step_that_cannot_be_is_found_before_the_first_begins(
    recipe_path: Path, old: str, new: str, said: str
) -> None:
    assert old in TINY
    recipe_path.write_text(TINY.replace(old, new))
    with pytest.raises(TrainingError, match=said):
        read_recipe(recipe_path)


def test_a_step_whose_config_has_changed_is_open_again(
    recipe_path: Path, config_path: Path, tmp_path: Path
) -> None:
    recipe = read_recipe(recipe_path)
    (tmp_path / "recipe.json").write_text(json.dumps({s.name: _digest(recipe, s) for s in recipe.steps}))
    assert {s.name for s in pending(recipe, tmp_path)} == {"backbone", "teacher_1", "teacher_2", "pupil"}
    for name in ("backbone", "teacher_1", "teacher_2", "pupil"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "best.ckpt").write_bytes(b"weights")
    assert not pending(recipe, tmp_path)
    words = config_path.read_text().replace("drawn stripes", "drawn bars")
    config_path.write_text(words)
    assert not pending(read_recipe(recipe_path), tmp_path)
    more_cores = read_recipe(recipe_path, ["workers=3", "intended_use=to learn"])
    assert not pending(more_cores, tmp_path)
    config_path.write_text(words.replace("batch_size: 16", "batch_size: 8"))
    assert {s.name for s in pending(read_recipe(recipe_path), tmp_path)} == {
        *("teacher_1", "teacher_2", "pupil", "folds")
    }
