"""The record: what happened, how findings change, what to ask; for the patient and for their doctors."""

import uuid
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from accounts.models import AccessLog
from cases.models import Case, FollowUp, Scan
from inference.models import Analysis
from tests.factories import CareRelationshipFactory, CaseFactory, ScanFactory
from tests.inference import reading_rows as rows

pytestmark = pytest.mark.django_db
RECORD = "/record/"


@pytest.fixture
def case(patient: Any) -> Case:
    return CaseFactory.create(patient=patient, title="Cough for two weeks")


def film(case: Case, month: int, probability: float, call: str = "likely", **fields: Any) -> Analysis:
    """A chest film of 2026 with one reading of pneumonia."""
    scan = ScanFactory.create(case=case)
    day = datetime(2026, month, 10, 9, tzinfo=ZoneInfo("UTC"))
    Scan.objects.filter(pk=scan.pk).update(created_at=day)
    scan.refresh_from_db()
    made = rows.analysis(scan, "succeeded", **fields)
    Analysis.objects.filter(pk=made.pk).update(queued_at=day, finished_at=day + timedelta(minutes=1))
    rows.finding(made, probability=probability, call=call)
    return made


def record(client: Any) -> str:
    response = client.get(RECORD)
    assert response.status_code == 200 and response["Cache-Control"] == "private, no-store"
    return " ".join(response.content.decode().split())


def test_an_empty_record_says_what_to_do(as_user: Any, patient: Any) -> None:
    text = record(as_user(patient))
    assert "Nothing has happened yet." in text and "No scan has been read yet." in text
    assert "Nothing is planned." in text and "Set a reminder" not in text


def test_events_stand_newest_first(as_user: Any, patient: Any, case: Case) -> None:
    film(case, 3, 0.83)
    FollowUp.objects.create(
        case=case, created_by=patient, due_on="2026-05-01", text="Walk every day", done_at=timezone.now()
    )
    text = record(as_user(patient))
    timeline = text[text.index('id="timeline"') :]
    places = [
        timeline.index(words)
        for words in ("Follow-up done", "Case opened", "AI read the chest X-ray", "Scan added")
    ]
    assert places == sorted(places)
    assert (
        "Pneumonia: likely" in timeline and "danger-urgent" in timeline and "Cough for two weeks" in timeline
    )
    assert AccessLog.objects.filter(action="view_record").count() == 1


@pytest.mark.parametrize(
    ("earlier", "later", "words"),
    [
        (0.80, 0.83, "About the same since March 2026."),
        (0.40, 0.83, "Higher than in March 2026: ask your doctor what that means."),
        (0.83, 0.30, "Lower than in March 2026."),
    ],
)
def test_a_finding_over_time(
    as_user: Any, patient: Any, case: Case, earlier: float, later: float, words: str
) -> None:
    film(case, 3, earlier)
    film(case, 5, later)
    text = record(as_user(patient))
    assert words in text
    assert "Mar" in text and "May" in text


def test_the_first_reading_promises_nothing(as_user: Any, patient: Any, case: Case) -> None:
    film(case, 3, 0.83)
    assert "This is the first reading of it." in record(as_user(patient))


def test_other_versions_are_said_and_not_compared(as_user: Any, patient: Any, case: Case) -> None:
    old = rows.model_version(active=False, digit="b")
    film(case, 3, 0.10, "unlikely", model_version=old)
    film(case, 5, 0.83, model_version=rows.model_version())
    text = record(as_user(patient))
    assert "was read by another version of the model" in text and "Higher than" not in text
    assert "Read by more than one version of the model" in text


def test_of_one_scan_only_the_newest_reading_counts(as_user: Any, patient: Any, case: Case) -> None:
    first = film(case, 3, 0.20, "possible")
    again = rows.analysis(first.scan, "succeeded")
    rows.finding(again, probability=0.90)
    text = record(as_user(patient))
    assert "This is the first reading of it." in text and "about 9 in 10" in text


def test_what_a_newer_reading_refused_does_not_count_any_more(as_user: Any, patient: Any, case: Case) -> None:
    made = film(case, 3, 0.83)
    client = as_user(patient)
    assert "No scan has been read yet." not in record(client)
    rows.analysis(made.scan, "rejected")
    assert "No scan has been read yet." in record(client)


def test_grades_of_a_knee_move_as_one(as_user: Any, patient: Any, case: Case) -> None:
    for month, weights in ((3, (0.8, 0.2, 0, 0, 0)), (6, (0, 0.1, 0.2, 0.7, 0))):
        made = film(case, month, 0.5)
        made.findings.all().delete()
        probabilities = {str(grade): weight for grade, weight in enumerate(weights)}
        Analysis.objects.filter(pk=made.pk).update(kind="knee_xray", probabilities=probabilities)
        top = max(range(5), key=lambda grade: weights[grade])
        rows.finding(made, f"knee-oa-{top}", label=str(top), probability=weights[top])
    text = record(as_user(patient))
    assert "Wear of the joint" in text and "Higher than in March 2026" in text
    assert "PMI cannot tell the left knee from the right one." in text


def test_nothing_found_is_said(as_user: Any, patient: Any, case: Case) -> None:
    made = film(case, 3, 0.04, "unlikely")
    rows.finding(made, "no-chest-finding", label="no_finding", probability=0.9)
    text = record(as_user(patient))
    assert "found none of the things it looks for in this scan" in text
    assert "The AI found nothing it looks for on my chest X-ray. Do you agree?" in text


def test_outlook_and_questions_come_from_the_knowledge_base(as_user: Any, patient: Any, case: Case) -> None:
    call_command("load_knowledge_base", verbosity=0)
    film(case, 3, 0.83)
    text = record(as_user(patient))
    assert "Outlook: Pneumonia" in text and "It is no promise for one." in text
    assert "The AI says my chest X-ray may show pneumonia. Do you see that too?" in text
    assert "Would any of these help me:" in text
    assert "How fast do we have to act" in text


def test_follow_ups_and_the_form_for_them(as_user: Any, patient: Any, doctor: Any, case: Case) -> None:
    FollowUp.objects.create(case=case, created_by=patient, due_on="2020-01-01", text="Ask for a new film")
    FollowUp.objects.create(case=case, created_by=doctor, due_on="2090-01-01", text="Come back")
    text = record(as_user(patient))
    assert "Ask for a new film" in text and "set by you" in text and "due</span>" in text
    assert "Come back" in text and "set by your doctor" in text
    assert text.count("Delete: ") == 1 and "Set a reminder" in text


def test_a_refused_scan_is_on_the_timeline(as_user: Any, patient: Any, case: Case) -> None:
    rows.analysis(ScanFactory.create(case=case), "rejected")
    text = record(as_user(patient))
    assert "The scan could not be read" in text and "This looks like a cat." in text


def test_what_is_not_released_is_not_there(as_user: Any, patient: Any, case: Case, settings: Any) -> None:
    film(case, 3, 0.83)
    settings.PMI_RELEASE = "after_review"
    text = record(as_user(patient))
    assert "neumonia" not in text and "AI read" not in text and "Scan added" in text


def test_long_timelines_have_pages(as_user: Any, patient: Any) -> None:
    for n in range(45):
        CaseFactory.create(patient=patient, title=f"Case number {n}")
    client = as_user(patient)
    assert record(client).count("Case opened") == 40
    assert client.get(RECORD, {"page": "2"}).content.decode().count("Case opened") == 5
    assert client.get(RECORD, {"page": "many"}).status_code == 200


def test_the_number_of_queries_does_not_grow(as_user: Any, patient: Any, case: Case) -> None:
    client = as_user(patient)

    def queries() -> int:
        with CaptureQueriesContext(
            connection,
        ) as caught:
            record(client)
        return len(caught)

    film(case, 3, 0.83)
    queries()
    before = queries()
    for month in range(4, 9):
        film(case, month, 0.83)
        FollowUp.objects.create(case=case, created_by=patient, due_on="2090-01-01", text="x")
    assert queries() <= before


def test_pages_hold_no_inline_code(as_user: Any, patient: Any, case: Case) -> None:
    film(case, 3, 0.83)
    text = record(as_user(patient))
    assert " style=" not in text and "onclick=" not in text and "<script>" not in text


# --- doctors ---
def of(patient: Any) -> str:
    return reverse("inference:patient_record", args=[patient.pk])


def test_a_doctor_with_access_reads_it(as_user: Any, patient: Any, doctor: Any, case: Case) -> None:
    CareRelationshipFactory.create(patient=patient, doctor=doctor)
    film(case, 3, 0.83)
    response = as_user(doctor).get(of(patient))
    text = response.content.decode()
    assert response.status_code == 200
    assert f"Record of {patient.full_name}" in text and patient.email in text
    assert "Questions to ask your doctor" not in text and "Set a reminder" not in text
    assert "<form" not in text[text.index("<main") : text.index("</main>")]
    line = AccessLog.objects.about(patient).get(action="view_record")
    assert line.actor == doctor


@pytest.mark.parametrize("who", ["other_patient", "doctor", "unverified_doctor", "admin_user"])
def test_nobody_else_knows_of_it(
    as_user: Any, patient: Any, case: Case, who: str, request: pytest.FixtureRequest
) -> None:
    assert as_user(request.getfixturevalue(who)).get(of(patient)).status_code == 404
    assert not AccessLog.objects.exists()


def test_a_patient_is_led_to_their_own(as_user: Any, patient: Any) -> None:
    assert as_user(patient).get(of(patient))["Location"] == RECORD


@pytest.mark.parametrize("who", ["doctor", "admin_user"])
def test_only_patients_have_one(as_user: Any, who: str, request: pytest.FixtureRequest) -> None:
    assert as_user(request.getfixturevalue(who)).get(RECORD).status_code == 403


def test_anonymous_bad_id_and_wrong_method(as_user: Any, patient: Any, doctor: Any) -> None:
    for path in (RECORD, of(patient)):
        assert "login" in as_user(None).get(path)["Location"]
        assert as_user(patient).put(path).status_code == 405
    assert as_user(patient).post(of(patient)).status_code == 405
    assert as_user(doctor).get(reverse("inference:patient_record", args=[uuid.uuid4()])).status_code == 404
