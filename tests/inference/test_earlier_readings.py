"""Earlier readings of a scan: listed, readable, marked as older, for nobody else."""

import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.urls import reverse

from accounts.models import AccessLog
from cases.models import Scan
from inference.models import Analysis
from tests.factories import CareRelationshipFactory, ScanFactory
from tests.inference import reading_rows as rows

pytestmark = pytest.mark.django_db


@pytest.fixture
def scan(patient: Any) -> Scan:
    return ScanFactory.create(case__patient=patient)


@pytest.fixture
def older(scan: Scan) -> Analysis:
    made = rows.reading(
        scan, waited=timedelta(days=9), model_version=rows.model_version(active=False, digit="b")
    )
    rows.reading(scan, heat=True, model_version=rows.model_version(digit="c"), danger="soon")
    return made


def address(analysis: Analysis) -> str:
    return reverse("inference:earlier_reading", args=[analysis.scan.case_id, analysis.scan_id, analysis.pk])


def test_an_older_reading_is_shown_marked_and_logged(
    as_user: Any, patient: Any, doctor: Any, older: Analysis
) -> None:
    CareRelationshipFactory.create(patient=patient, doctor=doctor)
    for user in (patient, doctor):
        response = as_user(user).get(address(older))
        text = response.content.decode()
        assert response.status_code == 200 and response["Cache-Control"] == "private, no-store"
        assert "This is an older reading." in text and "PMI chest X-ray 0.b" in text
        assert "about 8 in 10 show pneumonia" in text
        assert reverse("inference:read_again", args=[older.scan.case_id, older.scan_id]) not in text
    assert AccessLog.objects.filter(action="view_earlier_reading", object_id=older.pk).count() == 2


def test_result_page_and_reading_room_list_it(
    as_user: Any, patient: Any, scan: Scan, older: Analysis
) -> None:
    broken = rows.analysis(scan, "failed", waited=timedelta(days=20))
    client = as_user(patient)
    for name in ("scan_result", "reading_room"):
        text = client.get(reverse(f"inference:{name}", args=[scan.case_id, scan.pk])).content.decode()
        assert address(older) in text
        assert address(broken) not in text


def test_a_single_reading_has_no_list(as_user: Any, patient: Any, scan: Scan) -> None:
    rows.reading(scan)
    text = (
        as_user(patient).get(reverse("inference:scan_result", args=[scan.case_id, scan.pk])).content.decode()
    )
    assert "Earlier readings" not in text


def test_the_newest_reading_is_not_called_older(
    as_user: Any, patient: Any, scan: Scan, older: Analysis
) -> None:
    newest = scan.analyses.exclude(pk=older.pk).get()
    text = as_user(patient).get(address(newest)).content.decode()
    assert "This is an older reading." not in text
    assert address(older) in text


def test_a_refusal_says_its_reason(as_user: Any, patient: Any, scan: Scan) -> None:
    refused = rows.analysis(scan, "rejected", waited=timedelta(days=1))
    rows.reading(scan)
    assert "This looks like a cat." in as_user(patient).get(address(refused)).content.decode()


@pytest.mark.parametrize("state", ["queued", "failed"])
def test_what_has_no_answer_is_404(as_user: Any, patient: Any, scan: Scan, state: str) -> None:
    assert as_user(patient).get(address(rows.analysis(scan, state))).status_code == 404


@pytest.mark.parametrize("who", ["other_patient", "doctor", "unverified_doctor", "admin_user"])
def test_outsiders_get_404(as_user: Any, request: Any, older: Analysis, who: str) -> None:
    assert as_user(request.getfixturevalue(who)).get(address(older)).status_code == 404


def test_anonymous_is_sent_to_the_login_page(as_user: Any, older: Analysis) -> None:
    assert as_user(None).get(address(older)).status_code == 302


def test_another_scans_reading_unknown_and_bad_ids(as_user: Any, patient: Any, scan: Scan) -> None:
    rows.reading(scan)
    other = rows.reading(ScanFactory.create(case__patient=patient))
    client = as_user(patient)
    for wrong in (other.pk, uuid.uuid4()):
        mixed = reverse("inference:earlier_reading", args=[scan.case_id, scan.pk, wrong])
        assert client.get(mixed).status_code == 404
    assert client.get(f"/cases/{scan.case_id}/scans/{scan.pk}/readings/7/").status_code == 404


@pytest.mark.parametrize("method", ["post", "put", "delete"])
def test_wrong_method(as_user: Any, patient: Any, older: Analysis, method: str) -> None:
    assert getattr(as_user(patient), method)(address(older)).status_code == 405
