"""Symptoms in the danger rules: each rule decides somewhere, and nothing ever lowers a level."""

import copy

import pytest

from inference import danger, rule_check
from inference.danger import LADDER
from resources.symptoms import catalogue, facts
from tests.inference.test_danger import EXPECTED, Found

RULES = danger.default_rules()


# What each answer means by itself, for an adult.
LEVELS = {
    "breathless_at_rest": "emergency",
    "blue_lips": "emergency",
    "chest_pain": "emergency",
    "confusion": "emergency",
    "oxygen_low": "emergency",
    "oxygen_reduced": "urgent",
    "coughing_blood": "urgent",
    "high_fever": "soon",
    "child_not_drinking": "emergency",
    "child_breathing": "emergency",
    "child_fit_or_limp": "emergency",
    "baby_fever": "emergency",
    "weak_defences_fever": "emergency",
    "first_seizure": "emergency",
    "sudden_weakness": "emergency",
    "worst_headache": "emergency",
    "sudden_vision_loss": "emergency",
    "drowsy": "emergency",
    "fever_stiff_neck": "emergency",
    "morning_vomiting": "urgent",
    "hot_swollen_fever": "urgent",
    "cannot_bear_weight": "urgent",
    "locked_knee": "urgent",
    "calf_pain": "urgent",
    "night_pain": "soon",
}
# And where it means more: rule, answer, age, finding, level.
MORE = [
    ("symptom.high_fever.child", "high_fever", "child", None, "soon"),
    ("symptom.night_pain.child", "night_pain", "child", None, "urgent"),
    ("symptom.high_fever.pneumonia.child", "high_fever", "child", ("pneumonia", "possible"), "urgent"),
    ("symptom.high_fever.pneumonia", "high_fever", "adult", ("pneumonia", "possible"), "urgent"),
    ("symptom.morning_vomiting.glioma", "morning_vomiting", "adult", ("glioma", "likely"), "emergency"),
    (
        "symptom.morning_vomiting.meningioma",
        "morning_vomiting",
        "adult",
        ("meningioma", "likely"),
        "emergency",
    ),
]
ALL = [(f"symptom.{fact}", fact, "adult", None, level) for fact, level in LEVELS.items()] + MORE


def test_the_tables_cover_every_symptom_rule_and_every_answer():
    assert sorted(row[0] for row in ALL) == sorted(rule.id for rule in RULES.symptom_rules)
    assert set(LEVELS) == set(catalogue().by_fact())


@pytest.mark.parametrize(("rule_id", "fact", "age", "finding", "level"), ALL, ids=[row[0] for row in ALL])
def test_every_symptom_rule_decides_where_it_fires(rule_id, fact, age, finding, level):
    answer = danger.assess([Found(*finding)] if finding else [], age, facts={fact})
    assert (answer.level, answer.rule_ids[0]) == (level, rule_id)


@pytest.mark.parametrize("rule", RULES.symptom_rules, ids=lambda rule: rule.id)
def test_a_symptom_never_lowers_a_finding(rule):
    for condition, call in EXPECTED:
        answer = danger.assess([Found(condition, call)], "adult", facts=rule.symptoms)
        assert LADDER.index(answer.level) <= LADDER.index(EXPECTED[condition, call])


@pytest.mark.parametrize("status", ["rejected", "failed"])
def test_symptoms_alone_give_an_answer(status):
    assert danger.assess([], status=status, facts={"blue_lips"}).level == "emergency"


@pytest.mark.parametrize("symptom", catalogue().symptoms, ids=lambda symptom: symptom.code)
def test_every_answer_counts_also_where_the_age_is_not_known(symptom):
    for fact in symptom.facts:
        for age in ("child", "unknown"):
            assert danger.from_symptoms({fact}, age) is not None


@pytest.mark.parametrize(
    "sign",
    [
        "child_breathing",
        "child_fit_or_limp",
        "baby_fever",
        "weak_defences_fever",
        "fever_stiff_neck",
        "drowsy",
    ],
)
def test_signs_that_cannot_wait_are_an_emergency(sign):
    for age in ("child", "unknown"):
        assert danger.from_symptoms({sign}, age).level == "emergency"


@pytest.mark.parametrize(
    ("oxygen", "level"),
    [(90, "emergency"), (92, "emergency"), (92.9, "emergency"), (93, "urgent"), (94.9, "urgent"), (95, "")],
)
def test_oxygen_of_92_per_cent_or_less_is_an_emergency(oxygen, level):
    said = danger.from_symptoms(facts({"oxygen_saturation": oxygen}), "adult")
    assert (said.level if said else "") == level


@pytest.mark.parametrize(
    ("oxygen", "fact"),
    [
        (50, "oxygen_low"),
        (92, "oxygen_low"),
        (92.99, "oxygen_low"),
        (93, "oxygen_reduced"),
        (94.99, "oxygen_reduced"),
        (95, None),
        (100, None),
    ],
)
def test_an_oxygen_level_is_in_one_band_at_most(oxygen, fact):
    assert facts({"oxygen_saturation": oxygen}) == ({fact} if fact else set())


def test_a_no_and_no_answer_establish_nothing():
    assert facts({}) == frozenset()
    questions = [symptom.code for symptom in catalogue().symptoms if not symptom.is_number]
    assert facts(dict.fromkeys(questions, False)) == frozenset()
    assert facts(dict.fromkeys(questions, True)) == set(questions)
    assert facts({"blue_lips": False, "chest_pain": True, "asked_long_ago": True}) == {"chest_pain"}


def test_a_hot_knee_is_seen_today_and_at_once_where_it_may_be_worse():
    said = danger.from_symptoms({"hot_swollen_fever"}, "adult")
    assert said.level == "urgent"
    assert "even without fever" in said.reasons[0]
    for sign in (
        "See a doctor today.",
        "Go there now",
        "artificial knee",
        "needle in the knee",
        "weak defences",
    ):
        assert sign in said.next_step


@pytest.mark.parametrize("symptom", ["coughing_blood", "calf_pain"])
def test_what_waits_until_today_names_what_does_not(symptom):
    said = danger.from_symptoms({symptom}, "adult")
    assert said.level == "urgent"
    assert "call your emergency number now" in said.reasons[0]


def test_a_child_with_fever_and_weak_signs_gets_the_signs_of_children():
    for age, is_child in (("child", True), ("adult", False), ("unknown", False)):
        said = danger.assess([Found("pneumonia", "possible")], age, facts={"high_fever"})
        assert said.level == "urgent"
        assert ("ribs pulling in" in said.next_step) == is_child


def test_a_symptom_beside_a_finding_of_the_same_level_says_what_to_do():
    raw = copy.deepcopy(danger.shipped_raw())
    next(rule for rule in raw["rules"] if rule["id"] == "pneumonia.possible")["level"] = "urgent"
    rules = danger.parse_rules(raw)
    assert not rule_check.problems(rules)
    said = danger.assess([Found("pneumonia", "possible")], "adult", facts={"high_fever"}, rules=rules)
    assert said.rule_ids[0] == "symptom.high_fever.pneumonia"


def test_of_two_rules_that_say_as_much_only_the_later_one_is_useless():
    raw = copy.deepcopy(danger.shipped_raw())
    ids = [rule["id"] for rule in raw["rules"]]
    child = raw["rules"].pop(ids.index("symptom.high_fever.pneumonia.child"))
    raw["rules"].append(child)
    (line,) = rule_check.problems(danger.parse_rules(raw))
    assert "symptom.high_fever.pneumonia.child never decides" in line


def test_a_doctors_level_is_a_floor():
    assert danger.assess([], doctor_level="urgent").level == "urgent"
    assert danger.assess([], doctor_level="soon", facts={"drowsy"}).level == "emergency"


def test_the_shipped_rules_have_no_problem():
    assert rule_check.problems(RULES) == []


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({"symptoms": ["blue_lips", "high_fever"], "level": "urgent"}, "never decides"),
        ({"symptoms": ["blue_lips", "night_pain"], "level": "emergency"}, "can never fire"),
        ({"symptoms": ["purple_ears"], "level": "urgent"}, "no checklist asks"),
        ({"symptoms": ["oxygen_low", "oxygen_reduced"], "level": "emergency"}, "two bands"),
    ],
)
def test_a_useless_rule_is_named(rule, message):
    raw = copy.deepcopy(danger.shipped_raw())
    raw["rules"].append({"id": "mine", "because": "symptom.drowsy", "do": "symptom.today_do", **rule})
    found = rule_check.problems(danger.parse_rules(raw))
    assert any(message in line and "mine" in line for line in found)
