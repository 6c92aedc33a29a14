"""What the seed promises to readers: complete, sourced, plain, and honest."""

import re
from collections.abc import Mapping

import pytest
import textstat
from django.conf import settings

from pmi_site.reading import COUNTRIES
from resources.choices import Audience, ResourceKind
from resources.models import Advice, Condition, Resource, Source, Translation, Treatment
from resources.seed_reader import SeedRow
from resources.symptoms import catalogue
from tests.resources.conftest import SLUGS

LEVELS = {
    "glioma": ["emergency", "urgent", "soon"],
    "meningioma": ["emergency", "urgent", "soon"],
    "pituitary-tumour": ["emergency", "urgent", "soon"],
    "no-brain-tumour": ["none_found", "inconclusive"],
    "pneumonia": ["emergency", "urgent", "soon"],
    "bacterial-pneumonia": ["emergency", "urgent", "soon"],
    "viral-pneumonia": ["emergency", "urgent", "soon"],
    "covid-19-pneumonia": ["emergency", "urgent", "soon"],
    "no-chest-finding": ["none_found", "inconclusive"],
    "knee-oa-0": ["none_found", "routine", "soon"],
    "knee-oa-1": ["none_found", "routine", "soon"],
    "knee-oa-2": ["routine", "soon", "urgent"],
    "knee-oa-3": ["routine", "soon", "urgent"],
    "knee-oa-4": ["routine", "soon", "urgent"],
    "unreadable-scan": ["inconclusive"],
}
# Names that a text about an illness cannot do without; each counts as one short word.
MEDICAL_NAMES = re.compile(
    r"\b(gliomas?|glioblastomas?|meningiomas?|pituitary|pneumonia|covid-19|coronavirus|osteoarthritis|"
    r"prolactinomas?|multiple sclerosis|tuberculosis|pneumococcus|radiotherapy|radiosurgery|chemotherapy|"
    r"physiotherap\w+|antibiotics?|"
    r"biopsy|apoplexy|meniscus|dexamethasone|temozolomide|cabergoline|oseltamivir|nirmatrelvir|ritonavir|diclofenac|"
    r"ibuprofen|naproxen|paracetamol|anti-inflammatory|hormones?|seizures?|tumours?|palliative|surgeon)\b",
    re.IGNORECASE,
)
MAX_GRADE = 8.0


def of(rows: list[SeedRow], model: type, **values: object) -> list[SeedRow]:
    return [r for r in rows if r.model is model and all(r.values.get(k) == v for k, v in values.items())]


def patient_texts(rows: list[SeedRow]) -> dict[str, str]:
    """Each text a patient reads as one piece, by where it comes from."""
    texts: dict[str, str] = {}
    for row in of(rows, Condition):
        for name in ("summary", "what_it_is", "how_confirmed"):
            texts[f"{row.key} {name}"] = row.values[name]
        texts[f"{row.key} outlook"] = f"{row.values['outlook_treated']} {row.values['outlook_untreated']}"
        texts[f"{row.key} red_flags"] = " ".join(row.values["red_flags"])
    for row in of(rows, Treatment):
        parts = ("what_it_involves", "when_used", "benefits", "risks")
        texts[f"treatment {row.key}"] = " ".join(row.values[name] for name in parts)
    for row in of(rows, Advice):
        if row.values["audience"] != Audience.DOCTOR:
            texts[f"advice {row.key}"] = f"{row.values['headline']} {row.values['text']}"
    return texts


@pytest.mark.parametrize("slug", SLUGS)
def test_each_condition_is_complete(seed_rows: list[SeedRow], slug: str) -> None:
    (condition,) = [row for row in of(seed_rows, Condition) if row.key == slug]
    assert condition.links
    assert condition.values["status"] == "published"
    assert [row for row in of(seed_rows, Treatment) if row.condition == slug]
    assert len([row for row in of(seed_rows, Resource) if slug in row.links]) >= 2
    for level in LEVELS[slug]:
        there = {
            row.values["audience"]
            for row in of(seed_rows, Advice, danger_level=level)
            if row.condition == slug
        }
        assert there == set(Audience.values), level


def test_no_condition_beyond_the_known_ones(seed_rows: list[SeedRow]) -> None:
    assert sorted(row.key for row in of(seed_rows, Condition)) == sorted(SLUGS)


def test_general_advice_covers_every_level_and_reader(seed_rows: list[SeedRow]) -> None:
    general = {
        (row.values["danger_level"], row.values["audience"])
        for row in of(seed_rows, Advice)
        if row.condition is None
    }
    assert len(general) == 6 * 3


def test_every_medical_text_has_a_source_that_can_be_found(seed_rows: list[SeedRow]) -> None:
    used: set[str] = set()
    for row in seed_rows:
        if row.model in (Condition, Treatment, Advice):
            assert row.links, row.key
            used |= {link.rpartition(":")[2] for link in row.links}
    sources = {row.key: row for row in of(seed_rows, Source)}
    assert all(row.values["url"].startswith("https://") for row in sources.values())
    assert used <= set(sources)
    assert set(sources) <= used, "sources that nothing rests on"


DISEASES = [slug for slug in SLUGS if "emergency" in LEVELS[slug] or slug.startswith("knee-oa")]


@pytest.mark.parametrize("slug", SLUGS)
def test_each_condition_has_somewhere_to_go(seed_rows: list[SeedRow], slug: str) -> None:
    own = [row.values for row in of(seed_rows, Resource) if slug in row.links]
    there = {(values["kind"], values["country"]) for values in own}
    assert {("clinic_finder", country) for country in ("GB", "US", "IN")} <= there
    for language in settings.PMI_RESOURCE_LANGUAGES:
        spoken = {values["kind"] for values in own if values["language"] == language}
        assert "article" in spoken, language
    if slug in DISEASES and slug != "knee-oa-0":
        assert {"guideline"} <= {values["kind"] for values in own if values["audience"] == "doctor"}
        assert {"helpline", "support_group"} & {
            values["kind"] for values in own if values["language"] == "en"
        }


def test_every_kind_of_resource_is_there(seed_rows: list[SeedRow]) -> None:
    assert {row.values["kind"] for row in of(seed_rows, Resource)} == set(ResourceKind.values)
    known = {code for code, _name in COUNTRIES if code}
    assert {row.values["country"] for row in of(seed_rows, Resource) if row.values["country"]} <= known


def test_the_seed_never_claims_a_review_or_a_check_that_did_not_happen(seed_rows: list[SeedRow]) -> None:
    for row in seed_rows:
        assert not row.values.get("reviewed_by"), row.key
        assert not row.values.get("reviewed_on"), row.key
        assert row.values.get("checked_on") is None, row.key
        assert row.values.get("accessed_on") is None, row.key


@pytest.mark.parametrize("slug", ["no-brain-tumour", "no-chest-finding", "knee-oa-0"])
def test_nothing_found_never_reassures_too_much(seed_rows: list[SeedRow], slug: str) -> None:
    (condition,) = [row for row in of(seed_rows, Condition) if row.key == slug]
    assert "does not rule out disease" in condition.values["what_it_is"]
    assert "does not rule out disease" in condition.values["summary"]
    for audience in ("patient", "carer"):
        (advice,) = [
            row
            for row in of(seed_rows, Advice, danger_level="none_found", audience=audience)
            if row.condition == slug
        ]
        assert "does not rule out disease" in f"{advice.values['headline']} {advice.values['text']}"


def test_emergency_advice_names_no_country_s_number(seed_rows: list[SeedRow]) -> None:
    for where, text in patient_texts(seed_rows).items():
        assert not re.search(r"\b(999|911|112|111)\b", text), where
    for row in of(seed_rows, Advice, danger_level="emergency"):
        if row.values["audience"] != "doctor":
            assert "local emergency number" in row.values["headline"], row.key


def too_hard(texts: Mapping[str, str]) -> dict[str, float]:
    """The texts that read harder than grade 8, with their grade."""
    grades = {
        where: textstat.flesch_kincaid_grade(MEDICAL_NAMES.sub("name", text)) for where, text in texts.items()
    }
    return {where: round(grade, 1) for where, grade in grades.items() if grade > MAX_GRADE}


def test_patient_texts_are_plain_words(seed_rows: list[SeedRow]) -> None:
    assert not too_hard(patient_texts(seed_rows))


def test_links_are_described_in_plain_words(seed_rows: list[SeedRow]) -> None:
    described = {
        row.key: row.values["description"]
        for row in of(seed_rows, Resource, language="en")
        if row.values["audience"] != "doctor"
    }
    assert not too_hard({key: text for key, text in described.items() if text})


def test_symptoms_are_asked_in_plain_words() -> None:
    assert not too_hard({symptom.code: symptom.texts["en"] for symptom in catalogue().symptoms})


def test_the_reading_check_itself_notices_hard_text() -> None:
    hard = "Radiographic consolidation necessitates multidisciplinary microbiological characterisation."
    assert textstat.flesch_kincaid_grade(MEDICAL_NAMES.sub("name", hard)) > MAX_GRADE


def test_codes_stay_empty_where_there_is_no_disease(seed_rows: list[SeedRow]) -> None:
    for slug in ("no-brain-tumour", "no-chest-finding", "knee-oa-0", "knee-oa-1", "unreadable-scan"):
        (condition,) = [row for row in of(seed_rows, Condition) if row.key == slug]
        assert condition.values["icd10"] == condition.values["icd11"] == ""


@pytest.mark.parametrize("language", ["es", "hi"])
def test_all_advice_is_there_in_every_language(seed_rows: list[SeedRow], language: str) -> None:
    there = {row.links[0]: row for row in of(seed_rows, Translation, language=language)}
    missing = [
        row.key
        for row in of(seed_rows, Advice)
        if not all(
            there.get(f"advice:{row.key}") and there[f"advice:{row.key}"].values["texts"].get(name)
            for name in ("headline", "text")
        )
    ]
    assert not missing
    names = [row.key for row in of(seed_rows, Condition) if f"condition:{row.key}" not in there]
    assert not names


@pytest.mark.parametrize("language", ["es", "hi"])
def test_all_treatments_are_named_and_described_in_every_language(
    seed_rows: list[SeedRow], language: str
) -> None:
    there = {row.links[0]: row.values["texts"] for row in of(seed_rows, Translation, language=language)}
    for row in of(seed_rows, Treatment):
        texts = there[f"treatment:{row.key}"]
        assert texts["name"] and texts["what_it_involves"], row.key
        english = f"{row.values['name']} {row.values['what_it_involves']}"
        assert set(re.findall(r"\d+", english)) <= set(re.findall(r"\d+", " ".join(texts.values()))), row.key


@pytest.mark.parametrize(
    ("language", "call"), [("es", "número local de emergencias"), ("hi", "स्थानीय आपातकालीन नंबर")]
)
def test_a_translation_keeps_the_call_for_help_and_the_numbers(
    seed_rows: list[SeedRow], language: str, call: str
) -> None:
    there = {row.links[0]: row.values["texts"] for row in of(seed_rows, Translation, language=language)}
    for row in of(seed_rows, Advice):
        english = f"{row.values['headline']} {row.values['text']}"
        texts = there[f"advice:{row.key}"]
        other = f"{texts['headline']} {texts['text']}"
        assert ("local emergency number" in english) == (call in other), row.key
        assert set(re.findall(r"\b\d{2,}\b", english)) <= set(re.findall(r"\d{2,}", other)), row.key


@pytest.mark.parametrize(
    ("treatment", "warning"),
    [
        ("glioma/chemotherapy", "Call the hospital at once, day or night, for 38 °C or more"),
        ("glioma/seizure-medicine", "Never stop it on your own"),
        ("meningioma/steroids", "Never stop them on your own"),
        ("pituitary-tumour/hormones", "use your emergency injection"),
        ("pneumonia/antibiotics", "trouble breathing after a dose"),
        ("pneumonia/rest", "Do not give aspirin to anyone under 16"),
        ("knee-oa-3/steroid-injection", "gets hot and swollen in the days after"),
    ],
)
def test_a_grave_warning_stands_in_the_part_that_is_translated(
    seed_rows: list[SeedRow], treatment: str, warning: str
) -> None:
    (row,) = [row for row in of(seed_rows, Treatment) if row.key == treatment]
    assert warning in row.values["what_it_involves"]


@pytest.mark.parametrize(
    ("language", "call"),
    [("es", "número local de emergencias"), ("hi", "स्थानीय आपातकालीन नंबर")],
)
def test_a_translated_treatment_keeps_the_call_for_help(
    seed_rows: list[SeedRow], language: str, call: str
) -> None:
    there = {row.links[0]: row.values["texts"] for row in of(seed_rows, Translation, language=language)}
    for row in of(seed_rows, Treatment):
        other = there[f"treatment:{row.key}"]["what_it_involves"]
        assert ("local emergency number" in row.values["what_it_involves"]) == (call in other), row.key


def test_a_hot_knee_needs_no_fever_to_be_seen_the_same_day(seed_rows: list[SeedRow]) -> None:
    texts = {where: text for where, text in patient_texts(seed_rows).items() if "knee-oa" in where}
    hot = {
        where: text
        for where, text in texts.items()
        if re.search(r"\bhot\b.*same day|same day.*\bhot\b", text)
    }
    assert len(hot) > 20
    for where, text in hot.items():
        assert re.search(r"with or without fever|even without fever", text), where


def test_low_oxygen_means_the_same_everywhere(seed_rows: list[SeedRow]) -> None:
    texts = [text for text in patient_texts(seed_rows).values() if "oxygen" in text and "%" in text]
    assert texts and all("92% or lower" in text for text in texts)
    number = catalogue().get("oxygen_saturation")
    assert number is not None and number.bands[0] == ("oxygen_low", 93)


def test_hindi_calls_wear_of_the_knee_wear(seed_rows: list[SeedRow]) -> None:
    for row in of(seed_rows, Translation, language="hi"):
        if row.links[0].startswith("condition:knee-oa"):
            assert "घिसाव (ऑस्टियोआर्थराइटिस)" in row.values["texts"]["name"]
        if row.links[0].endswith("/doctor"):
            assert "को नकारें" not in str(row.values["texts"]), "that tells a doctor to deny it"
