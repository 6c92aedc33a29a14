"""The page on which a patient makes links and takes them back."""

import re
import uuid
from typing import Any

import pytest
from django.urls import reverse

from cases import sharing
from cases.models import Case
from cases.sharing_models import ShareLink
from tests.factories import CareRelationshipFactory, CaseFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def case(patient: Any) -> Case:
    return CaseFactory.create(patient=patient)


def address(case: Case) -> str:
    return reverse("cases:share", args=[case.pk])


def test_making_a_link_shows_address_and_pin_once(as_user: Any, patient: Any, case: Case) -> None:
    client = as_user(patient)
    page = client.post(address(case), {"days": "7", "max_views": "3", "note": "Dr Who"})
    assert page.status_code == 200 and page["Cache-Control"].startswith("max-age=0, no-cache, no-store")
    text = page.content.decode()
    token = re.search(r"http://testserver/shared/([\w-]+)/", text)
    pin = re.search(r'id="share-pin">(\d{6})<', text)
    assert token and pin
    link = sharing.find(token.group(1))
    assert link and (link.max_views, link.note, link.created_by) == (3, "Dr Who", patient)
    again = client.get(address(case)).content.decode()
    assert token.group(1) not in again and f">{pin.group(1)}<" not in again
    assert "Dr Who" in again and "opened 0 times" in again and "of at most 3" in again


@pytest.mark.parametrize("data", [{"days": "400"}, {"days": "7", "max_views": "0"}, {}])
def test_a_bad_form_makes_nothing(as_user: Any, patient: Any, case: Case, data: dict[str, str]) -> None:
    assert as_user(patient).post(address(case), data).status_code == 400
    assert not ShareLink.objects.exists()


def test_too_many_links_are_explained(as_user: Any, patient: Any, case: Case) -> None:
    for _n in range(sharing.MOST_OPEN_LINKS):
        sharing.make_link(case, patient)
    page = as_user(patient).post(address(case), {"days": "7"})
    assert page.status_code == 400 and "Take one back" in page.content.decode()


def test_taking_back(as_user: Any, patient: Any, case: Case) -> None:
    made = sharing.make_link(case, patient)
    path = reverse("cases:revoke_share", args=[case.pk, made.link.pk])
    for _tap in range(2):
        answer = as_user(patient).post(path, follow=True)
        assert answer.redirect_chain == [(address(case), 302)] and "It opens nothing any more." in answer.text
        assert sharing.find(made.token) is None
    assert "Taken back" in as_user(patient).get(address(case)).content.decode()


def test_a_doctor_who_may_read_the_case_may_not_share_it(
    as_user: Any, patient: Any, doctor: Any, case: Case
) -> None:
    CareRelationshipFactory.create(patient=patient, doctor=doctor)
    made = sharing.make_link(case, patient)
    client = as_user(doctor)
    assert client.get(address(case)).status_code == 403
    assert client.post(address(case), {"days": "7"}).status_code == 403
    assert client.post(reverse("cases:revoke_share", args=[case.pk, made.link.pk])).status_code == 403
    assert sharing.find(made.token)


@pytest.mark.parametrize("who", ["other_patient", "doctor", "unverified_doctor", "admin_user"])
def test_nobody_else_knows_of_it(
    as_user: Any, patient: Any, case: Case, who: str, request: pytest.FixtureRequest
) -> None:
    made = sharing.make_link(case, patient)
    client = as_user(request.getfixturevalue(who))
    assert client.get(address(case)).status_code == 404
    assert client.post(reverse("cases:revoke_share", args=[case.pk, made.link.pk])).status_code == 404
    assert sharing.find(made.token)


def test_anonymous_bad_id_and_wrong_method(as_user: Any, patient: Any, case: Case) -> None:
    made = sharing.make_link(case, patient)
    revoke = reverse("cases:revoke_share", args=[case.pk, made.link.pk])
    assert "login" in as_user(None).get(address(case))["Location"]
    assert "login" in as_user(None).post(revoke)["Location"]
    assert as_user(patient).get(reverse("cases:share", args=[uuid.uuid4()])).status_code == 404
    assert as_user(patient).get(revoke).status_code == 405
    assert as_user(patient).put(address(case)).status_code == 405
    assert (
        as_user(patient).post(reverse("cases:revoke_share", args=[case.pk, uuid.uuid4()])).status_code == 404
    )
