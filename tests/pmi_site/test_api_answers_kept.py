"""No cache on the way keeps an answer of the API about a person; the knowledge base may be kept."""

from __future__ import annotations

from typing import Any

import pytest

from tests.factories import ScanFactory

pytestmark = pytest.mark.django_db

PRIVATE = (
    "cases/",
    "scans/",
    "analyses/",
    "reviews/",
    "worklist/",
    "tokens/",
    "care/grants/",
    "care/invitations/",
    "care/emergencies/",
)
NO_ADDRESS = "no-such-list/"


@pytest.mark.parametrize("path", [*PRIVATE, NO_ADDRESS])
@pytest.mark.parametrize("who", ["doctor", "patient", None])
def test_nobody_keeps_what_is_about_a_person(api_as: Any, request: Any, path: str, who: str | None) -> None:
    user = request.getfixturevalue(who) if who else None
    answer = api_as(user).get(f"/api/v1/{path}")
    assert "no-store" in answer["Cache-Control"], (answer.status_code, answer.headers)
    if path == NO_ADDRESS:
        assert answer.status_code == 404
    else:
        assert answer.status_code in ((200, 403) if who else (401,))


def test_a_refused_body_is_not_kept_either(api_as: Any, patient: Any) -> None:
    scan = ScanFactory.create(case__patient=patient)
    answer = api_as(patient).get(f"/api/v1/scans/{scan.pk}/?x=%00")
    assert answer.status_code == 400 and answer["Cache-Control"] == "private, no-store"


def test_the_knowledge_base_may_be_kept(api_as: Any, patient: Any) -> None:
    answer = api_as(patient).get("/api/v1/conditions/")
    assert answer.has_header("ETag") and "no-store" not in answer.get("Cache-Control", "")
    again = api_as(patient).get("/api/v1/conditions/", HTTP_IF_NONE_MATCH=answer["ETag"])
    assert again.status_code == 304


def test_pages_decide_for_themselves(client: Any) -> None:
    assert "no-store" not in client.get("/").get("Cache-Control", "")
