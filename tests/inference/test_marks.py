"""The marks that make the calls: of whom, of volumes, and where they are more careful than the bundle."""

import copy
from datetime import date
from typing import Any

import pytest

from inference.calls import NOTHING_FROM, doubtful_labels, operating_points
from inference.marks import are_marks_outdated, marks_of, way_of
from inference.models import Analysis
from inference.prognosis import Point, trend, words
from tests.factories import ScanFactory
from tests.inference import reading_rows as rows

POINTS: dict[str, Any] = {
    "labels": [{"name": "glioma", "high_sensitivity": 0.4, "high_specificity": 0.5}],
    "operating_points_by_age": {"adult": {"glioma": {"high_sensitivity": 0.1, "high_specificity": 0.9}}},
    "pooling": {"operating_points": {"glioma": {"high_sensitivity": 0.2, "high_specificity": 0.8}}},
}


@pytest.mark.parametrize(
    ("age_group", "is_volume", "slices_read", "marks"),
    [
        ("child", False, 1, (0.4, 0.5)),
        ("unknown", False, 1, (0.1, 0.9)),
        ("adult", False, 1, (0.1, 0.9)),
        ("adult", True, 30, (0.2, 0.8)),
        ("adult", True, 1, (0.4, 0.5)),
    ],
)
def test_marks_are_those_that_make_the_call(
    age_group: str, is_volume: bool, slices_read: int, marks: tuple[float, float]
) -> None:
    found = operating_points(POINTS, age_group=age_group, is_volume=is_volume, slices_read=slices_read)[
        "glioma"
    ]
    assert (found["high_sensitivity"], found["high_specificity"]) == marks


def test_marks_of_a_bundle_that_gives_none() -> None:
    assert operating_points({}, age_group="adult", is_volume=True, slices_read=9) == {}


FILMS: dict[str, Any] = {
    "activation": "sigmoid",
    "labels": [
        {
            "name": "no_finding",
            "condition": "no-chest-finding",
            "high_sensitivity": 0.39,
            "high_specificity": 0.55,
        },
        {"name": "pneumonia", "condition": "pneumonia", "high_sensitivity": 0.46, "high_specificity": 0.62},
        {"name": "viral", "condition": "viral-pneumonia", "high_sensitivity": 0.3, "high_specificity": 0.5},
    ],
    "operating_points_by_age": {
        "adult": {
            "no_finding": {"high_sensitivity": 0.37, "high_specificity": 0.84},
            "pneumonia": {"high_sensitivity": 0.16, "high_specificity": 0.6},
        },
        "child": {"viral": {"high_sensitivity": 0.35, "high_specificity": 0.59}},
    },
}


def film_marks(age_group: str) -> dict[str, tuple[float, float]]:
    found = operating_points(FILMS, age_group=age_group, is_volume=False, slices_read=1)
    return {name: (own["high_sensitivity"], own["high_specificity"]) for name, own in found.items()}


def test_where_the_age_is_not_known_every_mark_is_the_most_careful_one() -> None:
    assert film_marks("unknown") == {
        "no_finding": (0.37, 0.84),
        "pneumonia": (0.16, 0.62),
        "viral": (0.3, 0.59),
    }


def test_nothing_is_found_on_a_film_only_where_little_is_left_for_a_disease() -> None:
    marks = film_marks("child")
    assert marks["no_finding"] == (0.39, 0.8)
    assert marks["pneumonia"] == (0.2, 0.62)
    assert marks["viral"] == (0.35, 0.59), "of a kind the disease itself tells"
    assert film_marks("adult")["pneumonia"] == (0.16, 0.6)


HEADS: dict[str, Any] = {
    "kind": "brain_mri",
    "activation": "softmax",
    "labels": [
        {"name": "glioma", "condition": "glioma", "high_sensitivity": 0.37, "high_specificity": 0.5},
        {"name": "none", "condition": "no-brain-tumour", "high_sensitivity": 0.4, "high_specificity": 0.5},
    ],
    "pooling": {"operating_points": {"none": {"high_sensitivity": 0.1, "high_specificity": 0.65}}},
}


@pytest.mark.parametrize(("is_volume", "slices_read"), [(False, 1), (True, 1), (True, 5), (True, 60)])
def test_nothing_found_in_a_head_is_likely_from_the_mark_that_is_shown(
    is_volume: bool, slices_read: int
) -> None:
    def upper_mark(metadata: dict[str, Any]) -> float:
        found = operating_points(metadata, age_group="adult", is_volume=is_volume, slices_read=slices_read)
        return float(found["none"]["high_specificity"])

    assert upper_mark(HEADS) == NOTHING_FROM
    own = upper_mark({**HEADS, "kind": "knee_xray"})
    assert own < NOTHING_FROM, "a next grade does not weaken grade 0"


def test_marks_leave_the_metadata_as_they_are() -> None:
    before = copy.deepcopy(FILMS)
    film_marks("unknown")
    assert before == FILMS


def test_what_healthy_scans_look_like_is_never_likely_in_a_single_picture() -> None:
    metadata = {
        **POINTS,
        "pooling": {**POINTS["pooling"], "ceilings": [0.5]},
    }
    assert doubtful_labels(metadata) == {"glioma"} and not doubtful_labels(POINTS)
    alone = operating_points(metadata, age_group="child", is_volume=False, slices_read=1)["glioma"]
    assert (alone["high_sensitivity"], alone["high_specificity"]) == (0.4, None)
    many = operating_points(metadata, age_group="unknown", is_volume=True, slices_read=30)["glioma"]
    assert many["high_specificity"] == 0.8


def test_of_few_slices_each_mark_is_the_more_careful_one() -> None:
    few = operating_points(POINTS, age_group="adult", is_volume=True, slices_read=5)["glioma"]
    assert (few["high_sensitivity"], few["high_specificity"]) == (0.2, 0.8)
    firm = {"pooling": {"operating_points": {"glioma": {"high_sensitivity": 0.6, "high_specificity": 0.45}}}}
    few = operating_points({**POINTS, **firm}, age_group="adult", is_volume=True, slices_read=19)["glioma"]
    assert (few["high_sensitivity"], few["high_specificity"]) == (0.4, 0.5)
    many = operating_points({**POINTS, **firm}, age_group="adult", is_volume=True, slices_read=20)["glioma"]
    assert (many["high_sensitivity"], many["high_specificity"]) == (0.6, 0.45)


@pytest.mark.django_db
class TestOfAReading:
    def film(self, **fields: Any) -> Analysis:
        version = rows.model_version()
        version.metadata = FILMS
        version.save()
        scan = ScanFactory.create(case__age_group="unknown")
        return rows.reading(scan, model_version=version, **fields)

    def test_what_was_kept_is_shown(self) -> None:
        reading = self.film(marks={"pneumonia": [0.3, None], "no_finding": [0.2, 0.7]})
        assert marks_of(reading) == {"pneumonia": (0.3, None), "no_finding": (0.2, 0.7)}
        assert not are_marks_outdated(reading)

    def test_a_reading_from_before_was_called_by_its_bundle(self) -> None:
        reading = self.film()
        assert marks_of(reading)["pneumonia"] == (0.46, 0.62)
        assert are_marks_outdated(reading), "today pneumonia is possible from 0.16 on"

    def test_two_calibrations_by_age_are_two_ways(self) -> None:
        version = rows.model_version()
        version.metadata = {**FILMS, "calibration": {"ages": {"child": {}}}}
        version.save()
        scan = ScanFactory.create(case__age_group="child")
        ways = [
            way_of(rows.reading(scan, model_version=version, age_group=age))
            for age in ("child", "", "adult", "unknown")
        ]
        assert ways == ["picture of child", "picture of child", "picture", "picture"]

    def test_pictures_few_and_many_slices_are_not_set_beside_each_other(self) -> None:
        flat, deep = ScanFactory.create(), ScanFactory.create(slices=30)
        version = rows.model_version()
        ways = [
            way_of(rows.reading(scan, model_version=version, slices_read=count))
            for scan, count in ((flat, 1), (deep, 1), (deep, 19), (deep, 20), (deep, 30))
        ]
        assert ways == ["picture", "picture", "few", "many", "many"]
        day = date(2026, 1, 1)
        points = [Point(day, 0.95, "a", "few"), Point(day.replace(month=6), 0.49, "a", "many")]
        found = trend(points, 0.15)
        assert found.kind == "other_way" and "another number of pictures" in words(found, points[-1].on)
        assert trend([*points, Point(day.replace(month=7), 0.5, "b", "many")], 0.15).kind == "other_model"
