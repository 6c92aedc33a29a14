"""A whole tiny run: train, interrupt, continue, publish, load, run as ONNX, tamper."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from ml_training.__main__ import main
from ml_training.bundle import METADATA, WEIGHTS, Bundle
from ml_training.calibrating import FILE
from ml_training.errors import BundleError, TrainingError
from ml_training.evaluation import evaluate
from ml_training.publish import publish
from ml_training.runtime import OnnxClassifier
from ml_training.specs import TrainConfig, load_config
from ml_training.train import train
from ml_training.transforms import serving_transform
from ml_training.weights import load_network
from tests.ml_training.conftest import draw

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]


def test_train_to_bundle_to_reading(bundle_path: Path, data_dir: Path, tmp_path: Path) -> None:
    bundle = Bundle.load(bundle_path)
    figures = bundle.metadata["eval_metrics"]["all"]
    assert figures["images"] == 30
    assert figures["accuracy"]["value"] > 0.6
    assert bundle.label_names == ["0", "1", "2", "3", "4"]

    classifier = OnnxClassifier(bundle, tmp_path / "onnx", threads=1)
    prepare = serving_transform(bundle.preprocessing)
    batch = np.stack([prepare(draw(grade, 900 + grade)) for grade in (0, 2, 4)])
    outputs = classifier.run(batch)
    probs = bundle.predict_probabilities(outputs.logits)
    np.testing.assert_allclose(probs.sum(1), 1, atol=1e-6)
    assert abs(int(probs[2].argmax()) - 4) <= 1 and int(probs[0].argmax()) <= 1
    # The classifier is linear on the pooled features, so weights x features is an activation map.
    np.testing.assert_allclose(
        outputs.embedding @ bundle.weights_matrix.T + bundle.bias, outputs.logits, rtol=1e-3, atol=1e-3
    )
    np.testing.assert_allclose(outputs.features.mean(axis=(2, 3)), outputs.embedding, rtol=1e-4, atol=1e-5)

    again = evaluate(bundle_path, data_dir / "tiny" / "manifest.csv", ["split=test"], "patient")
    assert again["all"]["accuracy"]["value"] == figures["accuracy"]["value"]
    card = (bundle_path / "docs" / "README.md").read_text()
    assert "Tests only." in card and str(figures["accuracy"]["value"]) in card


def test_the_same_run_gives_the_same_bundle(
    published_run: Path, bundle_path: Path, data_dir: Path, config: TrainConfig, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(published_run, run)
    (run / FILE).unlink()
    again = publish(config, data_dir, run, tmp_path / "anew")
    from_file = publish(config, data_dir, run, tmp_path / "from_file")
    names = sorted(path.relative_to(bundle_path) for path in bundle_path.rglob("*") if path.is_file())
    assert Path("docs/CLAIM.md") in names
    for other in (again, from_file):
        for name in names:
            assert (other / name).read_bytes() == (bundle_path / name).read_bytes(), name


def test_a_calibration_of_another_state_is_made_anew_and_a_spoilt_one_refused(
    published_run: Path, data_dir: Path, config: TrainConfig, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(published_run, run)
    raw = json.loads((run / FILE).read_text())
    raw["calibration"]["temperature"] = 9.0
    (run / FILE).write_text(json.dumps(raw))
    used = Bundle.load(publish(config, data_dir, run, tmp_path / "used"))
    assert used.calibration.temperature == 9.0
    raw["belongs_to"]["checkpoint"] = "0" * 64
    (run / FILE).write_text(json.dumps(raw))
    assert Bundle.load(publish(config, data_dir, run, tmp_path / "new")).calibration.temperature != 9.0
    (run / FILE).write_text("{")
    with pytest.raises(TrainingError, match=r"calibration.json is not whole"):
        publish(config, data_dir, run, tmp_path / "refused")


def test_the_card_and_the_table_hold_no_empty_figures(bundle_path: Path) -> None:
    card = (bundle_path / "docs" / "README.md").read_text()
    claim = (bundle_path / "docs" / "CLAIM.md").read_text()
    assert "None" not in card and "None" not in claim
    assert "heatmap mass on the body" in card and "mAP@5" in card and "expected calibration error" in card
    assert (
        "| External test set | not done |" in claim and "| Sex, ethnicity, comorbidity | not known |" in claim
    )


@pytest.mark.parametrize("victim", [WEIGHTS, "configs/inference.json", "docs/README.md", "docs/CLAIM.md"])
def test_a_tampered_bundle_is_refused(bundle_path: Path, tmp_path: Path, victim: str) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(bundle_path, copy)
    raw = bytearray((copy / victim).read_bytes())
    raw[-1] ^= 1
    (copy / victim).write_bytes(bytes(raw))
    with pytest.raises(BundleError, match="sha256"):
        Bundle.load(copy)
    (copy / victim).unlink()
    with pytest.raises(BundleError, match="missing"):
        Bundle.load(copy)


def test_a_bundle_that_points_outside_itself_is_refused(bundle_path: Path) -> None:
    metadata = json.loads((bundle_path / METADATA).read_text())
    metadata["files"]["../../tiny.yaml"] = "0" * 64
    (bundle_path / METADATA).write_text(json.dumps(metadata))
    with pytest.raises(BundleError, match="outside"):
        Bundle.load(bundle_path)


def test_an_interrupted_run_ends_like_an_unbroken_one(
    config_path: Path, data_dir: Path, tmp_path: Path
) -> None:
    config = load_config(config_path, ["epochs=4", "ema_decay=0.5"])
    whole = load_network(config, train(config, data_dir, tmp_path / "whole", progress=False))

    class Interrupted(Exception):
        pass

    from lightning.pytorch.callbacks import ModelCheckpoint

    original = ModelCheckpoint.on_validation_end

    def stop_after_two(self: ModelCheckpoint, trainer, module) -> None:
        original(self, trainer, module)
        if trainer.current_epoch == 1:
            raise Interrupted

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ModelCheckpoint, "on_validation_end", stop_after_two)
        with pytest.raises(Interrupted):
            train(config, data_dir, tmp_path / "broken", progress=False)
    epochs = (tmp_path / "broken" / "last.ckpt").stat().st_mtime
    train(config, data_dir, tmp_path / "broken", progress=False)
    assert (tmp_path / "broken" / "last.ckpt").stat().st_mtime > epochs
    resumed = load_network(config, tmp_path / "broken" / "best.ckpt")
    assert set(whole.state_dict()) == set(resumed.state_dict())
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name
    log = (tmp_path / "broken" / "config.json").read_text()
    assert json.loads(log)["epochs"] == 4


def test_a_run_folder_belongs_to_one_config(config_path: Path, data_dir: Path, tmp_path: Path) -> None:
    train(load_config(config_path, ["epochs=1"]), data_dir, tmp_path / "run", progress=False)
    with pytest.raises(TrainingError, match="another config"):
        train(load_config(config_path, ["epochs=2"]), data_dir, tmp_path / "run", progress=False)
    # A key that came after the run began has its default.
    path = tmp_path / "run" / "config.json"
    path.write_text(json.dumps({k: v for k, v in json.loads(path.read_text()).items() if k != "mixup"}))
    train(load_config(config_path, ["epochs=1"]), data_dir, tmp_path / "run", progress=False)


def test_a_truncated_checkpoint_is_one_clear_line(config: TrainConfig, tmp_path: Path) -> None:
    path = tmp_path / "best.ckpt"
    path.write_bytes(b"PK\x03\x04 cut off")
    with pytest.raises(TrainingError, match="not a whole checkpoint"):
        load_network(config, path)


def test_the_command_line_names_the_problem_without_a_traceback(
    config_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(["train", str(config_path), "epoch=3", "--run-dir", str(tmp_path / "r")])
    assert code == 2
    assert capsys.readouterr().err.startswith("error: config.epoch: unknown key")


def test_monai_can_run_the_bundle(bundle_path: Path, data_dir: Path) -> None:
    command = [sys.executable, "-m", "monai.bundle", "run"]
    command += ["--config_file", str(bundle_path / "configs" / "inference.json")]
    command += ["--bundle_root", str(bundle_path), "--image", str(data_dir / "tiny" / "000.png")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    shown = json.loads(done.stdout.strip().splitlines()[-1])
    assert set(shown) == {"0", "1", "2", "3", "4"}
