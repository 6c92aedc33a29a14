"""A patient who took back that PMI keeps and reads their scans: nothing new is taken, nothing is read."""

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from accounts import consents
from accounts.models import ConsentPurpose
from cases.models import Scan
from inference import services
from inference.models import Analysis
from tests.cases.conftest import png
from tests.factories import CaseFactory, ScanFactory

pytestmark = pytest.mark.django_db
JSON = {"HTTP_ACCEPT": "application/json"}


@pytest.fixture
def case(patient):
    """A case of a patient who took care back."""
    made = CaseFactory.create(patient=patient)
    consents.revoke_consent(patient, ConsentPurpose.CARE)
    return made


def queued(scan, **fields):
    now = timezone.now()
    return Analysis.objects.create(scan=scan, queued_at=now, dispatched_at=now, **fields)


def test_an_upload_is_refused_with_the_reason(as_user, api_as, patient, case):
    address = reverse("cases:upload", args=[case.pk])
    answer = as_user(patient).post(address, {"files": png()}, **JSON)
    assert answer.status_code == 400
    assert answer.json()["code"] == "care_withdrawn"
    assert "You can agree again" in answer.json()["detail"]
    page = as_user(patient).post(address, {"files": png()})
    assert page.status_code == 400
    assert "You can agree again" in page.text
    answer = api_as(patient).post(f"/api/v1/cases/{case.pk}/scans/", {"files": png()}, format="multipart")
    assert (answer.status_code, answer.json()["code"]) == (400, "care_withdrawn")
    assert not Scan.objects.exists()


def test_the_case_page_says_so_before_anything_is_sent(as_user, patient, case):
    page = as_user(patient).get(reverse("cases:detail", args=[case.pk])).text
    assert "PMI takes no new ones" in page and "upload-form" not in page
    consents.give_consent(patient, ConsentPurpose.CARE)
    assert "upload-form" in as_user(patient).get(reverse("cases:detail", args=[case.pk])).text


def test_nothing_is_read_again(as_user, api_as, patient, case):
    scan = ScanFactory.create(case=case)
    assert services.request_analysis(scan.pk) is None
    address = reverse("inference:read_again", args=[case.pk, scan.pk])
    answer = as_user(patient).post(address, follow=True)
    assert "You can agree again" in answer.text
    assert not Analysis.objects.exists()


def test_what_waits_or_runs_is_stopped_with_a_reason(patient):
    case = CaseFactory.create(patient=patient)
    waiting = queued(ScanFactory.create(case=case))
    running = queued(
        ScanFactory.create(case=case),
        status="running",
        attempt=1,
        lease_expires_at=timezone.now() + timedelta(minutes=5),
    )
    other = queued(ScanFactory.create())
    consents.revoke_consent(patient, ConsentPurpose.CARE)
    for analysis in (waiting, running):
        analysis.refresh_from_db()
        assert (analysis.status, analysis.reason_code) == ("failed", "care_withdrawn")
        assert "You can agree again" in analysis.reason
    other.refresh_from_db()
    assert other.status == "queued"
    with pytest.raises(services.LeaseLost):
        services.heartbeat(services.Claim(running.pk, 1), Analysis.Stage.READING)


def test_what_is_stored_stays_and_agreeing_again_is_enough(as_user, patient, case):
    scan = ScanFactory.create(case=case)
    assert as_user(patient).get(reverse("inference:scan_result", args=[case.pk, scan.pk])).status_code == 200
    consents.give_consent(patient, ConsentPurpose.CARE)
    assert services.request_analysis(scan.pk) is not None
