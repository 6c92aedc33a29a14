"""Honest probabilities, thresholds from validation data, and the distance from what was learnt."""

from __future__ import annotations

import numpy as np
from scipy.special import expit

from ml_training import calibrate, ood
from ml_training.evaluate import expected_calibration_error, interval, report
from ml_training.labels import task_of

KNEE, CHEST = task_of("knee_xray"), task_of("chest_xray")


def overconfident(rng: np.random.Generator, count: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    """Logits three times too sharp, and labels drawn from the honest probabilities."""
    honest = rng.normal(0, 1.2, (count, 5))
    p = np.exp(honest) / np.exp(honest).sum(1, keepdims=True)
    drawn = np.array([rng.choice(5, p=row) for row in p])
    return honest * 3, np.eye(5)[drawn]


def test_temperature_repairs_overconfidence() -> None:
    logits, targets = overconfident(np.random.default_rng(0))
    fitted = calibrate.fit(KNEE, logits, targets)
    assert 2.6 < fitted.temperature < 3.4
    right = (logits.argmax(1) == targets.argmax(1)).astype(float)
    before = expected_calibration_error(calibrate.Calibration("softmax")(logits).max(1), right)
    after = expected_calibration_error(fitted(logits).max(1), right)
    assert after < 0.03 < before


def test_platt_ignores_unknown_labels() -> None:
    rng = np.random.default_rng(1)
    logits = rng.normal(0, 2, (3000, 5))
    targets = (rng.random((3000, 5)) < expit(logits * 0.5 - 1)).astype(float)
    hidden = targets.copy()
    hidden[1500:, 2] = np.nan
    fitted = calibrate.fit(CHEST, logits, hidden)
    assert abs(fitted.slope[2] - 0.5) < 0.12
    assert abs(fitted.intercept[2] + 1) < 0.2


def test_calibration_survives_its_own_json() -> None:
    logits, targets = overconfident(np.random.default_rng(2), 200)
    fitted = calibrate.fit(KNEE, logits, targets)
    again = calibrate.Calibration.from_plain(fitted.to_plain(), "softmax")
    np.testing.assert_array_equal(fitted(logits), again(logits))


def test_operating_points_keep_their_promise() -> None:
    rng = np.random.default_rng(3)
    targets = (rng.random((4000, 5)) < 0.4).astype(float)
    probs = expit(rng.normal(0, 1, (4000, 5)) + 2 * (targets - 0.5))
    for k, (name, point) in enumerate(calibrate.operating_points(CHEST, probs, targets).items()):
        assert name == CHEST.names[k]
        assert point["high_sensitivity"] <= point["high_specificity"]
        assert (probs[targets[:, k] == 1, k] >= point["high_sensitivity"]).mean() >= 0.945
        assert (probs[targets[:, k] == 0, k] >= point["high_specificity"]).mean() <= 0.055


def test_far_embeddings_are_far() -> None:
    rng = np.random.default_rng(4)
    classes = rng.integers(0, 3, 900)
    centres = rng.normal(0, 3, (3, 40))
    train = centres[classes] + rng.normal(0, 1, (900, 40))
    fitted = ood.fit(train[:700], classes[:700], train[700:], ("a", "b", "c"), kept=0.98)
    assert (fitted.distances(train[700:]).min(1) <= fitted.threshold).mean() >= 0.97
    assert (fitted.distances(rng.normal(0, 12, (100, 40))).min(1) > fitted.threshold).mean() > 0.95
    again = ood.OutOfDistribution.from_plain(fitted.to_plain())
    np.testing.assert_allclose(again.distances(train), fitted.distances(train), rtol=1e-3)


def test_intervals_draw_groups_not_images() -> None:
    truth = np.repeat(np.random.default_rng(5).random(20) < 0.5, 50).astype(float)
    one_each = [str(i) for i in range(1000)]
    by_group = [str(i // 50) for i in range(1000)]

    def mean(rows: np.ndarray) -> float:
        return float(truth[rows].mean())

    narrow, wide = interval(mean, one_each), interval(mean, by_group)
    assert wide[1] - wide[0] > 3 * (narrow[1] - narrow[0])


def test_report_counts_what_a_reader_would() -> None:
    targets = np.eye(5)[[0, 1, 2, 3, 4, 4]]
    probs = np.eye(5)[[0, 1, 2, 3, 4, 0]] * 0.9 + 0.02
    figures = report(KNEE, probs, targets, list("aabbcc"))
    assert figures["accuracy"]["value"] == round(5 / 6, 4)
    assert figures["confusion"][4] == [1, 0, 0, 0, 1]
    assert figures["per_label"]["4"]["recall"] == 0.5
    assert figures["quadratic_weighted_kappa"]["value"] < 1


def test_report_of_separate_labels_uses_known_rows_only() -> None:
    nan = np.nan
    targets = np.array([[1, 0, 0, 0, 0], [0, 1, 1, 0, 0], [0, 1, 0, 1, 0], [0, 1, nan, nan, 1]], dtype=float)
    probs = np.where(np.nan_to_num(targets) > 0.5, 0.9, 0.1)
    figures = report(CHEST, probs, targets, list("abcd"))
    assert figures["per_label"]["bacterial"]["images"] == 3
    assert figures["per_label"]["covid19"]["auc"]["value"] == 1.0
    assert figures["bacterial_against_viral_auc"]["value"] == 1.0
