"""Lists of the API ask the database as often for twenty rows as for one."""

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from cases import second_reader
from cases.models import Case, Scan
from inference import danger
from inference.models import Analysis, DangerAssessment, DangerRuleSet
from tests.factories import CareRelationshipFactory, ScanFactory
from tests.inference import reading_rows as rows
from tests.inference.reviewed import correct, doctor_of, sign

pytestmark = pytest.mark.django_db
Add = Callable[[Any], object]
MANY = 20


@pytest.fixture(autouse=True)
def in_force(db: None) -> None:
    """Rules that an administrator put in force: they are rows, the shipped ones are none."""
    DangerRuleSet.objects.create(
        version="own-1", status="active", rules=danger.shipped_raw(), activated_at=timezone.now()
    )


def scan(patient: Any, symptom: str = "blue_lips") -> Scan:
    return ScanFactory.create(case__patient=patient, case__symptoms={symptom: True})


def reading(patient: Any) -> Analysis:
    return rows.reading(scan(patient), rules_version="own-1", danger_rules=["pneumonia.likely"])


def unfinished(patient: Any) -> Analysis:
    return rows.analysis(scan(patient), "queued")


def of_an_older_release(patient: Any) -> Analysis:
    return rows.reading(scan(patient), rules_version="gone", danger_rules=["pneumonia.likely"])


def reviewed(patient: Any) -> None:
    """A signed review, and symptoms that are worse and were given later."""
    made = rows.reading(scan(patient, "night_pain"))
    DangerAssessment.objects.create(
        analysis=made, level="soon", rules_version="own-1", symptoms={"night_pain": True}, age_group="adult"
    )
    correct(made, patient.doctor)
    Case.objects.filter(pk=made.scan.case_id).update(symptoms={"blue_lips": True})


def differing(patient: Any) -> None:
    """A scan that a second doctor has read blind, and otherwise."""
    made = rows.reading(scan(patient))
    second = getattr(patient, "second", None) or doctor_of(patient, "Dr Bea Second")
    patient.second = second
    second_reader.ask(second, made.scan, second.pk)
    correct(made, patient.doctor)
    sign(made, second, seat="second")


def test_twenty_differences_cost_what_one_costs(api_as: Any, patient: Any, doctor: Any) -> None:
    CareRelationshipFactory.create(patient=patient, doctor=doctor)
    patient.doctor = doctor

    def counted(wanted: int) -> int:
        with CaptureQueriesContext(connection) as sent:
            answer = api_as(doctor).get("/api/v1/reviews/disagreements/?page_size=100").json()
        assert answer["count"] == wanted
        assert all(len(one["differences"]) == 2 for one in answer["results"])
        return len(sent)

    differing(patient)
    first = counted(1)
    for _ in range(MANY - 1):
        differing(patient)
    assert counted(MANY) == first


@pytest.mark.parametrize(
    ("path", "policy", "add"),
    [
        ("cases/", "at_once", scan),
        ("scans/", "at_once", scan),
        ("analyses/", "at_once", reading),
        ("analyses/", "at_once", unfinished),
        ("analyses/", "at_once", of_an_older_release),
        ("analyses/", "at_once", reviewed),
        ("analyses/", "after_review", reading),
        ("reviews/", "at_once", reviewed),
    ],
)
def test_twenty_rows_cost_what_one_costs(
    api_as: Any, patient: Any, doctor: Any, settings: Any, path: str, policy: str, add: Add
) -> None:
    settings.PMI_RELEASE = policy
    CareRelationshipFactory.create(patient=patient, doctor=doctor)
    patient.doctor = doctor

    def counted(wanted: int) -> list[int]:
        found = []
        for reader in (patient, doctor):
            with CaptureQueriesContext(connection) as sent:
                answer = api_as(reader).get(f"/api/v1/{path}?page_size=100")
            assert answer.json()["count"] == wanted
            found.append(len(sent))
        return found

    add(patient)
    first = counted(1)
    for _ in range(MANY - 1):
        add(patient)
    assert counted(MANY) == first
