"""GET and DELETE /api/v1/tokens/, and DELETE /api/v1/token/: which programs have a key, and ending it."""

import uuid
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from rest_framework.test import APIClient

from accounts import services
from accounts.models import ApiToken
from tests.factories import DoctorFactory

pytestmark = pytest.mark.django_db
LIST, IN_USE = "/api/v1/tokens/", "/api/v1/token/"


def program(key: str) -> APIClient:
    """A program with a key."""
    return APIClient(headers={"Authorization": f"Token {key}"})


def one(token: ApiToken) -> str:
    """The address of a token."""
    return f"{LIST}{token.pk}/"


def test_the_list_names_them_and_shows_no_key(patient: Any, other_patient: Any) -> None:
    older, _key = services.create_token(patient, "laptop")
    mine, key = services.create_token(patient, "script")
    services.create_token(other_patient, "foreign")
    answer = program(key).get(LIST)
    assert answer.status_code == 200 and "no-store" in answer["Cache-Control"]
    rows = answer.json()["results"]
    assert [(row["id"], row["name"], row["is_current"]) for row in rows] == [
        (str(mine.pk), "script", True),
        (str(older.pk), "laptop", False),
    ]
    assert set(rows[0]) == {"id", "name", "created_at", "last_used_at", "is_current"}
    assert rows[0]["last_used_at"] is not None and rows[1]["last_used_at"] is None
    assert key not in answer.text and mine.digest not in answer.text


def test_one_is_taken_back(patient: Any) -> None:
    lost, lost_key = services.create_token(patient, "lost")
    _mine, key = services.create_token(patient, "script")
    assert program(key).delete(one(lost)).status_code == 204
    assert program(lost_key).get(LIST).status_code == 401
    assert program(key).delete(one(lost)).status_code == 404
    assert program(key).get(LIST).json()["count"] == 1


@pytest.mark.parametrize("person", ["other_patient", "doctor", "admin_user"])
def test_others_tokens_are_not_there(patient: Any, person: str, request: Any) -> None:
    token, _key = services.create_token(patient, "x")
    _own, key = services.create_token(request.getfixturevalue(person), "y")
    answer = program(key).delete(one(token))
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert program(key).delete(f"{LIST}{uuid.uuid4()}/").status_code == 404
    assert ApiToken.objects.filter(pk=token.pk).exists()


def test_the_one_in_use_ends_itself(patient: Any) -> None:
    _mine, key = services.create_token(patient, "script")
    other, _key = services.create_token(patient, "other")
    assert program(key).delete(IN_USE).status_code == 204
    assert program(key).delete(IN_USE).status_code == 401
    assert ApiToken.objects.get() == other


def test_only_a_key_is_in_use(as_user: Any, patient: Any) -> None:
    services.create_token(patient, "x")
    for client in (Client(), as_user(patient)):
        answer = client.delete(IN_USE)
        assert (answer.status_code, answer.json()["code"]) == (401, "not_authenticated")
        assert answer["WWW-Authenticate"] == "Token"
    assert ApiToken.objects.exists()


def test_strangers_and_foreign_pages_get_nothing(patient: Any, as_user: Any) -> None:
    token, _key = services.create_token(patient, "x")
    assert APIClient().get(LIST).status_code == 401
    assert APIClient().delete(one(token)).status_code == 401
    signed_in = as_user(patient)
    assert signed_in.get(LIST).json()["results"][0]["is_current"] is False
    strict = Client(enforce_csrf_checks=True)
    strict.cookies.update(signed_in.cookies)
    assert strict.delete(one(token)).status_code == 403
    assert ApiToken.objects.exists()
    assert signed_in.delete(one(token)).status_code == 204


def test_a_session_without_the_second_step_sees_none(as_user: Any) -> None:
    doctor = DoctorFactory.create(second_factor=False)
    token, _key = services.create_token(doctor, "x")
    client = as_user(doctor)
    for answer in (client.get(LIST), client.delete(one(token))):
        assert (answer.status_code, answer.json()["code"]) == (403, "second_factor_required")
    assert ApiToken.objects.exists()


def test_no_other_methods(patient: Any) -> None:
    token, key = services.create_token(patient, "x")
    assert program(key).post(LIST, {"name": "y"}).status_code == 405
    assert program(key).get(one(token)).status_code == 405
    assert program(key).get(IN_USE).status_code == 405
    assert program(key).put(IN_USE).status_code == 405


def test_routes_that_are_open_before_the_second_step_do_not_show_tokens() -> None:
    from accounts.middleware import OPEN

    assert not reverse("v1:api-token-list").endswith("/token/")
    assert not "v1:api-token-list".startswith(OPEN)
