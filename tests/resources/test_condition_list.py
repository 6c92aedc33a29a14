"""GET /conditions/"""

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from tests.resources.conftest import SLUGS, make_condition

pytestmark = pytest.mark.django_db
URL = "/conditions/"


@pytest.mark.usefixtures("knowledge_base")
def test_anybody_sees_all_published_conditions(client: Client, django_assert_max_num_queries: Any) -> None:
    with django_assert_max_num_queries(3):
        response = client.get(URL)
    assert response.status_code == 200
    page = response.content.decode()
    for slug in SLUGS:
        assert f'href="{reverse("resources:condition_detail", args=[slug])}"' in page


@pytest.mark.usefixtures("knowledge_base")
def test_search_and_kind(client: Client) -> None:
    page = client.get(URL, {"q": "tumour", "kind": "brain_mri"}).content.decode()
    assert "Pituitary tumour" in page
    assert "Severe knee" not in page
    assert "conditions found" in page
    assert "0 conditions found" in client.get(URL, {"q": "zzzz"}).content.decode()


@pytest.mark.parametrize("query", ["<script>alert(1)</script>", "\x00", "%", "a" * 5000])
def test_odd_searches_do_no_harm(client: Client, query: str) -> None:
    response = client.get(URL, {"q": query, "kind": "nonsense"})
    assert response.status_code == 200
    assert b"<script>alert" not in response.content


@pytest.mark.parametrize("status", ["draft", "in_review", "retired"])
def test_drafts_are_hidden(client: Client, status: str) -> None:
    make_condition(name="Hidden illness", status=status)
    assert "Hidden illness" not in client.get(URL).content.decode()


def test_an_empty_knowledge_base_says_so(client: Client) -> None:
    assert "Nothing has been published yet" in client.get(URL).content.decode()


def test_wrong_method(client: Client) -> None:
    assert client.post(URL).status_code == 405
