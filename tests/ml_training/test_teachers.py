"""Starting from weights, learning from finished runs, and what is said when either cannot be."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from ml_training.errors import TrainingError
from ml_training.labels import task_of
from ml_training.networks import build_network
from ml_training.publish import publish
from ml_training.specs import NetworkSpec, load_config
from ml_training.train import ReadingModule, load_teacher, start_from, train

SMALL = NetworkSpec(init_features=8, growth_rate=4, block_config=(2, 2, 2, 2))


@pytest.fixture
def teacher_run(config_path: Path, data_dir: Path, tmp_path: Path) -> Path:
    run = tmp_path / "teacher"
    train(load_config(config_path, ["epochs=2"]), data_dir, run, progress=False)
    return run


def test_a_run_starts_from_another_and_learns_from_it(
    config_path: Path, data_dir: Path, tmp_path: Path, teacher_run: Path
) -> None:
    overrides = ["epochs=1", "mixup=0.2", f"init={teacher_run / 'best.ckpt'}", f"teachers=[{teacher_run}]"]
    config = load_config(config_path, overrides)
    module = ReadingModule(config, steps=1)
    teacher, size = load_teacher(teacher_run, "knee_xray")
    assert size == 32
    for name, tensor in teacher.state_dict().items():
        assert torch.equal(tensor, module.network.state_dict()[name]), name
    assert not any("teacher" in name for name, _ in module.named_parameters())
    assert train(config, data_dir, tmp_path / "student", progress=False).is_file()


def test_a_student_that_answers_like_its_teacher_loses_least(config_path: Path, teacher_run: Path) -> None:
    module = ReadingModule(load_config(config_path, [f"teachers=[{teacher_run}]", "distil_weight=1.0"]), 1)
    image = torch.rand(8, 1, 32, 32, generator=torch.Generator().manual_seed(1))
    target = torch.eye(5)[torch.arange(8) % 5]
    taught = module.taught(image)
    assert torch.allclose(taught.sum(1), torch.ones(8))
    alike = module.distilled_loss(taught.log() * module.config.distil_temperature, target, taught)
    other = module.distilled_loss(torch.zeros(8, 5), target, taught)
    assert alike < other


def test_tensors_that_do_not_fit_stay_as_they_are(teacher_run: Path) -> None:
    wider = build_network(NetworkSpec(init_features=8, growth_rate=6, block_config=(2, 2, 2, 2)), 5)
    before = {name: tensor.clone() for name, tensor in wider.state_dict().items()}
    start_from(wider, teacher_run / "best.ckpt")
    changed = {n for n, t in wider.state_dict().items() if not torch.equal(t, before[n])}
    assert "densenet.features.conv0.weight" in changed
    assert "densenet.class_layers.out.weight" not in changed


def test_a_missing_teacher_or_start_is_one_clear_line(config_path: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="not a run folder"):
        ReadingModule(load_config(config_path, [f"teachers=[{tmp_path / 'no'}]"]), 1)
    with pytest.raises(TrainingError, match="init: .*not a whole checkpoint"):
        ReadingModule(load_config(config_path, [f"init={tmp_path / 'no.ckpt'}"]), 1)
    with pytest.raises(TrainingError, match="imagenet exists for"):
        ReadingModule(load_config(config_path, ["init=imagenet"]), 1)
    with pytest.raises(TrainingError, match="architecture must be one of"):
        load_config(config_path, ["network.architecture=resnet"])


def test_a_teacher_of_another_kind_is_refused(teacher_run: Path) -> None:
    with pytest.raises(TrainingError, match="learnt knee_xray, not brain_mri"):
        load_teacher(teacher_run, "brain_mri")


def test_a_teacher_is_never_published(config_path: Path, data_dir: Path, tmp_path: Path) -> None:
    config = load_config(config_path, ["network.architecture=efficientnet_lite0"])
    with pytest.raises(TrainingError, match="only network.architecture densenet"):
        publish(config, data_dir, tmp_path, tmp_path)


def test_the_lite_teacher_gives_what_a_reading_network_gives() -> None:
    pytest.importorskip("efficientnet_lite_pytorch", reason="requirements-teachers.txt is not installed")
    labels = len(task_of("knee_xray").labels)
    network = build_network(NetworkSpec(architecture="efficientnet_lite0"), labels, imagenet=True).eval()
    with torch.inference_mode():
        logits, features, embedding = network(torch.rand(2, 1, 64, 64))
    assert logits.shape == (2, 5) and features.shape == (2, 1280, 2, 2) and embedding.shape == (2, 1280)
