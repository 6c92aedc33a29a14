"""What a bundle's metadata says about its model, in words."""

from typing import Any

import pytest

from inference.model_words import data_sets, measured, operating_points, plane_name

LABELS = [
    {"name": "pneumonia", "condition": "pneumonia", "claimed": True},
    {"name": "covid19", "condition": "covid-19-pneumonia", "claimed": False},
]


def test_a_part_has_a_name_a_size_and_a_sentence_for_each_known_figure() -> None:
    figures = {
        "all": {
            "images": 1624,
            "groups": 1200,
            "per_label": {
                "pneumonia": {"auc": {"value": 0.962, "ci95": [0.95, 0.97]}, "f1": 0.9},
                "covid19": {"auc": {"value": 0.99, "ci95": [0.98, 1.0]}},
            },
        },
        "age_group: child": {"images": 1, "groups": 1, "per_label": {"pneumonia": {"auc": 0.97}}},
        "source: nih": {"images": 400, "per_label": {"pneumonia": {"auc": 0.71}}},
    }
    parts = measured({"labels": LABELS, "eval_metrics": figures})
    assert [(part.name, part.size, part.is_detail) for part in parts] == [
        ("All test scans", "1,624 pictures of about 1,200 people", False),
        ("Children's scans", "1 picture", False),
        ("Scans from: nih", "400 pictures", True),
    ]
    (sentence,) = parts[0].sentences  # a label that is never a finding is not boasted of
    assert "shows pneumonia" in sentence and "96 of 100" in sentence and "between 95 and 97" in sentence
    assert "between" not in parts[1].sentences[0]


def test_where_one_answer_is_chosen_the_right_answers_are_counted() -> None:
    figures = {
        "all": {
            "images": 620,
            "accuracy": {"value": 0.87, "ci95": [0.84, 0.9]},
            "tumour_type_accuracy": {"value": 0.85, "ci95": []},
            "ece": 0.04,
            "confusion": [[1, 2], [3, 4]],
            "per_label": {"glioma": {"recall": 0.8, "auc": 0.9}},
        }
    }
    (part,) = measured({"labels": [{"name": "glioma", "condition": "glioma"}], "eval_metrics": figures})
    assert len(part.sentences) == 3
    assert "right answer for 87 of 100" in part.sentences[0]
    assert "right kind for 85 of 100" in part.sentences[1]
    assert part.sentences[2] == "Of test scans that show a glioma, it named 80 of 100."


@pytest.mark.parametrize(
    "nothing",
    [
        None,
        {},
        [],
        "0.9",
        {"all": {"accuracy": None}},
        {"all": {"accuracy": float("nan")}},
        {"all": {"accuracy": {"value": None, "ci95": []}}},
        {"all": {"accuracy": True}},
        {"all": {"accuracy": 87}},
        {"all": {"ece": 0.02}},
        {"all": 0.9},
        {"all": {"per_label": [1]}},
    ],
)
def test_figures_that_cannot_be_said_are_left_out(nothing: Any) -> None:
    assert measured({"eval_metrics": nothing}) == []


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (1.0, "more than 99 of 100"),
        (0.991, "more than 99"),
        (0.99, "99 of 100"),
        (0.0, "fewer than 1 of 100"),
    ],
)
def test_a_measured_share_is_never_all_or_nothing(value: float, words: str) -> None:
    assert words in measured({"eval_metrics": {"all": {"accuracy": value}}})[0].sentences[0]


@pytest.mark.parametrize(
    ("part", "name"),
    [
        ("age_group: adult", "Adults' scans"),
        ("plane: axial", "Seen from below"),
        ("plane: oblique", "plane: oblique"),
        ("held_out", "held out"),
    ],
)
def test_names_of_parts(part: str, name: str) -> None:
    assert measured({"eval_metrics": {part: {"accuracy": 0.5}}})[0].name == name


def test_training_data_are_named_with_their_licence() -> None:
    entries = [{"name": "Set A", "licence": "CC BY 4.0"}, {"name": "Set B"}, {"licence": "none"}, "text"]
    assert data_sets(entries) == ["Set A (CC BY 4.0)", "Set B"]
    assert data_sets(None) == []


POINTS: dict[str, Any] = {
    "labels": [{"name": "glioma", "high_sensitivity": 0.4, "high_specificity": 0.5}],
    "operating_points_by_age": {"adult": {"glioma": {"high_sensitivity": 0.1, "high_specificity": 0.9}}},
    "pooling": {"operating_points": {"glioma": {"high_sensitivity": 0.2, "high_specificity": 0.8}}},
}


@pytest.mark.parametrize(
    ("age_group", "is_volume", "slices_read", "marks"),
    [
        ("unknown", False, 1, (0.4, 0.5)),
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


@pytest.mark.parametrize(
    ("part", "lang"),
    [
        ("all", ""),
        ("age_group: child", ""),
        ("plane: axial", ""),
        ("simulated volumes", ""),
        ("source: synthetic", ""),
        ("source: figshare", ""),
        ("plane: oblique", "en"),
        ("held_out", "en"),
    ],
)
def test_a_part_that_there_are_no_words_for_is_marked_as_english(part: str, lang: str) -> None:
    (found,) = measured({"eval_metrics": {part: {"accuracy": 0.5}}})
    assert found.lang == lang
    assert lang or found.name not in (part, part.partition(": ")[2])


def test_planes_have_names() -> None:
    assert [plane_name(plane) for plane in ("axial", "coronal", "sagittal", "oblique", "")] == [
        "axial",
        "coronal",
        "sagittal",
        "oblique",
        "",
    ]
