"""A run that is killed in the middle of an epoch ends like an unbroken one; bad input is one line."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ml_training import checkpoints
from ml_training.__main__ import UNFINISHED, main
from ml_training.data.sampling import EpochSampler, SeededOrder
from ml_training.errors import TrainingError
from ml_training.specs import TrainConfig, load_config
from ml_training.train import ReadingModule, loader, make_splits, train
from ml_training.weights import load_network
from tests.ml_training.conftest import write_manifest

ROOT = Path(__file__).parents[2]
# Everything that draws random numbers: mixup, dropout, augmentation, weighted sampling, averaged weights.
RANDOM = [
    "epochs=3",
    "mixup=0.3",
    "network.dropout_prob=0.2",
    "augmentation.noise=0.05",
    "augmentation.border_mask=0.2",
    "augmentation.gamma=0.3",
    "augmentation.ellipse_mask=0.3",
    "balance_columns=[split]",
    "ema_decay=0.9",
    "workers=1",
]
# Runs `train`, and kills itself without a goodbye at the fourth step of the second epoch.
KILLED = """
import os, signal, sys
import torch
from pathlib import Path
torch.set_num_threads(1)
from lightning.pytorch.callbacks import Callback
from ml_training.specs import load_config
from ml_training.train import train

class Kill(Callback):
    def on_train_batch_start(self, trainer, module, batch, index):
        if trainer.current_epoch == 1 and index == 3:
            os.kill(os.getpid(), signal.SIGKILL)

config = load_config(Path(sys.argv[1]), sys.argv[4:])
train(config, Path(sys.argv[2]), Path(sys.argv[3]), progress=False, callbacks=[Kill()])
"""


def test_averaged_weights_of_the_first_epoch_are_not_those_it_started_from(
    config_path: Path, data_dir: Path, tmp_path: Path
) -> None:
    start = train(load_config(config_path, ["epochs=1"]), data_dir, tmp_path / "start", progress=False)
    config = load_config(config_path, ["epochs=1", "ema_decay=0.9", f"init={start}"])
    averaged = train(config, data_dir, tmp_path / "averaged", progress=False)
    before, after = (load_network(config, path).state_dict() for path in (start, averaged))
    weights = [name for name in before if name.endswith("weight")]
    assert not any(torch.equal(before[name], after[name]) for name in weights)


@pytest.mark.slow
def test_a_run_killed_in_an_epoch_ends_like_an_unbroken_one(
    config_path: Path, data_dir: Path, tmp_path: Path
) -> None:
    config = load_config(config_path, RANDOM)
    whole = torch.load(train(config, data_dir, tmp_path / "whole", progress=False), weights_only=True)  # noqa: TID251
    broken = tmp_path / "broken"
    command = [sys.executable, "-c", KILLED, str(config_path), str(data_dir), str(broken), *RANDOM]
    killed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr[-2000:]
    assert len(json.loads((broken / "history.json").read_text())) == 1
    resumed = torch.load(train(config, data_dir, broken, progress=False), weights_only=True)  # noqa: TID251
    for name, tensor in whole["state_dict"].items():
        assert torch.equal(tensor, resumed["state_dict"][name]), name
    histories = [json.loads((run / "history.json").read_text()) for run in (tmp_path / "whole", broken)]
    for entries in histories:
        assert [entry.pop("epoch") for entry in entries] == [0, 1, 2]
        assert all(entry.pop("seconds") >= 0 for entry in entries)
    assert histories[0] == histories[1]


def test_the_same_seed_draws_the_same_images_whatever_the_workers(config_path: Path, data_dir: Path) -> None:
    batches = []
    for workers in (0, 1):
        config = load_config(config_path, [*RANDOM, f"workers={workers}"])
        data = loader(config, make_splits(config, data_dir).train, True)
        data.sampler.set_epoch(4)
        batches.append(torch.cat([image for image, _ in data]))
        data.sampler.set_epoch(5)
        assert not torch.equal(batches[-1], torch.cat([image for image, _ in data]))
    assert torch.equal(batches[0], batches[1])


def test_devices_share_an_epoch_without_overlap(monkeypatch: pytest.MonkeyPatch) -> None:
    from ml_training.data import sampling

    alone = list(EpochSampler(10, seed=3))
    shares = []
    for rank in range(4):
        monkeypatch.setattr(sampling, "_world", lambda rank=rank: (rank, 4))
        sampler = EpochSampler(10, seed=3)
        shares.append(list(sampler))
        assert len(sampler) == len(shares[-1]) == 3
    seen = [index for share in shares for index, _ in share]
    assert sorted(set(seen)) == list(range(10)) and len(seen) == 12
    assert [index for index, _ in alone] == [shares[n % 4][n // 4][0] for n in range(10)]
    assert [i for i, _ in SeededOrder(3, 0)] == [0, 1, 2] and list(SeededOrder(3, 0)) != list(
        SeededOrder(3, 1)
    )


@pytest.mark.slow
def test_two_processes_train_together(config_path: Path, data_dir: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "ml_training", "train", str(config_path), "epochs=1"]
    command += ["--run-dir", str(tmp_path / "run"), "--data-dir", str(data_dir), "--devices", "2", "--quiet"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert load_network(load_config(config_path, ["epochs=1"]), tmp_path / "run" / "best.ckpt")
    assert len(json.loads((tmp_path / "run" / "history.json").read_text())) == 1


@pytest.mark.slow
def test_short_sittings_end_like_one_long_one(
    config_path: Path, data_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = load_config(config_path, ["epochs=3", "mixup=0.3"])
    whole = load_network(config, train(config, data_dir, tmp_path / "whole", progress=False))
    command = ["train", str(config_path), "epochs=3", "mixup=0.3", "--run-dir", str(tmp_path / "pieces")]
    command += ["--data-dir", str(data_dir), "--quiet", "--max-minutes", "0.0001"]
    assert [main(command) for _ in range(3)] == [UNFINISHED, UNFINISHED, 0]
    said = capsys.readouterr().out
    assert "pieces: 1 of 3 epochs; the same command goes on" in said and "pieces: 2 of 3 epochs" in said
    pieces = load_network(config, tmp_path / "pieces" / "best.ckpt")
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, pieces.state_dict()[name]), name


@pytest.mark.slow
def test_the_last_checkpoint_is_the_newest_even_where_the_best_is_older(
    config: TrainConfig, data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged = iter(range(100))
    monkeypatch.setattr("ml_training.crossfit.log_losses", lambda *_: np.array([float(next(judged))]))
    train(dataclasses.replace(config, epochs=3), data_dir, tmp_path / "run", progress=False)
    epochs = [
        torch.load(tmp_path / "run" / name, weights_only=True)["epoch"]  # noqa: TID251
        for name in ("best.ckpt", "last.ckpt")
    ]
    assert epochs == [0, 2]


def test_a_full_disk_leaves_the_last_checkpoint_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run"
    path, writer = folder / "last.ckpt", checkpoints.WholeCheckpoints()
    writer.save_checkpoint({"epoch": torch.tensor(1)}, path)
    before = path.read_bytes()

    def full(content: Any, handle: Any) -> None:
        handle.write(b"half of it")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(TrainingError, match=r"No space left on device.*the one before it is whole"):
        writer.save_checkpoint({"epoch": torch.tensor(2)}, path)
    assert path.read_bytes() == before
    assert [item.name for item in folder.iterdir()] == ["last.ckpt"]


def fails(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """What a verb that cannot go on says: one line."""
    assert main([str(argument) for argument in arguments]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ") and said.count("\n") == 1, said
    return said


def test_bad_input_is_one_line_before_hours_are_spent(
    config_path: Path,
    config: TrainConfig,
    data_dir: Path,
    tmp_path: Path,
    tiny_rows: list[dict[str, str]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    began, run, folder = time.monotonic(), tmp_path / "run", data_dir / "tiny"
    options = ("--run-dir", run, "--data-dir", data_dir)
    assert "config.learning_rat: unknown key" in fails(
        capsys, "train", config_path, "learning_rat=1", *options
    )
    assert "expected int, got 'many'" in fails(capsys, "train", config_path, "epochs=many", *options)
    for verb in ("calibrate", "publish"):
        more = ("--bundle-dir", tmp_path / "b") if verb == "publish" else ()
        assert "there is no such checkpoint" in fails(capsys, verb, config_path, *options, *more)
    source = "{manifest: tiny/manifest.csv, group_column: patient, test_column: split, test_values: [tset]}"
    assert "no row has 'tset'" in fails(capsys, "train", config_path, f"sources=[{source}]", *options)
    assert "balance_columns: no manifest has a column 'splt'" in fails(
        capsys, "train", config_path, "balance_columns=[split, splt]", *options
    )
    taken = ("--run-dir", config_path / "run", "--data-dir", data_dir)
    assert "Not a directory" in fails(capsys, "train", config_path, *taken)
    run.mkdir()
    for name in ("best.ckpt", "last.ckpt"):
        (run / name).write_bytes(b"PK\x03\x04 cut off")
    assert "best.ckpt: not a whole checkpoint" in fails(capsys, "calibrate", config_path, *options)
    assert "last.ckpt: not a whole checkpoint" in fails(capsys, "train", config_path, *options)
    assert "--devices 7x" in fails(capsys, "train", config_path, *options, "--devices", "7x")
    write_manifest(folder, [*tiny_rows, {**tiny_rows[0], "file": "gone.png"}])
    assert "line 152: image gone.png is missing" in fails(capsys, "train", config_path, *options)
    write_manifest(folder, [*tiny_rows, {**tiny_rows[0], "label": "7"}])
    assert "000.png: label '7' is not one of" in fails(capsys, "train", config_path, *options)
    write_manifest(folder, [*tiny_rows, {**tiny_rows[0], "split": "train"}])
    assert "group 'p0' stands on both sides of a split" in fails(capsys, "train", config_path, *options)
    # Minutes at most on a machine that is busy; a training takes hours.
    assert time.monotonic() - began < 600


def test_the_best_epoch_is_judged_as_it_will_answer(
    config_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A network that mixtures have made unsure of right answers is no worse than one that is sure of them."""
    module = ReadingModule(load_config(config_path), steps=1)
    rng = np.random.default_rng(4)
    targets = torch.eye(5)[torch.from_numpy(rng.integers(5, size=200))]
    logits = 3 * targets + torch.from_numpy(rng.normal(size=(200, 5))).float()
    losses = []
    monkeypatch.setattr(
        module, "log", lambda name, value, **_: losses.append(value) if name == "val_loss" else None
    )
    for shown in (
        logits,
        0.7 * logits,
        logits + 2 * torch.randn(200, 5, generator=torch.Generator().manual_seed(1)),
    ):
        module._logits, module._targets = [shown], [targets]
        module.on_validation_epoch_end()
    sure, unsure, worse = losses
    assert sure == pytest.approx(unsure, rel=0.01) and worse > sure + 0.1
