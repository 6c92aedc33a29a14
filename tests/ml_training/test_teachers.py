"""Starting from weights, learning from finished runs, and what is said when either cannot be."""

from __future__ import annotations

import copy
import dataclasses
import json
import re
from pathlib import Path
from urllib.error import URLError

import pytest
import torch
from monai.networks.nets import DenseNet, DenseNet121, densenet
from safetensors.torch import load_file
from torch import nn

from ml_training import networks
from ml_training.bundle import WEIGHTS, Bundle
from ml_training.errors import TrainingError
from ml_training.labels import task_of
from ml_training.networks import FeatureGuide, build_network, channels_of
from ml_training.publish import publish
from ml_training.specs import LITE_ARCHITECTURES, NetworkSpec, TrainConfig, load_config
from ml_training.train import ReadingModule, train
from ml_training.weights import load_network, load_teacher, start_from

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
    taught, seen = module.taught(image)
    assert seen is None and torch.allclose(taught.sum(1), torch.ones(8))
    alike = module.distilled_loss(taught.log() * module.config.distil_temperature, target, taught)
    other = module.distilled_loss(torch.zeros(8, 5), target, taught)
    assert alike < other


def test_a_teacher_answers_for_the_mixture_that_is_learnt_from(config_path: Path, teacher_run: Path) -> None:
    module = ReadingModule(load_config(config_path, [f"teachers=[{teacher_run}]", "mixup=1.0"]), 1)
    module.log = lambda *_args, **_options: None  # type: ignore[method-assign]
    seen: list[torch.Tensor] = []
    for network in (module.network, module._teachers[0][0]):
        network.register_forward_pre_hook(lambda _network, args: seen.append(args[0]))
    image = torch.rand(8, 1, 32, 32, generator=torch.Generator().manual_seed(1))
    assert module.training_step((image, torch.eye(5)[torch.arange(8) % 5]), 0).isfinite()
    assert torch.equal(seen[0], seen[1])
    assert not torch.equal(seen[0], image)


def test_a_student_that_sees_what_its_teacher_sees_is_nearest(teacher_run: Path) -> None:
    teacher, _size = load_teacher(teacher_run, "knee_xray")
    seen = teacher(torch.rand(8, 1, 64, 64, generator=torch.Generator().manual_seed(1)))[1]
    count = channels_of(teacher)
    assert seen.shape[1] == count
    guide = FeatureGuide(count, count)
    with torch.no_grad():
        spread = seen.var((0, 2, 3), unbiased=False).add(1e-5).sqrt()
        guide.project.weight.copy_(torch.diag(1 / spread)[:, :, None, None])
        guide.project.bias.copy_(-seen.mean((0, 2, 3)) / spread)
    assert guide(seen, seen) < 1e-6
    assert guide(seen.flip(0), seen) > 0.1
    larger = nn.functional.interpolate(seen, scale_factor=2, mode="nearest")
    assert guide(seen, larger).isfinite()  # of a teacher that looks at larger images


def test_features_are_learnt_from_and_the_projection_stays_behind(
    config_path: Path, data_dir: Path, tmp_path: Path, teacher_run: Path
) -> None:
    chosen = [
        "epochs=2",
        f"teachers=[{teacher_run}, {teacher_run}]",
        "distil_features=1.0",
        "distil_weight=0.0",
    ]
    config = load_config(config_path, [*chosen, "ema_decay=0.5"])
    module = ReadingModule(config, steps=1)
    assert module.guide is not None
    module.log = lambda *_args, **_options: None  # type: ignore[method-assign]
    image = torch.rand(8, 1, 32, 32, generator=torch.Generator().manual_seed(1))
    target = torch.eye(5)[torch.arange(8) % 5]
    module.training_step((image, target), 0).backward()
    assert module.guide.project.weight.grad.abs().sum() > 0
    optimised = {
        id(p) for group in module.configure_optimizers()["optimizer"].param_groups for p in group["params"]
    }
    assert id(module.guide.project.weight) in optimised
    best = train(config, data_dir, tmp_path / "student", progress=False)
    assert load_network(config, best).state_dict().keys() == module.network.state_dict().keys()


def test_features_need_somebody_who_has_seen(config_path: Path) -> None:
    with pytest.raises(TrainingError, match="distil_features needs teachers"):
        load_config(config_path, ["distil_features=1.0"])


def test_a_teacher_that_is_wrong_may_be_left_unheard(config_path: Path) -> None:
    config = load_config(config_path, ["distil_right_only=true", "distil_weight=1.0"])
    module = ReadingModule(config, 1)
    target = torch.eye(5)[:4]
    logits = torch.randn(4, 5, generator=torch.Generator().manual_seed(1))
    labels_alone = module.loss(logits, target)
    wrong = torch.full((4, 5), 0.1)
    wrong[:, 4] = 0.6
    assert torch.isclose(module.distilled_loss(logits, target, wrong), labels_alone)
    right = 0.1 + 0.5 * target
    assert not torch.isclose(module.distilled_loss(logits, target, right), labels_alone)
    heard = ReadingModule(load_config(config_path, ["distil_weight=1.0"]), 1)
    assert not torch.isclose(heard.distilled_loss(logits, target, wrong), labels_alone)


def test_it_cannot_be_told_where_labels_do_not_exclude_each_other() -> None:
    path = Path(__file__).parents[2] / "ml_training/configs/chest_xray.yaml"
    config = load_config(path, ["distil_right_only=true", "init=''", "teachers=[]"])
    with pytest.raises(TrainingError, match="distil_right_only: labels of chest_xray"):
        ReadingModule(config, 1)


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
    with pytest.raises(TrainingError, match="imagenet needs DenseNet121"):
        ReadingModule(load_config(config_path, ["init=imagenet"]), 1)
    with pytest.raises(TrainingError, match="architecture must be one of"):
        load_config(config_path, ["network.architecture=resnet"])


def _as_published(network: DenseNet) -> dict[str, torch.Tensor]:
    """MONAI's DenseNet under the names of torchvision's file, the classifier with a thousand classes."""
    state = {re.sub(r"\.layers\.(norm|conv)(\d)", r".\1.\2", k): v for k, v in network.state_dict().items()}
    return {k: v for k, v in state.items() if not k.startswith("class_layers")}


def test_imagenet_weights_for_colour_read_grey_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(3)
    colour = DenseNet121(spatial_dims=2, in_channels=3, out_channels=5).eval()
    colour.features.get_submodule("norm0").register_buffer("running_mean", torch.randn(64))
    monkeypatch.setattr(densenet, "load_state_dict_from_url", lambda *args, **more: _as_published(colour))
    grey = build_network(NetworkSpec(init_features=64, growth_rate=32), 5, imagenet=True).eval()
    image = torch.rand(1, 1, 64, 64)
    mean, std = (torch.tensor(own)[None, :, None, None] for own in (networks._MEAN, networks._STD))

    def first(features: nn.Module, given: torch.Tensor) -> torch.Tensor:
        """What leaves the first batch norm, away from the padding."""
        normed = features.get_submodule("norm0")(features.get_submodule("conv0")(given))
        return torch.as_tensor(normed)[..., 4:-4, 4:-4]

    with torch.inference_mode():
        seen = first(colour.features, (image - mean) / std)
        alike = first(grey.get_submodule("densenet.features"), image)
    assert torch.allclose(seen, alike, atol=1e-4)
    deep = "features.denseblock4.denselayer16.layers.conv2.weight"
    assert torch.equal(grey.state_dict()[f"densenet.{deep}"], colour.state_dict()[deep])


def test_without_a_line_imagenet_weights_are_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*args: object, **more: object) -> None:
        raise URLError("no route to host")

    monkeypatch.setattr(densenet, "load_state_dict_from_url", offline)
    with pytest.raises(TrainingError, match=r"cannot download DenseNet121's weights .*no route") as caught:
        build_network(NetworkSpec(init_features=64, growth_rate=32), 5, imagenet=True)
    assert "\n" not in str(caught.value)


def test_a_run_starts_from_a_bundles_weights(bundle_path: Path, config: TrainConfig) -> None:
    weights = bundle_path / WEIGHTS
    module = ReadingModule(dataclasses.replace(config, init=str(weights)), steps=1)
    for name, tensor in load_file(weights).items():
        own = module.network.state_dict()[f"densenet.{name}"]
        assert torch.equal(own, tensor.to(own.dtype)), name


def test_a_bundle_teaches(bundle_path: Path, config: TrainConfig) -> None:
    network, size = load_teacher(bundle_path, "knee_xray")
    image = torch.rand(2, 1, size, size)
    own = Bundle.load(bundle_path)
    with torch.inference_mode():
        logits = network(image)[0].numpy()
    assert own.predict_probabilities(logits).shape == (2, 5) and not network.training
    with pytest.raises(TrainingError, match="learnt knee_xray, not chest_xray"):
        load_teacher(bundle_path, "chest_xray")
    (bundle_path / WEIGHTS).write_bytes(b"spoilt")
    with pytest.raises(TrainingError, match=r"teachers: .*sha256"):
        load_teacher(bundle_path, "knee_xray")


def test_several_teachers_take_turns(config_path: Path, teacher_run: Path) -> None:
    module = ReadingModule(load_config(config_path, [f"teachers=[{teacher_run}, {teacher_run}]"]), 1)
    module._teachers[1] = (build_network(SMALL, 5).eval(), 64)
    image = torch.rand(4, 1, 32, 32)
    answers = [module.taught(image)[0] for _ in range(12)]
    kinds = {tuple(answer.flatten().tolist()) for answer in answers}
    assert len(kinds) == 2


def test_features_come_from_the_first_teacher_whoever_answers(config_path: Path, teacher_run: Path) -> None:
    overrides = [f"teachers=[{teacher_run}, {teacher_run}]", "distil_features=1.0"]
    module = ReadingModule(load_config(config_path, overrides), 1)
    module._teachers[1] = (build_network(SMALL, 5).eval(), 64)
    image = torch.rand(4, 1, 32, 32)
    first = module._teachers[0][0](image)[1]
    answers = [module.taught(image) for _ in range(12)]
    assert len({tuple(answer.flatten().tolist()) for answer, _seen in answers}) == 2
    assert all(seen is not None and torch.equal(seen, first) for _answer, seen in answers)


def test_a_teacher_of_another_kind_is_refused(teacher_run: Path) -> None:
    with pytest.raises(TrainingError, match="learnt knee_xray, not brain_mri"):
        load_teacher(teacher_run, "brain_mri")


@pytest.mark.slow
@pytest.mark.parametrize("key", ["teachers", "init"])
def test_who_has_learnt_from_judged_items_is_refused(
    config_path: Path, data_dir: Path, tmp_path: Path, teacher_run: Path, key: str
) -> None:
    value = f"[{teacher_run}]" if key == "teachers" else str(teacher_run / "best.ckpt")
    other = load_config(config_path, ["epochs=1", "split_seed=5", f"{key}={value}"])
    with pytest.raises(TrainingError, match=rf"{key}: .*has learnt from items that this run is judged on"):
        train(other, data_dir, tmp_path / "student", progress=False)
    # A pupil's pupil has learnt what its teacher's teacher knows.
    chain = load_config(config_path, ["epochs=1", "seed=5", f"{key}={value}"])
    train(chain, data_dir, tmp_path / "pupil", progress=False)
    learnt = [
        set(json.loads((run / "run.json").read_text())["learnt"]) for run in (teacher_run, tmp_path / "pupil")
    ]
    assert learnt[0] and learnt[0] <= learnt[1]


def test_a_teacher_is_never_published(config_path: Path, data_dir: Path, tmp_path: Path) -> None:
    config = load_config(config_path, ["network.architecture=efficientnet_lite0"])
    with pytest.raises(TrainingError, match="only network.architecture densenet"):
        publish(config, data_dir, tmp_path, tmp_path)


@pytest.mark.parametrize("architecture", LITE_ARCHITECTURES)
def test_a_lite_teacher_gives_what_a_reading_network_gives(architecture: str) -> None:
    pytest.importorskip("efficientnet_lite_pytorch", reason="requirements-teachers.txt is not installed")
    labels = len(task_of("knee_xray").labels)
    network = build_network(NetworkSpec(architecture=architecture), labels, imagenet=True).eval()
    with torch.inference_mode():
        logits, features, embedding = network(torch.rand(2, 1, 64, 64))
    assert logits.shape == (2, 5) and features.shape == (2, 1280, 2, 2) and embedding.shape == (2, 1280)


def test_depthwise_convolutions_stay_in_32_bits_on_a_cpu_and_keep_their_names() -> None:
    network = nn.Sequential(nn.Conv2d(8, 8, 3, groups=8), nn.Conv2d(8, 8, 1))
    names, expected = list(network.state_dict()), network[0](torch.ones(1, 8, 3, 3))
    networks.keep_depthwise_exact(network)
    twin = copy.deepcopy(network)
    with torch.no_grad():
        network.get_parameter("0.weight").zero_()
    with torch.autocast("cpu", torch.bfloat16):
        depthwise = twin[0](torch.ones(1, 8, 3, 3))
        assert depthwise.dtype is torch.float32 and twin[1](depthwise).dtype is torch.bfloat16
    assert torch.equal(depthwise, expected), "a copy must compute with its own weights"
    assert list(network.state_dict()) == names
