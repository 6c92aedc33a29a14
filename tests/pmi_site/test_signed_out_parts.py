"""A part of a page that is asked for after the session has ended."""

from typing import Any

import pytest
from django.urls import reverse

from tests.factories import ScanFactory

pytestmark = pytest.mark.django_db
HTMX = {"HX-Request": "true"}


def test_the_page_is_loaded_anew_instead_of_losing_the_part(client: Any, as_user: Any, patient: Any) -> None:
    scan = ScanFactory.create(case__patient=patient)
    address = reverse("inference:scan_result", args=[scan.case_id, scan.pk])
    answer = client.get(address, headers=HTMX)
    assert (answer.status_code, answer["HX-Refresh"]) == (200, "true") and not answer.content
    assert "HX-Refresh" not in as_user(patient).get(address, headers=HTMX)


def test_a_whole_page_leads_to_signing_in(client: Any, patient: Any) -> None:
    scan = ScanFactory.create(case__patient=patient)
    address = reverse("inference:scan_result", args=[scan.case_id, scan.pk])
    answer = client.get(address)
    assert answer.status_code == 302 and answer["Location"].startswith(reverse("account_login"))


def test_what_is_sent_keeps_its_own_answer(client: Any, patient: Any) -> None:
    scan = ScanFactory.create(case__patient=patient)
    answer = client.post(reverse("inference:read_again", args=[scan.case_id, scan.pk]), headers=HTMX)
    assert answer.status_code == 302
