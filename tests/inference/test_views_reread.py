"""Asking for another reading."""

from typing import Any

import pytest
from django.urls import reverse

from cases.models import Scan
from tests.factories import CareRelationshipFactory, ScanFactory
from tests.inference import reading_rows as rows

pytestmark = pytest.mark.django_db


@pytest.fixture
def scan(patient: Any) -> Scan:
    return ScanFactory.create(case__patient=patient)


def address(scan: Scan) -> str:
    return reverse("inference:read_again", args=[scan.case_id, scan.pk])


@pytest.mark.parametrize("before", [None, "failed", "rejected"])
def test_a_scan_without_a_reading_is_queued(
    as_user: Any, patient: Any, scan: Scan, before: str | None
) -> None:
    if before:
        rows.analysis(scan, before)
    response = as_user(patient).post(address(scan))
    assert response.status_code == 302
    assert response["Location"] == reverse("inference:scan_result", args=[scan.case_id, scan.pk])
    assert scan.analyses.filter(status="queued").count() == 1


def test_two_clicks_make_one_reading(as_user: Any, patient: Any, scan: Scan) -> None:
    rows.analysis(scan, "failed")
    client = as_user(patient)
    client.post(address(scan))
    client.post(address(scan))
    assert scan.analyses.filter(status="queued").count() == 1


def test_the_newest_model_is_not_asked_twice(as_user: Any, patient: Any, scan: Scan) -> None:
    rows.reading(scan)
    response = as_user(patient).post(address(scan), follow=True)
    assert "would give the same answer" in response.content.decode()
    assert scan.analyses.count() == 1


def test_a_newer_model_may_be_asked(as_user: Any, patient: Any, scan: Scan) -> None:
    rows.reading(scan, model_version=rows.model_version(active=False))
    as_user(patient).post(address(scan))
    assert scan.analyses.count() == 2


def test_a_film_read_for_another_age_says_so_and_may_be_read_again(
    as_user: Any, patient: Any, scan: Scan
) -> None:
    rows.reading(scan, age_group="child")
    page = reverse("inference:scan_result", args=[scan.case_id, scan.pk])
    scan.case.age_group = "child"
    scan.case.save()
    assert "age group was changed" not in as_user(patient).get(page).text
    scan.case.age_group = "adult"
    scan.case.save()
    assert "age group was changed after this reading" in as_user(patient).get(page).text
    as_user(patient).post(address(scan))
    assert scan.analyses.filter(status="queued").count() == 1
    assert address(scan) not in as_user(patient).get(page).text, "it is on its way"


@pytest.mark.parametrize(("kind", "read_for"), [("knee_xray", "child"), ("chest_xray", "")])
def test_where_age_changes_nothing_or_is_not_known_nothing_is_said(
    as_user: Any, patient: Any, scan: Scan, kind: str, read_for: str
) -> None:
    scan.case.age_group = "adult"
    scan.case.save()
    rows.reading(scan, age_group=read_for, kind=kind)
    page = reverse("inference:scan_result", args=[scan.case_id, scan.pk])
    assert "age group was changed" not in as_user(patient).get(page).text


def test_a_reading_from_before_pmi_was_so_careful_says_so_and_may_be_read_again(
    as_user: Any, api_as: Any, patient: Any, scan: Scan
) -> None:
    version = rows.model_version()
    version.metadata = {**version.metadata, "activation": "sigmoid"}
    version.save()
    kept = rows.reading(scan, model_version=version, marks={"pneumonia": [0.2, 0.6]})
    page = reverse("inference:scan_result", args=[scan.case_id, scan.pk])
    assert "become more careful" not in as_user(patient).get(page).text
    assert api_as(patient).post("/api/v1/analyses/", {"scan": str(scan.pk)}).json()["id"] == str(kept.pk)
    scan.analyses.update(marks={})
    version.metadata["labels"][0]["high_sensitivity"] = 0.4
    version.save()
    assert "become more careful" in as_user(patient).get(page).text
    fresh = api_as(patient).post("/api/v1/analyses/", {"scan": str(scan.pk)}).json()
    assert fresh["id"] != str(kept.pk) and fresh["status"] == "queued"


def test_a_reader_gets_403(as_user: Any, patient: Any, doctor: Any, scan: Scan) -> None:
    CareRelationshipFactory.create(patient=patient, doctor=doctor)
    assert as_user(doctor).post(address(scan)).status_code == 403
    assert not scan.analyses.exists()


@pytest.mark.parametrize("who", ["other_patient", "doctor", "unverified_doctor", "admin_user"])
def test_outsiders_get_404(as_user: Any, request: Any, scan: Scan, who: str) -> None:
    assert as_user(request.getfixturevalue(who)).post(address(scan)).status_code == 404
    assert not scan.analyses.exists()


def test_anonymous_is_sent_to_the_login_page(as_user: Any, scan: Scan) -> None:
    assert as_user(None).post(address(scan)).status_code == 302
    assert not scan.analyses.exists()


@pytest.mark.parametrize("method", ["get", "put", "delete"])
def test_wrong_method(as_user: Any, patient: Any, scan: Scan, method: str) -> None:
    assert getattr(as_user(patient), method)(address(scan)).status_code == 405


def test_bad_id(as_user: Any, patient: Any, scan: Scan) -> None:
    assert as_user(patient).post(f"/cases/{scan.case_id}/scans/x/read-again/").status_code == 404
