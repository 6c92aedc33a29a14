"""templates/resources/_guide.html, which the result page shows for each finding."""

import pytest
from django.template.loader import render_to_string

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
