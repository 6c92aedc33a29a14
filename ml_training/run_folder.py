"""What a run folder says of itself: the config it belongs to, what it has learnt from, and how it goes on."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch

from ml_training.data.manifest import Item
from ml_training.errors import TrainingError
from ml_training.report import write_atomic
from ml_training.specs import WORDS, TrainConfig, build, config_from_plain, to_plain
from ml_training.weights import read_run

RUN = "run.json"
CONFIG = "config.json"
BEST, LAST = "best.ckpt", "last.ckpt"
_FINISHED = "finished"
_PROCESSES = "processes"


def mark(item: Item) -> str:
    """What stands for an item's group in `run.json`: no name of a patient or file."""
    return hashlib.sha256(item.group.encode()).hexdigest()[:12]


def read_about(run_dir: Path) -> dict[str, Any]:
    """What `run.json` holds; nothing where there is none.

    Raises:
        TrainingError: it is not whole.
    """
    return _read(run_dir / RUN)


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise TrainingError(f"{path} is not whole ({error})") from error


def learnt_marks(config: TrainConfig, learning: Iterable[Item], judging: Iterable[Item]) -> list[str]:
    """Marks of the groups that a run's weights will have learnt from, by itself, its start or its teachers.

    Raises:
        TrainingError: some of them are among the items that the run is judged on.
    """
    judged = {mark(item) for item in judging}
    learnt = {mark(item) for item in learning}
    before = [("teachers", Path(teacher)) for teacher in config.teachers]
    before += [("init", Path(config.init).parent)] if config.init else []
    for key, folder in before:
        theirs = set(read_about(folder).get("learnt", []))
        if theirs & judged:
            raise TrainingError(
                f"{key}: {folder} has learnt from items that this run is judged on; "
                "give both the same sources, split_seed and val_fraction"
            )
        learnt |= theirs
    return sorted(learnt)


def claim(
    config: TrainConfig, run_dir: Path, images: dict[str, int], learnt: Sequence[str], processes: int
) -> bool:
    """Make the folder that of a run of `config` by so many processes; False where that run has come to its
    end already.

    Raises:
        TrainingError: it holds a run of another config, or one that another number of processes began.
    """
    described = json.loads(json.dumps(to_plain(config)))
    # Compared as configs: a run that began before a key was known has its default.
    # A folder in which no epoch came to be, because a start or teacher was not there, is free.
    used = (run_dir / CONFIG).is_file() and any((run_dir / name).is_file() for name in (BEST, LAST))
    if used:
        wanted = config_from_plain(described)
        held = read_run(run_dir, "--run-dir")
        # Other words, or more cores to load with, make no other run.
        loose = {key: getattr(wanted, key) for key in (*WORDS, "workers")}
        if dataclasses.replace(held, **loose) != wanted:
            raise TrainingError(f"{run_dir} holds a run of another config; choose another --run-dir")
    before = read_about(run_dir)
    if before.get(_FINISHED) and (run_dir / BEST).is_file():
        _keep(run_dir / CONFIG, json.dumps(described, indent=1))
        return False
    begun = (run_dir / LAST).is_file()
    if begun and before.get("learnt", list(learnt)) != list(learnt):
        raise TrainingError(
            f"{run_dir} was begun with other items: what it has learnt from might be judged on now; choose "
            "another --run-dir"
        )
    # A run that began before the number was kept does not get one: nobody knows which it was.
    kept = before.get(_PROCESSES) if begun else processes
    if kept not in (None, processes):
        raise TrainingError(
            f"{run_dir} was begun with {kept} processes and this call would go on with {processes}; "
            f"give --devices {kept}"
        )
    about: dict[str, Any] = {
        "images": images,
        "git": _git_revision(),
        "torch": torch.__version__,
        "learnt": list(learnt),
    }
    if kept is not None:
        about[_PROCESSES] = kept
    run_dir.mkdir(parents=True, exist_ok=True)
    _keep(run_dir / CONFIG, json.dumps(described, indent=1))
    _keep(run_dir / RUN, json.dumps(about))
    return True


def finish(run_dir: Path) -> None:
    """Note that the run has come to its end, so that it is not gone on with."""
    write_atomic(run_dir / RUN, json.dumps({**read_about(run_dir), _FINISHED: True}).encode())


def refuse_other_config(config: TrainConfig, run_dir: Path) -> None:
    """Refuse to judge a run by a config whose network sees other images, or is another one; a folder that
    does not say its config is let be.

    Raises:
        TrainingError: naming the key.
    """
    path = run_dir / CONFIG
    # These parts alone: what else a run was trained with may have become unknown since.
    own = _read(path)
    for part in ("network", "preprocessing") if own else ():
        asked = getattr(config, part)
        theirs = build(type(asked), own.get(part, {}), f"{path}: {part}")
        for field in dataclasses.fields(asked):
            given, known = getattr(asked, field.name), getattr(theirs, field.name)
            if given != known:
                raise TrainingError(
                    f"{part}.{field.name}: the config has {given}, the run in {run_dir} {known}"
                )


def refuse_learnt(run_dir: Path, val: Sequence[Item], test: Sequence[Item]) -> None:
    """Refuse to judge a run on what it has learnt from; a folder that does not say so is let be.

    Raises:
        TrainingError: with the number of those items.
    """
    learnt = set(read_about(run_dir).get("learnt", []))
    seen = [sum(mark(item) in learnt for item in part) for part in (val, test)]
    if any(seen):
        raise TrainingError(
            f"{run_dir} has learnt from {seen[0]} of the {len(val)} validation items and {seen[1]} of the "
            f"{len(test)} test items; this config is not the run's (sources, split_seed, val_fraction)"
        )


def _keep(path: Path, text: str) -> None:
    """Write a file where it is not there or says something else."""
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        write_atomic(path, text.encode())


def _git_revision() -> str:
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()  # noqa: S603
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
