"""`evaluate --out`: everything about one bundle on one manifest, for a person and for a program.

`metrics.json` (all figures), `predictions.csv` (truth and probabilities of every image) and `report.html`
(tables, curves, and the images that were read worst).
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import precision_recall_curve, roc_curve

from ml_training.bundle import Bundle
from ml_training.data.dataset import load_grey
from ml_training.data.manifest import Item, age_groups, read_manifest
from ml_training.errors import TrainingError
from ml_training.evaluate import by_part, finite, report
from ml_training.labels import Task, task_of
from ml_training.looking import BORDER, heat_on_body, masked_logits, stripped_logits
from ml_training.report import Report, write_atomic
from ml_training.retrieval import retrieval
from ml_training.specs import TrainConfig
from ml_training.train import predict

_WORST = 24
_BINS = 10


@dataclass(frozen=True)
class Answers:
    """What a bundle says of N images: calibrated probabilities (N, K), embeddings (N, C), targets (N, K; nan
    unknown), and the accuracy-like figures with the border of every image masked.
    """

    task: Task
    items: list[Item]
    probabilities: np.ndarray
    embeddings: np.ndarray
    targets: np.ndarray

    @property
    def groups(self) -> list[str]:
        """The group of each image."""
        return [item.group for item in self.items]


def choose(
    manifest: Path, task: Task, where: Sequence[str], group_column: str, label: str = ""
) -> list[Item]:
    """Items of a manifest; `where` keeps rows with COLUMN=VALUE, `label` takes the place of every row's own.

    Raises:
        TrainingError: a column that is not there, an image that is missing, no row left.
    """
    rows = read_manifest(manifest)
    wanted = [condition.partition("=")[::2] for condition in where]
    for column in [column for column, _ in wanted] + ([group_column] if group_column else []):
        if column not in rows[0]:
            raise TrainingError(f"{manifest}: no column {column!r}")
    items = []
    for row in rows:
        if not all(row[column] == value for column, value in wanted):
            continue
        path = manifest.parent / row["file"]
        if not path.is_file():
            raise TrainingError(f"{manifest} line {row.line}: image {row['file']} is missing")
        group = (row[group_column] if group_column else "") or row["file"]
        labelled = {**row, "label": label} if label else row
        items.append(Item(path, tuple(task.target(labelled)), group, labelled))
    if not items:
        raise TrainingError(f"{manifest}: no row is left")
    return items


def answer(bundle: Bundle, items: list[Item]) -> Answers:
    """Run a bundle on items, with the preprocessing that serving uses."""
    task = task_of(bundle.kind)
    config = TrainConfig(
        bundle.kind, bundle.version, (), preprocessing=bundle.preprocessing, network=bundle.network
    )
    logits, embeddings, targets = predict(bundle.torch_network(), config, items)
    probs = bundle.predict_probabilities(logits, age_groups(items) if task.takes_age else None)
    return Answers(task, items, probs, embeddings, targets)


def points_of(bundle: Bundle, items: Sequence[Item]) -> np.ndarray:
    """The bundle's operating points (2, N, K) of every item, possible and likely, by its age group."""
    own = {age: bundle.labels_for(age) for age in set(age_groups(items))}
    rows = [own[age] for age in age_groups(items)]
    return np.array(
        [
            [[label.high_sensitivity for label in labels] for labels in rows],
            [[label.high_specificity for label in labels] for labels in rows],
        ]
    )


def without_border(bundle: Bundle, items: list[Item]) -> np.ndarray:
    """Probabilities (N, K) with the outer part of every image blacked out, see `looking.masked_logits`."""
    logits = masked_logits(bundle.torch_network(), bundle.preprocessing, items)
    ages = age_groups(items) if task_of(bundle.kind).takes_age else None
    return bundle.predict_probabilities(logits, ages)


def evaluate(
    bundle_path: Path, manifest: Path, where: Sequence[str], group_column: str, out: Path | None = None
) -> dict[str, Any]:
    """Figures of a bundle on a manifest; with `out`, the three files as well.

    Raises:
        TrainingError, BundleError: a bad manifest or bundle, before any image is read.
    """
    bundle = Bundle.load(bundle_path)
    items = choose(manifest, task_of(bundle.kind), where, group_column)
    answers = answer(bundle, items)
    figures = by_part(
        answers.task, answers.probabilities, answers.targets, answers.items, points_of(bundle, items)
    )
    if out is None:
        return figures
    masked = without_border(bundle, items)
    figures["border masked"] = report(answers.task, masked, answers.targets, answers.groups)
    if answers.task.planes:
        stripped = stripped_logits(bundle.torch_network(), bundle.preprocessing, items)
        figures["skull cut off"] = report(
            answers.task, bundle.predict_probabilities(stripped), answers.targets, answers.groups
        )
    found = retrieval(answers.embeddings, [label_words(answers.task, item) for item in items], answers.groups)
    heat = heat_on_body(
        answers.task, bundle.torch_network(), bundle.preprocessing, items, bundle.weights_matrix
    )
    whole = {
        "bundle": {"name": bundle.name, "version": bundle.version, "sha256": bundle.sha256},
        "manifest": {"where": list(where), "group_column": group_column, "images": len(items)},
        "retrieval": found,
        "heatmaps": heat,
        "figures": figures,
    }
    out.mkdir(parents=True, exist_ok=True)
    write_atomic(out / "metrics.json", (json.dumps(finite(whole), indent=1, allow_nan=False) + "\n").encode())
    write_atomic(out / "predictions.csv", _predictions(answers).encode())
    _page(bundle, manifest, answers, whole).write(out / "report.html")
    return figures


def label_words(task: Task, item: Item) -> str:
    """The labels that an item is known to have, joined by `|`; "unknown" where there are none."""
    known = [name for name, value in zip(task.names, item.target, strict=True) if value == 1]
    return "|".join(known) or "unknown"


def _predictions(answers: Answers) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = answers.task.names
    writer.writerow(["file", "group", "truth", *names, *(f"truth_{name}" for name in names)])
    for item, row in zip(answers.items, answers.probabilities, strict=True):
        shown = [f"{value:.6f}" for value in row]
        # 1, 0, or nothing where nobody knows, so that every figure can be recomputed from this file.
        known = ["" if value != value else f"{value:g}" for value in item.target]
        writer.writerow([item.row["file"], item.group, label_words(answers.task, item), *shown, *known])
    return text.getvalue()


def _page(bundle: Bundle, manifest: Path, answers: Answers, whole: dict[str, Any]) -> Report:
    page = Report(f"{bundle.name} {bundle.version} on {manifest.parent.name}/{manifest.name}")
    page.text(
        f"{len(answers.items)} images of {len(set(answers.groups))} patients or groups. Brackets hold the "
        "95 % interval of a bootstrap over groups. Probabilities are calibrated."
    )
    figures = whole["figures"]
    page.heading("In all, and in parts")
    page.table(["part", "images", "figures"], [_line(part, own) for part, own in figures.items()])
    page.text(
        f"'Border masked' is the same images with the outer {BORDER:.0%} blacked out. A large fall means "
        "that the model reads the frame as well as the anatomy."
    )
    if answers.task.planes:
        page.text(
            "'Skull cut off' keeps an ellipse inside the head, roughly what brain extraction leaves: a large "
            "fall means that the model reads the skull as well as the brain."
        )
    page.heading("Per label")
    own = figures["all"]["per_label"]
    # In the order of the report.
    columns = list(dict.fromkeys(key for label in own.values() for key in label if key != "confusion"))
    at_points = [key for key in columns if "_at_" in key]
    for shown in ([key for key in columns if key not in at_points], at_points):
        page.table(
            ["label", *[key.replace("_", " ") for key in shown]],
            [[name, *[_figure(label.get(key)) for key in shown]] for name, label in own.items()],
        )
    page.text(
        "'Possible' and 'likely' are the operating points, chosen on validation images: 95 in 100 of those "
        "with the label were to be found from 'possible' on, 95 in 100 of the others spared by 'likely'."
    )
    if "confusion" in figures["all"]:
        names = answers.task.names
        rows = [[name, *row] for name, row in zip(names, figures["all"]["confusion"], strict=True)]
        page.table(["truth, read as", *names], rows, "Confusion: rows are the truth")
    page.heading("Curves")
    _curves(page, answers)
    page.heading("Similar images")
    page.table(["figure", "value"], [[key, _figure(value)] for key, value in whole["retrieval"].items()])
    page.text("Neighbours in the network's embedding, other groups only.")
    page.heading("Where it looks")
    page.table(["figure", "value"], [[key, _figure(value)] for key, value in whole["heatmaps"].items()])
    page.text(
        "'inside' is the mean share of a heatmap's mass that lies on the body (brighter than half of Otsu's "
        "threshold), 'area' the share of the picture that the body covers: a map that knew nothing would "
        "have that much inside. Images with a disease only, each with the map of its true label."
    )
    page.heading("Worst mistakes")
    page.gallery(_worst(answers), "Surest wrong answers first")
    return page


def _figure(value: Any) -> str:
    if value is None:
        return "not defined"
    if isinstance(value, dict) and "value" in value:
        ends = value.get("ci95") or []
        middle = _figure(value["value"])
        return f"{middle} [{ends[0]:.3f}, {ends[1]:.3f}]" if ends else middle
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def _line(part: str, own: dict[str, Any]) -> list[Any]:
    shown = [
        f"{key.replace('_', ' ')} {_figure(value)}"
        for key, value in own.items()
        if key not in {"images", "groups", "per_label", "confusion"}
    ]
    if not shown:
        shown = [f"{name}: AUC {_figure(label.get('auc'))}" for name, label in own["per_label"].items()]
    return [part, own["images"], "; ".join(shown)]


def _curves(page: Report, answers: Answers) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 3.6), layout="constrained")
    roc, pr, calibration = figure.subplots(1, 3)
    for k, name in enumerate(answers.task.names):
        known = ~np.isnan(answers.targets[:, k])
        truth, score = answers.targets[known, k], answers.probabilities[known, k]
        if len(set(truth.tolist())) < 2:
            continue
        false, true, _ = roc_curve(truth, score)
        roc.plot(false, true, label=name)
        precision, recall, _ = precision_recall_curve(truth, score)
        pr.plot(recall, precision, label=name)
        parts = [part for part in np.array_split(np.argsort(score), _BINS) if len(part)]
        calibration.plot(
            [score[part].mean() for part in parts], [truth[part].mean() for part in parts], "o-", label=name
        )
    calibration.plot([0, 1], [0, 1], "k:", linewidth=1)
    for axes, title, x, y in (
        (roc, "ROC", "1 - specificity", "sensitivity"),
        (pr, "Precision and recall", "recall", "precision"),
        (calibration, "Reliability", "probability", "share that is true"),
    ):
        axes.set(title=title, xlabel=x, ylabel=y, xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    roc.legend(fontsize="small")
    page.figure(figure, "ROC curve, precision-recall curve and reliability diagram of every label")


def _worst(answers: Answers) -> list[tuple[np.ndarray, str]]:
    away = np.nan_to_num(np.abs(answers.targets - answers.probabilities), nan=0.0).max(axis=1)
    shown = []
    for i in np.argsort(-away)[:_WORST]:
        top = int(answers.probabilities[i].argmax())
        truth = label_words(answers.task, answers.items[i])
        said = f"{answers.task.names[top]} {answers.probabilities[i, top]:.2f}"
        shown.append((load_grey(answers.items[i].path), f"is {truth}, read as {said}"))
    return shown
