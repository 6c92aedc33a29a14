"""GET /conditions/<slug>/"""

import datetime as dt
import re
from typing import Any

import pytest
from django.test import Client

from resources.models import Translation
from tests.resources.conftest import SLUGS, make_advice, make_condition, make_treatment

pytestmark = pytest.mark.django_db


def url(slug: str) -> str:
    return f"/conditions/{slug}/"


@pytest.mark.usefixtures("knowledge_base")
@pytest.mark.parametrize("slug", SLUGS)
def test_anybody_reads_it_with_sources_and_state(
    client: Client, slug: str, django_assert_max_num_queries: Any
) -> None:
    with django_assert_max_num_queries(12):
        response = client.get(url(slug))
    assert response.status_code == 200
    page = response.content.decode()
    assert "No clinician has reviewed this text yet" in page
    assert "address not checked automatically yet" in page
    assert page.count("not checked automatically yet. If one") == 1
    main = re.search(r"<main.*</main>", page, re.DOTALL)
    assert main is not None
    assert "style=" not in main[0]
    assert "<script" not in main[0]


@pytest.mark.parametrize("slug", ["nothing-such", "GLIOMA", "a" * 300])
def test_unknown_slug(client: Client, slug: str) -> None:
    assert client.get(url(slug)).status_code == 404


@pytest.mark.parametrize("status", ["draft", "in_review", "retired"])
def test_drafts_are_not_there(client: Client, status: str) -> None:
    make_condition("hidden", status=status)
    assert client.get(url("hidden")).status_code == 404


def test_draft_parts_of_a_published_condition_are_hidden(client: Client) -> None:
    condition = make_condition()
    make_treatment(condition, name="Secret cure", status="draft")
    make_advice(condition, headline="Secret advice.", status="retired")
    page = client.get(url(condition.slug)).content.decode()
    assert "Secret" not in page


def test_markup_in_a_text_is_shown_not_run(client: Client) -> None:
    condition = make_condition(what_it_is="<img src=x onerror=alert(1)>\n\nSecond.")
    page = client.get(url(condition.slug)).content.decode()
    assert "<img src=x" not in page
    assert "<p>Second.</p>" in page


def test_a_review_is_shown_and_an_overdue_one_too(client: Client) -> None:
    condition = make_condition(
        reviewed_by="Dr A, radiologist", reviewed_on=dt.date(2020, 1, 2), review_by=dt.date(2021, 1, 2)
    )
    page = client.get(url(condition.slug)).content.decode()
    assert "Read by Dr A, radiologist" in page
    assert "That day has passed" in page
    assert "No clinician" not in page


def test_each_text_says_in_which_language_it_is(client: Client) -> None:
    treatment = make_treatment(make_condition(), name="Rest", what_it_involves="Lie down.", risks="None.")
    Translation.objects.create(
        treatment=treatment,
        language="es",
        status="published",
        texts={"name": "Descanso", "what_it_involves": "Acuéstese."},
    )
    page = client.get(url("made-up"), headers={"Accept-Language": "es"}).content.decode()
    assert '<span class="fw-semibold" lang="es">Descanso</span>' in page
    assert '<div lang="es"><p>Acuéstese.</p></div>' in page
    assert '<dd lang="en">None.</dd>' in page


def test_wrong_method(client: Client) -> None:
    make_condition()
    assert client.post(url("made-up")).status_code == 405


def test_texts_that_are_not_translated_yet_say_that_they_are_english(client: Client) -> None:
    condition = make_condition(
        clinical_name="Morbus", how_confirmed="By a test.", outlook_treated="Good.", outlook_untreated="Bad."
    )
    texts = {"name": "Enfermedad", "what_it_is": "Texto.", "outlook_treated": "Bueno."}
    Translation.objects.create(condition=condition, language="es", status="published", texts=texts)
    page = client.get(url("made-up"), headers={"Accept-Language": "es"}).content.decode()
    assert '<div lang="es"><p>Texto.</p></div>' in page and '<div lang="es"><p>Bueno.</p></div>' in page
    assert '<div lang="en"><p>By a test.</p></div>' in page and '<div lang="en"><p>Bad.</p></div>' in page
    assert '<span lang="en">Morbus</span>' in page
