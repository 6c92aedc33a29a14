"""The account, waiting and token pages."""

import pytest
from django.urls import reverse

from accounts import services
from accounts.models import ApiToken

pytestmark = pytest.mark.django_db

PAGES = ["accounts:account", "accounts:waiting", "accounts:tokens"]


@pytest.mark.parametrize("page", PAGES)
def test_strangers_are_sent_to_the_login(client, page):
    answer = client.get(reverse(page))
    assert answer.status_code == 302
    assert answer["Location"].startswith(reverse("account_login"))


@pytest.mark.parametrize("page", PAGES)
def test_wrong_methods_are_refused(as_user, patient, page):
    assert as_user(patient).delete(reverse(page)).status_code == 405


def test_account_shows_and_changes_the_name_and_nothing_else(as_user, patient):
    client = as_user(patient)
    assert patient.email in client.get(reverse("accounts:account")).text
    client.post(
        reverse("accounts:account"),
        {"full_name": "New Name", "role": "admin", "is_staff": "on", "email": "x@example.org"},
    )
    before = patient.email
    patient.refresh_from_db()
    assert (patient.full_name, patient.role, patient.is_staff, patient.email) == (
        "New Name",
        "patient",
        False,
        before,
    )


def test_account_refuses_an_empty_name(as_user, patient):
    answer = as_user(patient).post(reverse("accounts:account"), {"full_name": " "})
    assert "invalid-feedback" in answer.text
    patient.refresh_from_db()
    assert patient.full_name


def test_account_tells_a_doctor_the_state_of_the_licence(as_user, doctor, unverified_doctor):
    assert "waiting for verification" in as_user(unverified_doctor).get(reverse("accounts:account")).text
    assert "waiting for verification" not in as_user(doctor).get(reverse("accounts:account")).text


def test_waiting_is_for_unverified_doctors_only(as_user, doctor, unverified_doctor, patient):
    assert as_user(unverified_doctor).get(reverse("accounts:waiting")).status_code == 200
    for user in (doctor, patient):
        assert as_user(user).get(reverse("accounts:waiting"))["Location"] == reverse("cases:list")


def test_a_token_is_shown_once(as_user, patient, other_patient):
    client = as_user(patient)
    answer = client.post(reverse("accounts:tokens"), {"name": "my script"})
    key = answer.context["key"]
    assert key in answer.text
    assert "no-store" in answer["Cache-Control"]
    later = client.get(reverse("accounts:tokens")).text
    assert "my script" in later
    assert key not in later
    assert "my script" not in as_user(other_patient).get(reverse("accounts:tokens")).text


def test_a_token_needs_a_name_and_is_limited(as_user, patient, monkeypatch):
    client = as_user(patient)
    assert client.post(reverse("accounts:tokens"), {"name": ""}).status_code == 400
    monkeypatch.setattr(services, "MAX_TOKENS", 0)
    answer = client.post(reverse("accounts:tokens"), {"name": "x"})
    assert answer.status_code == 400
    assert "too many tokens" in answer.text
    assert not ApiToken.objects.exists()


def test_deleting_a_token(as_user, patient, other_patient, client):
    token, _key = services.create_token(patient, "x")
    address = reverse("accounts:delete_token", args=[token.pk])
    assert client.post(address).status_code == 302
    assert as_user(patient).get(address).status_code == 405
    assert as_user(other_patient).post(address).status_code == 404
    assert ApiToken.objects.exists()
    assert as_user(patient).post(address).status_code == 302
    assert not ApiToken.objects.exists()
