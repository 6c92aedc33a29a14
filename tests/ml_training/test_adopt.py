"""A bundle whose run is gone is calibrated and published again; augmented variants temper a calibration."""

from __future__ import annotations

import dataclasses
import json
import resource
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from ml_training.__main__ import main
from ml_training.adopt import adopt, blend
from ml_training.bundle import WEIGHTS, Bundle, write_bundle
from ml_training.crossfit import Validation, fit_by_age
from ml_training.errors import BundleError, TrainingError
from ml_training.labels import task_of
from ml_training.specs import TrainConfig
from ml_training.train import train
from ml_training.weights import bundle_weights, load_network


@pytest.mark.slow
def test_an_adopted_bundle_is_published_with_the_same_weights_and_day(
    bundle_path: Path, config_path: Path, data_dir: Path, tmp_path: Path
) -> None:
    options = ["--run-dir", str(tmp_path / "run"), "--data-dir", str(data_dir)]
    assert main(["adopt", str(config_path), *options, "--bundle", str(bundle_path)]) == 0
    draws = ["calibration_draws=2", "version=0.0.2"]
    assert main(["publish", str(config_path), *draws, *options, "--bundle-dir", str(tmp_path / "new")]) == 0
    before, after = Bundle.load(bundle_path), Bundle.load(tmp_path / "new" / "knee_xray")
    assert (before.path / WEIGHTS).read_bytes() == (after.path / WEIGHTS).read_bytes()
    assert after.version == "0.0.2" and after.metadata["created"] == before.metadata["created"]
    assert after.metadata["source_revision"] == before.metadata["source_revision"]
    # Without a change in the calibration everything but the version is the same.
    same = [*options, "--bundle-dir", str(tmp_path / "same")]
    assert main(["publish", str(config_path), *same]) == 0
    assert Bundle.load(tmp_path / "same" / "knee_xray").calibration == before.calibration


def test_what_is_not_the_bundles_is_refused(
    bundle_path: Path, config: TrainConfig, data_dir: Path, tmp_path: Path
) -> None:
    wider = dataclasses.replace(config, network=dataclasses.replace(config.network, growth_rate=6))
    with pytest.raises(TrainingError, match="another kind, network or preprocessing"):
        adopt(wider, data_dir, tmp_path / "a", bundle_path)
    with pytest.raises(TrainingError, match=r"was made of .*'val': "):
        adopt(dataclasses.replace(config, val_fraction=0.4), data_dir, tmp_path / "a", bundle_path)
    adopt(config, data_dir, tmp_path / "a", bundle_path)
    assert json.loads((tmp_path / "a" / "config.json").read_text())["kind"] == "knee_xray"
    with pytest.raises(TrainingError, match="holds a run already"):
        adopt(config, data_dir, tmp_path / "a", bundle_path)
    shutil.rmtree(bundle_path / "docs")
    with pytest.raises(TrainingError, match="--bundle: "):
        adopt(config, data_dir, tmp_path / "b", bundle_path)


def test_weights_that_cannot_be_written_are_one_line(bundle_path: Path, tmp_path: Path) -> None:
    (tmp_path / "new" / WEIGHTS).mkdir(parents=True)
    network = Bundle.load(bundle_path).torch_network()
    with pytest.raises(BundleError, match=r"the bundle .* cannot be written .*model.safetensors") as caught:
        write_bundle(tmp_path / "new", {}, network, "", {})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("room", [1_000, 1_000_000])
def test_where_a_disk_is_full_the_bundle_before_stays_whole(bundle_path: Path, room: int) -> None:
    before = Bundle.load(bundle_path)
    held = {path: path.read_bytes() for path in bundle_path.rglob("*") if path.is_file()}
    assert 1_000 < len(held[bundle_path / WEIGHTS]) < 1_000_000
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))  # no file may grow beyond it
    try:
        with pytest.raises(BundleError, match="cannot be written"):
            write_bundle(bundle_path, {}, before.torch_network(), "a card" * 1_000_000, {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert {path: path.read_bytes() for path in bundle_path.rglob("*") if path.is_file()} == held
    assert Bundle.load(bundle_path).sha256 == before.sha256


def test_harder_variants_make_a_calibration_more_careful() -> None:
    random = np.random.default_rng(0)
    truth = random.integers(4, size=200)
    targets = np.eye(4)[truth]
    easy = targets * 6 + random.normal(0, 1, (200, 4))
    hard = np.stack([targets * 2 + random.normal(0, 2, (200, 4)) for _ in range(3)])
    groups = [str(n // 4) for n in range(200)]
    task = task_of("brain_mri")
    plain = fit_by_age(task, Validation(easy, targets, [""] * 200, groups))
    tempered = fit_by_age(task, Validation(easy, targets, [""] * 200, groups, hard))
    assert tempered.calibration.temperature > plain.calibration.temperature + 0.2
    # The quality is that of the images themselves.
    assert tempered.quality["parts"]["all"]["top label"]["images"] == 200
    part = Validation(easy, targets, [""] * 200, groups, hard).rows(np.arange(5))
    assert part.draws is not None and part.draws.shape == (3, 5, 4)


def test_a_blend_lies_between_a_run_and_its_start(
    bundle_path: Path, config: TrainConfig, data_dir: Path, tmp_path: Path
) -> None:
    start = bundle_path / WEIGHTS
    onward = dataclasses.replace(config, epochs=1, init=str(start))
    train(onward, data_dir, tmp_path / "run", progress=False)
    command = ["blend", "--of", str(tmp_path / "run"), "--share", "0.25", "--run-dir", str(tmp_path / "mix")]
    assert main(command) == 0
    name = "densenet.class_layers.out.weight"
    before = bundle_weights(start)[name]
    end = load_network(onward, tmp_path / "run" / "last.ckpt").state_dict()[name]
    mixed = load_network(onward, tmp_path / "mix" / "best.ckpt").state_dict()[name]
    assert np.allclose(mixed, 0.75 * before + 0.25 * end, atol=1e-6) and not np.allclose(before, end)
    assert (tmp_path / "mix" / "run.json").read_text() == (tmp_path / "run" / "run.json").read_text()
    assert main(command) == 2, "the folder is taken"
    with pytest.raises(TrainingError, match="between 0 and 1"):
        blend(tmp_path / "run", tmp_path / "other", 1.5)
    back = [*command[:-1], str(tmp_path / "back"), "--start", str(tmp_path / "run" / "last.ckpt")]
    assert main(back) == 0
    alone = load_network(onward, tmp_path / "back" / "best.ckpt").state_dict()[name]
    assert np.allclose(alone, end, atol=1e-6)
    # Of a start that came from other people, the mixture has learnt, too.
    (tmp_path / "earlier").mkdir()
    shutil.copy(tmp_path / "run" / "last.ckpt", tmp_path / "earlier")
    (tmp_path / "earlier" / "run.json").write_text('{"learnt": ["someone else"]}')
    blend(tmp_path / "run", tmp_path / "both", 0.5, tmp_path / "earlier" / "last.ckpt")
    learnt = [json.loads((tmp_path / name / "run.json").read_text())["learnt"] for name in ("run", "both")]
    assert learnt[0] and set(learnt[1]) == {*learnt[0], "someone else"}
    without = json.loads((tmp_path / "run" / "config.json").read_text()) | {"init": ""}
    (tmp_path / "run" / "config.json").write_text(json.dumps(without))
    with pytest.raises(TrainingError, match="did not start from"):
        blend(tmp_path / "run", tmp_path / "other", 0.5)


def test_a_blend_with_a_narrower_start_begins_with_its_answers(
    config: TrainConfig, data_dir: Path, tmp_path: Path
) -> None:
    train(dataclasses.replace(config, epochs=1), data_dir, tmp_path / "narrow", progress=False)
    twice = dataclasses.replace(config.network, init_features=16, growth_rate=8)
    wide = dataclasses.replace(config, epochs=2, network=twice, init=str(tmp_path / "narrow" / "last.ckpt"))
    train(wide, data_dir, tmp_path / "wide", progress=False)
    blend(tmp_path / "wide", tmp_path / "none", 0.0, tmp_path / "narrow" / "last.ckpt")
    narrow = load_network(dataclasses.replace(config, epochs=1), tmp_path / "narrow" / "last.ckpt")
    image = torch.rand(4, 1, 32, 32)
    with torch.no_grad():
        expected = narrow(image)[0]
        assert torch.allclose(
            load_network(wide, tmp_path / "none" / "best.ckpt")(image)[0], expected, atol=1e-4
        )
        assert not torch.allclose(
            load_network(wide, tmp_path / "wide" / "last.ckpt")(image)[0], expected, atol=1e-2
        )
