"""`compare`: cross-validations over the same folds side by side, image by image."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ml_training.crossfit import log_losses
from ml_training.cv import Judged, judged
from ml_training.errors import TrainingError
from ml_training.evaluate import headline, interval, quadratic_kappa
from ml_training.labels import Task

Figure = Callable[[np.ndarray, np.ndarray], float | None]


@dataclass(frozen=True)
class Row:
    """One cross-validation: its folder, the figures over all held items, and how far each is from the
    first one's (value and 95 % interval of a bootstrap over groups that draws both alike). None is what
    is not defined.
    """

    run_dir: Path
    figures: dict[str, float | None]
    differences: dict[str, tuple[float | None, list[float]]]


def compare(run_dirs: Sequence[Path], data_dir: Path) -> list[Row]:
    """A row for each cross-validation; the first is what the others are measured against.

    Raises:
        TrainingError: a folder without a finished cross-validation, or of other items or folds.
    """
    first = judged(run_dirs[0], data_dir)
    groups = [item.group for item in first.items]
    rows = []
    for run_dir in run_dirs:
        own = first if run_dir == run_dirs[0] else judged(run_dir, data_dir)
        if own.parts != first.parts or own.config.kind != first.config.kind:
            raise TrainingError(f"{run_dir} has other items or folds than {run_dirs[0]}")
        found: dict[str, float | None] = {}
        away: dict[str, tuple[float | None, list[float]]] = {}
        for name, figure in _figures(first.task).items():
            found[name] = figure(own.probs, own.targets)
            if own is first:
                continue

            def difference(i: np.ndarray, figure: Figure = figure, own: Judged = own) -> float | None:
                theirs = figure(first.probs[i], first.targets[i])
                mine = figure(own.probs[i], own.targets[i])
                return None if mine is None or theirs is None else mine - theirs

            away[name] = (difference(np.arange(len(groups))), interval(difference, groups))
        rows.append(Row(run_dir, found, away))
    return rows


def _figures(task: Task) -> dict[str, Figure]:
    """What is compared, as functions of probabilities (N, K) and targets (N, K; nan unknown)."""

    def log_loss(probs: np.ndarray, targets: np.ndarray) -> float:
        return float(np.mean(log_losses(task, probs, targets)))

    def score(probs: np.ndarray, targets: np.ndarray) -> float:
        return headline(task, probs, targets)

    def kappa(probs: np.ndarray, targets: np.ndarray) -> float | None:
        return quadratic_kappa(targets.argmax(1), probs.argmax(1), len(task.labels))

    figures: dict[str, Figure] = {
        "log loss": log_loss,
        "accuracy" if task.activation == "softmax" else "mean AUC": score,
    }
    return figures | {"kappa": kappa} if task.ordinal else figures


def table(rows: Sequence[Row]) -> str:
    """The rows as a Markdown table."""
    names = list(rows[0].figures)
    lines = ["| run | " + " | ".join(names) + " |", "|---" * (1 + len(names)) + "|"]
    for row in rows:
        cells = []
        for name in names:
            cell = _shown(row.figures[name])
            if name in row.differences:
                value, ends = row.differences[name]
                cell += f" ({_shown(value, '+')}"
                cell += f" [{ends[0]:+.3f}, {ends[1]:+.3f}])" if ends else ")"
            cells.append(cell)
        lines.append(f"| {row.run_dir.name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _shown(value: float | None, sign: str = "") -> str:
    return "not defined" if value is None else f"{value:{sign}.3f}"


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def plain(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """The rows as JSON can hold them."""
    return [
        {
            "run": row.run_dir.name,
            "figures": {name: _rounded(value) for name, value in row.figures.items()},
            "differences": {
                name: {"value": _rounded(value), "ci95": ends}
                for name, (value, ends) in row.differences.items()
            },
        }
        for row in rows
    ]
