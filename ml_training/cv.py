"""`train --cv N`: N trainings, each judged on the groups that it was kept away from. Test items take no part.

Every fold is a run folder of its own (`fold1`, ...) with its own validation items, from which its checkpoint
and its calibration come; the held items only judge. A finished fold is not done again.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold

from ml_training.calibrating import age_groups
from ml_training.crossfit import Validation, fit_by_age
from ml_training.data.manifest import Item, group_split, refuse_straddling, stratum
from ml_training.errors import TrainingError
from ml_training.evaluate import by_part, report
from ml_training.labels import task_of
from ml_training.report import Report, write_atomic
from ml_training.specs import TrainConfig, to_plain
from ml_training.train import Splits, load_network, make_splits, predict, train

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
) -> dict[str, Any]:
    """Train and judge every fold, write `cv.json` and `cv.html`, and return what `cv.json` holds.

    `init` and `teachers` of a config may hold `{fold}`: run folders of another cross-validation with the same
    folds. Any other checkpoint has learnt from the held items and is refused.

    Raises:
        TrainingError: bad data, fewer groups than folds, a run folder of another plan, or a leak.
    """
    if folds < 2:
        raise TrainingError(f"--cv {folds}: at least 2")
    task = task_of(config.kind)
    items = _development(config, data_dir)
    parts = _parts(items, folds, config.seed)
    plan = {"folds": folds, "config": _digest(to_plain(config)), "parts": _digest_of_parts(items, parts)}
    _claim(run_dir, plan)
    _refuse_leaks(config, plan)
    probs = np.full((len(items), len(task.labels)), np.nan)
    each = []
    for number, held in enumerate(parts, start=1):
        probs[held] = _fold(
            config, data_dir, run_dir / f"fold{number}", items, held, number, progress, devices
        )
        targets = np.array([items[i].target for i in held])
        figures = report(task, probs[held], targets, [items[i].group for i in held])
        each.append(headlines(figures))
        log.info("fold %d of %d: %s", number, folds, each[-1])
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
    splits = make_splits(config, data_dir)
    return splits.train + splits.val


def _parts(items: Sequence[Item], folds: int, seed: int) -> list[list[int]]:
    """Positions of the held items of each fold: whole groups, strata in proportion."""
    groups = [item.group for item in items]
    if len(set(groups)) < folds:
        raise TrainingError(f"--cv {folds}: there are only {len(set(groups))} groups")
    names = sorted({stratum(item) for item in items})
    strata = [names.index(stratum(item)) for item in items]
    split = StratifiedGroupKFold(n_splits=folds, shuffle=True, random_state=seed)
    return [held.tolist() for _, held in split.split(np.zeros(len(items)), strata, groups)]


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


def _refuse_leaks(config: TrainConfig, plan: dict[str, Any]) -> None:
    starts = [("init", config.init)] if config.init not in ("", "imagenet") else []
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


def _fold(
    config: TrainConfig,
    data_dir: Path,
    folder: Path,
    items: list[Item],
    held: list[int],
    number: int,
    progress: bool,
    devices: str,
) -> np.ndarray:
    """Calibrated probabilities (H, K) of the held items."""
    done = folder / _DONE
    if done.is_file():
        log.info("%s is finished", folder)
        return np.array(json.loads(done.read_text(encoding="utf-8"))["probabilities"])
    out = set(held)
    rest = [item for i, item in enumerate(items) if i not in out]
    test = [items[i] for i in held]
    kept, val = group_split(rest, config.val_fraction, config.seed + number)
    for left, right in ((kept, test), (val, test)):
        refuse_straddling(left, right, f"fold {number}")
    own = dataclasses.replace(
        config,
        init=config.init.replace("{fold}", str(number)),
        teachers=tuple(teacher.replace("{fold}", str(number)) for teacher in config.teachers),
    )
    splits = Splits(kept, val, test)
    best = train(own, data_dir, folder, progress, splits=splits, devices=devices)
    task = task_of(config.kind)
    network = load_network(own, best)
    logits, _, targets = predict(network, own, val)
    ages = age_groups(val)
    calibration = fit_by_age(task, Validation(logits, targets, ages, [i.group for i in val])).calibration
    probs = calibration(predict(network, own, test)[0], age_groups(test) if task.takes_age else None)
    files = [item.row["file"] for item in test]
    plain = {"files": files, "probabilities": probs.round(6).tolist()}
    write_atomic(done, json.dumps(plain).encode())
    return np.asarray(plain["probabilities"])


def headlines(figures: dict[str, Any]) -> dict[str, float]:
    """The figures of a report that are worth a mean: its top level, and the AUC and ECE of each label."""
    found = {}
    for name, value in figures.items():
        number = value.get("value") if isinstance(value, dict) else value
        if isinstance(number, float) and name != "ece_by_chance":
            found[name] = number
    for label, own in figures.get("per_label", {}).items():
        area = own.get("auc")
        number = area.get("value") if isinstance(area, dict) else area
        if number is not None:
            found[f"auc {label}"] = number
        if "ece" in own:
            found[f"ece {label}"] = own["ece"]
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
