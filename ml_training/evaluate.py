"""Figures of a reading against the truth, each with a bootstrap interval over groups.

A figure with an interval is `{"value": number or None, "ci95": [low, high] or []}`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from scipy.special import expit, softmax
from scipy.stats import rankdata
from sklearn.metrics import cohen_kappa_score, confusion_matrix, f1_score

from ml_training.data.manifest import Item
from ml_training.labels import Task

# Draws of a bootstrap.
ROUNDS = 300

Figure = Callable[[np.ndarray, np.ndarray], float | None]  # of probabilities and targets (N, K)


def probabilities(task: Task, logits: np.ndarray) -> np.ndarray:
    """Uncalibrated probabilities (N, K) of logits (N, K)."""
    return np.asarray(softmax(logits, axis=1) if task.activation == "softmax" else expit(logits))


def headline(task: Task, logits: np.ndarray, targets: np.ndarray) -> float:
    """One number per epoch to look at: accuracy, or the mean AUC of the labels that both classes are known
    for."""
    if task.activation == "softmax":
        return float((logits.argmax(1) == targets.argmax(1)).mean())
    areas = [area for k in range(targets.shape[1]) if (area := auc(logits[:, k], targets[:, k])) is not None]
    return float(np.mean(areas)) if areas else 0.0


def auc(score: np.ndarray, truth: np.ndarray) -> float | None:
    """Area under the ROC curve over the known rows; None if only one class is there."""
    known = ~np.isnan(truth)
    positive = truth[known] > 0.5
    ill, well = int(positive.sum()), int((~positive).sum())
    if not ill or not well:
        return None
    # The share of pairs in their right order, from ranks (Mann and Whitney): a bootstrap asks for it often.
    ranks = rankdata(score[known])
    return float((ranks[positive].sum() - ill * (ill + 1) / 2) / (ill * well))


def average_precision(score: np.ndarray, truth: np.ndarray) -> float | None:
    """Mean precision over the steps of recall, equal scores as one step; None without a positive."""
    order = np.argsort(-score, kind="stable")
    hits, ends = np.cumsum(truth[order] > 0.5), np.flatnonzero(np.append(np.diff(score[order]) != 0, True))
    if not len(hits) or not hits[-1]:
        return None
    precision, recall = hits[ends] / (ends + 1), hits[ends] / hits[-1]
    return float((np.diff(recall, prepend=0.0) * precision).sum())


def quadratic_kappa(truth: np.ndarray, guess: np.ndarray, grades: int) -> float | None:
    """Cohen's kappa of grades (N,) in 0..`grades` - 1, weighted by the square of how far they lie apart; None
    where truth and guess know one and the same grade only."""
    if len(set(truth.tolist()) | set(guess.tolist())) < 2:
        return None
    # Without `labels`, grades would count as neighbours wherever those between them are missing.
    labels = list(range(grades))
    return float(cohen_kappa_score(truth, guess, labels=labels, weights="quadratic"))


def finite(figures: Any) -> Any:
    """Figures as JSON can hold them: None where a number is not defined (nan) or infinite."""
    if isinstance(figures, dict):
        return {name: finite(value) for name, value in figures.items()}
    if isinstance(figures, list | tuple):
        return [finite(value) for value in figures]
    return None if isinstance(figures, float) and not np.isfinite(figures) else figures


def interval(
    figure: Callable[[np.ndarray], float | None], groups: Sequence[str], rounds: int = ROUNDS
) -> list[float]:
    """95 % percentile bootstrap of `figure(row indices)`, drawing whole groups (patients), not images; draws
    for which it is not defined are left out, and it is empty where all are."""
    values = _drawn(figure, groups, rounds)
    return [round(float(v), 4) for v in np.percentile(values, [2.5, 97.5])] if values else []


def _drawn(figure: Callable[[np.ndarray], float | None], groups: Sequence[str], rounds: int) -> list[float]:
    names, member = np.unique(np.asarray(groups), return_inverse=True)
    rows = [np.flatnonzero(member == g) for g in range(len(names))]
    rng = np.random.default_rng(0)
    values = []
    for _ in range(rounds):
        drawn = np.concatenate([rows[g] for g in rng.integers(0, len(rows), len(rows))])
        value = figure(drawn)
        if value is not None and np.isfinite(value):
            values.append(value)
    return values


def expected_calibration_error(confidence: np.ndarray, correct: np.ndarray, bins: int = 15) -> float:
    """Mean gap between confidence and accuracy over equally filled bins (Guo et al. 2017,
    arXiv:1706.04599)."""
    order = np.argsort(confidence)
    gaps = [
        abs(confidence[part].mean() - correct[part].mean()) * len(part)
        for part in np.array_split(order, bins)
        if len(part)
    ]
    return float(sum(gaps) / max(1, len(confidence)))


def error_by_chance(confidence: np.ndarray, bins: int = 15, rounds: int = 100) -> float:
    """The calibration error that exact probabilities (N,) would show on so few items, on average.

    A measured error is only telling where it is clearly larger: 95 items in 15 bins show about 0.13 even if
    every probability is true.
    """
    rng = np.random.default_rng(0)
    errors = [
        expected_calibration_error(confidence, (rng.random(len(confidence)) < confidence).astype(float), bins)
        for _ in range(rounds)
    ]
    return float(np.mean(errors))


def report(
    task: Task,
    probs: np.ndarray,
    targets: np.ndarray,
    groups: list[str],
    points: np.ndarray | None = None,
    rounds: int = ROUNDS,
) -> dict[str, Any]:
    """All figures for calibrated probabilities (N, K) against targets (N, K; nan unknown).

    `points` (2, N, K) are the probabilities from which each label of each item is `possible` and `likely`;
    with them there is what each of the two finds and spares. `rounds` of the bootstrap; 0 leaves intervals
    out.
    """
    figures = _exclusive if task.activation == "softmax" else _separate
    return dict(finite(figures(task, probs, targets, _Draws(groups, rounds), points)))


def by_part(
    task: Task,
    probs: np.ndarray,
    targets: np.ndarray,
    items: Sequence[Item],
    points: np.ndarray | None = None,
) -> dict[str, dict[str, Any]]:
    """`report` of all items, and of each source, age group and plane where a manifest names several."""
    figures = {"all": report(task, probs, targets, [item.group for item in items], points)}
    for column in ("source", "age_group", "plane"):
        values = sorted({item.row.get(column, "") for item in items} - {""})
        if len(values) < 2:
            continue
        for value in values:
            rows = [i for i, item in enumerate(items) if item.row.get(column) == value]
            groups = [items[i].group for i in rows]
            own = None if points is None else points[:, rows]
            figures[f"{column}: {value}"] = report(task, probs[rows], targets[rows], groups, own)
    return figures


@dataclass(frozen=True)
class _Draws:
    """The groups that a bootstrap draws, and how often."""

    groups: Sequence[str]
    rounds: int

    def of(self, rows: np.ndarray) -> _Draws:
        """For some of the rows."""
        return _Draws([self.groups[i] for i in rows.tolist()], self.rounds)

    def __call__(self, figure: Callable[[np.ndarray], float | None]) -> dict[str, Any]:
        """A figure of row indices with its interval."""
        value = figure(np.arange(len(self.groups)))
        ends = interval(figure, self.groups, self.rounds)
        return {"value": None if value is None else round(value, 4), "ci95": ends}

    def error(self, confidence: np.ndarray, correct: np.ndarray) -> dict[str, Any]:
        """The calibration error with its interval.

        A draw repeats items, which makes its error larger than that of so many different ones. So the
        interval is the basic one: as far as draws lie above the figure, so far may the figure lie above the
        truth (Davison and Hinkley 1997, section 5.2).
        """

        def figure(rows: np.ndarray) -> float:
            return expected_calibration_error(confidence[rows], correct[rows])

        value = figure(np.arange(len(self.groups)))
        values = _drawn(figure, self.groups, self.rounds)
        ends: Sequence[float] = (2 * value - np.percentile(values, [97.5, 2.5])).tolist() if values else ()
        return {"value": round(value, 4), "ci95": [round(max(0.0, end), 4) for end in ends]}

    def one(self, truth: np.ndarray, score: np.ndarray, guess: np.ndarray) -> dict[str, Any]:
        """Figures of one label: truth (N,), score (N,) and whether it was said (N,)."""
        return {
            "precision": self(lambda i: _share(truth[i], guess[i])),
            "recall": self(lambda i: _share(guess[i], truth[i])),
            "f1": self(lambda i: _f1(truth[i], guess[i])),
            "specificity": self(lambda i: _share(~guess[i], ~truth[i])),
            "auc": self(lambda i: auc(score[i], truth[i].astype(float))),
            "average_precision": self(lambda i: average_precision(score[i], truth[i])),
        }

    def at(self, truth: np.ndarray, score: np.ndarray, points: np.ndarray) -> dict[str, Any]:
        """What the two operating points (2, N) of one label find and spare."""
        figures = {}
        for name, own in zip(("possible", "likely"), points, strict=True):
            said = score >= own
            figures[f"sensitivity_at_{name}"] = self(partial(_of_those, said, truth))
            figures[f"specificity_at_{name}"] = self(partial(_of_those, ~said, ~truth))
        return figures


def _exclusive(
    task: Task, probs: np.ndarray, targets: np.ndarray, draws: _Draws, points: np.ndarray | None
) -> dict[str, Any]:
    truth, guess = targets.argmax(1), probs.argmax(1)
    labels = list(range(len(task.labels)))
    figures: dict[str, Any] = {
        "images": len(truth),
        "groups": len(set(draws.groups)),
        "accuracy": draws(lambda i: float((truth[i] == guess[i]).mean())),
        "macro_f1": draws(
            # Over the labels that are there: a part of one label only is not halved by one slip.
            lambda i: float(
                f1_score(truth[i], guess[i], labels=np.unique(truth[i]), average="macro", zero_division=0)
            )
        ),
        "ece": draws.error(probs.max(1), (truth == guess).astype(float)),
        "ece_by_chance": round(error_by_chance(probs.max(1)), 4),
        "confusion": confusion_matrix(truth, guess, labels=labels).tolist(),
        "per_label": {
            name: {
                **draws.one(truth == k, probs[:, k], guess == k),
                **({} if points is None else draws.at(truth == k, probs[:, k], points[:, :, k])),
                "images": int((truth == k).sum()),
            }
            for k, name in enumerate(task.names)
        },
    }
    for name, figure in own_figures(task).items():
        figures[name] = draws(partial(_of_rows, figure, probs, targets))
    return figures


def _of_rows(figure: Figure, probs: np.ndarray, targets: np.ndarray, rows: np.ndarray) -> float | None:
    return figure(probs[rows], targets[rows])


def own_figures(task: Task) -> dict[str, Figure]:
    """What is asked of this kind of reading only: functions of probabilities and targets (N, K); None where
    the images do not tell.
    """
    if task.ordinal:
        return {
            "quadratic_weighted_kappa": lambda probs, targets: quadratic_kappa(
                targets.argmax(1), probs.argmax(1), targets.shape[1]
            ),
            "auc_grade_2_or_more": lambda probs, targets: auc(
                probs[:, 2:].sum(1), (targets.argmax(1) >= 2).astype(float)
            ),
        }
    if task.kind == "brain_mri":
        return {"tumour_type_accuracy": _type_accuracy}
    if "bacterial" in task.names:
        b, v = task.names.index("bacterial"), task.names.index("viral")
        return {
            "bacterial_against_viral_auc": lambda probs, targets: auc(
                probs[:, b] - probs[:, v],
                np.where(_is_typed(task, targets), targets[:, b], np.nan),
            )
        }
    return {}


def _type_accuracy(probs: np.ndarray, targets: np.ndarray) -> float | None:
    truth = targets.argmax(1)
    tumour = truth < 3
    return float((probs[tumour, :3].argmax(1) == truth[tumour]).mean()) if tumour.any() else None


def _share(right: np.ndarray, among: np.ndarray) -> float | None:
    return float(right[among].mean()) if among.any() else None


def _of_those(right: np.ndarray, among: np.ndarray, rows: np.ndarray) -> float | None:
    return _share(right[rows], among[rows])


def _f1(truth: np.ndarray, guess: np.ndarray) -> float | None:
    size = int(truth.sum() + guess.sum())
    return 2 * float((truth & guess).sum()) / size if size else None


def _separate(
    task: Task, probs: np.ndarray, targets: np.ndarray, draws: _Draws, points: np.ndarray | None
) -> dict[str, Any]:
    figures: dict[str, Any] = {"images": len(targets), "groups": len(set(draws.groups)), "per_label": {}}
    for k, name in enumerate(task.names):
        known = np.flatnonzero(~np.isnan(targets[:, k]))
        if len(set(targets[known, k].tolist())) == 2:
            own = None if points is None else points[:, known, k]
            figures["per_label"][name] = _binary(targets[known, k], probs[known, k], draws.of(known), own)
    typed = np.flatnonzero(_is_typed(task, targets)) if "bacterial" in task.names else np.array([], int)
    if len(typed):
        for name, figure in own_figures(task).items():
            figures[name] = draws.of(typed)(partial(_of_rows, figure, probs[typed], targets[typed]))
    return figures


def _is_typed(task: Task, targets: np.ndarray) -> np.ndarray:
    b, v = (np.nan_to_num(targets[:, task.names.index(name)]) for name in ("bacterial", "viral"))
    return np.asarray(b + v == 1)


def _binary(truth: np.ndarray, score: np.ndarray, draws: _Draws, points: np.ndarray | None) -> dict[str, Any]:
    ill, guess = truth > 0.5, score >= 0.5
    return {
        "images": len(truth),
        "positives": int(ill.sum()),
        "accuracy": draws(lambda i: float((guess[i] == ill[i]).mean())),
        **draws.one(ill, score, guess),
        **({} if points is None else draws.at(ill, score, points)),
        "ece": draws.error(score, truth),
        "ece_by_chance": round(error_by_chance(score), 4),
        "confusion": confusion_matrix(truth, guess, labels=[0, 1]).tolist(),
    }
