"""`evaluate`: three files that agree with each other and with `analyze`, and one line for bad input."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from ml_training.__main__ import main
from ml_training.bundle import Bundle
from ml_training.errors import TrainingError
from ml_training.evaluate import auc, average_precision, finite, interval, quadratic_kappa, report
from ml_training.evaluation import evaluate
from ml_training.labels import task_of
from ml_training.retrieval import retrieval
from ml_training.runtime import OnnxClassifier
from ml_training.transforms import serving_transform
from tests.ml_training.conftest import write_manifest

WHERE = ["split=test"]


def test_three_files_that_agree(bundle_path: Path, data_dir: Path, tmp_path: Path) -> None:
    manifest, out = data_dir / "tiny" / "manifest.csv", tmp_path / "out"
    command = ["evaluate", str(bundle_path), str(manifest), "--where", WHERE[0]]
    assert main([*command, "--group-column", "patient", "--out", str(out)]) == 0
    whole = json.loads((out / "metrics.json").read_text())
    figures = whole["figures"]["all"]
    with (out / "predictions.csv").open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert len(rows) == figures["images"] == 30
    right = [max("01234", key=lambda name: float(row[name])) == row["truth"] for row in rows]
    assert np.mean(right) == pytest.approx(figures["accuracy"]["value"], abs=1e-3)
    label = figures["per_label"]["2"]
    assert {"specificity", "precision", "recall", "f1", "auc", "average_precision"} <= set(label)
    assert all(len(label[name]["ci95"]) == 2 for name in ("recall", "specificity", "auc", "f1"))
    assert 0 <= figures["ece"]["ci95"][0] <= figures["ece"]["ci95"][1]
    own = next(spec for spec in Bundle.load(bundle_path).labels if spec.name == "2")
    positives = [row for row in rows if row["truth"] == "2"]
    found = np.mean([float(row["2"]) >= own.high_sensitivity for row in positives])
    assert label["sensitivity_at_possible"]["value"] == pytest.approx(found, abs=1e-3)
    assert label["sensitivity_at_likely"]["value"] <= label["sensitivity_at_possible"]["value"]
    assert label["specificity_at_likely"]["value"] >= label["specificity_at_possible"]["value"]
    assert whole["figures"]["border masked"]["images"] == 30
    assert 0 <= whole["retrieval"]["map_at_5"] <= 1
    page = (out / "report.html").read_text()
    assert (
        "sensitivity at possible" in page
        and "Worst mistakes" in page
        and "reliability diagram of every label" in page
        and "<script" not in page
    )


def test_the_figures_are_those_of_the_serving_runtime(
    bundle_path: Path, data_dir: Path, tmp_path: Path
) -> None:
    from ml_training.data.dataset import load_grey

    manifest, out = data_dir / "tiny" / "manifest.csv", tmp_path / "out"
    evaluate(bundle_path, manifest, WHERE, "patient", out)
    bundle = Bundle.load(bundle_path)
    runtime, prepare = (
        OnnxClassifier(bundle, tmp_path / "onnx", threads=1),
        serving_transform(bundle.preprocessing),
    )
    with (out / "predictions.csv").open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    batch = np.stack([prepare(load_grey(manifest.parent / row["file"])) for row in rows])
    served = bundle.predict_probabilities(runtime.run(batch).logits)
    said = np.array([[float(row[name]) for name in bundle.label_names] for row in rows])
    np.testing.assert_allclose(served, said, atol=1e-3)


@pytest.mark.parametrize(
    ("where", "group", "message"),
    [
        (["fold=4"], "patient", "no column 'fold'"),
        (WHERE, "person", "no column 'person'"),
        (["split=never"], "patient", "no row is left"),
    ],
)
def test_bad_requests_are_one_line(
    bundle_path: Path, data_dir: Path, where: list[str], group: str, message: str
) -> None:
    with pytest.raises(TrainingError, match=message):
        evaluate(bundle_path, data_dir / "tiny" / "manifest.csv", where, group)


def test_a_missing_image_and_a_strange_label_name_their_row(
    bundle_path: Path, data_dir: Path, tiny_rows: list[dict[str, str]]
) -> None:
    folder = data_dir / "tiny"
    manifest = write_manifest(folder, [{**tiny_rows[0], "label": "9"}])
    with pytest.raises(TrainingError, match=r"000.png: label '9' is not one of"):
        evaluate(bundle_path, manifest, [], "patient")
    manifest = write_manifest(folder, [tiny_rows[0], {**tiny_rows[1], "file": "gone.png"}])
    with pytest.raises(TrainingError, match=r"line 3: image gone.png is missing"):
        evaluate(bundle_path, manifest, [], "patient")


def test_hits_of_the_same_patient_do_not_count() -> None:
    embeddings = np.array([[1.0, 0.0], [1.0, 0.01], [0.0, 1.0], [0.9, 0.1]])
    labels, groups = ["a", "a", "b", "b"], ["p", "p", "q", "r"]
    found = retrieval(embeddings, labels, groups, k=1)
    # The two images of p have nobody of their label elsewhere; q's is nearest to r's, r's to one of p.
    assert found == {"images": 2, "map_at_1": 0.5, "precision_at_1": 0.5}
    assert retrieval(embeddings, ["a", "a", "a", "a"], groups, k=1)["map_at_1"] == 1.0


def test_kappa_weighs_grades_by_how_far_they_lie_apart() -> None:
    truth = np.array([0, 0, 1, 4, 4])
    # Grades 2 and 3 are missing: 4 read as 1 is still three grades off.
    guess = np.array([0, 1, 1, 4, 1])
    by_chance = ((truth[:, None] - guess[None]) ** 2).mean()
    assert quadratic_kappa(truth, guess, 5) == pytest.approx(1 - ((truth - guess) ** 2).mean() / by_chance)
    assert quadratic_kappa(truth, truth, 5) == 1
    assert quadratic_kappa(truth[:2], guess[:1].repeat(2), 5) is None


def test_figures_of_one_grade_hold_no_nan() -> None:
    probs, targets = np.eye(5)[[2, 2, 2, 2]] * 0.6 + 0.08, np.eye(5)[[2, 2, 2, 2]]
    figures = report(task_of("knee_xray"), probs, targets, ["a", "b", "c", "d"])
    assert figures["quadratic_weighted_kappa"] == {"value": None, "ci95": []}
    json.dumps(figures, allow_nan=False)
    # A draw in which a figure is not defined says nothing about its spread.
    assert interval(lambda rows: float("nan") if 0 in rows else 1.0, ["a", "b"]) == [1.0, 1.0]
    assert finite({"a": [float("nan"), 1.0], "b": (float("inf"), "x", 2)}) == {
        "a": [None, 1.0],
        "b": [None, "x", 2],
    }


def test_areas_are_scikit_learns_with_equal_scores_too() -> None:
    from sklearn.metrics import average_precision_score, roc_auc_score

    rng = np.random.default_rng(5)
    for digits in (1, 8):
        truth, score = (rng.random(200) < 0.2).astype(float), rng.random(200).round(digits)
        score = (score + truth / 2).round(digits)
        assert auc(score, truth) == pytest.approx(roc_auc_score(truth, score), abs=1e-12)
        assert average_precision(score, truth) == pytest.approx(
            average_precision_score(truth, score), abs=1e-12
        )
    truth[:50] = np.nan
    assert auc(score, truth) == pytest.approx(roc_auc_score(truth[50:], score[50:]), abs=1e-12)
    assert auc(score, np.ones(200)) is None and average_precision(score, np.zeros(200)) is None


def test_a_calibration_errors_interval_holds_what_is_true() -> None:
    """Exact probabilities have an error of 0, which a percentile interval of draws never reaches."""
    rng = np.random.default_rng(2)
    probs = rng.random((900, 5))
    probs /= probs.sum(1, keepdims=True)
    truth = np.array([rng.choice(5, p=row) for row in probs])
    ece = report(task_of("knee_xray"), probs, np.eye(5)[truth], [str(n) for n in range(900)])["ece"]
    assert ece["ci95"][0] == 0.0 and ece["value"] <= 0.06
