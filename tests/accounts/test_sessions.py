"""Where one is signed in, and signing out elsewhere."""

from datetime import timedelta

import pytest
from allauth.usersessions.models import UserSession
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts import erasure, sessions
from tests.accounts.test_second_factor import log_in
from tests.factories import PASSWORD, UserFactory

pytestmark = pytest.mark.django_db
LIST = "/accounts/sessions/"
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"
PHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605 Version/18 Safari/604.1"


@pytest.fixture
def two(patient) -> tuple[Client, Client]:
    """The same person twice."""
    return log_in(patient, headers={"user-agent": FIREFOX})[0], log_in(
        patient, headers={"user-agent": PHONE}
    )[0]


def test_the_list_says_what_and_roughly_where(two):
    page = two[0].get(LIST).text
    assert "Firefox, Linux" in page
    assert "Safari, iPhone" in page
    assert "127.0.0.1" not in page
    assert page.count("this one") == 1


def test_one_can_be_signed_out(two, patient):
    other = UserSession.objects.get(user=patient, user_agent=PHONE)
    assert two[0].post(reverse("accounts:end_session", args=[other.pk])).status_code == 302
    assert two[1].get("/cases/").status_code == 302
    assert two[0].get("/cases/").status_code == 200


def test_everywhere_else_and_a_new_password(two, patient):
    two[0].post(LIST)
    assert two[1].get("/cases/").status_code == 302
    again, _answer = log_in(patient)
    new = {"oldpassword": PASSWORD, "password1": "another long phrase", "password2": "another long phrase"}
    assert two[0].post(reverse("account_change_password"), new).status_code == 302
    assert again.get("/cases/").status_code == 302
    assert two[0].get("/cases/").status_code == 200
    assert UserSession.objects.purge_and_list(patient)[0].user_agent == FIREFOX


def test_others_sessions_get_and_strangers(as_user, client, two, patient):
    own = UserSession.objects.filter(user=patient).first()
    address = reverse("accounts:end_session", args=[own.pk])
    assert as_user(UserFactory.create()).post(address).status_code == 404
    assert two[0].get(address).status_code == 405
    assert client.post(address).status_code == 302
    assert UserSession.objects.filter(pk=own.pk).exists()


def test_last_use_is_written_once_in_five_minutes(two):
    two[0].get("/cases/")
    old = timezone.now() - timedelta(hours=1)
    UserSession.objects.update(last_seen_at=old)
    two[0].get("/cases/")
    assert UserSession.objects.filter(last_seen_at=old).count() == 2
    session = two[0].session
    session[sessions.SEEN_KEY] = 0
    session.save()
    two[0].get("/cases/")
    assert UserSession.objects.filter(last_seen_at=old).count() == 1


def test_sessions_that_are_over_are_forgotten(two):
    UserSession.objects.update(last_seen_at=timezone.now() - timedelta(days=15))
    assert sessions.sweep() == 2


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("203.0.113.77", "203.0.113.0/24"),
        ("2001:db8:1:2::3", "2001:db8:1::/48"),
        ("::ffff:203.0.113.9", "203.0.113.0/24"),
        ("::1", "this computer"),
        ("nonsense", "not known"),
    ],
)
def test_addresses_are_shown_coarsely(address, shown):
    assert sessions.coarse(address) == shown


@pytest.mark.parametrize(
    ("agent", "words"),
    [
        (FIREFOX, "Firefox, Linux"),
        ("", "unknown device"),
        ("curl/8", "unknown device"),
        ("x Edg/1 Chrome/1 Safari Windows", "Edge, Windows"),
    ],
)
def test_devices_in_words(agent, words):
    assert sessions.device_of(agent) == words


def test_an_erasure_finds_sessions_that_stopped_before_the_second_step(doctor):
    _client, answer = log_in(doctor)
    assert answer["Location"] == "/accounts/2fa/authenticate/"
    assert "a session" in erasure.leftovers(doctor.pk)
    job = erasure.request_erasure(doctor)
    assert erasure.run(job.pk)
    assert erasure.leftovers(doctor.pk) == []
