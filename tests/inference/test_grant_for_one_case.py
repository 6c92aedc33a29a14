"""A grant for one case on all that puts cases together: nothing of the patient's other case is there."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.urls import reverse
from django.utils import timezone

from cases.models import FollowUp, Scan
from inference.models import Analysis
from tests.factories import CareRelationshipFactory, CaseFactory, ScanFactory
from tests.inference import pdf
from tests.inference.reviewed import correct, doctor_of
from tests.inference.test_similar_search import read

pytestmark = pytest.mark.django_db


@pytest.fixture
def closed(patient: Any) -> Analysis:
    """The reading of a case that the doctor may not open, corrected by another one, with a reminder."""
    case = CaseFactory.create(patient=patient, title="HIDDEN title", question="HIDDEN question")
    analysis = read(ScanFactory.create(case=case), 0.05)
    correct(analysis, doctor_of(patient), comment="HIDDEN comment")
    day = timezone.localdate() + timedelta(days=3)
    FollowUp.objects.create(case=case, created_by=patient, due_on=day, text="HIDDEN reminder")
    return analysis


@pytest.fixture
def opened(patient: Any, doctor: Any) -> Analysis:
    """The reading of the one case that the doctor may open."""
    case = CaseFactory.create(patient=patient, title="Shared title")
    day = timezone.localdate() + timedelta(days=3)
    FollowUp.objects.create(case=case, created_by=patient, due_on=day, text="Shared reminder")
    CareRelationshipFactory.create(patient=patient, doctor=doctor, case=case)
    return read(ScanFactory.create(case=case))


def secrets(closed: Analysis) -> list[str]:
    """What must not be said: words, and the ids of everything."""
    found = closed.findings.values_list("pk", flat=True)
    return ["HIDDEN", str(closed.pk), str(closed.scan_id), str(closed.scan.case_id), *map(str, found)]


PAGES = {
    "cases:list": "Shared title",
    "cases:worklist": "Shared title",
    "cases:detail": "Shared title",
    "cases:scan_list": "See the result",
    "inference:patient_record": "Shared reminder",
    "inference:scan_result": "Shared title",
    "inference:reading_room": "reading_room.js",
    "inference:review": "Shared title",
    "inference:disagreements": "disagree",
}


@pytest.mark.parametrize("name", PAGES)
def test_pages_show_nothing_of_the_other_case(
    as_user: Any, patient: Any, doctor: Any, closed: Analysis, opened: Analysis, name: str
) -> None:
    scan: Scan = opened.scan
    given: dict[str, list[Any]] = {
        "cases:detail": [scan.case_id],
        "cases:scan_list": [scan.case_id],
        "inference:patient_record": [patient.pk],
        "inference:scan_result": [scan.case_id, scan.pk],
        "inference:reading_room": [scan.case_id, scan.pk],
        "inference:review": [scan.case_id, scan.pk],
    }
    answer = as_user(doctor).get(reverse(name, args=given.get(name, [])))
    assert answer.status_code == 200
    assert PAGES[name] in answer.text
    assert [secret for secret in secrets(closed) if secret in answer.text] == []


def test_the_report_says_nothing_of_the_other_case(
    as_user: Any, doctor: Any, closed: Analysis, opened: Analysis
) -> None:
    answer = as_user(doctor).get(reverse("inference:report", args=[opened.pk]))
    text = pdf.text(answer.getvalue())
    assert "HIDDEN" not in text and str(closed.pk) not in text


@pytest.mark.parametrize(
    "path", ["cases", "scans", "analyses", "reviews", "worklist", "reviews/disagreements"]
)
def test_the_api_lists_nothing_of_the_other_case(
    api_as: Any, doctor: Any, closed: Analysis, opened: Analysis, path: str
) -> None:
    client = api_as(doctor)
    answer = client.get(f"/api/v1/{path}/")
    assert answer.status_code == 200
    own = {"cases": opened.scan.case_id, "worklist": opened.scan.case_id}
    own |= {"scans": opened.scan_id, "analyses": opened.pk}
    assert str(own.get(path, "")) in answer.content.decode()
    assert [secret for secret in secrets(closed) if secret in answer.content.decode()] == []
    for asked in ({"case": closed.scan.case_id}, {"scan": closed.scan_id}):
        assert b"HIDDEN" not in client.get(f"/api/v1/{path}/", asked).content


def test_a_search_finds_nothing_of_the_other_case(
    api_as: Any, doctor: Any, patient: Any, closed: Analysis, opened: Analysis
) -> None:
    answer = api_as(doctor).post("/api/v1/similar/", {"analysis": str(opened.pk)})
    assert answer.status_code == 200
    assert [secret for secret in secrets(closed) if secret in answer.content.decode()] == []
    assert api_as(doctor).post("/api/v1/similar/", {"analysis": str(closed.pk)}).status_code == 404
    # To the patient the other scan is the nearest of their own.
    answer = api_as(patient).post("/api/v1/similar/", {"analysis": str(opened.pk)})
    assert str(closed.scan_id) in answer.content.decode()
