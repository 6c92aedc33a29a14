"""Searches over the API: files of a series, and searches whose model has been replaced since."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from drf_spectacular.generators import SchemaGenerator

from inference import similar_searches
from inference.models import SimilarSearch, VectorSpace
from tests.factories import ScanFactory
from tests.inference.test_similar_search import atlas, read
from tests.test_schema_answers import hold

pytestmark = pytest.mark.django_db
SEARCH, ONE = "/api/v1/similar/", "/api/v1/similar/{id}/"


@pytest.fixture(autouse=True)
def stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    """No worker takes anything."""
    monkeypatch.setattr(similar_searches, "_send", lambda search_id: None)


@pytest.fixture
def done(patient: Any) -> SimilarSearch:
    """A finished search of the patient's."""
    analysis = read(ScanFactory.create(case__patient=patient))
    atlas(analysis.model_version, 0.1)
    space = VectorSpace.objects.get(model_version=analysis.model_version)
    vector = [1.0, *[0.0] * ((space.dims or 1) - 1)]
    return SimilarSearch.objects.create(
        owner=patient, kind=analysis.kind, state="done", space=space, vector=vector, wanted={}
    )


def test_a_finished_search_fails_once_its_model_is_replaced(
    api_as: Any, patient: Any, done: SimilarSearch
) -> None:
    client, address = api_as(patient), f"{SEARCH}{done.pk}/"
    told = hold(client.get(address), ONE)
    assert told["state"] == "done" and told["code"] == "" and len(told["answer"]["similar"]) == 1
    version = done.space.model_version
    version.is_active = False
    version.save()
    answer = client.get(address)
    assert answer.status_code == 200
    told = hold(answer, ONE)
    assert (told["state"], told["code"], told["answer"]) == ("failed", "model_changed", None)
    assert "search again" in told["detail"] and told["id"] == str(done.pk)


def test_the_schema_takes_many_files(api_as: Any) -> None:
    schemas = SchemaGenerator(api_version="v1").get_schema(request=None, public=True)["components"]["schemas"]
    files = schemas["SimilarRequestRequest"]["properties"]["files"]
    assert (files["type"], files["items"]) == ("array", {"type": "string", "format": "binary"})


def test_the_files_of_a_series_are_searched_together(api_as: Any, patient: Any) -> None:
    files = [SimpleUploadedFile(f"{n}.dcm", content) for n, content in enumerate((b"one", b"", b"two"))]
    answer = api_as(patient).post(SEARCH, {"files": files}, format="multipart")
    assert answer.status_code == 202, answer.content
    hold(answer, SEARCH, "post")
    assert len(SimilarSearch.objects.get().files) == 3


@pytest.mark.parametrize("count", [1, 2])
def test_nothing_but_empty_files_is_refused_at_once(api_as: Any, patient: Any, count: int) -> None:
    files = [SimpleUploadedFile(f"{n}.dcm", b"") for n in range(count)]
    answer = api_as(patient).post(SEARCH, {"files": files}, format="multipart")
    assert answer.status_code == 400 and "empty" in answer.json()["errors"]["files"][0]
    assert not SimilarSearch.objects.exists()


def test_text_is_no_file(api_as: Any, patient: Any) -> None:
    for answer in (
        api_as(patient).post(SEARCH, {"files": "x"}, format="multipart"),
        api_as(patient).post(SEARCH, {"files": "x"}, format="json"),
        api_as(patient).post(SEARCH, {"files": []}, format="json"),
    ):
        assert answer.status_code == 400 and answer.json()["code"] == "invalid"
