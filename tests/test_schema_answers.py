"""The API answers as its OpenAPI schema says: what worklist and reviews really send is held against it."""

from __future__ import annotations

import functools
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
from drf_spectacular.generators import SchemaGenerator

from accounts.models import User
from cases.models import Case, Review
from inference import case_state
from inference.models import Analysis
from tests.factories import CaseFactory, ScanFactory
from tests.inference import reading_rows as rows
from tests.inference.reviewed import doctor_of, sign

pytestmark = pytest.mark.django_db
WORKLIST, REVIEWS = "/api/v1/worklist/", "/api/v1/reviews/"


@functools.cache
def schema() -> dict[str, Any]:
    """The schema as it is published."""
    made: dict[str, Any] = SchemaGenerator(api_version="v1").get_schema(request=None, public=True)
    return made


def plain(part: Any) -> Any:
    """A part of the schema as JSON Schema, which has no `nullable` of its own."""
    if isinstance(part, list):
        return [plain(one) for one in part]
    if not isinstance(part, dict):
        return part
    found = {key: plain(value) for key, value in part.items() if key != "nullable"}
    return {"anyOf": [found, {"type": "null"}]} if part.get("nullable") is True else found


def hold(answer: Any, path: str, method: str = "get") -> Any:
    """Assert that an answer of the API is documented and fits; its body."""
    responses = schema()["paths"][path][method]["responses"]
    assert str(answer.status_code) in responses, (path, answer.status_code)
    said = responses[str(answer.status_code)]["content"]["application/json"]["schema"]
    components = plain(schema()["components"])
    body = answer.json()
    jsonschema.validate(
        body,
        {**plain(said), "components": components},
        cls=jsonschema.Draft202012Validator,
        format_checker=jsonschema.FormatChecker(),
    )
    return body


@pytest.fixture
def reading(patient: User) -> Analysis:
    """A reading of the patient's scan: pneumonia, likely; urgent."""
    made = rows.reading(ScanFactory.create(case__patient=patient))
    case_state.refresh(made.scan.case_id)
    return made


@pytest.fixture
def reader(patient: User) -> Any:
    """A verified doctor of the patient."""
    return doctor_of(patient)


def sent(of: Analysis, **fields: Any) -> dict[str, Any]:
    said = [{"label": "pneumonia", "verdict": "agree"}]
    return {"scan": str(of.scan_id), "analysis": str(of.pk), "verdicts": said, **fields}


def test_the_worklist_is_an_object(api_as: Any, patient: User, reader: User, reading: Analysis) -> None:
    CaseFactory.create(patient=patient)
    body = hold(api_as(reader).get(WORKLIST, {"page_size": "1"}), WORKLIST)
    assert set(body) == {"next", "counts", "results"} and body["next"] and body["results"][0]["newest_scan"]
    body = hold(api_as(reader).get(body["next"]), WORKLIST)
    assert body["next"] is None and body["results"][0]["newest_scan"] is None
    hold(api_as(reader).get(WORKLIST, {"unread": "perhaps"}), WORKLIST)


def test_marking_as_seen_is_documented(api_as: Any, reader: User, reading: Analysis) -> None:
    responses = schema()["paths"][f"{WORKLIST}{{case_id}}/seen/"]["post"]["responses"]
    assert "content" not in responses["204"] and "404" in responses
    assert api_as(reader).post(f"{WORKLIST}{reading.scan.case_id}/seen/").status_code == 204
    strange = CaseFactory.create()
    hold(api_as(reader).post(f"{WORKLIST}{strange.pk}/seen/"), f"{WORKLIST}{{case_id}}/seen/", "post")


def test_a_review_that_names_no_other_condition(api_as: Any, reader: User, reading: Analysis) -> None:
    signed = sign(reading, reader)
    assert hold(api_as(reader).get(REVIEWS), REVIEWS)["results"][0]["verdicts"][0]["right_condition"] == ""
    hold(api_as(reader).get(f"{REVIEWS}{signed.pk}/"), f"{REVIEWS}{{id}}/")


def test_reviews_and_their_refusals(api_as: Any, patient: User, reader: User, reading: Analysis) -> None:
    client, to_sign = api_as(reader), f"{REVIEWS}sign/"

    def post(address: str, data: Any, path: str = "") -> Any:
        answer = client.post(address, data, format="json")
        return answer.status_code, hold(answer, path or address, "post")

    assert post(to_sign, sent(reading, follow_up_on="soon", verdicts=[{"label": "pneumonia"}]))[0] == 400
    assert post(to_sign, sent(reading, verdicts=[]))[1]["code"] == "incomplete"
    assert post(REVIEWS, sent(reading))[1]["code"] == "edit_conflict"
    assert post(REVIEWS, sent(reading, edit_no=1))[0] == 200
    code, signed = post(to_sign, sent(reading, edit_no=2))
    assert code == 201 and signed["verdicts"][0]["right_condition"] == ""
    assert post(to_sign, sent(reading))[0] == 200
    assert post(to_sign, sent(reading, comment="More"))[1]["code"] == "already_signed"
    amend = (f"{REVIEWS}{signed['id']}/amend/", f"{REVIEWS}{{id}}/amend/")
    change = sent(reading, comment="More", amend_reason="A better screen")
    assert [post(amend[0], change, amend[1])[0] for _ in range(2)] == [201, 200]
    late = sent(reading, comment="Late", amend_reason="Late")
    assert post(amend[0], late, amend[1])[1]["code"] == "amended_meanwhile"
    other = sent(reading, comment="Other", amend_reason="Other")
    assert post(amend[0], other, amend[1])[1]["code"] == "edit_conflict"
    listed = hold(client.get(REVIEWS), REVIEWS)
    assert listed["count"] == Review.objects.count() == 3
    rows.reading(Case.objects.get(pk=reading.scan.case_id).scans.get())
    assert post(REVIEWS, sent(reading, edit_no=1))[1]["code"] == "superseded"
