"""What a bundle's metadata says about its model, in words."""

from typing import Any

import pytest

from inference.model_words import data_sets, measured, plane_name

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
    assert "Asked only which kind a tumour is, it named the right one for 85 of 100" in part.sentences[1]
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


BRAIN: dict[str, Any] = {
    "labels": [{"name": "glioma", "condition": "glioma"}, {"name": "none", "condition": "no-brain-tumour"}],
    "eval_metrics": {
        "all": {"images": 771, "groups": 102, "accuracy": 0.91},
        "source: few": {
            "images": 15,
            "accuracy": {"value": 1.0, "ci95": [1.0, 1.0]},
            "per_label": {"glioma": {"recall": 0.0, "images": 0}, "none": {"recall": 1.0, "images": 15}},
        },
        "simulated volumes": {"images": 664, "groups": 102, "accuracy": 0.88},
    },
}


def test_what_was_not_there_was_not_missed_and_few_are_counted() -> None:
    (few,) = [part for part in measured(BRAIN) if part.name == "Scans from: few"]
    assert few.sentences == (
        "It gave the right answer for all 15 scans.",
        "Of test scans that show none of the tumours it knows, it named all 15.",
    )


def test_of_a_scan_of_many_slices_the_figures_for_such_scans_come_first() -> None:
    assert [part.name for part in measured(BRAIN) if not part.is_detail] == ["All test scans"]
    (told,) = [part for part in measured(BRAIN, is_volume=True) if not part.is_detail]
    assert told.name.startswith("Scans of many slices") and told.size == "664 scans of about 102 people"
    only = {**BRAIN, "eval_metrics": {"all": BRAIN["eval_metrics"]["all"]}}
    assert [part.is_detail for part in measured(only, is_volume=True)] == [False]


def test_adults_are_told_that_their_figure_is_easy_and_where_it_is_not() -> None:
    auc = {"per_label": {"pneumonia": {"auc": 0.96}}}
    parts = {"all": auc, "age_group: adult": auc, "age_group: child": auc, "source: NIH ChestX-ray14": auc}
    told = {part.name: part for part in measured({"labels": LABELS, "eval_metrics": parts})}
    warned = [name for name, part in told.items() if "had COVID-19" in part.sentences[-1]]
    assert warned == ["All test scans", "Adults' scans"]
    assert not told["Scans from: NIH ChestX-ray14"].is_detail
    del parts["source: NIH ChestX-ray14"]
    assert "COVID" not in str(measured({"labels": LABELS, "eval_metrics": parts}))
