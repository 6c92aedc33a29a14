"""Symptoms in the danger rules: each rule decides somewhere, and nothing ever lowers a level."""

import copy

import pytest

from inference import danger, rule_check
from inference.danger import LADDER
from tests.inference.test_danger import EXPECTED, Found

RULES = danger.default_rules()


@pytest.mark.parametrize("rule", RULES.symptom_rules, ids=lambda rule: rule.id)
def test_every_symptom_rule_decides_where_it_fires(rule):
    age = rule.age if rule.age != "any" else "adult"
    found = [Found(rule.condition, rule.call)] if rule.condition else []
    answer = danger.assess(found, age, facts=rule.symptoms)
    assert (answer.level, answer.rule_ids[0]) == (rule.level, rule.id)


@pytest.mark.parametrize("rule", RULES.symptom_rules, ids=lambda rule: rule.id)
def test_a_symptom_never_lowers_a_finding(rule):
    for condition, call in EXPECTED:
        answer = danger.assess([Found(condition, call)], "adult", facts=rule.symptoms)
        assert LADDER.index(answer.level) <= LADDER.index(EXPECTED[condition, call])


@pytest.mark.parametrize("status", ["rejected", "failed"])
def test_symptoms_alone_give_an_answer(status):
    assert danger.assess([], status=status, facts={"blue_lips"}).level == "emergency"


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
