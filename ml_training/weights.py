"""Weights that a run left or a bundle ships: loaded strictly, started from, learnt from."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from ml_training.bundle import METADATA, WEIGHTS, Bundle
from ml_training.errors import BundleError, TrainingError
from ml_training.labels import task_of
from ml_training.networks import build_network
from ml_training.specs import TrainConfig, config_from_plain
from ml_training.widening import widened

log = logging.getLogger(__name__)


def load_network(config: TrainConfig, checkpoint: Path) -> nn.Module:
    """The network of a checkpoint, in evaluation mode.

    Raises:
        TrainingError: the file is missing, truncated or of another network.
    """
    network = build_network(config.network, len(task_of(config.kind).labels))
    weights = _weights_or_error(checkpoint)
    try:
        network.load_state_dict(weights, strict=True)
    except RuntimeError as error:
        what = " ".join(str(error).split())[:200]
        raise TrainingError(f"{checkpoint}: not a checkpoint of this network ({what})") from error
    return network.eval()


def finished_epochs(checkpoint: Path) -> int:
    _weights_or_error(checkpoint)
    whole = torch.load(checkpoint, map_location="cpu", weights_only=True)  # noqa: TID251
    return int(whole["epoch"]) + 1


def refuse_broken(checkpoint: Path) -> None:
    """Raise TrainingError where a checkpoint is missing or not whole."""
    _weights_or_error(checkpoint)


def _weights_or_error(checkpoint: Path) -> dict[str, Tensor]:
    if not checkpoint.is_file():
        raise TrainingError(f"{checkpoint}: there is no such checkpoint; train first")
    try:
        return _weights(checkpoint)
    except Exception as error:
        what = " ".join(str(error).split())[:200]
        raise TrainingError(f"{checkpoint}: not a whole checkpoint ({what}); remove it to go on") from error


def _weights(checkpoint: Path) -> dict[str, Tensor]:
    if checkpoint.suffix == ".safetensors":
        return bundle_weights(checkpoint)
    # Lightning's checkpoints hold optimiser state as well; only tensors and plain types are let in.
    whole = torch.load(checkpoint, map_location="cpu", weights_only=True)  # noqa: TID251
    state = whole["state_dict"]
    return {k.removeprefix("network."): v for k, v in state.items() if k.startswith("network.")}


def bundle_weights(path: Path) -> dict[str, Tensor]:
    """A `ReadingNetwork`'s weights of a bundle's file, which has the DenseNet in half precision."""
    return {
        f"densenet.{name}": tensor.float() if tensor.is_floating_point() else tensor
        for name, tensor in load_file(path).items()
    }


def start_from(network: nn.Module, checkpoint: Path) -> None:
    """Copy every tensor of a checkpoint that fits `network` by name and shape; the others stay as they are.
    All tensors of a DenseNet of half the width are taken, see `widened`.

    Raises:
        TrainingError: the file is not a checkpoint, or nothing in it fits, or it belongs to a bundle that is
            not what was published.
    """
    bundle = checkpoint.parent.parent
    try:
        if checkpoint.is_file() and checkpoint == bundle / WEIGHTS and (bundle / METADATA).is_file():
            Bundle.load(bundle)
    except BundleError as error:
        raise TrainingError(f"init: {error}") from error
    try:
        given = _weights(checkpoint)
    except Exception as error:
        raise TrainingError(f"init: {checkpoint} is not a whole checkpoint ({error})") from error
    own = network.state_dict()
    given = widened(given, own)
    fitting = {k: v for k, v in given.items() if k in own and own[k].shape == v.shape}
    if not fitting:
        raise TrainingError(f"init: nothing in {checkpoint} fits this network")
    log.info("init: %d of %d tensors from %s", len(fitting), len(own), checkpoint)
    network.load_state_dict({**own, **fitting})


def read_run(run_dir: Path, key: str) -> TrainConfig:
    """The config of a run folder; `key` is the setting that names it.

    Raises:
        TrainingError: it is no run folder.
    """
    try:
        return config_from_plain(json.loads((run_dir / "config.json").read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise TrainingError(f"{key}: {run_dir} is not a run folder ({error})") from error


def load_teacher(run_dir: Path, kind: str) -> tuple[nn.Module, int]:
    """A finished run, or a bundle, as a frozen network, and the input size (pixels) that it learnt.

    Raises:
        TrainingError: the folder is neither a finished run nor a bundle, or one of another kind.
    """
    if (run_dir / METADATA).is_file():
        try:
            bundle = Bundle.load(run_dir)
        except BundleError as error:
            raise TrainingError(f"teachers: {error}") from error
        size, theirs = bundle.preprocessing.size, bundle.kind
        network = build_network(bundle.network, len(bundle.labels))
        network.load_state_dict(_weights(run_dir / WEIGHTS))
        network.eval()
    else:
        config = read_run(run_dir, "teachers")
        size, theirs = config.preprocessing.size, config.kind
        if theirs == kind:
            network = load_network(config, run_dir / "best.ckpt")
    if theirs != kind:
        raise TrainingError(f"teachers: {run_dir} learnt {theirs}, not {kind}")
    network.requires_grad_(False)
    return network.to(memory_format=torch.channels_last), size  # type: ignore[call-overload]
