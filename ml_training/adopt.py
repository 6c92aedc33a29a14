"""Run folders that no training wrote: of a bundle whose own run is gone, of a run blended with its start."""

from __future__ import annotations

import calendar
import dataclasses
import json
import os
import shutil
import time
from pathlib import Path

import torch

from ml_training.bundle import WEIGHTS, Bundle
from ml_training.checkpoints import WholeCheckpoints
from ml_training.errors import BundleError, TrainingError
from ml_training.labels import task_of
from ml_training.networks import build_network
from ml_training.report import write_atomic
from ml_training.run_folder import CONFIG, RUN, read_about
from ml_training.specs import PreprocessingSpec, TrainConfig, to_plain
from ml_training.train import make_splits
from ml_training.weights import bundle_weights, load_network, read_run, start_from


def adopt(config: TrainConfig, data_dir: Path, run_dir: Path, bundle_dir: Path) -> Path:
    """Write the bundle's weights as `best.ckpt` of a new run folder with `config`, and return that file.

    The config may frame images otherwise (`preprocessing.margins`): what is calibrated and measured then is
    the bundle's network looking at images so framed.

    Raises:
        TrainingError: the folder is taken, the bundle is not whole, or the config is not what it was made
            with (kind, network, preprocessing, numbers of images).
    """
    try:
        bundle = Bundle.load(bundle_dir)
    except BundleError as error:
        raise TrainingError(f"--bundle: {error}") from error
    own = (config.kind, config.network.arguments(), _unframed(config.preprocessing))
    if own != (bundle.kind, bundle.network.arguments(), _unframed(bundle.preprocessing)):
        raise TrainingError(
            f"--bundle: {bundle_dir} has another kind, network or preprocessing than the config"
        )
    splits = make_splits(config, data_dir)
    images = {name: len(getattr(splits, name)) for name in ("train", "val", "test")}
    if images != bundle.metadata["images"]:
        raise TrainingError(
            f"--bundle: {bundle_dir} was made of {bundle.metadata['images']} images, not {images}"
        )
    best = run_dir / "best.ckpt"
    if best.exists():
        raise TrainingError(f"{run_dir} holds a run already; choose another --run-dir")
    network = build_network(config.network, len(bundle.labels))
    network.load_state_dict(bundle_weights(bundle_dir / WEIGHTS))
    state = {f"network.{name}": tensor for name, tensor in network.state_dict().items()}
    WholeCheckpoints().save_checkpoint({"state_dict": state}, best)
    # A bundle names the day on which its training ended: the age of this file.
    day = calendar.timegm(time.strptime(str(bundle.metadata["created"]), "%Y-%m-%d"))
    os.utime(best, (day, day))
    (run_dir / CONFIG).write_text(json.dumps(to_plain(config), indent=1), encoding="utf-8")
    revision = bundle.metadata.get("source_revision") or "unknown"
    about = {"images": images, "git": revision, "torch": torch.__version__}
    (run_dir / RUN).write_text(json.dumps(about), encoding="utf-8")
    return best


def _unframed(spec: PreprocessingSpec) -> PreprocessingSpec:
    return dataclasses.replace(spec, margins=())


def blend(finished: Path, run_dir: Path, share: float, start: Path | None = None) -> Path:
    """Write a new run folder with `share` of a run's newest weights and the rest of those it started from
    (`init`, or `start`: the weights that it came from by way of other runs), and return its `best.ckpt`.
    Channels that a narrower start does not have are the run's own at the start, too, and not yet listened to.

    Between a network and what a few more epochs made of it lie networks that keep what the first knew and
    have most of what the second learnt (Wortsman et al. 2022, arXiv:2109.01903).

    Raises:
        TrainingError: no finished run with a start of its own, a share outside 0..1, or the folder is taken.
    """
    if not 0 <= share <= 1:
        raise TrainingError(f"--share must lie between 0 and 1, not {share}")
    config = read_run(finished, "--of")
    if start is None and config.init in ("", "imagenet"):
        raise TrainingError(f"--of: {finished} did not start from a checkpoint or a bundle")
    best = run_dir / "best.ckpt"
    if best.exists():
        raise TrainingError(f"{run_dir} holds a run already; choose another --run-dir")
    end = load_network(config, finished / "last.ckpt").state_dict()
    network = build_network(config.network, len(task_of(config.kind).labels))
    network.load_state_dict(end)
    start_from(network, start or Path(config.init))
    state = {
        f"network.{name}": torch.lerp(tensor, end[name], share) if tensor.is_floating_point() else end[name]
        for name, tensor in network.state_dict().items()
    }
    run_dir.mkdir(parents=True, exist_ok=True)
    WholeCheckpoints().save_checkpoint({"state_dict": state}, best)
    shutil.copy(finished / CONFIG, run_dir / CONFIG)
    about = read_about(finished)
    if start is not None and about:
        # What the start learnt from is in the weights, too.
        both = {*about.get("learnt", []), *read_about(start.parent).get("learnt", [])}
        about = {**about, "learnt": sorted(both)}
    write_atomic(run_dir / RUN, json.dumps(about).encode())
    return best
