"""`validate`: finished runs and bundles side by side on a config's validation images, before any test image.

What is chosen between, a teacher or a pupil, another epoch or a blend, is chosen on these figures; the test
images are for the one that is published.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.functional import interpolate

from ml_training import calibrate
from ml_training.bundle import METADATA, Bundle
from ml_training.crossfit import log_losses
from ml_training.data.dataset import load_grey
from ml_training.data.manifest import Item
from ml_training.data.transplant import donors, put
from ml_training.errors import BundleError, TrainingError
from ml_training.evaluate import auc, headline, own_figures
from ml_training.labels import Task, healthy_label, required_healthy_label, task_of
from ml_training.run_folder import mark, read_about
from ml_training.specs import PreprocessingSpec, TrainConfig
from ml_training.train import make_splits, predict
from ml_training.transforms import serving_transform
from ml_training.weights import load_network, read_run

TOGETHER = "together"
LESION, TISSUE = "lesion moved in", "healthy tissue moved in"
_MOVES = 4  # for each slice without a disease, of either sort
_BATCH = 32


@dataclass(frozen=True)
class Line:
    """One network on one part of the validation images.

    `score` is the accuracy, or the mean AUC where labels do not exclude each other; `log_loss` is that of the
    best calibration for all validation images; `missed` counts images with a disease that are
    read as the label for "nothing found", `diseased` those with one (labels that exclude each other only).
    `figures` are those of the kind (`evaluate.own_figures`), and the AUC of every label where labels do not
    exclude each other; None where these images do not tell.
    """

    network: str
    part: str
    images: int
    score: float
    log_loss: float
    missed: int | None
    diseased: int | None
    figures: dict[str, float | None] = field(default_factory=dict)


def validate(
    config: TrainConfig,
    data_dir: Path,
    networks: Sequence[Path],
    by: Sequence[str] = (),
    moved: bool = False,
) -> list[Line]:
    """A line for every network (run folder, `.ckpt` file in one, or bundle) and part: all, and each value of
    the manifest columns `by`. Several networks also answer together, with the mean of their probabilities.
    With `moved`, two parts more: what `Moved` makes of the validation slices without a disease.

    Raises:
        TrainingError: no validation items, an unknown column, no such run or bundle, one of another kind, or
            a run that has learnt from these items; no pairs made by `mirror` for `moved`.
    """
    task = task_of(config.kind)
    items = make_splits(config, data_dir).val
    if not items:
        raise TrainingError("val_fraction is 0: there are no validation items")
    if unknown := [column for column in by if not any(column in item.row for item in items)]:
        raise TrainingError(f"--by {unknown[0]}: no manifest has such a column")
    targets = np.array([item.target for item in items])
    opened = [(str(path), *_opened(path, config.kind, items)) for path in networks]
    extra = Moved.of(config, items) if moved else None
    answers: dict[str, np.ndarray] = {}
    for name, network, preprocessing in opened:
        seen = dataclasses.replace(config, preprocessing=preprocessing)
        logits, _, _ = predict(network, seen, items)
        calibration = calibrate.fit(task, logits, targets)
        answers[name] = calibration(logits)
        if extra:
            more = calibration(extra.read(network, preprocessing.size))
            answers[name] = np.concatenate([answers[name], more])
    parts = dict(_parts(items, by))
    if extra:
        parts |= {name: len(items) + np.flatnonzero(extra.parts == name) for name in (LESION, TISSUE)}
        targets = np.concatenate([targets, extra.targets])
    if len(answers) > 1:
        answers[TOGETHER] = np.mean(list(answers.values()), axis=0)
    return [
        _line(task, name, part, probs[rows], targets[rows])
        for name, probs in answers.items()
        for part, rows in parts.items()
    ]


@dataclass(frozen=True)
class Moved:
    """Validation slices without a disease, with a lesion moved into them from another head, and as often with
    the same piece of that head's healthy half (`data/transplant.py`): whether a network sees the lesion or
    the scanner. `images` (N, 1, S, S) in 0..1 in the config's preprocessing, `targets` (N, K), `parts` (N,).
    """

    images: np.ndarray
    targets: np.ndarray
    parts: np.ndarray

    @classmethod
    def of(cls, config: TrainConfig, items: Sequence[Item]) -> Moved:
        """Always the same ones for the same config and items.

        Raises:
            TrainingError: no pairs made by `mirror` among the items, or no slice that a lesion fits into.
        """
        healthy = required_healthy_label(task_of(config.kind), "--moved")
        prepare = serving_transform(config.preprocessing)
        made = {n: prepare(load_grey(one.path))[0] for n, one in enumerate(items) if one.row.get("original")}
        found = donors(items, made, healthy)
        if not found:
            raise TrainingError("--moved needs pairs made by `mirror` among the validation items")
        hosts = [one for one in items if one.target[healthy] == 1 and not one.row.get("original")]
        random = np.random.default_rng(config.split_seed)
        images, targets, parts = [], [], []
        for host in hosts:
            picture = prepare(load_grey(host.path))[0]
            for sick in (True, False) * _MOVES:
                donor = found[int(random.integers(len(found)))]
                done = put(picture, donor, sick, random)
                if done is not None:
                    images.append(done[None])
                    targets.append(donor.target.numpy() if sick else np.asarray(host.target))
                    parts.append(LESION if sick else TISSUE)
        if len(set(parts)) < 2:
            raise TrainingError("--moved: no validation slice without a disease that a lesion fits into")
        return cls(np.stack(images), np.stack(targets), np.array(parts))

    @torch.inference_mode()
    def read(self, network: nn.Module, size: int) -> np.ndarray:
        """A network's logits (N, K), for the size (pixels) that it wants."""
        network = network.cpu().eval()
        found = []
        for start in range(0, len(self.images), _BATCH):
            batch = torch.from_numpy(self.images[start : start + _BATCH])
            if batch.shape[-1] != size:
                batch = interpolate(batch, (size, size), mode="bilinear", antialias=True)
            found.append(network(batch)[0].numpy())
        return np.concatenate(found)


def _opened(path: Path, kind: str, items: Sequence[Item]) -> tuple[nn.Module, PreprocessingSpec]:
    """A network, and how it wants to see images."""
    if (path / METADATA).is_file():
        try:
            bundle = Bundle.load(path)
        except BundleError as error:
            raise TrainingError(f"--of: {error}") from error
        _refuse_other_kind(path, bundle.kind, kind)
        return bundle.torch_network(), bundle.preprocessing
    folder, checkpoint = (path.parent, path) if path.suffix == ".ckpt" else (path, path / "best.ckpt")
    own = read_run(folder, "--of")
    _refuse_other_kind(path, own.kind, kind)
    if not {mark(item) for item in items}.isdisjoint(read_about(folder).get("learnt", [])):
        raise TrainingError(f"--of: {folder} has learnt from these validation items")
    return load_network(own, checkpoint), own.preprocessing


def _refuse_other_kind(path: Path, theirs: str, kind: str) -> None:
    if theirs != kind:
        raise TrainingError(f"--of: {path} learnt {theirs}, not {kind}")


def _parts(items: Sequence[Item], by: Sequence[str]) -> Iterator[tuple[str, np.ndarray]]:
    yield "all", np.arange(len(items))
    for column in by:
        values = np.array([item.row.get(column, "") for item in items])
        for value in sorted(set(values.tolist())):
            yield f"{column}={value}", np.flatnonzero(values == value)


def _line(task: Task, network: str, part: str, probs: np.ndarray, targets: np.ndarray) -> Line:
    missed = diseased = None
    normal = healthy_label(task)
    if normal is not None:
        ill = targets.argmax(1) != normal
        missed, diseased = int((ill & (probs.argmax(1) == normal)).sum()), int(ill.sum())
    return Line(
        network,
        part,
        len(targets),
        headline(task, probs, targets),
        float(np.mean(log_losses(task, probs, targets))),
        missed,
        diseased,
        _figures(task, probs, targets),
    )


def _figures(task: Task, probs: np.ndarray, targets: np.ndarray) -> dict[str, float | None]:
    figures = {name: figure(probs, targets) for name, figure in own_figures(task).items()}
    if task.activation == "sigmoid":
        figures |= {f"{name}_auc": auc(probs[:, k], targets[:, k]) for k, name in enumerate(task.names)}
    return figures


def table(lines: Sequence[Line], task: Task) -> str:
    """The lines as a Markdown table."""
    score = "accuracy" if task.activation == "softmax" else "mean AUC"
    own = [name for name in lines[0].figures] if lines else []
    titles = ["network", "part", "images", score, "log loss", "disease read as none"]
    rows = [titles + [name.replace("_", " ").replace("auc", "AUC") for name in own]]
    rows.append(["---"] * len(rows[0]))
    for line in lines:
        missed = "" if line.missed is None else f"{line.missed} of {line.diseased}"
        figures = [f"{line.score:.3f}", f"{line.log_loss:.3f}"]
        told = ["" if (one := line.figures[name]) is None else f"{one:.3f}" for name in own]
        rows.append([line.network, line.part, str(line.images), *figures, missed, *told])
    return "\n".join(f"| {' | '.join(cells)} |" for cells in rows)


def plain(lines: Sequence[Line]) -> list[dict[str, Any]]:
    """The lines as JSON can hold them."""
    return [dataclasses.asdict(line) for line in lines]
