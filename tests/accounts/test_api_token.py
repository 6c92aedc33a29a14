"""POST /api/v1/token/ and what the key opens."""

import re

import pytest
from django.urls import reverse
from rest_framework.test import APIClient
from rest_framework.throttling import ScopedRateThrottle

from accounts import services
from accounts.models import ApiToken
from accounts.notice_models import Notice
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
    assert set(answer.data["errors"]) == {"email", "password"} < set(answer.data)


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


def change_password(client, new: str):
    form = {"oldpassword": PASSWORD, "password1": new, "password2": new}
    return client.post(reverse("account_change_password"), form)


def test_a_new_password_ends_the_tokens_and_says_so(as_user, patient):
    _token, key = services.create_token(patient, "x")
    others, other_key = services.create_token(UserFactory.create(), "y")
    client = as_user(patient)
    assert "your API tokens end" in client.get(reverse("account_change_password")).text
    assert change_password(client, "short").status_code == 200
    assert ApiToken.objects.count() == 2
    assert change_password(client, "another long phrase").status_code == 302
    assert ApiToken.objects.get() == others
    assert APIClient(headers={"Authorization": f"Token {key}"}).get("/api/v1/cases/").status_code == 401
    assert APIClient(headers={"Authorization": f"Token {other_key}"}).get("/api/v1/cases/").status_code == 200
    (notice,) = Notice.objects.filter(user=patient)
    assert "API tokens were ended" in notice.text


def test_a_forgotten_password_ends_them_too(client, patient, mailoutbox):
    services.create_token(patient, "x")
    client.post(reverse("account_reset_password"), {"email": patient.email})
    (address,) = re.findall(r"http://testserver(/\S+)", mailoutbox[0].body)
    page = client.get(address, follow=True)
    new = {"password1": "another long phrase", "password2": "another long phrase"}
    assert client.post(page.redirect_chain[-1][0], new).status_code == 302
    assert not ApiToken.objects.exists()
    assert Notice.objects.get(user=patient).kind == "tokens_ended"


def test_who_has_none_is_told_nothing(as_user, patient):
    assert change_password(as_user(patient), "another long phrase").status_code == 302
    assert not Notice.objects.exists()
