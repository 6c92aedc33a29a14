"""The care relationship over REST: the schema says what is taken, and whoever must wait is told how long."""

from typing import Any

import pytest
from django.urls import reverse
from drf_spectacular.generators import SchemaGenerator

from accounts import care
from accounts.models import CareInvitation
from tests.factories import DoctorFactory

pytestmark = pytest.mark.django_db
INVITATIONS, EMERGENCIES = "v1:care-invitation-list", "v1:care-emergency-list"
REASON = "Unconscious after a fall, I need the earlier head scans."


def test_the_schema_s_defaults_are_taken(api_as: Any, patient: Any, doctor: Any) -> None:
    schemas = SchemaGenerator(api_version="v1").get_schema(request=None, public=True)["components"]["schemas"]
    fields = schemas["AskRequest"]["properties"]
    defaults = {name: field["default"] for name, field in fields.items() if "default" in field}
    for way in ("code", "email", "request"):
        person, address = (doctor, patient.email) if way == "request" else (patient, doctor.email)
        wish = {**defaults, "way": way, **({} if way == "code" else {"email": address})}
        made = api_as(person).post(reverse(INVITATIONS), wish)
        assert made.status_code == 201, made.data
        assert set(schemas["Asked"]["required"]) <= set(made.json())
        assert ("code" in made.json()) is (way == "code")
    assert "code" in schemas["Asked"]["properties"]


@pytest.mark.parametrize("way", ["email", "request"])
def test_an_empty_address_is_missing(api_as: Any, patient: Any, way: str) -> None:
    answer = api_as(patient).post(reverse(INVITATIONS), {"way": way, "email": ""})
    assert (answer.status_code, answer.json()["errors"]) == (400, {"email": ["This field is required."]})
    assert not CareInvitation.objects.exists()


@pytest.mark.parametrize(
    ("wish", "wrong"),
    [
        ({"way": "request", "case": "7d7d8f1c-3f6e-4a52-9df4-3f5b2f5f8a10"}, {"case"}),
        ({"way": "request", "access_days": 5}, {"access_days"}),
        (
            {"way": "request", "access_days": 5, "case": "7d7d8f1c-3f6e-4a52-9df4-3f5b2f5f8a10"},
            {"case", "access_days"},
        ),
        ({"way": "code", "email": "a@example.org"}, {"email"}),
    ],
)
def test_what_a_way_does_not_take_is_refused(
    api_as: Any, patient: Any, doctor: Any, wish: dict[str, Any], wrong: set[str]
) -> None:
    is_request = wish["way"] == "request"
    wish = {**wish, "email": patient.email} if is_request else wish
    answer = api_as(doctor if is_request else patient).post(reverse(INVITATIONS), wish)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid")
    assert set(answer.json()["errors"]) == wrong and "leave it out" in answer.json()["detail"]
    assert not CareInvitation.objects.exists()


def test_wrong_codes_wait_a_quarter_of_an_hour(api_as: Any, doctor: Any) -> None:
    address = reverse("v1:care-invitation-code")
    for _n in range(10):
        answer = api_as(doctor).post(address, {"code": "2222-2222"})
        assert answer.status_code == 400 and "Retry-After" not in answer
    slowed = api_as(doctor).post(address, {"code": "2222-2222"})
    assert (slowed.status_code, slowed["Retry-After"]) == (429, "900")


def test_emergencies_wait_an_hour(api_as: Any, doctor: Any) -> None:
    wish = {"email": "nobody@example.org", "reason": REASON}
    for _n in range(5):
        assert api_as(doctor).post(reverse(EMERGENCIES), wish).status_code == 400
    slowed = api_as(doctor).post(reverse(EMERGENCIES), wish)
    assert (slowed.status_code, slowed["Retry-After"]) == (429, "3600")
    assert slowed.json()["code"] == "too_many_emergencies"


def test_invitations_wait_a_day(api_as: Any, patient: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(care, "MOST_A_DAY", 1)
    wish = {"way": "email", "email": DoctorFactory.create().email}
    assert api_as(patient).post(reverse(INVITATIONS), wish).status_code == 201
    slowed = api_as(patient).post(reverse(INVITATIONS), {**wish, "email": "other@example.org"})
    assert (slowed.status_code, slowed["Retry-After"]) == (429, "86400")
    assert slowed.json()["code"] == "too_many_invitations"
