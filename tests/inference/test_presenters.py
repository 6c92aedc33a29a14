"""How numbers, calls, levels and waiting times are put into words."""

import re
from datetime import timedelta

import pytest
from django.utils import translation

from inference import presenters
from inference.danger import LEVELS
from inference.danger_texts import TEXTS
from inference.danger_texts_es import TEXTS_ES
from inference.danger_texts_hi import TEXTS_HI
from inference.models import Analysis, DangerLevel, Finding
from inference.result_parts import FindingView
from inference.templatetags.inference_tags import percent
from ml_training.labels import TASKS


@pytest.mark.parametrize(
    ("probability", "words"),
    [
        (0.0, "fewer than 1 in 100"),
        (0.0099, "fewer than 1 in 100"),
        (0.01, "about 1 in 100"),
        (0.024, "about 2 in 100"),
        (0.025, "about 3 in 100"),
        (0.0949, "about 9 in 100"),
        (0.095, "about 1 in 10"),
        (0.149, "about 1 in 10"),
        (0.15, "about 2 in 10"),
        (0.35, "about 4 in 10"),
        (0.5, "about 5 in 10"),
        (0.83, "about 8 in 10"),
        (0.85, "about 9 in 10"),
        (0.9049, "about 9 in 10"),
        (0.905, "about 91 in 100"),
        (0.95, "about 95 in 100"),
        (0.99, "about 99 in 100"),
        (0.9901, "more than 99 in 100"),
        (1.0, "more than 99 in 100"),
    ],
)
def test_probability_in_words(probability: float, words: str) -> None:
    assert presenters.chance_words(probability) == words


@pytest.mark.parametrize("bad", [-0.001, 1.001, float("nan"), float("inf")])
def test_what_is_no_probability_gets_no_words(bad: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        presenters.chance_words(bad)


def test_a_higher_probability_never_reads_as_a_smaller_one() -> None:
    shares = [
        chance.count / chance.base + {"fewer": -0.001, "": 0, "more": 0.001}[chance.limit]
        for chance in (presenters.chance(step / 1000) for step in range(1001))
    ]
    assert shares == sorted(shares)


def test_no_probability_reads_as_certain_or_impossible() -> None:
    for step in range(1001):
        chance = presenters.chance(step / 1000)
        assert 0 < chance.count < chance.base
        assert 1 <= presenters.bar_value(step / 1000) <= 99


@pytest.mark.parametrize(
    ("probability", "shown"),
    [(0.57, "57.0"), (0.29, "29.0"), (0.1597, "16.0"), (1 - 0.8, "20.0"), (0.9999, "99.9"), (0.0, "0.1")],
)
def test_figures_are_rounded_not_cut_off(probability: float, shown: str) -> None:
    assert percent(probability) == shown


def test_the_sentence_counts_scans_and_names_the_condition() -> None:
    sentence = presenters.finding_sentence(0.83, "pneumonia")
    assert sentence == "Of scans that look like this one to the model, about 8 in 10 show pneumonia."
    assert presenters.shown_words("some-new-thing") == "some new thing"


@pytest.mark.parametrize("call", Finding.Call.values)
@pytest.mark.parametrize("normal", [True, False])
def test_every_call_has_words(call: str, normal: bool) -> None:
    words = presenters.call_words(call, normal=normal)
    assert words.title and words.meaning and words.icon.startswith("bi-")


def test_a_childs_knee_without_wear_is_not_called_good_news() -> None:
    for call in ("likely", "possible"):
        assert "says little about a child's knee" in str(
            presenters.call_words(call, normal=True, for_adults=True).meaning
        )
        assert presenters.call_words(call, for_adults=True) == presenters.call_words(call)
    view = FindingView(Finding(condition="knee-oa-0", call="likely"), "Knee", "", is_for_adults=True)
    assert view.is_normal and not view.is_good


def test_an_unknown_call_is_an_error() -> None:
    with pytest.raises(KeyError):
        presenters.call_words("certain")


def test_every_danger_level_has_words_of_its_own() -> None:
    assert set(DangerLevel.values) == set(LEVELS)
    words = [presenters.danger_words(level) for level in LEVELS]
    for attribute in ("level", "label", "title", "next_step", "icon"):
        assert len({str(getattr(item, attribute)) for item in words}) == len(LEVELS)


@pytest.mark.parametrize("level", ["urgent", "soon"])
def test_a_doctors_word_goes_before_a_number_of_days(level: str) -> None:
    """One step for every kind of scan: weeks that are right for a knee are too long for a chest."""
    step = str(presenters.doctor_words(level).next_step)
    assert "your doctor said" in step and "If you get worse" in step
    assert "week" not in step


@pytest.mark.parametrize("level", ["", "green", "NONE_FOUND"])
def test_an_unknown_level_never_reassures(level: str) -> None:
    assert presenters.danger_words(level).level == "inconclusive"


@pytest.mark.parametrize(
    ("text", "lead", "rest"),
    [
        ("See a doctor today. Call for help.", "See a doctor today. Call for help.", ""),
        (
            "Take the child to a doctor today. Call your emergency number at once if it gets worse.",
            "Take the child to a doctor today.",
            "Call your emergency number at once if it gets worse.",
        ),
        ("  One sentence without an end  ", "One sentence without an end", ""),
        ("", "", ""),
        ("Drink at least 1.5 litres of water. Rest.", "Drink at least 1.5 litres of water.", "Rest."),
        (
            "आज ही किसी डॉक्टर को दिखाएँ। हालत बिगड़े तो तुरंत मदद लें।",
            "आज ही किसी डॉक्टर को दिखाएँ।",
            "हालत बिगड़े तो तुरंत मदद लें।",
        ),
        (
            "Vaya al médico hoy mismo, sin falta. ¿Empeora? Llame.",
            "Vaya al médico hoy mismo, sin falta.",
            "¿Empeora? Llame.",
        ),
    ],
)
def test_the_one_thing_to_do_is_the_first_sentence(text: str, lead: str, rest: str) -> None:
    assert presenters.split_lead(text) == (lead, rest)


def test_every_next_step_of_the_rules_keeps_all_its_words() -> None:
    for text in (*TEXTS.values(), *TEXTS_ES.values(), *TEXTS_HI.values()):
        assert " ".join(presenters.split_lead(str(text))).strip() == str(text)


@pytest.mark.parametrize(
    ("minutes", "queued", "poll", "is_long", "word"),
    [
        (0, True, 2, False, "waiting for its turn"),
        (0, False, 2, False, "being read"),
        (1.99, False, 2, False, "being read"),
        (2, False, 10, True, "longer than usual"),
        (14.9, True, 10, True, "longer than usual"),
        (15, False, 30, True, "started again by itself"),
        (59.9, False, 30, True, "started again by itself"),
        (60, False, 0, True, "stopped checking"),
        (60 * 24 * 30, True, 0, True, "stopped checking"),
    ],
)
def test_waiting_says_more_and_asks_less_often(
    minutes: float, queued: bool, poll: int, is_long: bool, word: str
) -> None:
    said = presenters.waiting(timedelta(minutes=minutes), queued=queued)
    assert (said.poll_seconds, said.is_long) == (poll, is_long)
    assert word in said.message


def test_every_stage_is_further_than_the_one_before() -> None:
    assert set(presenters.STAGES) == set(Analysis.Stage.values)
    values = [presenters.progress_value(stage) for stage in presenters.STAGES]
    assert values == sorted(set(values)) and values[-1] == 100
    assert presenters.progress_value("lost") == 0
    words = {presenters.stage_words(stage) for stage in (*presenters.STAGES, "lost")}
    assert len(words) == len(presenters.STAGES) + 1


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "less than a minute"),
        (59, "less than a minute"),
        (60, "1 minute"),
        (179, "2 minutes"),
        (3600, "1 hour"),
        (47 * 3600, "47 hours"),
        (49 * 3600, "2 days"),
    ],
)
def test_time_spans_in_words(seconds: int, words: str) -> None:
    assert presenters.duration_words(timedelta(seconds=seconds)) == words


@pytest.mark.parametrize("kind", ["brain_mri", "chest_xray", "knee_xray", "unsure", ""])
@pytest.mark.parametrize("age", ["child", "adult", "unknown"])
def test_every_kind_says_what_it_cannot_tell(kind: str, age: str) -> None:
    sentences = presenters.kind_limits(kind) + presenters.age_limits(kind, age)
    assert len(sentences) >= 3
    assert all(re.search(r"[.!]$", sentence) for sentence in sentences)


def test_a_child_is_told_of_models_made_for_adults() -> None:
    for kind in ("brain_mri", "chest_xray", "knee_xray"):
        assert presenters.age_limits(kind, "child")


def test_kinds_and_planes_in_words() -> None:
    assert presenters.kind_words("knee_xray") == "knee X-ray"
    assert presenters.kind_words("unsure") == "scan"
    assert presenters.plane_words("axial") and presenters.plane_words("") == ""


@pytest.mark.parametrize("language", ["es", "hi"])
def test_what_a_label_cannot_tell_is_said_in_the_readers_language(language):
    said = {
        label.limits for task in TASKS.values() for label in task.labels if label.limits and label.claimed
    }
    assert said and said <= presenters.LABEL_LIMITS
    with translation.override(language):
        for words in said:
            assert presenters.label_limits(words) != words
        assert presenters.label_limits("") == ""
        assert presenters.label_limits("As some other bundle says.") == "As some other bundle says."
