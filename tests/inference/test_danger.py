"""Danger rules: every condition a model can report, with every call, at every age."""

import json
import re
from dataclasses import dataclass

import pytest
from django.utils import translation

from inference import danger
from inference.calls import NORMAL_CONDITIONS
from inference.danger_texts import TEXTS
from inference.danger_texts_earlier import EARLIER
from ml_training.labels import TASKS
from tests.resources.test_seed_content import too_hard

REPORTABLE = sorted(
    {label.condition for kind, task in TASKS.items() if kind != "gate" for label in task.labels}
)


@dataclass
class Found:
    condition: str
    call: str
    probability: float = 0.5


EXPECTED = {
    ("glioma", "likely"): "urgent",
    ("glioma", "possible"): "soon",
    ("meningioma", "likely"): "urgent",
    ("meningioma", "possible"): "soon",
    ("pituitary-tumour", "likely"): "soon",
    ("pituitary-tumour", "possible"): "soon",
    ("no-brain-tumour", "likely"): "none_found",
    ("no-brain-tumour", "possible"): "none_found",
    ("pneumonia", "likely"): "urgent",
    ("pneumonia", "possible"): "soon",
    ("bacterial-pneumonia", "likely"): "urgent",
    ("bacterial-pneumonia", "possible"): "soon",
    ("viral-pneumonia", "likely"): "urgent",
    ("viral-pneumonia", "possible"): "soon",
    ("covid-19-pneumonia", "likely"): "urgent",
    ("covid-19-pneumonia", "possible"): "soon",
    ("no-chest-finding", "likely"): "none_found",
    ("no-chest-finding", "possible"): "none_found",
    ("knee-oa-0", "likely"): "none_found",
    ("knee-oa-0", "possible"): "none_found",
    ("knee-oa-1", "likely"): "routine",
    ("knee-oa-1", "possible"): "routine",
    ("knee-oa-2", "likely"): "routine",
    ("knee-oa-2", "possible"): "routine",
    ("knee-oa-3", "likely"): "soon",
    ("knee-oa-3", "possible"): "routine",
    ("knee-oa-4", "likely"): "soon",
    ("knee-oa-4", "possible"): "soon",
}


def test_the_table_covers_every_label_of_every_model():
    assert {condition for condition, _ in EXPECTED} == set(REPORTABLE)


@pytest.mark.parametrize("age", ["adult", "unknown"])
@pytest.mark.parametrize(("condition", "call"), sorted(EXPECTED))
def test_level(condition, call, age):
    answer = danger.assess([Found(condition, call)], age)
    assert answer.level == EXPECTED[condition, call]
    assert answer.reasons
    assert answer.next_step
    assert answer.rule_ids == (f"{condition}.{call}",)
    assert answer.rules_version


@pytest.mark.parametrize(("condition", "call"), sorted(EXPECTED))
def test_a_child_is_never_less_urgent_than_an_adult(condition, call):
    child = danger.assess([Found(condition, call)], "child")
    adult = danger.assess([Found(condition, call)], "adult")
    assert danger.LADDER.index(child.level) <= danger.LADDER.index(adult.level)


def test_children_get_the_signs_of_children():
    assert "ribs" in danger.assess([Found("pneumonia", "likely")], "child").next_step
    assert "ribs" not in danger.assess([Found("pneumonia", "likely")], "adult").next_step


@pytest.mark.parametrize("call", ["likely", "possible"])
def test_a_clear_film_of_a_child_does_not_hide_the_signs_of_children(call):
    child = danger.assess([Found("no-chest-finding", call)], "child").next_step
    assert "will not drink, even when the X-ray looks clear" in child
    assert "drink" not in danger.assess([Found("no-chest-finding", call)], "adult").next_step


@pytest.mark.parametrize("condition", ["pneumonia", "bacterial-pneumonia", "no-chest-finding"])
@pytest.mark.parametrize("call", ["likely", "possible"])
def test_a_chest_film_never_lets_a_young_baby_or_weak_defences_wait(condition, call):
    assert "baby under 3 months" in danger.assess([Found(condition, call)], "child").next_step
    for age in ("child", "adult", "unknown"):
        assert "weak defences" in danger.assess([Found(condition, call)], age).next_step


@pytest.mark.parametrize("call", ["likely", "possible"])
def test_a_knee_without_wear_says_little_of_a_child(call):
    answer = danger.assess([Found("knee-oa-0", call)], "child")
    assert answer.reasons[0].startswith("The reading found no wear of the joint, but it was made for adults")
    assert "hip" in answer.next_step


def test_a_hot_knee_needs_no_fever_to_be_seen_the_same_day():
    knees = [key for key in TEXTS if key.startswith("knee.") and key.endswith("_do")]
    english = danger.shipped_texts()["en"]
    assert len(knees) == 4
    assert all("with or without fever" in english[key] for key in knees)


@pytest.mark.parametrize("condition", REPORTABLE)
def test_unlikely_fires_nothing(condition):
    answer = danger.assess([Found(condition, "unlikely", 0.01)])
    assert answer.level == "none_found"
    assert answer.rule_ids == ("nothing",)
    assert "does not prove" in answer.reasons[0]


# Where a child's level is another one; everything else is as for adults.
CHILD = {(f"knee-oa-{grade}", call): "soon" for grade in range(5) for call in ("likely", "possible")}
AGES = ("child", "adult", "unknown")


def expected(finding: tuple[str, str], age: str) -> str:
    if age == "child":
        return CHILD.get(finding) or EXPECTED[finding]
    return EXPECTED[finding]


def rank(level: str) -> int:
    return danger.LADDER.index(level)


@pytest.mark.parametrize("age", AGES)
@pytest.mark.parametrize("first", sorted(EXPECTED))
def test_every_pair_of_findings(first, age):
    """The worse of the two decides, both are explained, and no doctor's level is lowered."""
    for second in EXPECTED:
        levels = sorted((expected(first, age), expected(second, age)), key=rank)
        pair = [Found(*first), Found(*second)]
        answer = danger.assess(pair, age)
        assert answer.level == levels[0], second
        alone = {danger.assess([found], age).rule_ids[0] for found in pair}
        normal = [found.condition in NORMAL_CONDITIONS for found in pair]
        calm = "none_found" in levels and levels[0] != "none_found"
        if calm or (any(normal) and not all(normal)):
            assert set(answer.rule_ids) < alone, second
        else:
            assert set(answer.rule_ids) == alone, second
        for doctor in danger.LADDER:
            held = danger.assess(pair, age, doctor_level=doctor)
            assert held.level == min(doctor, levels[0], key=rank), (second, doctor)


@pytest.mark.parametrize(("condition", "call"), sorted(EXPECTED))
def test_level_of_a_child(condition, call):
    assert danger.assess([Found(condition, call)], "child").level == expected((condition, call), "child")


def test_the_tables_fire_every_rule():
    """With the symptom rules, which `test_danger_symptoms` fires one by one."""
    rules = danger.default_rules()
    fired = {rule.id for rule in rules.symptom_rules}
    for age in AGES:
        for found in EXPECTED:
            fired |= set(danger.assess([Found(*found)], age).rule_ids)
    for status in ("succeeded", "rejected", "failed"):
        fired |= set(danger.assess([], status=status, doctor_level="urgent").rule_ids)
    assert fired == {rule.id for rule in rules.rules}


@pytest.mark.parametrize("status", ["rejected", "failed", "succeeded"])
@pytest.mark.parametrize("level", danger.LADDER)
def test_a_new_reading_never_lowers_a_doctors_level(level, status):
    assert danger.assess([], status=status, doctor_level=level).level == level


def test_nothing_found_is_not_said_beside_a_finding():
    answer = danger.assess([Found("no-brain-tumour", "possible", 0.7), Found("glioma", "possible", 0.3)])
    assert answer.rule_ids == ("glioma.possible",)


def test_the_more_probable_of_equals_goes_first():
    found = [Found("glioma", "possible", 0.2), Found("meningioma", "possible", 0.4)]
    assert danger.assess(found).rule_ids == ("meningioma.possible", "glioma.possible")


@pytest.mark.parametrize("status", ["rejected", "failed"])
def test_no_reading_is_inconclusive(status):
    answer = danger.assess([Found("glioma", "likely")], status=status)
    assert answer.level == "inconclusive"
    assert "nothing about your health" in answer.reasons[0]


def test_every_sentence_is_plain_words():
    assert not too_hard(danger.shipped_texts()["en"])


def test_a_model_alone_never_raises_an_emergency():
    rules = danger.default_rules()
    assert "emergency" not in {rule.level for rule in rules.by_key.values()}


def test_only_normal_conditions_mean_nothing_found():
    rules = danger.default_rules()
    calm = {rule.condition for rule in rules.by_key.values() if rule.level == "none_found"}
    assert calm == set(NORMAL_CONDITIONS)


def test_every_text_is_used_and_every_condition_known():
    raw = json.loads(danger.RULES_FILE.read_text())
    used = {rule[key] for rule in raw["rules"] for key in ("because", "do")}
    used |= {raw[name][key] for name in ("nothing", "rejected", "failed") for key in ("because", "do")}
    assert used | {danger.DOCTOR.because, danger.DOCTOR.do} == set(TEXTS)
    assert {rule["condition"] for rule in raw["rules"] if "condition" in rule} == set(REPORTABLE)


def test_an_unknown_condition_is_not_swallowed():
    with pytest.raises(danger.RuleError, match="no danger rule"):
        danger.assess([Found("something-new", "possible")])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"level": "dreadful"}, "unknown level"),
        ({"age": "elderly"}, "unknown age"),
        ({"call": "unlikely"}, "fires on"),
        ({"because": "no.such.text"}, "no text"),
        ({"level": "inconclusive"}, "cannot be inconclusive"),
        ({"condition": ""}, "condition and call"),
    ],
)
def test_a_bad_rule_is_named(change, message):
    raw = json.loads(danger.RULES_FILE.read_text())
    raw["rules"][0] |= change
    with pytest.raises(danger.RuleError, match=message) as caught:
        danger.parse_rules(raw)
    assert raw["rules"][0]["id"] in str(caught.value)


def test_two_rules_for_the_same_thing_are_refused():
    raw = json.loads(danger.RULES_FILE.read_text())
    raw["rules"].append({**raw["rules"][0], "id": "again"})
    with pytest.raises(danger.RuleError, match="already covers"):
        danger.parse_rules(raw)


@pytest.mark.parametrize("language", ["es", "hi"])
def test_every_sentence_is_translated_and_says_the_same_numbers(language):
    texts = danger.shipped_texts()
    assert set(texts[language]) == set(TEXTS)
    for key, sentence in texts[language].items():
        assert sentence != texts["en"][key]
        numbers = sorted(re.findall(r"\d+", texts["en"][key]))
        assert sorted(re.findall(r"\d+", sentence)) == numbers, key


@pytest.mark.parametrize("language", ["es", "hi"])
def test_warning_signs_keep_the_emergency_number(language):
    """A translation must not lose the advice to call for help."""
    texts = danger.shipped_texts()
    call = {"es": "número local de emergencias", "hi": "आपातकालीन नंबर"}[language]
    for key, english in texts["en"].items():
        assert ("emergency number" in english) == (call in texts[language][key]), key


def test_earlier_sentences_have_a_present_one():
    assert set(EARLIER.values()) <= set(TEXTS)
    assert not set(EARLIER) & set(danger.shipped_texts()["en"].values())


@pytest.mark.parametrize("language", ["es", "hi"])
def test_what_earlier_rules_said_is_said_as_now_in_another_language(language):
    with translation.override(language):
        for sentence, key in EARLIER.items():
            assert danger.said(sentence) == danger.shipped_texts()[language][key]
        assert danger.said("A sentence of somebody else.") == "A sentence of somebody else."


def test_what_earlier_rules_said_stays_as_it_was_in_english():
    with translation.override("en"):
        assert [danger.said(sentence) for sentence in EARLIER] == list(EARLIER)


def test_a_childs_knee_is_not_said_to_show_wear_and_none():
    pair = [Found("knee-oa-0", "likely", 0.6), Found("knee-oa-1", "possible", 0.3)]
    answer = danger.assess(pair, "child")
    assert (answer.level, answer.rule_ids) == ("soon", ("knee-oa-1.possible.child",))
