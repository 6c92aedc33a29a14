"""A patient who took back that PMI keeps and reads their scans: nothing new is taken, nothing is read."""

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from accounts import consents
from accounts.models import ConsentPurpose
from cases import intake
from cases.models import Scan
from cases.services import add_scans
from inference import services, similar_searches
from inference.models import Analysis, SimilarSearch
from pmi_site.errors import UserError
from tests.cases.conftest import png
from tests.factories import CaseFactory, ScanFactory
from tests.inference import reading_rows as rows

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
        assert "can agree again" in analysis.reason
    other.refresh_from_db()
    assert other.status == "queued"
    with pytest.raises(services.LeaseLost):
        services.heartbeat(services.Claim(running.pk, 1), Analysis.Stage.READING)


def test_what_is_stored_stays_and_agreeing_again_is_enough(as_user, patient, case):
    scan = ScanFactory.create(case=case)
    assert as_user(patient).get(reverse("inference:scan_result", args=[case.pk, scan.pk])).status_code == 200
    consents.give_consent(patient, ConsentPurpose.CARE)
    assert services.request_analysis(scan.pk) is not None


def test_nothing_is_searched_with_either(as_user, api_as, patient, case):
    scan = ScanFactory.create(case=case)
    reading = rows.reading(scan)
    region = reverse("inference:similar_region", args=[case.pk, scan.pk])
    answer = as_user(patient).post(region, {"region": "0.1,0.1,0.5,0.5"})
    assert answer.status_code == 400 and "You can agree again" in answer.text
    asked = {"analysis": str(reading.pk), "region": "0.1,0.1,0.5,0.5"}
    answer = api_as(patient).post(reverse("v1:similar-list"), asked, format="json")
    assert (answer.status_code, answer.json()["code"]) == (400, "care_withdrawn")
    answer = as_user(patient).post(reverse("inference:similar_search"), {"files": png()})
    assert answer.status_code == 400 and "You can agree again" in answer.text
    assert not SimilarSearch.objects.exists()


def test_a_search_that_waits_is_not_done(patient, case):
    scan = ScanFactory.create(case=case)
    for fields in ({"analysis": rows.reading(scan), "region": [0.1, 0.1, 0.5, 0.5]}, {}):
        search = SimilarSearch.objects.create(
            owner=patient, kind="chest_xray", state=SimilarSearch.State.QUEUED, **fields
        )
        similar_searches.answer(similar_searches.claim(search.pk))
        search.refresh_from_db()
        assert (search.state, search.reason_code) == (SimilarSearch.State.FAILED, "care_withdrawn")


@pytest.mark.django_db(transaction=True)
def test_an_upload_on_its_way_is_not_kept(patient, monkeypatch, tmp_path, private_root):
    case = CaseFactory.create(patient=patient)
    real = intake.prepare

    def slow(*args, **options):
        found = real(*args, **options)
        consents.revoke_consent(patient, ConsentPurpose.CARE)
        return found

    monkeypatch.setattr(intake, "prepare", slow)
    path = tmp_path / "film"
    path.write_bytes(png().read())
    with pytest.raises(UserError) as caught:
        add_scans(case, patient, [intake.IncomingFile("film.png", path)])
    assert caught.value.code == "care_withdrawn"
    assert not Scan.objects.exists()
    assert not [found for found in private_root.rglob("*") if found.is_file()]
