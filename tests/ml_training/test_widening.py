"""A network of twice the width that starts from a trained one answers as that one did, and can learn more."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from torch import nn

from ml_training.errors import TrainingError
from ml_training.networks import build_network
from ml_training.specs import NetworkSpec
from ml_training.weights import start_from
from ml_training.widening import widened

NARROW = NetworkSpec(init_features=8, growth_rate=4, block_config=(2, 3, 2))
WIDE = dataclasses.replace(NARROW, init_features=16, growth_rate=8)


def trained(spec: NetworkSpec, labels: int = 4) -> nn.Module:
    """A network whose every tensor differs from how it begins, batch norms included."""
    torch.manual_seed(0)
    network = build_network(spec, labels)
    for tensor in network.state_dict().values():
        if tensor.is_floating_point():
            tensor.add_(torch.rand_like(tensor) * 0.3 + 0.05)
    return network.eval()


def checkpoint(path: Path, network: nn.Module) -> Path:
    torch.save({"state_dict": {f"network.{k}": v for k, v in network.state_dict().items()}}, path)
    return path


def test_it_answers_as_before(tmp_path: Path) -> None:
    narrow = trained(NARROW)
    wide = build_network(WIDE, 4)
    start_from(wide, checkpoint(tmp_path / "narrow.ckpt", narrow))
    image = torch.rand(3, 1, 64, 64)
    with torch.no_grad():
        before, after = narrow(image)[0], wide.eval()(image)[0]
    assert torch.allclose(before, after, rtol=1e-4, atol=1e-3 * float(before.abs().max()))


def test_new_channels_learn_and_old_ones_listen_to_them(tmp_path: Path) -> None:
    wide = build_network(WIDE, 4)
    start_from(wide, checkpoint(tmp_path / "narrow.ckpt", trained(NARROW)))
    wide.train()(torch.rand(3, 1, 64, 64))[0].square().sum().backward()
    gradients = dict(wide.named_parameters())
    out = gradients["densenet.class_layers.out.weight"].grad
    first = gradients["densenet.features.denseblock1.denselayer1.layers.conv1.weight"].grad
    assert out is not None and first is not None
    assert (out.abs().sum(dim=0) > 0).all()
    assert (first[:16, 8:].abs().sum(dim=0) > 0).all()


def test_for_other_labels_all_but_the_last_layer_is_taken(tmp_path: Path) -> None:
    """As when a network starts from one that reads another part of the body."""
    narrow, wide = trained(NARROW, labels=5), build_network(WIDE, 4)
    own = wide.state_dict()["densenet.class_layers.out.weight"].clone()
    start_from(wide, checkpoint(tmp_path / "narrow.ckpt", narrow))
    image = torch.rand(2, 1, 64, 64)
    with torch.no_grad():
        before, after = narrow(image)[2], wide.eval()(image)[2]
    for channel in before.T:
        assert any(torch.allclose(channel, one, rtol=1e-3, atol=1e-4) for one in after.T)
    assert torch.equal(wide.state_dict()["densenet.class_layers.out.weight"], own)


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(dataclasses.replace(NARROW, block_config=(2, 2, 2)), id="other blocks"),
        pytest.param(dataclasses.replace(NARROW, init_features=12), id="other width"),
    ],
)
def test_any_other_network_is_left_as_it_is(other: NetworkSpec) -> None:
    narrow, wide = trained(other).state_dict(), build_network(WIDE, 4).state_dict()
    assert all(widened(narrow, wide)[name] is tensor for name, tensor in narrow.items())


def test_what_fits_nowhere_is_an_error(tmp_path: Path) -> None:
    path = checkpoint(tmp_path / "linear.ckpt", nn.Linear(3, 2))
    with pytest.raises(TrainingError, match="nothing in .* fits"):
        start_from(build_network(WIDE, 4), path)
