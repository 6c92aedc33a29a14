"""Nothing kept back for validation: a cross-validation of the same recipe stands in for it."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from ml_training import cv
from ml_training.__main__ import main
from ml_training.bundle import WEIGHTS, Bundle
from ml_training.calibrating import FILE, _belongs_to, held_reader
from ml_training.errors import TrainingError
from ml_training.publish import publish
from ml_training.specs import TrainConfig, load_config
from ml_training.train import make_splits, predict, train
from ml_training.weights import load_network

OVERRIDES = ["val_fraction=0", "epochs=3"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A world, and a cross-validation of it whose folds were trained one by one."""
    from tests.ml_training.conftest import CONFIG, make_world

    root = tmp_path_factory.mktemp("held")
    make_world(root / "data")
    (root / "tiny.yaml").write_text(CONFIG, encoding="utf-8")
    command = ["train", str(root / "tiny.yaml"), *OVERRIDES, "--run-dir", str(root / "cv")]
    command += ["--data-dir", str(root / "data"), "--quiet", "--cv", "2"]
    assert main([*command, "--fold", "2"]) == 0
    assert not (root / "cv" / "fold1").exists() and not (root / "cv" / cv.FIGURES).exists()
    assert main([*command, "--fold", "1"]) == 0
    assert main(command) == 0
    return root


def config_of(root: Path, *more: str) -> TrainConfig:
    overrides = [*OVERRIDES, f"cross_validation={root / 'cv'}", *more]
    return load_config(root / "tiny.yaml", overrides)


@pytest.mark.slow
def test_every_item_is_learnt_and_judged_by_a_network_that_never_saw_it(
    finished: Path, tmp_path: Path
) -> None:
    config, data = config_of(finished), finished / "data"
    splits = make_splits(config, data)
    assert (len(splits.train), len(splits.val)) == (120, 0)
    held = cv.held_out(config, splits.train)
    assert not np.isnan(held.logits).any() and set(held.folds) == {1, 2}
    for number in (1, 2):
        groups = {item.group for item, fold in zip(held.items, held.folds, strict=True) if fold == number}
        others = {item.group for item, fold in zip(held.items, held.folds, strict=True) if fold != number}
        assert groups and not groups & others
    whole = json.loads((finished / "cv" / cv.FIGURES).read_text())
    assert whole["items"] == 120 and whole["pooled"]["all"]["images"] == 120
    train(config, data, tmp_path / "run", progress=False)
    # No validation: the newest epoch is the one that counts.
    best, last = (
        torch.load(tmp_path / "run" / name, weights_only=True)  # noqa: TID251
        for name in ("best.ckpt", "last.ckpt")
    )
    assert best["epoch"] == last["epoch"] == 2
    path = publish(config, data, tmp_path / "run", tmp_path / "bundles")
    bundle = Bundle.load(path)
    quality = json.loads((tmp_path / "run" / FILE).read_text())["quality"]
    assert quality["parts"]["all"]["top label"]["images"] == 120
    assert bundle.metadata["images"] == {"train": 120, "val": 0, "test": 30}
    card = (path / "docs" / "README.md").read_text()
    assert "cross-validation" in card and "0 to calibrate" not in card
    assert "2 folds of whole groups" in bundle.metadata["training"]["cross_validation"]
    # A calibration belongs to the answers that it was fitted on.
    shutil.copytree(finished / "cv", tmp_path / "cv")
    copied = dataclasses.replace(config, cross_validation=str(tmp_path / "cv"))
    before = _belongs_to(copied, tmp_path / "run", splits)
    done = tmp_path / "cv" / "fold1" / "held.json"
    done.write_text(done.read_text().replace("0.", "1.", 1))
    assert _belongs_to(copied, tmp_path / "run", splits) != before


@pytest.mark.slow
def test_a_volumes_slices_are_read_by_the_folds_that_held_them(finished: Path) -> None:
    config, data = config_of(finished), finished / "data"
    held = cv.held_out(config, make_splits(config, data).train)

    def plain(logits: np.ndarray) -> np.ndarray:
        return logits

    read = held_reader(held, config, plain)
    chosen = [5, 80, 17, 110]
    np.testing.assert_allclose(
        read([held.items[i] for i in chosen], False), held.logits[chosen], rtol=1e-3, atol=1e-4
    )
    network = load_network(config, finished / "cv" / f"fold{held.folds[5]}" / "best.ckpt")
    own = predict(network, config, [held.items[5]])[0]
    np.testing.assert_allclose(own[0], held.logits[5], rtol=1e-3, atol=1e-4)


@pytest.mark.slow
def test_what_does_not_belong_together_is_one_line(finished: Path, tmp_path: Path) -> None:
    data = finished / "data"
    items = make_splits(config_of(finished), data).train
    cases = {
        "was made of other items": config_of(finished, "split_seed=1"),
        "another network": config_of(finished, "network.growth_rate=6"),
        "another epochs: 3, not 4": config_of(finished, "epochs=4"),
        "another augmentation": config_of(finished, "augmentation.noise=0.1"),
        "no finished cross-validation": config_of(finished, f"cross_validation={tmp_path}"),
    }
    for said, config in cases.items():
        with pytest.raises(TrainingError, match=said) as caught:
            cv.held_out(config, items)
        assert "\n" not in str(caught.value)
    half = tmp_path / "half"
    shutil.copytree(finished / "cv", half)
    (half / "fold2" / "held.json").unlink()
    with pytest.raises(TrainingError, match="no finished cross-validation"):
        cv.held_out(config_of(finished, f"cross_validation={half}"), items)
    nothing = dataclasses.replace(config_of(finished), cross_validation="")
    train(dataclasses.replace(nothing, epochs=1), data, tmp_path / "run", progress=False)
    with pytest.raises(TrainingError, match="val_fraction is 0: name a finished cross-validation"):
        publish(dataclasses.replace(nothing, epochs=1), data, tmp_path / "run", tmp_path / "b")
    for wrong in ("val_fraction=0.9", "val_fraction=-1", "precision=fp8"):
        with pytest.raises(TrainingError, match=wrong.partition("=")[0]):
            load_config(finished / "tiny.yaml", [wrong])
    with pytest.raises(TrainingError, match="patience needs validation items"):
        load_config(finished / "tiny.yaml", ["val_fraction=0", "patience=2"])
    with pytest.raises(TrainingError, match="--fold 3: the folds are 1 to 2"):
        cv.cross_validate(config_of(finished), data, tmp_path / "x", 2, only=3)


def test_a_start_from_another_body_part_is_let_in(
    config: TrainConfig, bundle_path: Path, tmp_path: Path
) -> None:
    own = dataclasses.replace(config, init=str(bundle_path / WEIGHTS))
    with pytest.raises(TrainingError, match="has learnt from held items"):
        cv._refuse_leaks(own, {"parts": ""}, [])
    cv._refuse_leaks(dataclasses.replace(own, kind="chest_xray"), {"parts": ""}, [])
    stray = tmp_path / "model.safetensors"
    shutil.copy(bundle_path / WEIGHTS, stray)
    with pytest.raises(TrainingError, match="has learnt from held items"):
        cv._refuse_leaks(dataclasses.replace(own, kind="chest_xray", init=str(stray)), {"parts": ""}, [])


@pytest.mark.slow
def test_half_precision_on_a_cpu_learns_too(config_path: Path, data_dir: Path, tmp_path: Path) -> None:
    config = load_config(config_path, ["precision=bf16", "epochs=4"])
    train(config, data_dir, tmp_path / "run", progress=False)
    losses = [entry["train_loss"] for entry in json.loads((tmp_path / "run" / "history.json").read_text())]
    assert losses[-1] < losses[0]


def test_runs_of_another_seed_share_the_split(config: TrainConfig, data_dir: Path) -> None:
    def files(splits: object) -> list[set[str]]:
        return [{item.row["file"] for item in getattr(splits, part)} for part in ("train", "val", "test")]

    first = files(make_splits(config, data_dir))
    assert files(make_splits(dataclasses.replace(config, seed=7), data_dir)) == first
    assert files(make_splits(dataclasses.replace(config, split_seed=7), data_dir)) != first
