"""`tune`: many short trainings in search of better settings (Optuna; Akiba et al. 2019, arXiv:1907.10902).

The study lives in a database, so that a killed search goes on and several workers share one. Every trial is a
run folder that is named by its settings: a trial whose worker died is taken up again from its last epoch.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning
import optuna
import yaml
from lightning.pytorch.callbacks import Callback
from sqlalchemy.exc import SQLAlchemyError

from ml_training.checkpoints import HISTORY
from ml_training.errors import Diverged, TrainingError
from ml_training.report import Report, write_atomic
from ml_training.specs import TrainConfig, config_from_plain, to_plain
from ml_training.train import train

# Seconds between signs of life of a trial, and after which silence it counts as dead.
HEARTBEAT, GRACE = 30, 120
# Whatever draws the validation items, or says what is to be learnt of them.
_WHAT_IS_ASKED = ("kind", "sources", "val_fraction", "split_seed", "synthetic_negatives", "turned_negatives")
_ENDED = (optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.PRUNED)

log = logging.getLogger(__name__)


class _Taken(Exception):
    """Another worker tries these settings."""


@dataclass(frozen=True)
class Range:
    """What one config key may be: a number between `low` and `high`, or one of `choices`."""

    key: str
    kind: str
    low: float = 0
    high: float = 0
    step: float | None = None
    log: bool = False
    choices: tuple[Any, ...] = ()

    def suggest(self, trial: optuna.Trial) -> Any:
        """The trial's value."""
        if self.kind == "choice":
            # Databases keep plain values only: a list is chosen by its place.
            place = trial.suggest_categorical(self.key, [json.dumps(choice) for choice in self.choices])
            return json.loads(str(place))
        if self.kind == "int":
            step = int(self.step or 1)
            return trial.suggest_int(self.key, int(self.low), int(self.high), step=step, log=self.log)
        return trial.suggest_float(self.key, self.low, self.high, step=self.step, log=self.log)

    def ends(self) -> list[Any]:
        """Values that a config must accept."""
        if self.kind == "choice":
            return list(self.choices)
        return [int(self.low), int(self.high)] if self.kind == "int" else [float(self.low), float(self.high)]


def read_space(path: Path, config: TrainConfig) -> list[Range]:
    """The search space of a YAML file: dotted config keys, each with `type` (float, int, choice) and its
    range; see `ml_training/configs/spaces/`.

    Raises:
        TrainingError: it cannot be read, or a key, type or end is not one that the config knows; names it.
    """
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise TrainingError(f"{path}: {' '.join(str(error).split())}") from error
    if not isinstance(raw, dict) or not raw:
        raise TrainingError(f"{path}: expected config keys, each with a range")
    return [_range(f"{path}: {key}", str(key), given, config) for key, given in raw.items()]


def _range(where: str, key: str, given: Any, config: TrainConfig) -> Range:
    if not isinstance(given, dict) or given.get("type") not in ("float", "int", "choice"):
        raise TrainingError(f"{where}: needs a type: float, int or choice")
    kind = given["type"]
    known = {"type", "choices"} if kind == "choice" else {"type", "low", "high", "step", "log"}
    for name in given:
        if name not in known:
            raise TrainingError(f"{where}.{name}: unknown key; known: {', '.join(sorted(known))}")
    if kind == "choice":
        choices = given.get("choices")
        if not isinstance(choices, list) or not choices:
            raise TrainingError(f"{where}: needs a list of choices")
        found = Range(key, kind, choices=tuple(choices))
    else:
        number = int if kind == "int" else int | float
        for end in ("low", "high"):
            if not isinstance(given.get(end), number) or isinstance(given.get(end), bool):
                raise TrainingError(f"{where}.{end}: expected {kind}, got {given.get(end)!r}")
        low, high, is_log = given["low"], given["high"], bool(given.get("log", False))
        if low > high or (is_log and low <= 0):
            raise TrainingError(f"{where}: low {low} and high {high} are no range")
        if is_log and given.get("step") is not None:
            raise TrainingError(f"{where}: step and log exclude each other")
        found = Range(key, kind, low, high, given.get("step"), is_log)
    if key.partition(".")[0] in _WHAT_IS_ASKED:
        raise TrainingError(
            f"{where}: trials that are judged on other items cannot be compared; fix it in the config"
        )
    for value in found.ends():
        config_with(config, {key: value})
    return found


def config_with(config: TrainConfig, values: dict[str, Any]) -> TrainConfig:
    """The config with other values for some dotted keys.

    Raises:
        TrainingError: there is no such key, or the value does not fit.
    """
    plain = to_plain(config)
    for key, value in values.items():
        *parents, last = key.split(".")
        node: Any = plain
        for parent in parents:
            node = node.get(parent) if isinstance(node, dict) else None
        if not isinstance(node, dict) or last not in node:
            raise TrainingError(f"{key}: the config has no such key")
        node[last] = value
    return config_from_plain(plain)


class _Watch(Callback):
    """Tells the study of every epoch, and ends a trial that does worse than most."""

    def __init__(self, trial: optuna.Trial) -> None:
        self.trial = trial

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        loss = trainer.callback_metrics.get("val_loss")
        if loss is None or not trainer.is_global_zero:
            return
        self.trial.report(float(loss), trainer.current_epoch)
        if self.trial.should_prune():
            raise optuna.TrialPruned


def tune(
    config: TrainConfig,
    space: list[Range],
    data_dir: Path,
    run_dir: Path,
    trials: int,
    storage: str = "",
    progress: bool = True,
) -> dict[str, Any]:
    """Search until the study holds `trials` finished ones, write `report.html` and `best.yaml`, and return
    the best trial's settings.

    `storage` is a database URL that several workers may share; the default is a file in the run folder.

    Raises:
        TrainingError: a study of another config or space, no database or one that cannot be written, no
            validation items, or bad data.
    """
    if trials < 1:
        raise TrainingError(f"--trials {trials}: at least 1")
    if not config.val_fraction:
        raise TrainingError("val_fraction is 0: there are no validation items to compare trials on")
    run_dir.mkdir(parents=True, exist_ok=True)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = _study(config, space, run_dir, storage)
    while _finished(study) < trials:
        try:
            # One that another worker has counts for nothing: neither as a trial nor as bad settings.
            study.optimize(
                _objective(config, space, data_dir, run_dir, progress), n_trials=1, catch=(_Taken,)
            )
        except (SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
            raise TrainingError(f"--storage: {' '.join(str(error).split())[:200]}") from error
        log.info("%d of %d trials, best %s", _finished(study), trials, _best_value(study))
        _page(config, study).write(run_dir / "report.html")
    _page(config, study).write(run_dir / "report.html")
    try:
        best = study.best_trial
    except ValueError as error:
        raise TrainingError(f"{run_dir}: no trial came to its end") from error
    chosen = config_with(config, settings(space, best.params))
    plain = json.loads(json.dumps(to_plain(chosen)))
    write_atomic(run_dir / "best.yaml", yaml.safe_dump(plain, sort_keys=False).encode())
    return {"trial": best.number, "val_loss": best.value, "settings": settings(space, best.params)}


def settings(space: list[Range], params: dict[str, Any]) -> dict[str, Any]:
    """A trial's parameters as config values."""
    kinds = {own.key: own.kind for own in space}
    return {key: json.loads(value) if kinds.get(key) == "choice" else value for key, value in params.items()}


def _study(config: TrainConfig, space: list[Range], run_dir: Path, storage: str) -> optuna.Study:
    url = storage or f"sqlite:///{(run_dir / 'study.db').resolve()}"
    described = repr((to_plain(config), space))
    belongs_to = hashlib.sha256(described.encode()).hexdigest()
    try:
        database = optuna.storages.RDBStorage(
            url,
            heartbeat_interval=HEARTBEAT,
            grace_period=GRACE,
            heartbeat_stale_trial_callback=optuna.storages.RetryHeartbeatStaleTrialCallback(max_retry=3),
        )
        study = optuna.create_study(
            storage=database,
            study_name=run_dir.resolve().name,
            direction="minimize",
            load_if_exists=True,
            pruner=optuna.pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=1),
        )
        # Each sitting draws other points, a single one the same points every time. Workers that begin at once
        # draw the same ones first: all but one of them leave these (`_is_taken`).
        study.sampler = optuna.samplers.TPESampler(
            seed=config.seed + len(study.get_trials(deepcopy=False)), constant_liar=True, n_startup_trials=6
        )
        known = study.user_attrs.get("belongs_to")
        if known not in (None, belongs_to):
            raise TrainingError(
                f"{run_dir} holds a study of another config or search space; choose another --run-dir"
            )
        study.set_user_attr("belongs_to", belongs_to)
    except (SQLAlchemyError, ImportError, ValueError, optuna.exceptions.OptunaError) as error:
        raise TrainingError(f"--storage {url}: {' '.join(str(error).split())[:200]}") from error
    return study


def _objective(
    config: TrainConfig, space: list[Range], data_dir: Path, run_dir: Path, progress: bool
) -> Callable[[optuna.Trial], float]:
    def objective(trial: optuna.Trial) -> float:
        values = {own.key: own.suggest(trial) for own in space}
        name = hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]
        folder = run_dir / "trials" / name
        trial.set_user_attr("folder", name)
        if _is_taken(trial):
            raise _Taken("another worker tries the same settings")
        tried = config_with(config, values)
        try:
            # One device each: Lightning's processes would each draw settings of their own.
            train(tried, data_dir, folder, progress, devices="1", callbacks=[_Watch(trial)])
        except Diverged as error:
            raise optuna.TrialPruned(str(error)) from error
        history = json.loads((folder / HISTORY).read_text(encoding="utf-8"))
        return float(min(entry["val_loss"] for entry in history))

    return objective


def _is_taken(trial: optuna.Trial) -> bool:
    """Whether an earlier trial that is under way has the same settings: both would write into one folder."""
    running = (optuna.trial.TrialState.RUNNING,)
    others = trial.study.get_trials(deepcopy=False, states=running)
    return any(other.number < trial.number and other.params == trial.params for other in others)


def _finished(study: optuna.Study) -> int:
    return len(study.get_trials(deepcopy=False, states=_ENDED))


def _best_value(study: optuna.Study) -> float | None:
    try:
        return study.best_value
    except ValueError:
        return None


def _page(config: TrainConfig, study: optuna.Study) -> Report:
    page = Report(f"{config.kind}: search for settings")
    trials = study.get_trials(deepcopy=False)
    complete = [trial for trial in trials if trial.state == optuna.trial.TrialState.COMPLETE]
    page.text(
        f"{len(trials)} trials, {len(complete)} of them to their end. The value is the lowest validation "
        "loss of a trial; test images take no part. A trial that does worse than the median of the others "
        "at the same epoch is ended early (pruned)."
    )
    if complete:
        best = study.best_trial
        page.heading("Best settings")
        page.table(["key", "value"], [[key, str(value)] for key, value in best.params.items()])
        page.text(f"Trial {best.number}, validation loss {best.value:.4f}. best.yaml is a config for train.")
        page.heading("History")
        _history(page, complete)
        page.heading("What mattered")
        _importance(page, study, len(complete))
    page.heading("Every trial")
    names = sorted({name for trial in trials for name in trial.params})
    page.table(
        ["trial", "state", "validation loss", *names],
        [
            [str(t.number), t.state.name.lower(), t.value, *[_plain(t.params.get(name)) for name in names]]
            for t in trials
        ],
    )
    return page


def _plain(value: Any) -> str:
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


def _history(page: Report, complete: list[optuna.trial.FrozenTrial]) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3.4), layout="constrained")
    axes = figure.subplots()
    numbers = [trial.number for trial in complete]
    values = [float(trial.value) for trial in complete if trial.value is not None]
    lowest = [min(values[: n + 1]) for n in range(len(values))]
    axes.plot(numbers, values, "o", label="trial")
    axes.step(numbers, lowest, where="post", label="best so far")
    axes.set(xlabel="trial", ylabel="validation loss")
    axes.legend()
    page.figure(figure, f"Validation loss of {len(values)} trials; the best has {min(values):.4f}")


def _importance(page: Report, study: optuna.Study, complete: int) -> None:
    from matplotlib.figure import Figure

    try:
        evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
        shares = optuna.importance.get_param_importances(study, evaluator=evaluator)
    except (ValueError, RuntimeError):
        shares = {}
    if not shares:
        page.text("Too few finished trials to tell.")
        return
    figure = Figure(figsize=(8, 0.6 + 0.4 * len(shares)), layout="constrained")
    axes = figure.subplots()
    names = list(shares)[::-1]
    axes.barh(names, [shares[name] for name in names])
    axes.set(xlabel="share of the differences between trials (fANOVA)", xlim=(0, 1))
    page.figure(figure, ", ".join(f"{name} {share:.2f}" for name, share in shares.items()))
    if complete < 20:
        page.text(f"From {complete} trials only: take it as a hint.", warn=True)
