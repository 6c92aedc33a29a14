"""`train --cv N`: N trainings, each judged on the groups that it was kept away from. Test items take no part.

Every fold is a run folder of its own (`fold1`, ...) with its own validation items, from which its checkpoint
and its calibration come; the held items only judge. With `val_fraction: 0` a fold learns from everything that
is not held, its last epoch counts, and its answers are calibrated on the held items of the other folds. A
finished fold is not done again.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ml_training.bundle import Bundle
from ml_training.crossfit import Validation, fit_by_age
from ml_training.data.manifest import Item, age_groups, group_parts, group_split, refuse_straddling
from ml_training.errors import BundleError, TrainingError, Unfinished
from ml_training.evaluate import by_part, report
from ml_training.labels import BACKBONE, Task, task_of
from ml_training.report import Report, write_atomic
from ml_training.run_folder import RUN, mark, read_about
from ml_training.specs import WORDS, TrainConfig, to_plain
from ml_training.train import Splits, make_splits, predict, train
from ml_training.weights import load_network, read_run

FIGURES = "cv.json"
PAGE = "cv.html"
_PLAN = "folds.json"
_DONE = "held.json"

log = logging.getLogger(__name__)


def cross_validate(
    config: TrainConfig,
    data_dir: Path,
    run_dir: Path,
    folds: int,
    progress: bool = True,
    devices: str = "auto",
    only: int = 0,
    deadline: float | None = None,
) -> dict[str, Any] | None:
    """Train and judge every fold, write `cv.json` and `cv.html`, and return what `cv.json` holds.

    `only` trains and judges this fold (1 is the first) and returns None: several processes or machines can
    share the folds of one run folder, and a last call without it puts them together. `deadline` as in
    `train`.

    `init` and `teachers` of a config may hold `{fold}`: run folders of another cross-validation with the same
    folds; `init` may also be the weights of a bundle that reads something else, or of a run that learnt from
    none of the items. Any other checkpoint may have learnt from the held items and is refused.

    Raises:
        TrainingError: bad data, fewer groups than folds, a run folder of another plan, or a leak.
    """
    if folds < 2:
        raise TrainingError(f"--cv {folds}: at least 2")
    if not 0 <= only <= folds:
        raise TrainingError(f"--fold {only}: the folds are 1 to {folds}")
    task = task_of(config.kind)
    items = _development(config, data_dir)
    parts = _parts(items, folds, config.split_seed)
    plan = {"folds": folds, "config": _digest(to_plain(config)), "parts": _digest_of_parts(items, parts)}
    _claim(run_dir, plan)
    _refuse_leaks(config, plan, items)
    # All of them now: a fold that cannot be split is not found out when the others are learnt.
    splits = [_fold_splits(config, items, held, number) for number, held in enumerate(parts, start=1)]
    answers: list[dict[str, Any]] = []
    began = False
    for number, own in enumerate(splits, start=1):
        if only in (0, number):
            folder = run_dir / f"fold{number}"
            is_new = not (folder / _DONE).is_file()
            if is_new and began and deadline is not None and time.monotonic() > deadline:
                raise Unfinished(f"fold {number} of {folds} is next")
            began = began or is_new
            answers.append(_fold(config, data_dir, folder, own, number, progress, devices, deadline))
    if only:
        return None
    probs = _judged(task, items, parts, answers)
    each = []
    for held in parts:
        targets = np.array([items[i].target for i in held])
        figures = report(task, probs[held], targets, [items[i].group for i in held], rounds=0)
        each.append(headlines(figures))
    whole = {
        "folds": folds,
        "items": len(items),
        "figures": _spread(each),
        "pooled": by_part(task, probs, np.array([item.target for item in items]), items),
    }
    write_atomic(run_dir / FIGURES, (json.dumps(whole, indent=1) + "\n").encode())
    _page(config, whole).write(run_dir / PAGE)
    return whole


def _development(config: TrainConfig, data_dir: Path) -> list[Item]:
    if any(source.learn_only for source in config.sources):
        raise TrainingError("--cv judges on every group, and a source is learn_only; leave that one out")
    # In the manifests' order whatever a config keeps for validation, so that a student's folds are its
    # teachers'.
    return make_splits(dataclasses.replace(config, val_fraction=0.0, patience=0), data_dir).train


def _parts(items: Sequence[Item], folds: int, seed: int) -> list[list[int]]:
    """Positions of the held items of each fold: whole groups, strata in proportion."""
    groups = {item.group for item in items}
    if len(groups) < folds:
        raise TrainingError(f"--cv {folds}: there are only {len(groups)} groups")
    try:
        return group_parts(items, folds, seed)
    except TrainingError as error:
        raise TrainingError(f"--cv {folds}: {error}") from error


def _digest(plain: Any) -> str:
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


def _digest_of_parts(items: Sequence[Item], parts: Sequence[Sequence[int]]) -> str:
    return _digest([sorted({items[i].group for i in held}) for held in parts])


def _claim(run_dir: Path, plan: dict[str, Any]) -> None:
    path = run_dir / _PLAN
    if path.is_file() and json.loads(path.read_text(encoding="utf-8")) != plan:
        raise TrainingError(
            f"{run_dir} holds a cross-validation of another config, data or --cv; choose another --run-dir"
        )
    write_atomic(path, json.dumps(plan).encode())


def _in_order(items: Sequence[Item], held: Sequence[int], answer: dict[str, Any]) -> dict[str, np.ndarray]:
    """A fold's answers in the order of `held`: a manifest may have been sorted since they were given.

    Raises:
        TrainingError: they are answers for other files.
    """
    mine, theirs = [items[i].row["file"] for i in held], list(answer.get("files", ()))
    if sorted(mine) != sorted(theirs) or (mine != theirs and len(set(mine)) < len(mine)):
        raise TrainingError("a fold holds answers for other files than the manifest has now")
    place = {file: n for n, file in enumerate(theirs)}
    order = list(range(len(mine))) if mine == theirs else [place[file] for file in mine]
    return {name: np.asarray(answer[name])[order] for name in ("logits", "probabilities") if name in answer}


def _judged(
    task: Task, items: Sequence[Item], parts: Sequence[Sequence[int]], answers: Sequence[dict[str, Any]]
) -> np.ndarray:
    """Calibrated probabilities (N, K) of all items.

    Where the folds had no validation items of their own, each is calibrated on what the others held.
    """
    probs = np.full((len(items), len(task.labels)), np.nan)
    logits = np.full_like(probs, np.nan)
    ordered = [_in_order(items, held, answer) for held, answer in zip(parts, answers, strict=True)]
    for held, own in zip(parts, ordered, strict=True):
        logits[held] = own["logits"]
    targets, ages = np.array([item.target for item in items]), age_groups(items)
    everything = Validation(logits, targets, ages, [item.group for item in items])
    for held, own in zip(parts, ordered, strict=True):
        if "probabilities" in own:
            probs[held] = own["probabilities"]
            continue
        others = np.setdiff1d(np.arange(len(items)), held)
        calibration = fit_by_age(task, everything.rows(others)).calibration
        probs[held] = calibration(logits[held], [ages[i] for i in held] if task.takes_age else None)
    return probs


@dataclasses.dataclass(frozen=True)
class HeldOut:
    """A finished cross-validation as a stand-in for validation items: every item was held once.

    `items` in the order of `logits` (N, K); `folds` has the number of each one's fold, from 1.
    """

    run_dir: Path
    items: list[Item]
    logits: np.ndarray
    folds: list[int]


def held_out(config: TrainConfig, items: Sequence[Item]) -> HeldOut:
    """What the networks of `config.cross_validation` answered for `items`, each by the one that never saw it.

    Raises:
        TrainingError: no finished cross-validation of this recipe over these items.
    """
    run_dir = Path(config.cross_validation)
    try:
        plan = json.loads((run_dir / _PLAN).read_text(encoding="utf-8"))
        parts = _parts(items, int(plan["folds"]), config.split_seed)
        if plan["parts"] != _digest_of_parts(items, parts):
            raise TrainingError(f"cross_validation: {run_dir} was made of other items, groups or seed")
        logits = np.full((len(items), len(task_of(config.kind).labels)), np.nan)
        folds = [0] * len(items)
        for number, held in enumerate(parts, start=1):
            folder = run_dir / f"fold{number}"
            _refuse_other_recipe(config, folder)
            answer = json.loads((folder / _DONE).read_text(encoding="utf-8"))
            logits[held] = _in_order(items, held, answer)["logits"]
            for i in held:
                folds[i] = number
    except (OSError, ValueError, KeyError) as error:
        raise TrainingError(
            f"cross_validation: {run_dir} holds no finished cross-validation ({error})"
        ) from error
    return HeldOut(run_dir, list(items), logits, folds)


# In these a cross-validation may differ from the run that it speaks for: words, what a fold has of its own,
# how it was computed, and what is done with its answers.
_FREE = {
    *WORDS,
    *("sources", "init", "teachers", "seed", "val_fraction", "patience", "workers", "precision"),
    *("cross_validation", "calibration_draws", "pooling"),
}


def _refuse_other_recipe(config: TrainConfig, folder: Path) -> None:
    """Raise TrainingError where a fold was trained otherwise than the config says; names the key."""
    theirs = read_run(folder, "cross_validation")
    for field in dataclasses.fields(config):
        own, other = getattr(config, field.name), getattr(theirs, field.name)
        if field.name not in _FREE and own != other:
            raise TrainingError(
                f"cross_validation: {folder} was trained with another {field.name}: {other}, not {own}"
            )


def digest_of_answers(run_dir: Path) -> str:
    """A hash of a cross-validation's networks and of what they answered; "" where it is not there."""
    whole = hashlib.sha256()
    files = sorted([*run_dir.glob(f"fold*/{_DONE}"), *run_dir.glob("fold*/best.ckpt")])
    for path in files:
        whole.update(path.relative_to(run_dir).as_posix().encode() + path.read_bytes())
    return whole.hexdigest() if files else ""


@dataclasses.dataclass(frozen=True)
class Judged:
    """A finished cross-validation's answers for `items`, each by the network that never saw its group.

    `probs` (N, K) are calibrated, `targets` (N, K) nan where unknown; `parts` is the same for the same folds.
    """

    config: TrainConfig
    items: list[Item]
    probs: np.ndarray
    targets: np.ndarray
    parts: str

    @property
    def task(self) -> Task:
        """What was learnt."""
        return task_of(self.config.kind)


def judged(run_dir: Path, data_dir: Path) -> Judged:
    """What the networks of a finished cross-validation answered for the items that they never saw.

    Raises:
        TrainingError: it is not finished, or the data are others by now.
    """
    try:
        plan = json.loads((run_dir / _PLAN).read_text(encoding="utf-8"))
        config = read_run(run_dir / "fold1", "compare")
        answers = [
            json.loads((run_dir / f"fold{number}" / _DONE).read_text(encoding="utf-8"))
            for number in range(1, int(plan["folds"]) + 1)
        ]
    except (OSError, ValueError, KeyError) as error:
        raise TrainingError(f"{run_dir} holds no finished cross-validation ({error})") from error
    items = _development(config, data_dir)
    parts = _parts(items, len(answers), config.split_seed)
    if plan["parts"] != _digest_of_parts(items, parts):
        raise TrainingError(f"{run_dir} was made of other items or groups than {data_dir} holds")
    probs = _judged(task_of(config.kind), items, parts, answers)
    return Judged(config, items, probs, np.array([item.target for item in items]), plan["parts"])


def _learnt_elsewhere(config: TrainConfig, items: Sequence[Item]) -> bool:
    """Whether `init` is the weights of a bundle that reads another part of the body, or of a run that says
    what it learnt from, none of which is among `items`."""
    folder = Path(config.init).parent
    if (folder / RUN).is_file():
        marks = read_about(folder).get("learnt", [])
        return bool(marks) and not {mark(item) for item in items}.intersection(marks)
    if not config.init.endswith(".safetensors"):
        return False
    try:
        bundle = Bundle.load(Path(config.init).parents[1])
    except (BundleError, IndexError):
        return False
    if BACKBONE in str((bundle.metadata.get("training") or {}).get("init", "")):
        return False  # which has learnt from images of every part
    kind = bundle.kind
    return kind not in (config.kind, "gate") and config.kind != "gate"


def _refuse_leaks(config: TrainConfig, plan: dict[str, Any], items: Sequence[Item]) -> None:
    fresh = config.init in ("", "imagenet") or _learnt_elsewhere(config, items)
    starts = [] if fresh else [("init", config.init)]
    for key, where in starts + [("teachers", teacher) for teacher in config.teachers]:
        if "{fold}" not in where:
            raise TrainingError(
                f"--cv with {key}: {where} has learnt from held items; name the fold's own, e.g. "
                "var/runs/NAME/fold{fold}/best.ckpt, or leave it empty"
            )
        before, _, _ = where.partition("fold{fold}")
        try:
            theirs = json.loads((Path(before) / _PLAN).read_text(encoding="utf-8"))["parts"]
        except (OSError, ValueError, KeyError) as error:
            raise TrainingError(f"--cv with {key}: {before} holds no cross-validation") from error
        if theirs != plan["parts"]:
            raise TrainingError(
                f"--cv with {key}: {before} has other folds, so it has learnt from held items"
            )


def _fold_splits(config: TrainConfig, items: Sequence[Item], held: Sequence[int], number: int) -> Splits:
    """The items of one fold; what it holds is its test part."""
    out = set(held)
    rest = [item for i, item in enumerate(items) if i not in out]
    test = [items[i] for i in held]
    kept: list[Item] = rest
    val: list[Item] = []
    if config.val_fraction:
        try:
            kept, val = group_split(rest, config.val_fraction, config.split_seed + number)
        except TrainingError as error:
            raise TrainingError(f"fold {number}: {error}") from error
    for left, right in ((kept, test), (val, test)):
        refuse_straddling(left, right, f"fold {number}")
    return Splits(kept, val, test)


def _fold(
    config: TrainConfig,
    data_dir: Path,
    folder: Path,
    splits: Splits,
    number: int,
    progress: bool,
    devices: str,
    deadline: float | None,
) -> dict[str, Any]:
    """Logits (H, K) of the held items and, where the fold has validation items, calibrated probabilities."""
    done = folder / _DONE
    if done.is_file():
        log.info("%s is finished", folder)
        return dict(json.loads(done.read_text(encoding="utf-8")))
    val, test = splits.val, splits.test
    own = dataclasses.replace(
        config,
        init=config.init.replace("{fold}", str(number)),
        teachers=tuple(teacher.replace("{fold}", str(number)) for teacher in config.teachers),
    )
    best = train(own, data_dir, folder, progress, splits=splits, devices=devices, deadline=deadline)
    task = task_of(config.kind)
    network = load_network(own, best)
    answers = predict(network, own, test)[0]
    plain = {"files": [item.row["file"] for item in test], "logits": answers.astype(float).round(6).tolist()}
    if val:
        logits, _, targets = predict(network, own, val)
        ages = age_groups(val)
        calibration = fit_by_age(task, Validation(logits, targets, ages, [i.group for i in val])).calibration
        probs = calibration(answers, age_groups(test) if task.takes_age else None)
        plain["probabilities"] = probs.round(6).tolist()
    write_atomic(done, json.dumps(plain).encode())
    return plain


def headlines(figures: dict[str, Any]) -> dict[str, float]:
    """The figures of a report that are worth a mean: its top level, and the AUC and ECE of each label."""
    found = {}
    for name, value in figures.items():
        number = value.get("value") if isinstance(value, dict) else value
        if isinstance(number, float) and name != "ece_by_chance":
            found[name] = number
    for label, own in figures.get("per_label", {}).items():
        for name in ("auc", "ece"):
            figure = own.get(name)
            number = figure.get("value") if isinstance(figure, dict) else figure
            if number is not None:
                found[f"{name} {label}"] = number
    return found


def _spread(each: list[dict[str, float]]) -> dict[str, dict[str, Any]]:
    """Mean and standard deviation over the folds in which a figure is defined."""
    names = sorted({name for own in each for name in own})
    spread = {}
    for name in names:
        values = [own[name] for own in each if name in own]
        sd = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
        spread[name] = {"mean": round(float(np.mean(values)), 4), "sd": round(sd, 4), "each": values}
    return spread


def _page(config: TrainConfig, whole: dict[str, Any]) -> Report:
    page = Report(f"{config.kind} {config.version}, cross-validated")
    page.text(
        f"{whole['items']} images in {whole['folds']} folds of whole groups. Every image was judged by a "
        "network that learnt from none of its group, calibrated on other images again. Test images took no "
        "part."
    )
    page.heading("Over the folds")
    folds = [f"fold {number}" for number in range(1, whole["folds"] + 1)]
    rows = []
    for name, own in whole["figures"].items():
        values = own["each"] + [None] * (len(folds) - len(own["each"]))
        rows.append([name.replace("_", " "), own["mean"], own["sd"], *values])
    page.table(["figure", "mean", "sd", *folds], rows)
    page.heading("All held images together")
    page.text("Brackets hold the 95 % interval of a bootstrap over groups.")
    for part, figures in whole["pooled"].items():
        rows = [[name.replace("_", " "), _shown(value)] for name, value in figures.items() if _shown(value)]
        for label, own in figures.get("per_label", {}).items():
            rows += [
                [f"{label}: {key}", _shown(own[key])] for key in ("auc", "ece") if own.get(key) is not None
            ]
        page.heading(f"{part} ({figures['images']} images)", 3)
        page.table(["figure", "value"], rows)
    return page


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        if value.get("value") is None:
            return ""
        ends = value.get("ci95")
        return f"{value['value']:.3f} [{ends[0]:.3f}, {ends[1]:.3f}]" if ends else f"{value['value']:.3f}"
    return f"{value:.3f}" if isinstance(value, float) else ""


def summary(whole: dict[str, Any]) -> str:
    """A line a figure, mean and standard deviation over the folds."""
    return "\n".join(f"{name}: {own['mean']} ± {own['sd']}" for name, own in whole["figures"].items())
