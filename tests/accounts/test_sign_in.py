"""Wrong tries: who has to wait, who does not, and who is told."""

import logging

import pytest
from django.core.cache import cache
from django.test import Client
from django.urls import reverse

from accounts import sign_in
from accounts.models import Notice
from pmi_site.misses import Misses
from tests.accounts.test_second_factor import log_in
from tests.factories import PASSWORD, UserFactory

pytestmark = pytest.mark.django_db
RATES = {"login_failed": "20/m/ip,5/300s/key"}


@pytest.fixture(autouse=True)
def _limited(settings):
    settings.ACCOUNT_RATE_LIMITS = RATES


def attempt(user, password=None, client=None, **where):
    client = client or Client()
    data = {"login": user.email, "password": password or "wrong"}
    return client.post(reverse("account_login"), data, **where)


def test_after_five_wrong_tries_even_the_right_password_waits(patient):
    for _ in range(5):
        assert "Too many wrong tries" not in attempt(patient).text
    answer = attempt(patient, PASSWORD)
    assert answer.status_code == 200
    assert "Too many wrong tries. Wait five minutes" in answer.text


def test_tries_from_elsewhere_do_not_shut_the_owner_out(patient):
    for _ in range(6):
        attempt(patient, REMOTE_ADDR="198.51.100.7")
    assert attempt(patient, PASSWORD, REMOTE_ADDR="192.0.2.9").status_code == 302


def test_many_strangers_shut_strangers_out_but_not_a_known_browser(monkeypatch, patient):
    monkeypatch.setattr(sign_in, "STRANGERS", Misses("sign-in-stranger", most=3, seconds=60))
    known, answer = log_in(patient)
    assert answer.status_code == 302
    for number in range(4):
        attempt(patient, REMOTE_ADDR=f"198.51.100.{number}")
    assert "Too many wrong tries" in attempt(patient, PASSWORD, REMOTE_ADDR="192.0.2.9").text
    known.post(reverse("account_logout"))
    assert attempt(patient, PASSWORD, client=known, REMOTE_ADDR="192.0.2.9").status_code == 302


def test_a_forged_cookie_makes_no_known_browser(monkeypatch, patient):
    monkeypatch.setattr(sign_in, "STRANGERS", Misses("sign-in-stranger", most=1, seconds=60))
    attempt(patient)
    client = Client()
    client.cookies[sign_in.COOKIE] = "eyJhIjoiYiJ9:forged:signature"
    assert "Too many wrong tries" in attempt(patient, PASSWORD, client=client).text


def test_one_address_cannot_try_many_accounts(patient):
    for number in range(20):
        attempt(UserFactory.build(email=f"nobody{number}@example.org"))
    assert "Too many wrong tries" in attempt(patient, PASSWORD).text


def test_a_forwarded_header_counts_only_behind_a_trusted_proxy(settings, patient):
    for number in range(5):
        attempt(patient, headers={"X-Forwarded-For": f"198.51.100.{number}"})
    assert "Too many wrong tries" in attempt(patient, PASSWORD, headers={"X-Forwarded-For": "192.0.2.1"}).text
    settings.ALLAUTH_TRUSTED_PROXY_COUNT = 1
    assert attempt(patient, PASSWORD, headers={"X-Forwarded-For": "192.0.2.1"}).status_code == 302


def test_wrong_codes_wait_too_and_the_owner_is_told(doctor):
    client, answer = log_in(doctor)
    for _ in range(5):
        assert "not right" in client.post(answer["Location"], {"code": "000000"}).text
    assert "Too many wrong tries" in client.post(answer["Location"], {"code": "000000"}).text
    assert Notice.objects.filter(user=doctor, kind="wrong_codes").count() == 1


def test_the_owner_is_told_of_many_failures_once(patient):
    for number in range(8):
        attempt(patient, REMOTE_ADDR=f"198.51.100.{number}")
    assert Notice.objects.filter(user=patient, kind="many_failures").count() == 1


def test_a_new_device_is_told_but_not_the_first_nor_a_known_one(patient):
    client, _answer = log_in(patient)
    assert not Notice.objects.exists()
    client.post(reverse("account_logout"))
    client.post(reverse("account_login"), {"login": patient.email, "password": PASSWORD})
    assert not Notice.objects.exists()
    log_in(patient)
    assert Notice.objects.get().kind == "new_device"


def test_tokens_wait_as_pages_do(patient):
    data = {"email": patient.email, "password": "wrong"}
    for _ in range(5):
        assert Client().post(reverse("v1:token"), data).json()["code"] == "bad_credentials"
    answer = Client().post(reverse("v1:token"), {**data, "password": PASSWORD})
    assert answer.status_code == 429
    assert answer.json()["code"] == "too_many_tries"
    assert answer["Retry-After"] == "300"


def test_logs_and_cache_name_nobody(patient, caplog):
    with caplog.at_level(logging.INFO):
        for _ in range(6):
            attempt(patient)
    assert "sign-in: wrong address or password" in caplog.text
    assert patient.email not in caplog.text
    assert not [key for key in cache._cache if patient.email in key]
