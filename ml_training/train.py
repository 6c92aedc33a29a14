"""Training: manifests in, a checkpoint that reproduces the run out."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import (
    Callback,
    EarlyStopping,
    TQDMProgressBar,
)
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from monai.data import DataLoader
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import Sampler

from ml_training.calibrate import fit
from ml_training.checkpoints import AveragedWeights, History, KeptCheckpoint, Sitting, WholeCheckpoints
from ml_training.data.crossing import Crossing
from ml_training.data.dataset import SeededItems, cached_dataset, load_grey
from ml_training.data.manifest import Item, group_split, read_source, refuse_straddling, sampling_weights
from ml_training.data.negatives import CHANGES, synthetic_negative
from ml_training.data.sampling import EpochSampler, SeededOrder
from ml_training.data.transplant import Transplant, donors
from ml_training.errors import Diverged, TrainingError, Unfinished
from ml_training.labels import Task, required_healthy_label, task_of
from ml_training.networks import FeatureGuide, build_network, channels_of
from ml_training.run_folder import BEST, LAST, claim, finish, learnt_marks
from ml_training.specs import TrainConfig
from ml_training.transforms import augmentation
from ml_training.weights import finished_epochs, load_teacher, refuse_broken, start_from


@dataclass(frozen=True)
class Splits:
    """Items for learning, for choosing (checkpoint, calibration, thresholds), and for one final look."""

    train: list[Item]
    val: list[Item]
    test: list[Item]


def make_splits(config: TrainConfig, data_dir: Path) -> Splits:
    """Read all sources of a config and split them by group; the same config gives the same split.

    Raises:
        TrainingError: see `read_source`.
    """
    task = task_of(config.kind)
    train: list[Item] = []
    val: list[Item] = []
    test: list[Item] = []
    for source in config.sources:
        development, held = read_source(source, data_dir, task)
        if source.follows:
            sides = {item.group: part for part in (train, val, test) for item in part}
            for item in development + held:
                if item.group not in sides:
                    raise TrainingError(
                        f"{source.manifest}: group {item.group.split(':', 1)[1]!r} is not in {source.follows}"
                    )
                sides[item.group].append(item)
            continue
        kept: list[Item] = development
        chosen: list[Item] = []
        if config.val_fraction and not source.learn_only:
            kept, chosen = group_split(development, config.val_fraction, config.split_seed)
        train, val, test = train + kept, val + chosen, test + held
    for start, part, share in ((0, train, 1.0), (10**6, val, config.val_fraction), (2 * 10**6, test, 0.2)):
        part.extend(_drawn(task, start + n) for n in range(int(config.synthetic_negatives * share)))
    if config.turned_negatives:
        for part in (train, val, test):
            part.extend(list(_turned(task, part, config.turned_negatives)))
    for left, right in ((train, val), (train, test), (val, test)):
        refuse_straddling(left, right, config.kind)
    return Splits(train, val, test)


def _drawn(task: Task, seed: int) -> Item:
    row = {"label": "other", "file": f"synthetic-{seed}", "source": "synthetic", "synthetic": str(seed)}
    return Item(Path(row["file"]), tuple(task.target(row)), row["file"], row)


def _turned(task: Task, part: Sequence[Item], fraction: float) -> Iterator[Item]:
    """Some readable scans once more, turned or inverted; in their own group, so that none changes sides."""
    for item in part:
        draw = int(hashlib.sha256(item.row["file"].encode()).hexdigest()[:8], 16)
        if item.target[task.names.index("other")] or draw / 2**32 >= fraction:
            continue
        change = CHANGES[draw % len(CHANGES)]
        row = {**item.row, "label": "other", "given_label": change, "change": change}
        yield Item(item.path, tuple(task.target(row)), item.group, row)


class ReadingModule(lightning.LightningModule):
    """Optimises a `ReadingNetwork` on masked targets."""

    def __init__(self, config: TrainConfig, steps: int) -> None:
        super().__init__()
        self.config = config
        self.task = task_of(config.kind)
        self.network = build_network(config.network, len(self.task.labels), config.init == "imagenet")
        if config.init and config.init != "imagenet":
            start_from(self.network, Path(config.init))
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if config.ordinal_loss and not self.task.ordinal:
            raise TrainingError(f"ordinal_loss: labels of {config.kind} are no grades")
        if config.distil_right_only and self.task.activation != "softmax":
            raise TrainingError(f"distil_right_only: labels of {config.kind} do not exclude each other")
        # Kept out of the module's parameters: a checkpoint holds the student only.
        self._teachers = [load_teacher(Path(run), config.kind) for run in config.teachers]
        self.guide = None
        if config.distil_features:
            self.guide = FeatureGuide(channels_of(self.network), channels_of(self._teachers[0][0]))
        self._random = np.random.default_rng(config.seed)
        self._steps = steps
        self._logits: list[Tensor] = []
        self._targets: list[Tensor] = []

    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """Cross-entropy (softmax tasks) or binary cross-entropy over the known labels (sigmoid tasks), on
        smoothed labels."""
        if self.task.activation == "softmax":
            return self._each(logits, self._soften(target)).mean()
        known = ~torch.isnan(target)
        clean = torch.where(known, target, torch.zeros_like(target))
        clean = clean * (1 - self.config.label_smoothing) + self.config.label_smoothing / 2
        each = functional.binary_cross_entropy_with_logits(logits, clean, reduction="none")
        return (each * known).sum() / known.sum().clamp(min=1)

    def _each(self, logits: Tensor, target: Tensor) -> Tensor:
        """Cross-entropy (N,) of labels that exclude each other and, of grades, how far mass lies off."""
        each = -(target * functional.log_softmax(logits, dim=1)).sum(dim=1)
        if self.config.ordinal_loss:
            ahead = (logits.softmax(dim=1) - target).cumsum(dim=1)
            each = each + self.config.ordinal_loss * ahead.square().sum(dim=1)
        return each

    @torch.no_grad()
    def taught(self, image: Tensor) -> tuple[Tensor, Tensor | None]:
        """Softened probabilities (N, K) of one of the teachers for a batch, and the first one's features
        (N, D, h, w) where they are learnt from as well.

        The step's seed draws the teacher. The loss is linear in the answers, so on average a student learns
        from the mean of all, at the cost of one.
        """
        drawn = int(self._random.integers(len(self._teachers)))
        logits, features = self._asked(drawn, image)
        if drawn and self.guide is not None:
            features = self._asked(0, image)[1]
        logits = logits.float() / self.config.distil_temperature
        answers = logits.softmax(1) if self.task.activation == "softmax" else logits.sigmoid()
        return answers, features if self.guide is not None else None

    def _asked(self, number: int, image: Tensor) -> tuple[Tensor, Tensor]:
        """Logits and features of a teacher, at its own input size."""
        network, size = self._teachers[number]
        if size != image.shape[-1]:
            image = functional.interpolate(image, (size, size), mode="bilinear", align_corners=False)
        logits, features, _embedding = network.to(image.device)(image)
        return logits, features

    def distilled_loss(self, logits: Tensor, target: Tensor, taught: Tensor | None) -> Tensor:
        """The loss on the labels, mixed with the loss on the teachers' answers where there are any."""
        own = self.loss(logits, target)
        if taught is None:
            return own
        heat, weight = self.config.distil_temperature, self.config.distil_weight
        if self.task.activation == "softmax":
            each = -(taught * functional.log_softmax(logits / heat, dim=1)).sum(dim=1)
            if self.config.distil_right_only:
                right = taught.argmax(dim=1) == target.argmax(dim=1)
                each = torch.where(right, each, self._each(logits, self._soften(target)) / heat**2)
            away = each.mean()
        else:
            # A teacher's guess stands in for a label that nobody knows only where the label set allows it.
            known = ~torch.isnan(target)
            each = functional.binary_cross_entropy_with_logits(logits / heat, taught, reduction="none")
            away = (each * known).sum() / known.sum().clamp(min=1)
        return (1 - weight) * own + weight * heat**2 * away

    def _soften(self, target: Tensor) -> Tensor:
        count = target.shape[1]
        soft = target * (1 - self.config.label_smoothing) + self.config.label_smoothing / count
        if self.config.ordinal_smoothing:
            # Neighbouring grades share probability mass: readers disagree by one grade, hardly ever by two.
            share = self.config.ordinal_smoothing
            left = functional.pad(soft[:, 1:], (0, 1))
            right = functional.pad(soft[:, :-1], (1, 0))
            soft = (1 - share) * soft + share / 2 * (left + right)
            soft = soft / soft.sum(dim=1, keepdim=True)
        return soft

    def _image_size(self) -> int:
        progress = self.current_epoch / max(1, self.config.epochs)
        size = self.config.preprocessing.size
        for until, smaller in reversed(self.config.size_schedule):
            if progress < until:
                size = min(smaller, self.config.preprocessing.size)
        return size

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Dropout and mixup draw from the step's own seed, so that an epoch that is done again after a kill
        comes out the same."""
        place = [self.config.seed, self.current_epoch, batch_idx, self.global_rank]
        self._random = np.random.default_rng(place)
        torch.manual_seed(int(self._random.integers(2**62)))

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        image, target = batch
        share = float(self._random.beta(self.config.mixup, self.config.mixup)) if self.config.mixup else 1.0
        order = torch.randperm(len(image), device=image.device) if share < 1 else None
        if order is not None:
            image = share * image + (1 - share) * image[order]
        # The teacher answers for what the student sees, a mixture included: arXiv:2106.05237.
        taught, seen = self.taught(image) if self._teachers else (None, None)
        size = self._image_size()
        if size != image.shape[-1]:
            image = functional.interpolate(image, (size, size), mode="area")
        logits, features, _embedding = self.network(image.contiguous(memory_format=torch.channels_last))
        loss = self.distilled_loss(logits, target, taught)
        if order is not None:
            loss = share * loss + (1 - share) * self.distilled_loss(logits, target[order], taught)
        if self.guide is not None and seen is not None:
            loss = loss + self.config.distil_features * self.guide(features, seen)
        self.log("train_loss", loss, on_step=False, on_epoch=True, batch_size=len(image))
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        image, target = batch
        self._logits.append(
            self.network(image.contiguous(memory_format=torch.channels_last))[0].float().cpu()
        )
        self._targets.append(target.cpu())

    def on_validation_epoch_end(self) -> None:
        from ml_training.crossfit import log_losses
        from ml_training.evaluate import headline

        logits, targets = (torch.cat(kept).double().numpy() for kept in (self._logits, self._targets))
        self._logits.clear()
        self._targets.clear()
        if not np.isfinite(logits).all():
            # Before a checkpoint of it is written.
            raise Diverged(
                f"epoch {self.current_epoch}: the validation loss is no number; lower learning_rate"
            )
        # As the bundle will answer, calibrated: mixtures, smoothing and teachers make a network answer less
        # surely than it is right, and the first epoch after a surer start would look best.
        probs = fit(self.task, logits, targets)(logits)
        self.log("val_loss", float(np.mean(log_losses(self.task, probs, targets))), prog_bar=True)
        self.log("val_score", headline(self.task, logits, targets), prog_bar=True)

    def configure_optimizers(self) -> Any:
        decay: list[Tensor] = []
        plain: list[Tensor] = []
        for parameter in self.parameters():
            (decay if parameter.ndim > 1 else plain).append(parameter)
        groups = [
            {"params": decay, "weight_decay": self.config.weight_decay},
            {"params": plain, "weight_decay": 0.0},
        ]
        optimiser = torch.optim.AdamW(groups, lr=self.config.learning_rate)
        # With several devices each takes a share of the steps, which only the trainer knows.
        attached = self._trainer is not None and self.trainer.world_size > 1
        steps = int(self.trainer.estimated_stepping_batches) if attached else self._steps
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimiser, self.config.learning_rate, total_steps=steps, pct_start=0.15
        )
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def loader(
    config: TrainConfig, items: list[Item], training: bool, augmented: bool | None = None, seed: int = 0
) -> DataLoader:
    """Batches of (image (N, 1, S, S), target (N, K)); training shuffles and augments.

    `augmented` without training draws one variant of every item, decided by `seed`.
    """
    wanted = training if augmented is None else augmented
    data = cached_dataset(items, config.preprocessing, negative=synthetic_negative)
    if wanted:
        looks = data.looks() if config.augmentation.look_swap else None
        data.augment = augmentation(config.augmentation, config.preprocessing.size, looks)
    if training and (config.augmentation.transplant or config.augmentation.cross):
        healthy, images = _mirrored(config, items, data)
        if config.augmentation.transplant:
            data.transplant = _transplant(config, items, images, healthy)
        if config.augmentation.cross:
            data.cross = Crossing(config.augmentation.cross, items, images, healthy)
    sampler: Sampler | None = None
    if training:
        weights = None
        if config.balance_columns:
            weights = sampling_weights(items, config.balance_columns, config.balance_power)
        sampler = EpochSampler(len(items), config.seed, weights)
    elif wanted:
        sampler = SeededOrder(len(items), seed)
    return DataLoader(
        data,
        batch_size=config.batch_size if training else 64,
        sampler=sampler,
        drop_last=training and len(items) > config.batch_size,
        num_workers=config.workers if training else 0,
        pin_memory=torch.cuda.is_available(),
        persistent_workers=training and config.workers > 0,
    )


def _mirrored(config: TrainConfig, items: list[Item], data: SeededItems) -> tuple[int, dict[int, np.ndarray]]:
    """Index of the label for nothing found, and pictures (S, S) made by `mirror`, by their item's index."""
    task = task_of(config.kind)
    key = "augmentation.transplant" if config.augmentation.transplant else "augmentation.cross"
    healthy = required_healthy_label(task, key)
    images = {n: np.asarray(data.cached[n][0][0]) for n, item in enumerate(items) if item.row.get("original")}
    if not images:
        raise TrainingError(f"{key} needs pictures made by `mirror` among the training items")
    return healthy, images


def _transplant(
    config: TrainConfig, items: list[Item], images: dict[int, np.ndarray], healthy: int
) -> Transplant:
    found = donors(items, images, healthy)
    if not found:
        raise TrainingError("augmentation.transplant needs pairs made by `mirror` among the training items")
    return Transplant(config.augmentation.transplant, found, healthy)


def train(
    config: TrainConfig,
    data_dir: Path,
    run_dir: Path,
    progress: bool = True,
    *,
    splits: Splits | None = None,
    devices: str = "auto",
    callbacks: Sequence[Callback] = (),
    deadline: float | None = None,
) -> Path:
    """Train until `config.epochs` and return the best checkpoint; continues from `run_dir/last.ckpt`.
    A run that has come to its end is left as it is.

    `splits` are the config's own where none are given. `devices` is Lightning's: "auto", a count, or a list
    such as "0,2"; several train by DDP. With a `deadline` (of `time.monotonic`) no epoch begins that would
    not end before it, but for the first.

    Raises:
        TrainingError: bad data or columns, a checkpoint that is not whole, a run folder of another config or
            begun with another number of devices, or a start or teacher that has learnt from items that this
            run is judged on.
        Unfinished: the deadline came before the last epoch.
    """
    lightning.seed_everything(config.seed, workers=True, verbose=False)
    splits = splits or make_splits(config, data_dir)
    for column in config.balance_columns:
        if not any(column in item.row for item in splits.train):
            raise TrainingError(f"balance_columns: no manifest has a column {column!r}")
    learnt = learnt_marks(config, splits.train, splits.val + splits.test)
    sitting = Sitting(deadline)
    trainer = _trainer(config, run_dir, progress, devices, [sitting, *callbacks])
    for item in splits.test:
        if not item.row.get("synthetic"):
            load_grey(item.path)  # one that cannot be read is told now, not when all is learnt
    best, last = run_dir / BEST, run_dir / LAST
    images = {name: len(getattr(splits, name)) for name in ("train", "val", "test")}
    if not claim(config, run_dir, images, learnt, trainer.world_size):
        refuse_broken(best)
        return best
    training = loader(config, splits.train, True)
    validation = loader(config, splits.val, False) if splits.val else None
    module = ReadingModule(config, steps=len(training) * config.epochs)
    if last.is_file() and isinstance(training.sampler, EpochSampler):
        # Workers fetch ahead before Lightning tells the sampler which epoch it is.
        training.sampler.set_epoch(finished_epochs(last))
    trainer.fit(
        module, training, validation, ckpt_path=str(last) if last.is_file() else None, weights_only=False
    )
    if sitting.ended:
        raise Unfinished(f"{run_dir}: {trainer.current_epoch} of {config.epochs} epochs")
    if not best.is_file():
        raise TrainingError(
            f"{run_dir}: {BEST} is gone and no epoch is left to make another; copy {LAST} there to take the "
            "newest epoch, or train with another --run-dir"
        )
    if trainer.is_global_zero:
        finish(run_dir)
    return best


def _trainer(
    config: TrainConfig,
    run_dir: Path,
    progress: bool,
    devices: str,
    more: Sequence[Callback],
) -> lightning.Trainer:
    # `save_last` would write last.ckpt in the best epochs only. It comes second: what it holds of the first
    # must be of the same epoch. Without validation items the newest epoch is the best one there is.
    if config.val_fraction:
        checkpoints = [
            KeptCheckpoint(
                run_dir, filename="best", monitor="val_loss", mode="min", enable_version_counter=False
            ),
            KeptCheckpoint(run_dir, filename="last", enable_version_counter=False),
        ]
    else:
        checkpoints = [KeptCheckpoint(run_dir, filename="best", save_last=True, enable_version_counter=False)]
    callbacks: list[Callback] = [*checkpoints, History(run_dir)]
    if config.patience:
        # On validation, before the checkpoints are written, so that they hold how long was waited, and before
        # the sitting looks at its deadline: what patience ends was not cut off.
        callbacks.append(
            EarlyStopping("val_loss", mode="min", patience=config.patience, check_on_train_epoch_end=False)
        )
    callbacks += more
    if config.ema_decay:
        callbacks.append(AveragedWeights(decay=config.ema_decay))
    if progress:
        callbacks.append(TQDMProgressBar(refresh_rate=20))
    try:
        return lightning.Trainer(
            max_epochs=config.epochs,
            accelerator="auto",
            devices=devices if devices == "auto" or "," in devices else int(devices),
            # Every process shuffles by `EpochSampler` itself and validates on all items, so that all of them
            # choose the same checkpoint.
            use_distributed_sampler=False,
            precision="bf16-mixed" if _in_bf16(config) else "32-true",
            plugins=[WholeCheckpoints()],
            callbacks=callbacks,
            logger=CSVLogger(run_dir, name="", version="log"),
            enable_progress_bar=progress,
            enable_model_summary=False,
            gradient_clip_val=1.0,
            num_sanity_val_steps=0,
            log_every_n_steps=20,
        )
    except (ValueError, TypeError, MisconfigurationException) as error:
        raise TrainingError(f"--devices {devices}: {' '.join(str(error).split())}") from error


def _in_bf16(config: TrainConfig) -> bool:
    return config.precision == "bf16" or (config.precision == "auto" and torch.cuda.is_available())


@torch.inference_mode()
def predict(
    network: nn.Module, config: TrainConfig, items: list[Item], augmented: bool = False, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Logits (N, K), embeddings (N, C) and targets (N, K) for items, in their order.

    `augmented` draws a random variant of every item, as training does; `seed` decides which. On a GPU
    convolutions keep all of their 32 bits and are done the same way each time, as serving's on a CPU are.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network = network.to(device).eval()
    logits, embeddings, targets = [], [], []
    for image, target in loader(config, items, training=False, augmented=augmented, seed=seed):
        with torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False):
            out, _, embedding = network(torch.as_tensor(image).to(device, memory_format=torch.channels_last))
        logits.append(out.cpu().numpy())
        embeddings.append(embedding.cpu().numpy())
        targets.append(torch.as_tensor(target).numpy())
    return np.concatenate(logits), np.concatenate(embeddings), np.concatenate(targets)
