"""From probabilities to calls."""

from dataclasses import dataclass

import pytest

from inference.calls import call_labels, call_of


@dataclass
class Label:
    name: str
    condition: str
    high_sensitivity: float = 0.2
    high_specificity: float = 0.6
    claimed: bool = True
    ages: tuple[str, ...] = ()


BRAIN = [
    Label("glioma", "glioma"),
    Label("meningioma", "meningioma"),
    Label("pituitary", "pituitary-tumour"),
    Label("none", "no-brain-tumour"),
]
CHEST = [
    Label("no_finding", "no-chest-finding"),
    Label("pneumonia", "pneumonia"),
    Label("bacterial", "bacterial-pneumonia"),
    Label("viral", "viral-pneumonia"),
    Label("covid19", "covid-19-pneumonia", claimed=False),
]
KNEE = [Label(str(grade), f"knee-oa-{grade}") for grade in range(5)]


def calls(labels, values, **options):
    probabilities = dict(zip((label.name for label in labels), values, strict=True))
    return {found.name: found.call for found in call_labels(labels, probabilities, **options)}


@pytest.mark.parametrize(
    ("probability", "call"),
    [
        (0.0, "unlikely"),
        (0.199, "unlikely"),
        (0.2, "possible"),
        (0.599, "possible"),
        (0.6, "likely"),
        (1, "likely"),
    ],
)
def test_two_operating_points(probability, call):
    assert call_of(probability, 0.2, 0.6) == call


def test_points_in_the_wrong_order_do_not_skip_possible():
    assert [call_of(p, 0.6, 0.2) for p in (0.1, 0.3, 0.7)] == ["unlikely", "possible", "likely"]


def test_only_one_exclusive_label_is_likely():
    labels = [Label("a", "glioma", 0.1, 0.3), Label("b", "meningioma", 0.1, 0.3)]
    assert calls(labels, (0.55, 0.45), exclusive=True) == {"a": "likely", "b": "possible"}


def test_the_top_exclusive_label_is_at_least_possible():
    labels = [Label(name, condition, 0.5, 0.9) for name, condition in (("a", "glioma"), ("b", "meningioma"))]
    assert calls(labels, (0.45, 0.4), exclusive=True)["a"] == "possible"


def test_nothing_found_is_not_likely_beside_a_possible_tumour():
    found = calls(BRAIN, (0.25, 0.02, 0.03, 0.7), exclusive=True)
    assert found == {
        "none": "possible",
        "glioma": "possible",
        "meningioma": "unlikely",
        "pituitary": "unlikely",
    }


def test_nothing_found_is_likely_alone():
    assert calls(BRAIN, (0.05, 0.02, 0.03, 0.9), exclusive=True)["none"] == "likely"


def test_neighbouring_grades_do_not_weaken_grade_0():
    assert calls(KNEE, (0.7, 0.25, 0.05, 0, 0), exclusive=True, ordinal=True)["0"] == "likely"


def test_what_is_not_claimed_is_no_finding():
    assert "covid19" not in calls(CHEST, (0.0, 0.9, 0.1, 0.1, 0.99), exclusive=False)


def test_a_kind_of_pneumonia_is_not_surer_than_pneumonia():
    found = calls(CHEST, (0.1, 0.3, 0.9, 0.1, 0), exclusive=False)
    assert (found["pneumonia"], found["bacterial"]) == ("possible", "possible")
    assert calls(CHEST, (0.1, 0.1, 0.9, 0.1, 0), exclusive=False)["bacterial"] == "unlikely"


def test_order_is_by_call_then_probability():
    found = call_labels(
        CHEST,
        {"no_finding": 0.3, "pneumonia": 0.9, "bacterial": 0.7, "viral": 0.25, "covid19": 0},
        exclusive=False,
    )
    assert [item.name for item in found] == ["pneumonia", "bacterial", "no_finding", "viral"]


def test_no_claimed_label_gives_no_finding():
    assert call_labels([Label("x", "glioma", claimed=False)], {"x": 0.9}, exclusive=True) == []


@pytest.mark.parametrize(("age_group", "named"), [("child", True), ("adult", False), ("unknown", False)])
def test_a_label_learnt_on_children_is_a_finding_for_children_only(age_group: str, named: bool) -> None:
    labels = [Label("pneumonia", "pneumonia"), Label("viral", "viral-pneumonia", ages=("child",))]
    called = call_labels(labels, {"pneumonia": 0.97, "viral": 0.9}, exclusive=False, age_group=age_group)
    assert ("viral" in {item.name for item in called}) is named
    assert "pneumonia" in {item.name for item in called}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        pytest.param(
            [0.12, 0.06, 0.03, 0.79], {"glioma": "possible", "none": "possible"}, id="one in five together"
        ),
        pytest.param([0.12, 0.05, 0.03, 0.8], {"glioma": "unlikely", "none": "likely"}, id="less than that"),
        pytest.param(
            [0.19, 0.18, 0.18, 0.45], {"glioma": "possible", "none": "possible"}, id="more than nothing"
        ),
        pytest.param(
            [0.02, 0.3, 0.08, 0.6], {"glioma": "unlikely", "meningioma": "possible"}, id="already possible"
        ),
    ],
)
def test_nothing_is_found_only_where_diseases_are_improbable_together(values, expected):
    found = calls(BRAIN, values, exclusive=True)
    assert expected.items() <= found.items()
    assert sum(call != "unlikely" for name, call in found.items() if name != "none") <= 1


def test_grades_and_labels_that_may_stand_together_are_left_alone():
    assert calls(KNEE, [0.62, 0.12, 0.1, 0.08, 0.08], exclusive=True, ordinal=True)["1"] == "unlikely"
    assert calls(CHEST, [0.7, 0.15, 0.0, 0.0, 0.0], exclusive=False)["pneumonia"] == "unlikely"
