"""What holds for every route of the API: ids that are none, addresses with a format, sizes of pages."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.admindocs.views import simplify_regex
from django.test import Client
from django.urls import URLPattern, URLResolver

from pmi_site.api import urlpatterns

pytestmark = pytest.mark.django_db
METHODS = ("get", "post", "put", "patch", "delete")


def patterns(entries: Any = urlpatterns) -> Iterator[URLPattern]:
    """Every route below /api/v1/, but for the one that takes whatever nothing else took."""
    for entry in entries:
        if isinstance(entry, URLResolver):
            yield from patterns(entry.url_patterns)
        elif entry.name != "no-such-address":
            yield entry


def addresses() -> dict[str, tuple[str, ...]]:
    """Addresses as `/cases/<pk>/scans/`, with the methods that they take."""
    found: dict[str, tuple[str, ...]] = {}
    for one in patterns():
        takes = tuple(getattr(one.callback, "actions", None) or METHODS)
        address = simplify_regex(str(one.pattern))
        found[address] = (*found.get(address, ()), *takes)
    return found


WITH_IDS = {address: takes for address, takes in addresses().items() if "<" in address}


def filled(address: str, value: str) -> str:
    """The address with this for each of its ids."""
    parts = [value if part.startswith("<") else part for part in address.split("/")]
    return "/api/v1" + "/".join(parts)


def test_the_walk_finds_the_routes() -> None:
    for address in ("/tokens/<token_id>/", "/similar/<pk>/", "/conditions/<slug>/", "/scans/<pk>/volume/"):
        assert address in WITH_IDS
    assert "delete" in WITH_IDS["/tokens/<token_id>/"] and len(WITH_IDS) > 20


@pytest.mark.parametrize("value", ["abc", "17", "None", "7d7d8f1c3f6e4a529df43f5b2f5f8a10", "%20", "a.b"])
@pytest.mark.parametrize("address", sorted(WITH_IDS))
def test_what_is_no_id_is_not_found(address: str, value: str, api_as: Any, patient: Any, doctor: Any) -> None:
    for person in (patient, doctor):
        client = api_as(person)
        for method in WITH_IDS[address]:
            answer = getattr(client, method)(filled(address, value))
            assert (answer.status_code, answer.json()["code"]) == (404, "not_found"), method


def test_no_route_takes_a_format() -> None:
    for one in patterns():
        regex = getattr(one.pattern, "regex", None)
        assert regex is None or "format" not in regex.groupindex, one.name


@pytest.mark.parametrize(
    "address",
    [
        ".json",
        "symptoms.json",
        "cases.json",
        "conditions/pneumonia.json",
        "reviews/sign.json",
        "worklist.json",
        "scans/7d7d8f1c-3f6e-4a52-9df4-3f5b2f5f8a10/volume.json",
    ],
)
def test_an_address_with_a_format_is_not_there(address: str, api_as: Any, patient: Any) -> None:
    for client in (Client(), api_as(patient)):
        for path in (address, f"{address}/"):
            answer = client.get(f"/api/v1/{path}")
            assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


def test_the_list_of_what_there_is_stays(api_as: Any, patient: Any) -> None:
    assert "cases" in api_as(patient).get("/api/v1/").json()


LISTS = (
    *("analyses", "care/emergencies", "care/grants", "care/invitations", "cases", "conditions"),
    *("model-versions", "resources", "reviews", "reviews/disagreements", "scans", "symptoms", "tokens"),
    *("treatments", "worklist"),
)


@pytest.mark.parametrize("path", LISTS)
def test_a_page_size_that_means_nothing_is_refused_by_every_list(path: str, api_as: Any, doctor: Any) -> None:
    client = api_as(doctor)
    for text in ("abc", "0", "-1", "1.5", "00", "²", "+2"):
        answer = client.get(f"/api/v1/{path}/", {"page_size": text})
        assert (answer.status_code, answer.json()["code"]) == (400, "bad_page_size"), text
    for text in ("", "1", "007", "100"):
        assert client.get(f"/api/v1/{path}/", {"page_size": text}).status_code == 200, text


@pytest.mark.parametrize("text", ["101", "1000", "9" * 5000])
def test_a_page_of_more_than_the_most_has_the_most(
    text: str, api_as: Any, patient: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cases.models import Case
    from pmi_site.rest import PagePagination
    from tests.factories import CaseFactory

    CaseFactory.create_batch(3, patient=patient)
    assert len(api_as(patient).get("/api/v1/cases/", {"page_size": text}).json()["results"]) == 3
    monkeypatch.setattr(PagePagination, "max_page_size", 2)
    body = api_as(patient).get("/api/v1/cases/", {"page_size": text}).json()
    assert (len(body["results"]), body["count"]) == (2, Case.objects.count())
