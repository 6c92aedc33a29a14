"""Choosing the language and the country, without an account."""

import pytest
from django.test import Client

pytestmark = pytest.mark.django_db
URL = "/language/"


@pytest.mark.parametrize("code", ["en", "es", "hi"])
def test_the_page_says_which_language_it_is_in(client: Client, code: str) -> None:
    response = client.post(URL, {"language": code, "country": "", "next": "/conditions/"})
    assert (response.status_code, response["Location"]) == (302, "/conditions/")
    page = client.get("/conditions/").content.decode()
    assert f'<html lang="{code}">' in page
    assert f'<option value="{code}" lang="{code}" selected>' in page


def test_a_browser_s_language_is_taken_when_nothing_was_chosen(client: Client) -> None:
    page = client.get("/", headers={"accept-language": "hi-IN,hi;q=0.9"}).content.decode()
    assert '<html lang="hi">' in page


def test_country_is_kept_and_forgotten(client: Client) -> None:
    client.post(URL, {"language": "en", "country": "GB"})
    assert '<option value="GB" selected>' in client.get("/").content.decode()
    client.post(URL, {"language": "en", "country": "nonsense"})
    assert '<option value="GB" selected>' in client.get("/").content.decode()
    client.post(URL, {"language": "en", "country": ""})
    assert '<option value="" selected>' in client.get("/").content.decode()


@pytest.mark.parametrize("value", ["nonsense", "", "../x"])
def test_unknown_language_changes_nothing(client: Client, value: str) -> None:
    client.post(URL, {"language": value})
    assert '<html lang="en">' in client.get("/").content.decode()


def test_never_leads_to_another_site(client: Client) -> None:
    response = client.post(URL, {"language": "es", "next": "https://evil.example/"})
    assert "evil" not in response["Location"]


def test_wrong_method_and_missing_token(client: Client) -> None:
    assert client.get(URL).status_code == 405
    assert Client(enforce_csrf_checks=True).post(URL, {"language": "es"}).status_code == 403
