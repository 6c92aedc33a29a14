"""`recipe`: a chain of trainings and what follows from them, in one command that goes on where it ended.

A recipe is a YAML file of steps. A finished step is noted in `recipe.json` in the folder of runs and not done
again; an unfinished training goes on from its last epoch, in this sitting or in another on another machine.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from ml_training.errors import TrainingError, Unfinished
from ml_training.report import write_atomic
from ml_training.run_folder import BEST
from ml_training.specs import WORDS, TrainConfig, build, config_from_plain, load_config, override, to_plain

VERBS = ("train", "cv", "calibrate", "publish")
DONE = "recipe.json"
# A sitting with less left than this begins no training.
_LEAST_SECONDS = 60.0
# Stands for the folder of runs where a recipe is only read.
_ANYWHERE = Path("runs-dir")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Step:
    """One verb of a recipe.

    `train` and `cv` need a `config` (relative to the recipe) and make the run folder `name`; `calibrate` and
    `publish` work on the run folder `run`, with that run's own config. `set` overrides config keys, after the
    recipe's own `set`; `{runs}` in its values is the folder of runs. `seeds` makes `name_1`, `name_2`, ... of
    a training. `minutes` is how long it may take; a sitting with less left begins trainings only, which stop
    between two epochs.
    """

    name: str
    verb: str
    config: str = ""
    run: str = ""
    set: dict[str, Any] = field(default_factory=dict)
    seeds: tuple[int, ...] = ()
    folds: int = 0
    minutes: float = 0.0


@dataclass(frozen=True)
class Recipe:
    """Steps in their order, each with its overrides complete."""

    path: Path
    steps: list[Step]


@dataclass(frozen=True)
class Places:
    """Where a recipe reads and writes."""

    data_dir: Path
    runs_dir: Path
    bundle_dir: Path


def read_recipe(path: Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe; `overrides` are config keys (`key=value`) for all of its trainings.

    Raises:
        TrainingError: unreadable, an unknown key, verb, config or run, or two steps of one name.
    """
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise TrainingError(f"{path}: {' '.join(str(error).split())}") from error
    if not isinstance(raw, dict) or not raw.get("steps") or set(raw) - {"set", "steps"}:
        raise TrainingError(f"{path}: a recipe has `steps` and, for all of them, `set`")
    common = dict(raw.get("set") or {})
    said: dict[str, Any] = {}
    for text in overrides:
        key, equals, value = text.partition("=")
        if not equals:
            raise TrainingError(f"override {text!r} must look like key=value")
        try:
            said[key] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise TrainingError(f"override {text!r}: {' '.join(str(error).split())}") from error
    steps: list[Step] = []
    for number, given in enumerate(raw["steps"], start=1):
        step: Step = build(Step, given, f"{path.name} step {number}")
        _check(step, steps, f"{path.name} step {step.name}")
        # What is said on the command line is for all trainings, also where a step has a value of its own.
        settings = {**common, **step.set, **said}
        for seed in step.seeds:
            own = {**settings, "seed": seed}
            steps.append(dataclasses.replace(step, name=f"{step.name}_{seed}", set=own, seeds=()))
        if not step.seeds:
            steps.append(
                dataclasses.replace(step, set=settings if step.verb in {"train", "cv"} else step.set)
            )
    recipe = Recipe(path, steps)
    _check_configs(recipe)
    return recipe


def _check(step: Step, before: Sequence[Step], where: str) -> None:
    names = {own.name for own in before}
    if step.verb not in VERBS:
        raise TrainingError(f"{where}: verb {step.verb!r} is not one of {', '.join(VERBS)}")
    if step.name in names:
        raise TrainingError(f"{where}: there are two steps of this name")
    if step.verb in {"train", "cv"} and (not step.config or step.run):
        raise TrainingError(f"{where}: {step.verb} needs `config`, and makes a run of its own")
    if step.verb in {"calibrate", "publish"} and step.run not in names:
        raise TrainingError(f"{where}: run {step.run!r} is not an earlier step")
    if (step.verb == "cv") != (step.folds > 0):
        raise TrainingError(f"{where}: `folds` belongs to cv, and cv needs it")


def _check_configs(recipe: Recipe) -> None:
    """Raise TrainingError for a config that cannot be, or that names the run of no earlier step: the first
    step may take hours."""
    made: dict[str, TrainConfig] = {}
    for step in recipe.steps:
        where = f"{recipe.path.name} step {step.name}"
        try:
            config = _config(recipe, step, _ANYWHERE, made.get(step.run))
        except TrainingError as error:
            raise TrainingError(f"{where}: {error}") from error
        for place in map(Path, (config.init, config.cross_validation, *config.teachers)):
            # {runs}/NAME, with a file or a fold behind it or not.
            if place.is_relative_to(_ANYWHERE) and place.parts[1] not in made:
                raise TrainingError(f"{where}: {{runs}}/{place.parts[1]} is no earlier step")
        if step.config:
            made[step.name] = config


def _config(recipe: Recipe, step: Step, runs_dir: Path, run: TrainConfig | None = None) -> TrainConfig:
    """The config of a step; `run` is that of the step whose run it works on, where nothing has run yet."""
    texts = [f"{key}={json.dumps(_placed(value, runs_dir))}" for key, value in step.set.items()]
    if step.config:
        return load_config(recipe.path.parent / step.config, texts)
    if run is not None:
        return config_from_plain(override(to_plain(run), texts))
    path = runs_dir / step.run / "config.json"
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise TrainingError(f"{path}: the run of step {step.name} is not there ({error})") from error
    return config_from_plain(override(raw, texts))


def _placed(value: Any, runs_dir: Path) -> Any:
    if isinstance(value, str):
        return value.replace("{runs}", str(runs_dir))
    if isinstance(value, list):
        return [_placed(item, runs_dir) for item in value]
    return value


def pending(recipe: Recipe, runs_dir: Path) -> list[Step]:
    """The steps that are still to be done: never done, or changed since, in the recipe or in their config."""
    done = _done(runs_dir)
    return [
        step
        for step in recipe.steps
        if done.get(step.name) != _digest(recipe, step)
        or (step.verb == "train" and not (runs_dir / step.name / BEST).is_file())
    ]


def _digest(recipe: Recipe, step: Step) -> str:
    plain = {key: value for key, value in dataclasses.asdict(step).items() if key != "minutes"}
    if step.config:
        settings = to_plain(_config(recipe, step, _ANYWHERE))
        # Other words about a model, or more cores, are no reason to train it again.
        plain["settings"] = {key: value for key, value in settings.items() if key not in (*WORDS, "workers")}
        plain["set"] = {key: value for key, value in step.set.items() if key not in (*WORDS, "workers")}
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:16]


def _done(runs_dir: Path) -> dict[str, str]:
    path = runs_dir / DONE
    if not path.is_file():
        return {}
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise TrainingError(
            f"{path} is not whole ({error}); remove it to look at every step again"
        ) from error


def cook(
    recipe: Recipe,
    places: Places,
    progress: bool = True,
    deadline: float | None = None,
    devices: str = "auto",
) -> None:
    """Do all pending steps, in their order, until `deadline` (of `time.monotonic`).

    `devices` are Lightning's, for every training.

    Raises:
        TrainingError: a step that cannot be done; what was finished before it stays so.
        Unfinished: the deadline came first; the same call goes on.
    """
    places.runs_dir.mkdir(parents=True, exist_ok=True)
    left = pending(recipe, places.runs_dir)
    anew = {step.name for step in left}
    left = [step for step in recipe.steps if step.name in anew or step.run in anew]
    for number, step in enumerate(left):
        needed = _LEAST_SECONDS if step.verb in {"train", "cv"} else 60 * step.minutes
        if number and deadline is not None and time.monotonic() + needed > deadline:
            raise Unfinished(f"{recipe.path.name}: {step.name} is next, {len(left) - number} steps are left")
        if step.verb in {"calibrate", "publish"} and os.environ.get("LOCAL_RANK", "0") != "0":
            continue  # one of Lightning's processes does that
        log.info("step %s: %s", step.name, step.verb)
        try:
            _do(recipe, step, places, progress, deadline, devices)
        except Unfinished as error:
            raise Unfinished(f"step {step.name}, {error}") from error
        except TrainingError as error:
            raise TrainingError(f"step {step.name}: {error}") from error
        # What was made of this run before is to be made again.
        stale = {other.name for other in recipe.steps if other.run == step.name}
        kept = {name: mark for name, mark in _done(places.runs_dir).items() if name not in stale}
        done = {**kept, step.name: _digest(recipe, step)}
        write_atomic(places.runs_dir / DONE, (json.dumps(done, indent=1) + "\n").encode())


def _do(
    recipe: Recipe, step: Step, places: Places, progress: bool, deadline: float | None, devices: str
) -> None:
    from ml_training.calibrating import calibrate_run
    from ml_training.cv import cross_validate
    from ml_training.publish import publish
    from ml_training.train import train

    config = _config(recipe, step, places.runs_dir)
    run_dir = places.runs_dir / (step.run or step.name)
    if step.verb == "train":
        train(config, places.data_dir, run_dir, progress, devices=devices, deadline=deadline)
    elif step.verb == "cv":
        cross_validate(config, places.data_dir, run_dir, step.folds, progress, devices, deadline=deadline)
    elif step.verb == "calibrate":
        calibrate_run(config, places.data_dir, run_dir)
    else:
        publish(config, places.data_dir, run_dir, places.bundle_dir)


def plan(recipe: Recipe, runs_dir: Path) -> str:
    """A line a step: its name, verb, minutes, and whether it is done."""
    open_steps = {step.name for step in pending(recipe, runs_dir)}
    lines = [
        f"{step.name:20} {step.verb:10} {step.minutes:5g} min  {'' if step.name in open_steps else 'done'}"
        for step in recipe.steps
    ]
    left = sum(step.minutes for step in recipe.steps if step.name in open_steps)
    return "\n".join([*lines, f"{len(open_steps)} steps left, {left:g} min by estimate"])
