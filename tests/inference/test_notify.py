"""Patients are told when a reading has ended: once for a case, and only of what they may see."""

from typing import Any

import pytest

from cases.models import Scan
from inference import notify, services
from inference.models import Analysis
from tests.factories import ScanFactory
from tests.inference import reading_rows as rows

pytestmark = pytest.mark.django_db


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, str, str]]:
    """(user id, kind, link) of every notice."""
    found: list[tuple[Any, str, str]] = []
    monkeypatch.setattr(notify, "tell", lambda *args: found.append(args))
    return found


@pytest.fixture
def scan(patient: Any) -> Scan:
    return ScanFactory.create(case__patient=patient)


def test_once_for_a_case(scan: Scan, told: list[Any]) -> None:
    first = rows.reading(scan)
    second = rows.reading(ScanFactory.create(case=scan.case))
    assert notify.tell_reading_ready(first.pk)
    assert not notify.tell_reading_ready(second.pk)
    assert told == [(scan.case.patient_id, "reading_ready", f"/cases/{scan.case_id}/")]
    elsewhere = rows.reading(ScanFactory.create())
    assert notify.tell_reading_ready(elsewhere.pk)


def test_what_is_held_back_is_said_to_be_with_a_doctor(scan: Scan, told: list[Any], settings: Any) -> None:
    settings.PMI_RELEASE = "after_review"
    assert notify.tell_reading_ready(rows.reading(scan).pk)
    assert [kind for _user, kind, _link in told] == ["reading_held"]


def test_a_deleted_reading(scan: Scan, told: list[Any]) -> None:
    made = rows.reading(scan)
    Analysis.objects.all().delete()
    assert not notify.tell_reading_ready(made.pk) and told == []


def test_the_end_of_a_reading_tells(
    scan: Scan, told: list[Any], django_capture_on_commit_callbacks: Any
) -> None:
    made = rows.analysis(scan, "queued")
    with django_capture_on_commit_callbacks(execute=True):
        held = services.claim(str(made.pk))
        assert held is not None
        assert services.fail(held, "some_code", "It broke.")
    assert [kind for _user, kind, _link in told] == ["reading_ready"]
    with django_capture_on_commit_callbacks(execute=True):
        assert not services.fail(held, "some_code", "It broke.")  # too late: nothing new to tell
    assert len(told) == 1
