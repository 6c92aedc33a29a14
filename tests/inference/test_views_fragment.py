"""The progress fragment and the reading card."""

import re
from datetime import timedelta
from typing import Any

import pytest
from django.template import Context, Template
from django.test import RequestFactory
from django.urls import reverse
from django.utils import timezone

from accounts.models import AccessLog
from cases.models import Scan
from cases.selectors import READING_RELATIONS
from inference.models import Analysis
from inference.presenters import stage_words
from inference.result_parts import Progress
from tests.factories import CareRelationshipFactory, ScanFactory
from tests.inference import reading_rows as rows

pytestmark = pytest.mark.django_db
HTMX = {"HTTP_HX_REQUEST": "true"}


@pytest.fixture
def scan(patient: Any) -> Scan:
    return ScanFactory.create(case__patient=patient)


def address(analysis: Analysis) -> str:
    return reverse("inference:analysis_fragment", args=[analysis.pk])


def card(scan: Scan) -> str:
    """The card as the scan's patient sees it."""
    request = RequestFactory().get("/")
    request.user = scan.case.patient
    context = Context({"scan": scan, "request": request})
    return Template("{% load inference_tags %}{% scan_reading_card scan %}").render(context)


@pytest.mark.parametrize("status", ["queued", "running"])
def test_shows_the_stage_and_goes_on_polling(as_user: Any, patient: Any, scan: Scan, status: str) -> None:
    made = rows.analysis(scan, status)
    response = as_user(patient).get(address(made), **HTMX)
    text = response.content.decode()
    assert response.status_code == 200
    assert stage_words(made.stage) in text
    assert "hx-get" in text and "<progress" in text
    assert response["Cache-Control"] == "private, no-store"


def test_nothing_is_sent_while_nothing_changed(as_user: Any, patient: Any, scan: Scan) -> None:
    made = rows.analysis(scan, "queued")
    client, token = as_user(patient), Progress(made).token
    assert client.get(address(made), {"seen": token}, **HTMX).status_code == 204
    Analysis.objects.filter(pk=made.pk).update(
        status="running", stage="reading", lease_expires_at=timezone.now() + timedelta(minutes=1)
    )
    assert client.get(address(made), {"seen": token}, **HTMX).status_code == 200


@pytest.mark.parametrize("status", ["succeeded", "rejected", "failed"])
def test_a_finished_reading_loads_the_page_anew(as_user: Any, patient: Any, scan: Scan, status: str) -> None:
    made = rows.analysis(scan, status)
    client = as_user(patient)
    assert client.get(address(made), **HTMX)["HX-Refresh"] == "true"
    response = client.get(address(made))
    assert response["Location"] == reverse("inference:scan_result", args=[scan.case_id, scan.pk])


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ("queued", "Watch it being read"),
        ("succeeded", "See the result"),
        ("rejected", "This looks like a cat."),
        ("failed", "Try again"),
    ],
)
def test_the_card(as_user: Any, patient: Any, scan: Scan, status: str, words: str) -> None:
    made = rows.analysis(scan, status)
    text = as_user(patient).get(address(made), {"as": "card"}, **HTMX).content.decode()
    assert words in text
    assert ("hx-get" in text) == (status == "queued")
    assert words in card(scan)
    # By this name the focus is given back when one state takes the place of another.
    assert text.count(f'id="open-{scan.pk}"') == 1


@pytest.mark.parametrize("status", ["succeeded", "rejected", "failed"])
def test_the_card_of_a_finished_reading_is_logged_once_as_read(
    as_user: Any, patient: Any, doctor: Any, scan: Scan, status: str
) -> None:
    CareRelationshipFactory.create(patient=patient, doctor=doctor)
    made, client = rows.analysis(scan, "queued"), as_user(doctor)
    for asked in ({"as": "card"}, {"as": "card", "seen": Progress(made).token}, {}):
        assert client.get(address(made), asked, **HTMX).status_code in (200, 204)
    assert not AccessLog.objects.exists()
    Analysis.objects.filter(pk=made.pk).delete()
    made = rows.analysis(scan, status)
    assert client.get(address(made), **HTMX)["HX-Refresh"] == "true"
    assert not AccessLog.objects.exists()
    assert "hx-get" not in client.get(address(made), {"as": "card"}, **HTMX).text
    line = AccessLog.objects.about(patient).get()
    assert (line.action, line.object_id, line.actor_key) == ("view_reading", made.pk, doctor.log_key)


def test_what_becomes_of_a_card_is_said_aloud(as_user: Any, patient: Any, scan: Scan) -> None:
    """What speaks stays on the page; only what is in it is replaced."""
    rows.analysis(scan, "queued")
    page = as_user(patient).get(reverse("cases:scan_list", args=[scan.case_id])).text
    assert re.search(r'<div role="status">\s*<div class="reading-card" hx-get="', page)


def test_the_card_of_a_scan_that_nobody_read(scan: Scan) -> None:
    assert "Not read yet." in card(scan)


def test_cards_of_prefetched_scans_need_no_query(scan: Scan, django_assert_num_queries: Any) -> None:
    rows.reading(scan)
    rows_of = Scan.objects.select_related("case__patient").prefetch_related(*READING_RELATIONS)
    (found,) = rows_of.filter(pk=scan.pk)
    with django_assert_num_queries(0):
        assert "See the result" in card(found)


def test_a_shared_doctor_may_watch(as_user: Any, patient: Any, doctor: Any, scan: Scan) -> None:
    CareRelationshipFactory.create(patient=patient, doctor=doctor)
    assert as_user(doctor).get(address(rows.analysis(scan, "queued")), **HTMX).status_code == 200


@pytest.mark.parametrize("who", ["other_patient", "doctor", "unverified_doctor", "admin_user"])
@pytest.mark.parametrize("as_what", ["page", "card"])
def test_outsiders_get_404(as_user: Any, request: Any, scan: Scan, who: str, as_what: str) -> None:
    made = rows.analysis(scan, "queued")
    client = as_user(request.getfixturevalue(who))
    assert client.get(address(made), {"as": as_what}, **HTMX).status_code == 404


def test_when_the_session_ended_the_page_is_loaded_anew(as_user: Any, scan: Scan) -> None:
    made = rows.analysis(scan, "queued")
    response = as_user(None).get(address(made), **HTMX)
    assert response["HX-Refresh"] == "true" and not response.content
    assert as_user(None).get(address(made)).status_code == 302


@pytest.mark.parametrize("method", ["post", "put", "delete"])
def test_wrong_method(as_user: Any, patient: Any, scan: Scan, method: str) -> None:
    assert getattr(as_user(patient), method)(address(rows.analysis(scan, "queued"))).status_code == 405


def test_bad_id(as_user: Any, patient: Any) -> None:
    assert as_user(patient).get("/analyses/12/fragment/").status_code == 404
