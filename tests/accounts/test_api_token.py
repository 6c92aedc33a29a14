"""POST /api/v1/token/ and what the key opens."""

import pytest
from django.urls import reverse
from rest_framework.test import APIClient
from rest_framework.throttling import ScopedRateThrottle

from accounts import services
from accounts.models import ApiToken
from tests.factories import PASSWORD, UserFactory

pytestmark = pytest.mark.django_db


def ask(**data):
    return APIClient().post(reverse("v1:token"), data)


def test_the_key_opens_the_api_under_both_words(patient):
    answer = ask(email=patient.email.upper(), password=PASSWORD, name="laptop")
    assert answer.status_code == 201
    assert ApiToken.objects.get().name == "laptop"
    for word in ("Token", "Bearer"):
        client = APIClient(headers={"Authorization": f"{word} {answer.data['token']}"})
        assert client.get("/api/v1/cases/").status_code == 200
    assert ApiToken.objects.get().last_used_at is not None


def test_wrong_password_unknown_closed_and_unconfirmed_get_the_same_answer(patient):
    closed = UserFactory.create(is_active=False)
    unconfirmed = UserFactory.create(email_verified=False)
    answers = [
        ask(email=patient.email, password="wrong"),
        ask(email="nobody@example.org", password=PASSWORD),
        ask(email=closed.email, password=PASSWORD),
        ask(email=unconfirmed.email, password=PASSWORD),
    ]
    assert {answer.status_code for answer in answers} == {400}
    assert {(answer.data["code"], answer.data["detail"]) for answer in answers} == {
        ("bad_credentials", answers[0].data["detail"])
    }
    assert not ApiToken.objects.exists()


def test_missing_fields_are_named():
    answer = ask(email="x")
    assert answer.status_code == 400
    assert set(answer.data) == {"email", "password"}


@pytest.mark.parametrize("header", ["Token nonsense", "Token", "Token a b", "Token \xff"])
def test_a_bad_key_is_401(header, db):
    client = APIClient(headers={"Authorization": header})
    answer = client.get("/api/v1/cases/")
    assert answer.status_code == 401
    assert answer["WWW-Authenticate"] == "Token"


def test_no_key_is_401_and_a_closed_accounts_key_too(patient):
    _token, key = services.create_token(patient, "x")
    assert APIClient().get("/api/v1/cases/").status_code == 401
    patient.is_active = False
    patient.save()
    client = APIClient(headers={"Authorization": f"Token {key}"})
    assert client.get("/api/v1/cases/").status_code == 401


def test_get_is_refused():
    assert APIClient().get(reverse("v1:token")).status_code == 405


def test_tries_are_counted(monkeypatch, patient):
    monkeypatch.setattr(ScopedRateThrottle, "THROTTLE_RATES", {"token": "2/min"})
    codes = [ask(email=patient.email, password="wrong").status_code for _ in range(3)]
    assert codes == [400, 400, 429]
