"""What a run leaves on disk while it goes on: whole checkpoints and the history of its epochs."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.fabric.plugins.io import TorchCheckpointIO
from lightning.pytorch.callbacks import Callback, EMAWeightAveraging, ModelCheckpoint

from ml_training.errors import TrainingError
from ml_training.report import write_atomic

HISTORY = "history.json"


class WholeCheckpoints(TorchCheckpointIO):
    """Writes a checkpoint beside the old one and puts it in its place in one step: after a kill or on a full
    disk the last checkpoint is still whole.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write `checkpoint`.

        Raises:
            TrainingError: it cannot be written, for example because the disk is full.
        """
        target = Path(path)
        draft = target.with_name(f".{target.name}.part")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with draft.open("wb") as handle:
                torch.save(checkpoint, handle)
                handle.flush()
                os.fsync(handle.fileno())
            draft.replace(target)
        except (OSError, RuntimeError) as error:
            # torch's writer reports a full disk as a RuntimeError.
            raise TrainingError(
                f"{target}: the checkpoint cannot be written ({error}); the one before it is whole, so train "
                "again with the same --run-dir once there is room"
            ) from error
        finally:
            draft.unlink(missing_ok=True)


class AveragedWeights(EMAWeightAveraging):
    """Keeps the averages where the network is.

    Lightning asks for the place before it has moved the network to a GPU, and would send every weight to the
    CPU and average it there after each step.
    """

    def setup(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, stage: str) -> None:
        """Before the training begins."""
        self._device = trainer.strategy.root_device
        super().setup(trainer, pl_module, stage)


class KeptCheckpoint(ModelCheckpoint):
    """Knows its best checkpoint again after the run folder was moved.

    Lightning forgets how good that one was where the absolute path differs, and the next epoch takes its
    place whatever its loss.
    """

    @property
    def state_key(self) -> str:
        """Lightning's own, under which runs that began before this class keep their state."""
        return super().state_key.replace(type(self).__qualname__, ModelCheckpoint.__qualname__, 1)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over the state, with the files where they lie now."""
        here = Path(str(self.dirpath))

        def moved(path: str) -> str:
            return str(here / Path(path).name) if path else path

        # Without the file there is nothing to keep, and the next epoch is the best there is.
        if self.dirpath and Path(moved(state_dict["best_model_path"])).is_file():
            models = state_dict.get("best_k_models", {})
            state_dict = {
                **state_dict,
                "dirpath": self.dirpath,
                "best_k_models": {moved(path): score for path, score in models.items()},
            }
            for name in ("best_model_path", "kth_best_model_path", "last_model_path"):
                state_dict[name] = moved(state_dict.get(name, ""))
        super().load_state_dict(state_dict)


class Sitting(Callback):
    """Ends a sitting between two epochs, where the next one would not end before `deadline`; None is never.

    `deadline` is of `time.monotonic`; `ended` says that epochs are left to do.
    """

    def __init__(self, deadline: float | None) -> None:
        self.deadline = deadline
        self.ended = False
        self._began = time.monotonic()
        self._longest = 0.0

    def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        self._began = time.monotonic()

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        now = time.monotonic()
        self._longest = max(self._longest, now - self._began)
        late = self.deadline is not None and now + 1.1 * self._longest > self.deadline
        # All processes stop if one is late.
        if trainer.strategy.reduce_boolean_decision(late, all=False) and not trainer.should_stop:
            trainer.should_stop = True
            self.ended = trainer.current_epoch + 1 < (trainer.max_epochs or 0)


class History(Callback):
    """Keeps `history.json`: one entry per epoch with losses, score and seconds, over all sittings."""

    def __init__(self, run_dir: Path) -> None:
        self.path = run_dir / HISTORY
        self.entries: list[dict[str, float]] = []
        self._began = time.monotonic()

    def on_fit_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        if self.path.is_file():
            self.entries = json.loads(self.path.read_text(encoding="utf-8"))

    def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        self._began = time.monotonic()

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        if not trainer.is_global_zero:
            return
        # An epoch that was cut off is done again: what it said before no longer counts.
        self.entries = [entry for entry in self.entries if entry["epoch"] < trainer.current_epoch]
        figures: dict[str, float] = {
            name: round(float(trainer.callback_metrics[name]), 6)
            for name in ("train_loss", "val_loss", "val_score")
            if name in trainer.callback_metrics
        }
        seconds = round(time.monotonic() - self._began, 1)
        self.entries.append({"epoch": trainer.current_epoch, **figures, "seconds": seconds})
        write_atomic(self.path, (json.dumps(self.entries, indent=1) + "\n").encode())
