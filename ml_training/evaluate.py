"""Figures of a reading against the truth, each with a bootstrap interval over groups."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from scipy.special import expit, softmax
from sklearn.metrics import (
    average_precision_score,
    cohen_kappa_score,
    confusion_matrix,
    f1_score,
    precision_recall_fscore_support,
    roc_auc_score,
)

from ml_training.data.manifest import Item
from ml_training.labels import Task

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
    if len(set(truth[known].tolist())) < 2:
        return None
    return float(roc_auc_score(truth[known], score[known]))


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
    figure: Callable[[np.ndarray], float | None], groups: Sequence[str], rounds: int = 300
) -> list[float]:
    """95 % percentile bootstrap of `figure(row indices)`, drawing whole groups (patients), not images; draws
    for which it is not defined are left out, and it is empty where all are."""
    names, member = np.unique(np.asarray(groups), return_inverse=True)
    rows = [np.flatnonzero(member == g) for g in range(len(names))]
    rng = np.random.default_rng(0)
    values = []
    for _ in range(rounds):
        drawn = np.concatenate([rows[g] for g in rng.integers(0, len(rows), len(rows))])
        value = figure(drawn)
        if value is not None and np.isfinite(value):
            values.append(value)
    return [round(float(v), 4) for v in np.percentile(values, [2.5, 97.5])] if values else []


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


def report(task: Task, probs: np.ndarray, targets: np.ndarray, groups: list[str]) -> dict[str, Any]:
    """All figures for calibrated probabilities (N, K) against targets (N, K; nan unknown)."""
    figures = _exclusive if task.activation == "softmax" else _separate
    return dict(finite(figures(task, probs, targets, groups)))


def by_part(
    task: Task, probs: np.ndarray, targets: np.ndarray, items: Sequence[Item]
) -> dict[str, dict[str, Any]]:
    """`report` of all items, and of each source, age group and plane where a manifest names several."""
    figures = {"all": report(task, probs, targets, [item.group for item in items])}
    for column in ("source", "age_group", "plane"):
        values = sorted({item.row.get(column, "") for item in items} - {""})
        if len(values) < 2:
            continue
        for value in values:
            rows = [i for i, item in enumerate(items) if item.row.get(column) == value]
            groups = [items[i].group for i in rows]
            figures[f"{column}: {value}"] = report(task, probs[rows], targets[rows], groups)
    return figures


def _with_interval(figure: Callable[[np.ndarray], float | None], groups: Sequence[str]) -> dict[str, Any]:
    value = figure(np.arange(len(groups)))
    return {"value": None if value is None else round(value, 4), "ci95": interval(figure, groups)}


def _exclusive(task: Task, probs: np.ndarray, targets: np.ndarray, groups: list[str]) -> dict[str, Any]:
    truth, guess = targets.argmax(1), probs.argmax(1)
    labels = list(range(len(task.labels)))
    precision, recall, f1, support = precision_recall_fscore_support(
        truth, guess, labels=labels, zero_division=0
    )
    figures: dict[str, Any] = {
        "images": len(truth),
        "groups": len(set(groups)),
        "accuracy": _with_interval(lambda i: float((truth[i] == guess[i]).mean()), groups),
        "macro_f1": _with_interval(
            # Over the labels that are there: a part of one label only is not halved by one slip.
            lambda i: float(
                f1_score(truth[i], guess[i], labels=np.unique(truth[i]), average="macro", zero_division=0)
            ),
            groups,
        ),
        "ece": round(expected_calibration_error(probs.max(1), (truth == guess).astype(float)), 4),
        "ece_by_chance": round(error_by_chance(probs.max(1)), 4),
        "confusion": confusion_matrix(truth, guess, labels=labels).tolist(),
        "per_label": {
            name: {
                "precision": round(float(precision[k]), 4),
                "recall": round(float(recall[k]), 4),
                "f1": round(float(f1[k]), 4),
                "specificity": _share(guess != k, truth != k),
                "auc": None if (a := auc(probs[:, k], (truth == k).astype(float))) is None else round(a, 4),
                "images": int(support[k]),
            }
            for k, name in enumerate(task.names)
        },
    }
    for name, figure in own_figures(task).items():
        figures[name] = _with_interval(partial(_of_rows, figure, probs, targets), groups)
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
    return round(float(right[among].mean()), 4) if among.any() else None


def _separate(task: Task, probs: np.ndarray, targets: np.ndarray, groups: list[str]) -> dict[str, Any]:
    figures: dict[str, Any] = {"images": len(targets), "groups": len(set(groups)), "per_label": {}}
    for k, name in enumerate(task.names):
        known = np.flatnonzero(~np.isnan(targets[:, k]))
        if len(set(targets[known, k].tolist())) == 2:
            own = [groups[i] for i in known.tolist()]
            figures["per_label"][name] = _binary(targets[known, k], probs[known, k], own)
    typed = np.flatnonzero(_is_typed(task, targets)) if "bacterial" in task.names else np.array([], int)
    if len(typed):
        people = [groups[i] for i in typed.tolist()]
        for name, figure in own_figures(task).items():
            figures[name] = _with_interval(partial(_of_rows, figure, probs[typed], targets[typed]), people)
    return figures


def _is_typed(task: Task, targets: np.ndarray) -> np.ndarray:
    b, v = (np.nan_to_num(targets[:, task.names.index(name)]) for name in ("bacterial", "viral"))
    return np.asarray(b + v == 1)


def _binary(truth: np.ndarray, score: np.ndarray, groups: list[str]) -> dict[str, Any]:
    guess = score >= 0.5
    precision, recall, f1, _ = precision_recall_fscore_support(
        truth, guess, average="binary", zero_division=0
    )
    return {
        "images": len(truth),
        "positives": int(truth.sum()),
        "auc": _with_interval(lambda i: auc(score[i], truth[i]), groups),
        "accuracy": _with_interval(lambda i: float((guess[i] == truth[i]).mean()), groups),
        "average_precision": round(float(average_precision_score(truth, score)), 4),
        "precision": round(float(precision), 4),
        "recall": round(float(recall), 4),
        "specificity": _share(~guess, truth < 0.5),
        "f1": round(float(f1), 4),
        "ece": round(expected_calibration_error(score, truth), 4),
        "ece_by_chance": round(error_by_chance(score), 4),
        "confusion": confusion_matrix(truth, guess, labels=[0, 1]).tolist(),
    }
