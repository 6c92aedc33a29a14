"""Symptoms in a form: as JSON in one field, or each in a field of its own; none is lost unsaid."""

import json
from typing import Any
from urllib.parse import urlencode

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from cases.models import Case
from tests.factories import CaseFactory

pytestmark = pytest.mark.django_db
LIST = "/api/v1/cases/"
ANSWERS = {"breathless_at_rest": True, "coughing_blood": False, "oxygen_saturation": 93.5}


@pytest.fixture(params=["urlencoded", "multipart"])
def send(request: pytest.FixtureRequest, api_as: Any, patient: Any) -> Any:
    """The answer to a form of the patient's: `send("post", LIST, symptoms=...)`."""

    def sent(method: str, address: str, **fields: Any) -> Any:
        call = getattr(api_as(patient), method)
        if request.param == "multipart":
            return call(address, fields, format="multipart")
        return call(address, urlencode(fields), content_type="application/x-www-form-urlencoded")

    return sent


@pytest.fixture
def case(patient: Any) -> Case:
    """With an answer from before."""
    return CaseFactory.create(patient=patient, symptoms={"breathless_at_rest": True})


def url_of(case: Case) -> str:
    return f"{LIST}{case.pk}/"


def kept() -> Any:
    return Case.objects.get().symptoms


def test_a_new_case_keeps_answers_sent_as_json(send: Any) -> None:
    answer = send("post", LIST, kind="chest_xray", symptoms=json.dumps(ANSWERS))
    assert answer.status_code == 201, answer.content
    assert answer.json()["symptoms"] == ANSWERS == kept()
    assert answer.json()["alarm"]


def test_a_new_case_keeps_answers_sent_one_by_one(send: Any) -> None:
    one_by_one = {f"symptoms.{code}": json.dumps(value) for code, value in ANSWERS.items()}
    answer = send("post", LIST, kind="chest_xray", **one_by_one)
    assert answer.status_code == 201, answer.content
    assert answer.json()["symptoms"] == ANSWERS == kept()


def test_both_ways_in_one_form_add_up(send: Any, case: Case) -> None:
    sent = {"symptoms": '{"coughing_blood": true}', "symptoms.oxygen_saturation": "91"}
    assert send("patch", url_of(case), **sent).status_code == 200
    assert kept() == {"coughing_blood": True, "oxygen_saturation": 91}


def test_a_change_replaces_all_answers_by_those_sent(send: Any, case: Case) -> None:
    assert send("patch", url_of(case), symptoms='{"coughing_blood": true}').status_code == 200
    assert kept() == {"coughing_blood": True}
    assert send("patch", url_of(case), **{"symptoms.coughing_blood": "false"}).status_code == 200
    assert kept() == {"coughing_blood": False}


def test_a_change_of_something_else_leaves_them(send: Any, case: Case) -> None:
    assert send("patch", url_of(case), title="Renamed").json()["symptoms"] == {"breathless_at_rest": True}
    assert kept() == {"breathless_at_rest": True}


@pytest.mark.parametrize("nothing", ["", "{}"])
def test_they_can_be_taken_back(send: Any, case: Case, nothing: str) -> None:
    assert send("patch", url_of(case), symptoms=nothing).status_code == 200
    assert kept() == {}


@pytest.mark.parametrize(
    "text", ["breathless", "{", "true", "[1]", "5", '"{}"', '{"\\ud800": true}', "[" * 9000, "{'a': true}"]
)
def test_what_is_no_object_is_refused_and_nothing_is_lost(send: Any, case: Case, text: str) -> None:
    for method, address in (("post", LIST), ("patch", url_of(case))):
        answer = send(method, address, kind="chest_xray", symptoms=text)
        assert answer.status_code == 400
        assert "Expected a dictionary" in answer.json()["errors"]["symptoms"][0]
    assert kept() == {"breathless_at_rest": True}


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("coughing_blood", "yes"),
        ("coughing_blood", "on"),
        ("coughing_blood", "1"),
        ("coughing_blood", ""),
        ("oxygen_saturation", "hot"),
        ("oxygen_saturation", "1e999"),
        ("oxygen_saturation", "NaN"),
        ("no_such_symptom", "true"),
    ],
)
def test_an_answer_that_means_nothing_is_refused(send: Any, case: Case, code: str, text: str) -> None:
    for method, address in (("post", LIST), ("patch", url_of(case))):
        answer = send(method, address, kind="chest_xray", **{f"symptoms.{code}": text})
        assert (answer.status_code, answer.json()["code"]) == (400, "bad_symptoms")
        assert code in answer.json()["detail"]
    assert kept() == {"breathless_at_rest": True}


def test_a_file_is_no_object(api_as: Any, patient: Any, case: Case) -> None:
    sent = {"symptoms": SimpleUploadedFile("a.json", b"{}")}
    answer = api_as(patient).patch(url_of(case), sent, format="multipart")
    assert answer.status_code == 400 and "symptoms" in answer.json()["errors"]
    assert kept() == {"breathless_at_rest": True}


def test_text_in_json_is_still_no_object(api_as: Any, patient: Any, case: Case) -> None:
    answer = api_as(patient).patch(url_of(case), {"symptoms": '{"coughing_blood": true}'}, format="json")
    assert answer.status_code == 400 and "symptoms" in answer.json()["errors"]
    assert kept() == {"breathless_at_rest": True}
