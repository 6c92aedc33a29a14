"""A signed review outranks the model: on pages, in the report, the record, shared results and the API."""

import html
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.urls import reverse
from django.utils import timezone

from cases import reviews, second_reader, sharing
from cases.models import ReviewVerdict, Scan
from cases.reviews import VerdictInput
from inference import case_state, services
from inference.danger import default_rules
from inference.models import Analysis, DangerAssessment
from inference.reading import Reading
from inference.report_review import verdict_words
from inference.review_truth import level_to_keep
from inference.standing import Standing, is_worse
from tests.factories import ScanFactory
from tests.inference import pdf
from tests.inference import reading_rows as rows
from tests.inference.reviewed import correct, doctor_of, sign

pytestmark = pytest.mark.django_db


@pytest.fixture
def scan(patient: Any) -> Scan:
    return ScanFactory.create(case__patient=patient)


@pytest.fixture
def reading(scan: Scan) -> Analysis:
    return rows.reading(scan)


@pytest.fixture
def reader(patient: Any) -> Any:
    return doctor_of(patient)


def page(client: Any, scan: Scan) -> str:
    path = reverse("inference:scan_result", args=[scan.case_id, scan.pk])
    return html.unescape(client.get(path).content.decode())


def told(client: Any, analysis: Analysis) -> dict[str, Any]:
    return dict(client.get(reverse("v1:analysis-detail", args=[analysis.pk])).json())


@pytest.mark.parametrize(
    ("level", "than", "worse"),
    [
        ("emergency", "urgent", True),
        ("urgent", "urgent", False),
        ("soon", "inconclusive", True),
        ("inconclusive", "none_found", True),
        ("none_found", "", True),
    ],
)
def test_order_of_levels(level: str, than: str, worse: bool) -> None:
    assert is_worse(level, than) is worse


def test_a_correction_counts_everywhere(
    as_user: Any, api_as: Any, patient: Any, reader: Any, reading: Analysis
) -> None:
    scan, client = reading.scan, as_user(patient)
    correct(reading, reader, comment="A fold of the skin.")
    text = page(client, scan)
    assert "danger-banner danger-routine" in text and "danger-banner danger-urgent" not in text
    assert "Corrected and confirmed by Dr Ada Reader on" in text and "Read by AI, not yet" not in text
    assert (
        "Your doctor says: there is no hurry" in text
        and "Before the doctor looked, PMI said: Urgent." in text
    )
    assert "Pneumonia: the doctor disagrees and sees no sign of it." in text
    assert "A fold of the skin." in text
    card = client.get(reverse("cases:detail", args=[scan.case_id])).content.decode()
    assert "reading-card danger-routine" in card and "confirmed by Dr Ada Reader" in card
    record = client.get(reverse("inference:record")).content.decode()
    assert "danger-routine" in record and "danger-urgent" not in record
    assert "Corrected and confirmed by Dr Ada Reader" in record
    room = client.get(reverse("inference:reading_room", args=[scan.case_id, scan.pk])).content.decode()
    assert "danger-badge danger-routine" in room and "confirmed by Dr Ada Reader" in room
    made = sharing.make_link(scan.case, patient)
    guest = as_user(None)
    guest.post(reverse("inference:shared", args=[made.token]), {"pin": made.pin})
    shared = guest.get(reverse("inference:shared_scan", args=[made.token, scan.pk])).content.decode()
    assert "danger-banner danger-routine" in shared and "confirmed by Dr Ada Reader" in shared
    said = told(api_as(patient), reading)
    assert (said["danger"], said["danger_by"], said["ai_danger"]) == ("routine", "doctor", "urgent")
    assert said["review"]["is_about_this"] and said["review"]["danger_level"] == "routine"
    assert "confirmed by Dr Ada Reader" in said["review"]["statement"]
    report = client.get(reverse("inference:report", args=[reading.pk]))
    printed = " ".join(pdf.text(report.content).split())
    for line in (
        "Corrected and confirmed by Dr Ada Reader",
        "Your doctor says: there is no hurry",
        "The doctor's level: No hurry.",
        "A fold of the skin.",
        "Signed by Dr Ada Reader",
        "about 8 in 10",
    ):
        assert line in printed and line in text


@pytest.mark.parametrize(
    ("verdict", "start"),
    [("agree", "Confirmed by Dr Ada Reader on"), ("unsure", "Reviewed by Dr Ada Reader on")],
)
def test_the_sentence_says_what_the_doctor_did(
    as_user: Any, patient: Any, reader: Any, reading: Analysis, verdict: str, start: str
) -> None:
    sign(reading, reader, verdict)
    text = page(as_user(patient), reading.scan)
    assert start in text and "danger-banner danger-urgent" in text


def test_a_name_without_a_title_gets_one(as_user: Any, patient: Any, reading: Analysis) -> None:
    sign(reading, doctor_of(patient, "Maria Sol"))
    assert "Confirmed by Dr Maria Sol on" in page(as_user(patient), reading.scan)


def test_a_newer_reading_says_that_the_review_was_about_the_earlier_one(
    as_user: Any, api_as: Any, patient: Any, reader: Any, reading: Analysis
) -> None:
    correct(reading, reader)
    newer = rows.reading(reading.scan)
    text = page(as_user(patient), reading.scan)
    assert "Read by AI, not yet by a doctor." in text
    assert "Dr Ada Reader reviewed an earlier reading of this scan on" in text
    assert "danger-banner danger-urgent" in text
    said = told(api_as(patient), newer)
    assert said["danger_by"] == "model" and said["review"]["is_about_this"] is False
    before = told(api_as(patient), reading)
    assert before["danger"] == "routine" and before["review"]["is_about_this"]


def test_a_newer_reading_never_lowers_what_a_doctor_set(
    as_user: Any, api_as: Any, patient: Any, reader: Any, reading: Analysis
) -> None:
    correct(reading, reader, level="emergency")
    newer = rows.reading(reading.scan, danger="none_found")
    text = page(as_user(patient), reading.scan)
    assert "danger-banner danger-emergency" in text
    assert "What the doctor set is never lowered by a newer reading." in text
    said = told(api_as(patient), newer)
    assert (said["danger"], said["danger_by"], said["ai_danger"]) == ("emergency", "doctor", "none_found")


def test_a_reading_that_breaks_off_keeps_the_doctors_level(
    as_user: Any, patient: Any, reader: Any, reading: Analysis
) -> None:
    correct(reading, reader, level="urgent")
    made = rows.analysis(reading.scan, "queued")
    held = services.claim(str(made.pk))
    assert held is not None
    assert services.reject(held, Reading("rejected", reason_code="x", reason="This is a cat."))
    text = page(as_user(patient), reading.scan)
    assert "Your doctor says: this needs care without delay" in text


def test_symptoms_given_after_the_signature_count_at_once(
    as_user: Any, patient: Any, reader: Any, reading: Analysis
) -> None:
    case = reading.scan.case
    correct(reading, reader)
    case.symptoms = {"blue_lips": True}
    case.save()
    text = page(as_user(patient), reading.scan)
    assert "danger-banner danger-emergency" in text
    assert "You gave these symptoms after the doctor looked at the scan." in text


def test_symptoms_that_the_doctor_knew_do_not_overrule_them(reader: Any, reading: Analysis) -> None:
    case = reading.scan.case
    case.symptoms = {"blue_lips": True}
    case.save()
    DangerAssessment.objects.create(
        analysis=reading,
        level="emergency",
        rules_version="1",
        symptoms=case.symptoms,
        age_group=case.age_group,
        created_at=timezone.now(),
    )
    signed = correct(reading, reader)
    reading.refresh_from_db()
    assert Standing(reading, signed).level == "routine"


def test_the_blind_second_reader_sees_nothing_of_the_first(
    as_user: Any, api_as: Any, patient: Any, reader: Any, reading: Analysis
) -> None:
    second = doctor_of(patient, "Dr Bea Second")
    second_reader.ask(second, reading.scan, second.pk)
    correct(reading, reader)
    client, scan = as_user(second), reading.scan
    record = reverse("inference:patient_record", args=[patient.pk])
    texts = [
        page(client, scan),
        client.get(reverse("cases:detail", args=[scan.case_id])).content.decode(),
        client.get(reverse("inference:reading_room", args=[scan.case_id, scan.pk])).content.decode(),
        client.get(record).content.decode(),
        pdf.text(client.get(reverse("inference:report", args=[reading.pk])).content),
    ]
    for text in texts:
        assert "Ada Reader" not in text and "A fold of the skin" not in text
    said = told(api_as(second), reading)
    assert said["danger"] == "urgent" and said["review"] is None
    assert "You are this scan's second reader." in texts[0]
    sign(reading, second, seat="second")
    assert "Ada Reader" in page(client, scan)


@pytest.mark.parametrize(
    ("first", "second", "level", "about_newer"),
    [("routine", "emergency", "emergency", True), ("emergency", "routine", "emergency", False)],
)
def test_of_two_readings_the_review_of_the_newer_one_counts_and_a_worse_earlier_one_stays_a_floor(
    scan: Scan, reader: Any, patient: Any, first: str, second: str, level: str, about_newer: bool
) -> None:
    earlier = rows.reading(scan, waited=timedelta(hours=2))
    sign(earlier, reader, danger_level=first)
    newer = rows.reading(scan)
    other = doctor_of(patient, "Dr Bea Second")
    second_reader.ask(reader, scan, other.pk)
    sign(newer, other, danger_level=second, seat="second")
    counts = reviews.signed_review(scan)
    assert counts is not None and (counts.danger_level, counts.analysis_id == newer.pk) == (
        level,
        about_newer,
    )
    assert counts == reviews.counting(patient, scan.reviews.all())
    assert Standing(newer, counts).level == level
    case_state.refresh(scan.case_id)
    scan.case.refresh_from_db()
    assert scan.case.danger == level


def test_an_earlier_reading_keeps_the_review_that_is_about_it(
    as_user: Any, api_as: Any, scan: Scan, reader: Any, patient: Any
) -> None:
    earlier = rows.reading(scan, waited=timedelta(hours=2))
    sign(earlier, reader, danger_level="routine")
    newer = rows.reading(scan)
    other = doctor_of(patient, "Dr Bea Second")
    second_reader.ask(reader, scan, other.pk)
    sign(newer, other, danger_level="routine", seat="second")
    for reading, name in ((earlier, "Ada Reader"), (newer, "Bea Second")):
        counts = reviews.seen_review(patient, scan, reading.pk)
        assert counts is not None and name in counts.reader_name
        assert Standing(reading, counts).is_reviewed and told(api_as(patient), reading)["danger"] == "routine"
        text = pdf.text(as_user(patient).get(reverse("inference:report", args=[reading.pk])).content)
        assert name in text


@pytest.mark.parametrize(
    ("level", "said", "kept"),
    [
        ("soon", [("knee-oa-0", "likely", "agree")], ""),
        ("none_found", [("knee-oa-0", "likely", "agree")], "none_found"),
        ("soon", [("knee-oa-0", "possible", "agree"), ("knee-oa-1", "possible", "agree")], "soon"),
        ("urgent", [("no-chest-finding", "likely", "agree"), ("pneumonia", "unlikely", "agree")], ""),
        ("urgent", [("pneumonia", "likely", "agree")], "urgent"),
        ("soon", [], "soon"),
    ],
)
def test_who_agrees_that_nothing_was_found_has_to_name_a_level(
    level: str, said: list[tuple[str, str, str]], kept: str
) -> None:
    verdicts = [VerdictInput(name, name, 0.8, call, verdict, "") for name, call, verdict in said]
    assert level_to_keep(level, verdicts) == kept


@pytest.mark.parametrize(
    ("condition", "verdict", "right", "words"),
    [
        ("glioma", "agree", "", "A glioma: the AI calls it unlikely, and the doctor agrees."),
        ("glioma", "disagree", "", "A glioma: the AI calls it unlikely, and the doctor disagrees."),
        ("glioma", "unsure", "", "A glioma: the doctor is not sure."),
        ("no-brain-tumour", "agree", "", "Nothing found: the AI calls it unlikely, and the doctor agrees."),
        (
            "glioma",
            "disagree",
            "meningioma",
            "A glioma: the AI calls it unlikely. The doctor sees: a meningioma.",
        ),
        (
            "glioma",
            "disagree",
            "no-brain-tumour",
            "A glioma: the AI calls it unlikely. The doctor sees no sign of it.",
        ),
    ],
)
def test_a_verdict_on_what_the_ai_called_unlikely_says_so(
    condition: str, verdict: str, right: str, words: str
) -> None:
    said = ReviewVerdict(condition=condition, call="unlikely", verdict=verdict, right_condition=right)
    assert verdict_words(said) == words


def test_every_version_is_there_to_read(as_user: Any, patient: Any, reader: Any, reading: Analysis) -> None:
    first = correct(reading, reader, comment="The first words.")
    sign(reading, reader, amends=first.pk, amend_reason="Asked a colleague", comment="The second words.")
    text = page(as_user(patient), reading.scan)
    for words in ("Version 1", "Version 2", "Asked a colleague", "The first words.", "replaced since"):
        assert words in text
    assert "Confirmed by Dr Ada Reader" in text and "danger-banner danger-urgent" in text


def test_many_reviewed_scans_cost_no_more_queries(
    as_user: Any, patient: Any, reader: Any, scan: Scan, django_assert_max_num_queries: Any
) -> None:
    for _number in range(8):
        correct(rows.reading(ScanFactory.create(case=scan.case)), reader)
    client = as_user(patient)
    for path, most in (
        (reverse("cases:detail", args=[scan.case_id]), 35),
        (reverse("inference:record"), 45),
        (reverse("v1:analysis-list"), 15),
    ):
        with django_assert_max_num_queries(most):
            client.get(path)


def test_advice_on_a_finding_goes_where_symptoms_or_a_doctor_decided(
    as_user: Any, patient: Any, reader: Any, scan: Scan
) -> None:
    call_command("load_knowledge_base", verbosity=0)
    advice = "Pneumonia can get worse within hours"
    judged = rows.reading(scan, rules_version=default_rules().version, danger_rules=["pneumonia.likely"])
    assert advice in page(as_user(patient), scan)
    Analysis.objects.filter(pk=judged.pk).update(
        danger_rules=["symptom.morning_vomiting", "pneumonia.likely"]
    )
    assert advice not in page(as_user(patient), scan)
    assert "Assess today" in page(as_user(reader), scan)
    Analysis.objects.filter(pk=judged.pk).update(danger_rules=["pneumonia.likely"])
    review = sign(judged, reader)
    assert advice in page(as_user(patient), scan)
    correct(judged, reader, amends=review.pk, amend_reason="Second look")
    text = page(as_user(patient), scan)
    assert advice not in text and "PMI looked for pneumonia" not in text
    assert "Let a doctor confirm this" not in text
