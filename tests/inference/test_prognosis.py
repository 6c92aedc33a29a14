"""Trends of findings: what is about the same, what changed, and the words for it."""

from datetime import date
from typing import Any

import pytest
from django.utils import translation

from inference.prognosis import (
    LARGEST_MARGIN,
    LEAST_MARGIN,
    Point,
    Trend,
    expected_grade,
    margin,
    trend,
    words,
)

JAN, FEB, MAR, APR = (date(2026, n, 10) for n in (1, 2, 3, 4))


def points(*values: float, models: str = "") -> list[Point]:
    return [
        Point(day, value, (models or "aaaa")[n])
        for n, (day, value) in enumerate(zip((JAN, FEB, MAR, APR), values, strict=False))
    ]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((0.5,), Trend("single", JAN)),
        ((0.5, 0.6), Trend("same", JAN)),
        ((0.5, 0.65), Trend("same", JAN)),  # exactly the margin
        ((0.5, 0.66), Trend("higher", FEB, JAN, "lower")),
        ((0.9, 0.2), Trend("lower", FEB, JAN, "higher")),
        ((0.2, 0.8, 0.82, 0.8), Trend("same", FEB, JAN, "lower")),
        # A slow drift is not hidden by small steps.
        ((0.30, 0.40, 0.50, 0.60), Trend("same", MAR, FEB, "lower")),
    ],
)
def test_trend(values: tuple[float, ...], expected: Trend) -> None:
    assert trend(points(*values), 0.15) == expected


def test_versions_are_not_compared() -> None:
    assert trend(points(0.1, 0.9, models="ab"), 0.15).kind == "other_model"
    # With two readings by the newest version, those two are compared.
    assert trend(points(0.1, 0.9, 0.9, models="abb"), 0.15) == Trend("same", FEB)


def test_two_scans_of_one_day() -> None:
    day = [Point(JAN, 0.2, "a"), Point(JAN, 0.9, "a")]
    found = trend(day, 0.15)
    assert found.kind == "higher"
    assert "Jan. 10, 2026" in words(found, JAN)


def test_no_points() -> None:
    with pytest.raises(ValueError, match="no point"):
        trend([], 0.15)


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ({}, LEAST_MARGIN),
        ({"eval_metrics": {"all": {"ece": 0.01}}}, LEAST_MARGIN),
        ({"eval_metrics": {"all": {"ece": 0.06}}}, 0.18),
        ({"eval_metrics": {"all": {"ece": 0.01, "per_label": {"x": {"ece": 0.08}}}}}, 0.24),
        ({"eval_metrics": {"all": {"ece": 0.9}}}, LARGEST_MARGIN),
        ({"eval_metrics": {"all": {"ece": "much"}}}, LEAST_MARGIN),
        ({"eval_metrics": {"all": {"ece": float("nan")}}}, LEAST_MARGIN),
        ({"eval_metrics": []}, LEAST_MARGIN),
        ({"eval_metrics": {"all": {"ece": {"value": 0.06, "ci95": [0.02, 0.09]}}}}, 0.18),
    ],
)
def test_margin_follows_the_measured_error(metadata: Any, expected: float) -> None:
    assert margin(metadata, "x") == pytest.approx(expected)


def test_expected_grade() -> None:
    assert expected_grade({"0": 0.0, "1": 0.5, "2": 0.5}) == pytest.approx(1.5)
    assert expected_grade({"pneumonia": 0.5}) is None
    assert expected_grade({}) is None


def test_words_say_the_month_and_never_promise() -> None:
    assert words(Trend("same", JAN), APR) == "About the same since January 2026."
    assert words(Trend("higher", APR, MAR, "lower"), APR) == (
        "Higher than in March 2026: ask your doctor what that means."
    )
    assert "tell you what that means" in words(Trend("lower", APR, MAR, "higher"), APR)
    assert "cannot be compared" in words(Trend("other_model", APR), APR)
    assert words(Trend("same", FEB, JAN, "lower"), APR).endswith("in January 2026, it was lower.")
    with translation.override("es"):
        assert "2026" in words(Trend("same", JAN), APR)


def test_within_one_month_words_say_the_day() -> None:
    early, late = date(2026, 3, 2), date(2026, 3, 20)
    assert words(Trend("higher", late, early, "lower"), late).startswith("Higher than on March 2, 2026:")
    assert words(Trend("same", late, early, "lower"), late).endswith("on March 2, 2026, it was lower.")
    with translation.override("es"):
        assert words(Trend("higher", late, early, "lower"), late).startswith(
            "Más alto que el 2 de marzo de 2026"
        )
    with translation.override("hi"):
        assert words(Trend("higher", late, early, "lower"), late).startswith("2 मार्च 2026 के मुकाबले ज़्यादा")
