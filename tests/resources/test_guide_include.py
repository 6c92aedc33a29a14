"""templates/resources/_guide.html, which the result page shows for each finding."""

import re

import pytest
from django.template.loader import render_to_string
from django.utils import translation

from resources.models import Resource, Translation
from resources.selectors import published_for
from tests.resources.conftest import SLUGS, make_condition

pytestmark = pytest.mark.django_db


@pytest.mark.usefixtures("knowledge_base")
@pytest.mark.parametrize("slug", SLUGS)
def test_patient_guide(slug: str) -> None:
    (guide,) = published_for([slug], "urgent", "patient")
    html = render_to_string("resources/_guide.html", {"guide": guide})
    assert guide.advice is not None
    assert "danger-urgent" in html
    assert "No clinician has reviewed this text yet" in html
    assert "For doctors" not in html
    assert "style=" not in html
    assert "<script" not in html
    assert html.count("<section") == html.count("</section>")


@pytest.mark.usefixtures("knowledge_base")
def test_doctor_guide_has_the_clinical_note_and_codes() -> None:
    (guide,) = published_for(["glioma"], "urgent", "doctor")
    html = render_to_string("resources/_guide.html", {"guide": guide})
    assert "ICD-10 C71.9" in html
    assert "For doctors" in html


def test_a_bare_condition_still_renders() -> None:
    make_condition()
    (guide,) = published_for(["made-up"], "urgent")
    html = render_to_string("resources/_guide.html", {"guide": guide})
    assert "Made-up illness" in html
    assert "What can be done" not in html


def test_texts_and_headings_say_in_which_language_they_are() -> None:
    condition = make_condition(
        name="Illness",
        clinical_name="Morbus",
        clinical_note="A note.",
        outlook_treated="Good.",
        outlook_untreated="Bad.",
    )
    texts = {"name": "Enfermedad", "what_it_is": "Texto.", "outlook_treated": "Bueno."}
    Translation.objects.create(condition=condition, language="es", status="published", texts=texts)
    with translation.override("es"):
        (guide,) = published_for(["made-up"], "urgent", "doctor", language="es")
        html = render_to_string("resources/_guide.html", {"guide": guide})
    assert '<span lang="en">Morbus</span>' in html
    assert '<div lang="en"><p>A note.</p></div>' in html
    assert '<div lang="es"><p>Bueno.</p></div>' in html
    assert '<div lang="en"><p>Bad.</p></div>' in html
    # The headings between them are the page's.
    assert not re.search(r'<div lang="en">\s*<h5', html)


@pytest.mark.parametrize("language", ["en", "es"])
def test_a_link_to_more_says_in_which_language_it_is(language: str) -> None:
    resource = Resource(
        title="More", publisher="Somebody", url="https://example.org", language=language, description="Text."
    )
    html = render_to_string("resources/_resources.html", {"resources": [resource]})
    assert f'hreflang="{language}" lang="{language}">More' in html
    assert f'<div lang="{language}">Text.</div>' in html
