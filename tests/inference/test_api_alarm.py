"""What symptoms say by themselves, over the API: at once, whatever a reading is about to say."""

from typing import Any

import pytest
from django.urls import reverse

from cases import second_reader
from cases.models import Case, Scan
from inference.models import Analysis
from tests.factories import CaseFactory, ScanFactory
from tests.inference import reading_rows as rows
from tests.inference.reviewed import correct, doctor_of

pytestmark = pytest.mark.django_db
CALL = "Call your local emergency number now"


@pytest.fixture
def case(patient: Any) -> Case:
    """A case whose patient says that their chest hurts."""
    return CaseFactory.create(patient=patient, symptoms={"chest_pain": True})


@pytest.fixture
def scan(case: Case) -> Scan:
    return ScanFactory.create(case=case)


def told(client: Any, analysis: Analysis) -> dict[str, Any]:
    return dict(client.get(reverse("v1:analysis-detail", args=[analysis.pk])).json())


def case_of(client: Any, case: Case) -> dict[str, Any]:
    return dict(client.get(reverse("v1:case-detail", args=[case.pk])).json())


@pytest.mark.parametrize("status", ["queued", "running"])
def test_an_unfinished_reading_says_what_the_symptoms_say(
    api_as: Any, as_user: Any, patient: Any, scan: Scan, status: str
) -> None:
    analysis = rows.analysis(scan, status)
    assert CALL in as_user(patient).get(reverse("cases:detail", args=[scan.case_id])).text
    listed = api_as(patient).get(reverse("v1:analysis-list")).json()["results"]
    for said in (told(api_as(patient), analysis), *listed):
        assert (said["danger"], said["danger_by"], said["ai_danger"]) == ("emergency", "symptoms", "")
        assert said["danger_reasons"] and CALL in said["next_step"]
        assert said["status"] == status and said["findings"] == []


def test_without_symptoms_an_unfinished_reading_says_nothing(api_as: Any, patient: Any) -> None:
    said = told(api_as(patient), rows.analysis(ScanFactory.create(case__patient=patient), "queued"))
    assert (said["danger"], said["danger_by"]) == ("", "")
    assert (said["danger_reasons"], said["next_step"]) == ([], "")


def test_a_new_reading_of_a_reviewed_scan_keeps_the_worse_of_doctor_and_symptoms(
    api_as: Any, patient: Any, scan: Scan
) -> None:
    correct(rows.reading(scan), doctor_of(patient), level="soon")
    analysis = rows.analysis(scan, "running")
    said = told(api_as(patient), analysis)
    assert (said["danger"], said["danger_by"]) == ("emergency", "symptoms") and CALL in said["next_step"]
    Case.objects.filter(pk=scan.case_id).update(symptoms={})
    said = told(api_as(patient), analysis)
    assert (said["danger"], said["danger_by"]) == ("soon", "doctor") and said["review"]


def test_a_case_says_it_before_there_is_any_scan(api_as: Any, patient: Any, case: Case) -> None:
    listed = api_as(patient).get(reverse("v1:case-list")).json()["results"]
    for said in (case_of(api_as(patient), case), *listed):
        assert set(said["alarm"]) == {"level", "reasons", "next_step"}
        assert said["alarm"]["level"] == "emergency" and said["alarm"]["reasons"]
        assert CALL in said["alarm"]["next_step"]


def test_the_answer_to_new_symptoms_says_it(api_as: Any, patient: Any) -> None:
    client = api_as(patient)
    opened = client.post(reverse("v1:case-list"), {"kind": "chest_xray", "symptoms": {"chest_pain": True}})
    assert opened.json()["alarm"]["level"] == "emergency"
    address = reverse("v1:case-detail", args=[opened.json()["id"]])
    assert client.patch(address, {"symptoms": {"chest_pain": False}}).json()["alarm"] is None
    assert client.patch(address, {"symptoms": {"chest_pain": True}}).json()["alarm"]["level"] == "emergency"
    assert client.patch(address, {"symptoms": {}}).json()["alarm"] is None


def test_it_is_said_in_the_language_asked_for(api_as: Any, patient: Any, case: Case) -> None:
    address = reverse("v1:case-detail", args=[case.pk])
    said = api_as(patient).get(address, headers={"accept-language": "es"}).json()["alarm"]
    assert said["next_step"].startswith("Llame ")


def test_every_reader_of_the_case_sees_it_a_blind_second_one_too(
    api_as: Any, patient: Any, scan: Scan
) -> None:
    first, second = doctor_of(patient), doctor_of(patient, "Dr Bea Second")
    read = rows.reading(scan)
    second_reader.ask(second, scan, second.pk)
    correct(read, first)
    running = rows.analysis(scan, "running")
    for doctor in (first, second):
        assert case_of(api_as(doctor), scan.case)["alarm"]["level"] == "emergency"
        assert told(api_as(doctor), running)["danger"] == "emergency"
    assert told(api_as(second), running)["review"] is None


def test_it_is_never_held_back(api_as: Any, patient: Any, scan: Scan, settings: Any) -> None:
    settings.PMI_RELEASE = "after_review"
    held = rows.reading(scan)
    assert case_of(api_as(patient), scan.case)["alarm"]["level"] == "emergency"
    said = told(api_as(patient), held)
    assert said["held_back"] and (said["danger"], said["danger_by"]) == ("emergency", "symptoms")
