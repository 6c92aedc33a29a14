"""Home, health and error pages, and what every answer carries."""

import pytest
from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.shortcuts import render
from django.test import Client
from django.urls import reverse
from django.utils import translation
from django.views.defaults import server_error

from pmi_site import views


@pytest.mark.django_db
def test_home_for_everybody(client, as_user, patient):
    page = client.get("/")
    assert page.status_code == 200
    assert reverse("account_signup") in page.text
    assert "not a diagnosis" in page.text
    inside = as_user(patient).get("/")
    assert reverse("cases:list") in inside.text
    assert client.post("/").status_code == 405


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("contact", "link"),
    [("help@example.org", "mailto:help@example.org"), ("https://example.org/us", "https://example.org/us")],
)
def test_every_page_names_whom_to_write_to(client, settings, contact, link):
    settings.PMI_CONTACT = contact
    assert f'Write to us: <a class="break-anywhere" href="{link}">{contact}</a>' in client.get("/").text
    settings.PMI_CONTACT = ""
    assert "Write to us" not in client.get("/").text


@pytest.mark.django_db
def test_every_page_says_of_which_place_its_times_are(client, settings):
    assert "Times on this site: UTC." in client.get("/").text
    settings.TIME_ZONE = "America/Mexico_City"
    assert "Times on this site: America/Mexico City." in client.get("/").text


@pytest.mark.django_db
def test_health(client):
    answer = client.get("/healthz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


@pytest.mark.django_db
def test_health_is_told_to_whoever_asks_by_another_name_and_without_https(client, settings):
    settings.ALLOWED_HOSTS = ["pmi.example"]
    settings.SECURE_SSL_REDIRECT = True
    inside = {"host": "10.0.0.7:8000"}
    assert client.get("/healthz", headers=inside).json() == {"status": "ok"}
    assert client.post("/healthz", headers=inside).status_code == 405
    assert client.get("/", headers=inside).status_code == 400


def test_health_without_a_database_is_503_and_says_nothing_more(client, monkeypatch):
    def broken():
        raise RuntimeError("secret detail")

    monkeypatch.setattr(views.connection, "cursor", broken)
    answer = client.get("/healthz")
    assert (answer.status_code, answer.json()) == (503, {"status": "unavailable"})


@pytest.mark.django_db
def test_headers(client):
    answer = client.get("/")
    policy = {part.split()[0]: part.split()[1:] for part in answer["Content-Security-Policy"].split(";")}
    assert policy["default-src"] == ["'none'"]
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == ["'self'"]
    assert "unsafe" not in answer["Content-Security-Policy"]
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["X-Frame-Options"] == "DENY"
    assert answer["Referrer-Policy"] == "same-origin"


@pytest.mark.django_db
def test_a_missing_page_is_ours(client):
    answer = client.get("/nowhere/")
    assert answer.status_code == 404
    assert "There is nothing here" in answer.text


@pytest.mark.django_db
def test_a_form_without_its_token_is_explained():
    answer = Client(enforce_csrf_checks=True).post("/accounts/login/", {"login": "x", "password": "y"})
    assert answer.status_code == 403
    assert "open too long" in answer.text


@pytest.mark.django_db
def test_a_crash_shows_no_detail(monkeypatch):
    from django.urls import get_resolver

    def broken(request):
        raise RuntimeError("secret detail")

    pattern = next(entry for entry in get_resolver().url_patterns if getattr(entry, "name", "") == "home")
    monkeypatch.setattr(pattern, "callback", broken)
    answer = Client(raise_request_exception=False).get("/")
    assert answer.status_code == 500
    assert "Something went wrong on our side" in answer.text
    assert "secret" not in answer.text


def test_the_page_of_a_crash_is_in_the_reader_s_language_and_asks_for_nothing(rf):
    """No database, no person and no context: all of it may be what is broken."""
    with translation.override("es"):
        answer = server_error(rf.get("/"))
    assert answer.status_code == 500
    assert '<html lang="es">' in answer.text and "A la página de inicio" in answer.text


@pytest.mark.django_db
def test_a_crash_keeps_the_language_of_the_reader(monkeypatch):
    from django.urls import get_resolver

    def broken(request):
        raise RuntimeError("secret detail")

    pattern = next(entry for entry in get_resolver().url_patterns if getattr(entry, "name", "") == "home")
    monkeypatch.setattr(pattern, "callback", broken)
    client = Client(raise_request_exception=False)
    client.cookies.load({settings.LANGUAGE_COOKIE_NAME: "hi"})
    assert '<html lang="hi">' in client.get("/").text


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["400", "403", "404", "429", "403_csrf"])
def test_error_pages_are_in_the_reader_s_language(rf, name):
    request = rf.get("/")
    request.user = AnonymousUser()
    with translation.override("es"):
        page = render(request, f"{name}.html").text
    assert '<html lang="es">' in page and "A la página de inicio" in page
