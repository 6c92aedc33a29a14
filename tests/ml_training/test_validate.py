"""`validate`: runs and bundles side by side on images that none of them learnt from."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ml_training.__main__ import main
from ml_training.errors import TrainingError
from ml_training.labels import task_of
from ml_training.specs import TrainConfig, load_config
from ml_training.train import make_splits
from ml_training.validate import TOGETHER, table, validate


@pytest.fixture
def world(_published: Path) -> Path:
    """The tiny world's root: `data`, `tiny.yaml`, its finished `run` and that run's bundle in `bundles`."""
    return _published.parent.parent


@pytest.fixture
def config(world: Path) -> TrainConfig:
    return load_config(world / "tiny.yaml")


@pytest.mark.slow
def test_a_run_and_its_bundle_say_the_same_and_so_do_they_together(
    world: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["validate", str(world / "tiny.yaml"), "--data-dir", str(world / "data"), "--by", "label"]
    assert main([*command, "--of", str(world / "run"), str(world / "bundles" / "knee_xray"), "--json"]) == 0
    lines = json.loads(capsys.readouterr().out)
    held = make_splits(load_config(world / "tiny.yaml"), world / "data").val
    assert [line["part"] for line in lines[:6]] == ["all", *(f"label={grade}" for grade in range(5))]
    assert sum(line["images"] for line in lines[1:6]) == lines[0]["images"] == len(held)
    run, shipped, together = (lines[start : start + 6] for start in (0, 6, 12))
    assert {line["network"] for line in together} == {TOGETHER}
    for one, two, both in zip(run, shipped, together, strict=True):
        # The bundle has the run's weights in half precision.
        assert one["score"] == two["score"] == both["score"]
        assert one["log_loss"] == pytest.approx(two["log_loss"], abs=5e-3)
    assert main([*command, "--of", str(world / "run")]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[0].startswith("| network | part | images | accuracy |") and len(shown) == 2 + 6


@pytest.mark.slow
def test_the_newest_epoch_can_be_named_and_misses_are_counted(world: Path, config: TrainConfig) -> None:
    (line,) = validate(config, world / "data", [world / "run" / "last.ckpt"])
    held = make_splits(config, world / "data").val
    ill = [item for item in held if item.row["label"] != "0"]
    assert line.diseased == len(ill) and line.missed is not None and 0 <= line.missed < len(ill)
    assert f"{line.missed} of {len(ill)}" in table([line], task_of("knee_xray"))


@pytest.mark.slow
def test_what_cannot_be_judged_is_refused(world: Path, config: TrainConfig, tmp_path: Path) -> None:
    data = world / "data"
    with pytest.raises(TrainingError, match="--by hospital: no manifest has such a column"):
        validate(config, data, [world / "run"], ["hospital"])
    with pytest.raises(TrainingError, match="--of: .*nowhere is not a run folder"):
        validate(config, data, [tmp_path / "nowhere"])
    with pytest.raises(TrainingError, match="val_fraction is 0"):
        validate(load_config(world / "tiny.yaml", ["val_fraction=0"]), data, [world / "run"])
    with pytest.raises(TrainingError, match="has learnt from these validation items"):
        validate(load_config(world / "tiny.yaml", ["split_seed=5"]), data, [world / "run"])
    manifest = {"manifest": "tiny/manifest.csv", "group_column": "patient", "label": "none"}
    brain = load_config(world / "tiny.yaml", ["kind=brain_mri", f"sources={json.dumps([manifest])}"])
    with pytest.raises(TrainingError, match="learnt knee_xray, not brain_mri"):
        validate(brain, data, [world / "run"])
