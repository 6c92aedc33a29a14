"""Honest probabilities, thresholds from validation data, and the distance from what was learnt."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit

from ml_training import calibrate, crossfit, ood
from ml_training.evaluate import error_by_chance, expected_calibration_error, interval, report
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


@pytest.mark.parametrize("count", [1, 2, 7, 19, 20, 21, 39, 40, 41, 100])
def test_operating_points_keep_their_promise_on_few_items(count: int) -> None:
    rng = np.random.default_rng(count)
    for _ in range(20):
        probs = rng.uniform(0.1, 0.9, (2 * count, 5))
        targets = np.repeat([[1.0], [0.0]], count, axis=0).repeat(5, axis=1)
        for k, point in enumerate(calibrate.operating_points(CHEST, probs, targets).values()):
            found = (probs[:count, k] >= point["high_sensitivity"]).mean()
            passed = (probs[count:, k] >= point["high_specificity"]).mean()
            assert found >= 0.95 and passed <= 0.05, (found, passed)
            assert all(value == round(value, 4) for value in point.values())
            # No further than the promise asks, but for what lies within the last digit.
            spared = (probs[count:, k] < calibrate.sparing(probs[count:, k], 0.6)).mean()
            assert 0.6 <= spared < 0.6 + 2 / count


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
    assert figures["per_label"]["4"]["recall"]["value"] == 0.5
    assert figures["quadratic_weighted_kappa"]["value"] < 1


def test_report_of_separate_labels_uses_known_rows_only() -> None:
    nan = np.nan
    targets = np.array([[1, 0, 0, 0, 0], [0, 1, 1, 0, 0], [0, 1, 0, 1, 0], [0, 1, nan, nan, 1]], dtype=float)
    probs = np.where(np.nan_to_num(targets) > 0.5, 0.9, 0.1)
    figures = report(CHEST, probs, targets, list("abcd"))
    assert figures["per_label"]["bacterial"]["images"] == 3
    assert figures["per_label"]["covid19"]["auc"]["value"] == 1.0
    assert figures["bacterial_against_viral_auc"]["value"] == 1.0


def by_age_world(rng: np.random.Generator, count: int = 1500) -> crossfit.Validation:
    """Children whose logits are right as they are, adults whose logits are three times too sharp."""
    ages = np.where(np.arange(count) % 2 == 0, "child", "adult")
    honest = rng.normal(0, 1.5, (count, 5))
    targets = (rng.random((count, 5)) < expit(honest)).astype(float)
    logits = honest * np.where(ages == "adult", 3.0, 1.0)[:, None]
    return crossfit.Validation(logits, targets, ages.tolist(), [f"p{i // 2}" for i in range(count)])


def test_age_groups_are_calibrated_apart_and_judged_on_others() -> None:
    val = by_age_world(np.random.default_rng(6))
    fitted = crossfit.fit_by_age(CHEST, val)
    assert set(fitted.calibration.ages) == {"child", "adult"}
    assert abs(fitted.calibration.ages["adult"].slope[1] - 1 / 3) < 0.1
    assert abs(fitted.calibration.ages["child"].slope[1] - 1) < 0.25
    adults = fitted.quality["parts"]["age_group: adult"]["pneumonia"]
    assert adults["ece_after"] < adults["ece_common"] < adults["ece_before"]
    assert adults["log_loss_after"] < adults["log_loss_common"]
    whole = fitted.calibration(val.logits, val.ages)
    np.testing.assert_array_equal(whole[1::2], fitted.calibration(val.logits[1::2], "adult"))
    for nobody in (None, "", "unknown"):
        np.testing.assert_array_equal(
            fitted.calibration(val.logits, nobody), calibrate.fit(CHEST, val.logits, val.targets)(val.logits)
        )
    plain = fitted.calibration.to_plain()
    again = calibrate.Calibration.from_plain(plain, "sigmoid")
    np.testing.assert_array_equal(again(val.logits, val.ages), whole)
    del plain["ages"]  # a bundle of an earlier version
    old = calibrate.Calibration.from_plain(plain, "sigmoid")
    np.testing.assert_array_equal(old(val.logits, "adult"), old(val.logits))


def test_too_few_of_an_age_share_the_common_calibration() -> None:
    val = by_age_world(np.random.default_rng(7), 60)
    assert crossfit.fit_by_age(CHEST, val).calibration.ages == {}
    alone = crossfit.Validation(val.logits, val.targets, val.ages, ["one"] * 60)
    assert crossfit.fit_by_age(CHEST, alone).quality == {}


def test_tasks_without_age_are_calibrated_together() -> None:
    val = by_age_world(np.random.default_rng(8))
    labels = np.eye(4)[val.logits[:, :4].argmax(1)]
    brain = crossfit.Validation(val.logits[:, :4], labels, val.ages, val.groups)
    assert crossfit.fit_by_age(task_of("brain_mri"), brain).calibration.ages == {}


def test_an_age_has_its_own_points_only_where_the_common_ones_fail_it() -> None:
    rng = np.random.default_rng(9)
    ages = ["child", "adult"] * 2000
    targets = (rng.random((4000, 5)) < 0.5).astype(float)
    probs = expit(rng.normal(0, 1, (4000, 5)) + 3 * (targets - 0.5))
    points = calibrate.operating_points(CHEST, probs, targets)
    assert calibrate.points_by_age(CHEST, probs, targets, ages, points) == {}
    worse = probs.copy()
    worse[1::2, 1] = np.where(targets[1::2, 1] > 0.5, probs[1::2, 1] * 0.5, probs[1::2, 1])
    points = calibrate.operating_points(CHEST, worse, targets)
    own = calibrate.points_by_age(CHEST, worse, targets, ages, points)
    assert set(own) >= {"adult"} and own["adult"]["pneumonia"] != points["pneumonia"]
    adults = worse[1::2, 1][targets[1::2, 1] == 1]
    assert (adults >= own["adult"]["pneumonia"]["high_sensitivity"]).mean() >= 0.945
    useless = probs.copy()
    useless[1::2, 1] = rng.random(2000)
    points = calibrate.operating_points(CHEST, useless, targets)
    own = calibrate.points_by_age(CHEST, useless, targets, ages, points)
    healthy = useless[1::2, 1][targets[1::2, 1] == 0]
    assert (healthy < own["adult"]["pneumonia"]["high_sensitivity"]).mean() >= 0.59


def test_even_true_probabilities_show_an_error_on_few_items() -> None:
    sure = np.full(95, 0.6)
    assert 0.1 < error_by_chance(sure) < 0.2
    assert error_by_chance(np.full(20000, 0.6)) < 0.02
