"""/api/v1/symptoms/: what a program may write into a case's symptoms."""

from typing import Any

import pytest
from rest_framework.test import APIClient

from resources.symptoms import catalogue, problem_with

pytestmark = pytest.mark.django_db
SYMPTOMS = "/api/v1/symptoms/"


@pytest.fixture
def api() -> APIClient:
    return APIClient()


def asked(api: APIClient, **query: str) -> list[dict[str, Any]]:
    """All questions for a query."""
    rows: list[dict[str, Any]] = api.get(SYMPTOMS, query).json()["results"]
    return rows


def test_all_of_them_for_everybody_on_one_page(api: APIClient) -> None:
    body = api.get(SYMPTOMS).json()
    assert body["count"] == len(body["results"]) == len(catalogue().symptoms)
    assert body["next"] is None


def test_each_says_what_it_takes(api: APIClient) -> None:
    rows = {row["code"]: row for row in asked(api)}
    assert rows["chest_pain"] == {
        "code": "chest_pain",
        "text": "Chest pain that does not stop",
        "language": "en",
        "kind": "chest_xray",
        "age_group": "any",
        "type": "boolean",
        "minimum": None,
        "maximum": None,
        "unit": "",
        "note": "",
        "is_reviewed": False,
    }
    number = rows["oxygen_saturation"]
    assert (number["type"], number["minimum"], number["maximum"], number["unit"]) == ("number", 50, 100, "%")
    assert number["note"].startswith("A normal number does not rule out danger")
    assert rows["child_not_drinking"]["age_group"] == "child"


def test_what_it_says_is_what_a_case_takes(api: APIClient) -> None:
    rows = asked(api)
    answers = {row["code"]: True if row["type"] == "boolean" else row["maximum"] for row in rows}
    assert not problem_with(answers)
    for row in rows:
        wrong = 1 if row["type"] == "boolean" else row["maximum"] + 1
        assert problem_with({row["code"]: wrong})


@pytest.mark.parametrize("kind", ["chest_xray", "brain_mri", "knee_xray", "unsure"])
@pytest.mark.parametrize("age_group", ["child", "adult", "unknown"])
def test_those_of_a_case(api: APIClient, kind: str, age_group: str) -> None:
    codes = [row["code"] for row in asked(api, kind=kind, age_group=age_group)]
    assert codes == [symptom.code for symptom in catalogue().asked(kind, age_group)] != []


@pytest.mark.parametrize("query", [{"kind": "cat"}, {"age_group": "old"}])
def test_bad_filters(api: APIClient, query: dict[str, str]) -> None:
    answer = api.get(SYMPTOMS, query)
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_filter")


def test_language(api: APIClient) -> None:
    for query, headers in (({}, {"accept-language": "es"}), ({"language": "es"}, {})):
        answer = api.get(SYMPTOMS, query, headers=headers)
        row = next(row for row in answer.json()["results"] if row["code"] == "coughing_blood")
        assert (row["text"], row["language"]) == ("Tos con sangre", "es")
        assert answer["Content-Language"] == "es"
        assert "Accept-Language" in answer["Vary"]


def test_unchanged_answers_are_not_sent_again(api: APIClient) -> None:
    first = api.get(SYMPTOMS)
    again = api.get(SYMPTOMS, headers={"if-none-match": first["ETag"]})
    assert (again.status_code, again.content, again["Content-Language"]) == (304, b"", "en")
    other = api.get(SYMPTOMS, {"language": "es"}, headers={"if-none-match": first["ETag"]})
    assert other.status_code == 200
    # Of the knowledge base, which changes at other times than the catalogue.
    assert "Last-Modified" not in first


def test_only_reading(api: APIClient) -> None:
    for method in (api.post, api.put, api.patch, api.delete):
        assert method(SYMPTOMS, {}).status_code in (401, 405)
