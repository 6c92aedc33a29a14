"""What is kept is English, whoever made it; what is shown is in the reader's language."""

from datetime import datetime
from typing import Any

import pytest
from django.utils import translation
from django.utils.formats import date_format

from cases.models import Scan
from inference import assessing, danger, similar_searches
from inference.models import Analysis, SimilarSearch
from inference.presenters import finding_sentence
from inference.report_review import doctor_name
from tests.factories import ScanFactory
from tests.inference import reading_rows as rows


@pytest.fixture
def scan(patient: Any) -> Scan:
    return ScanFactory.create(case__patient=patient, case__kind="chest_xray")


@pytest.mark.django_db
def test_a_level_judged_for_a_spanish_reader_is_kept_in_english(scan: Scan) -> None:
    made = rows.reading(scan)
    with translation.override("es"):
        assessing.reassess_case(scan.case_id)
    made.refresh_from_db()
    texts = danger.shipped_texts()["en"].values()
    assert made.next_step in texts and set(made.danger_reasons) <= set(texts)
    with translation.override("es"):
        assert assessing.reassess_case(scan.case_id) == 0  # another language is no other level


@pytest.mark.django_db
def test_sentences_of_rules_that_are_gone_are_translated_where_they_are_known(scan: Scan) -> None:
    known = danger.shipped_texts()["en"]["pneumonia.likely"]
    made = rows.reading(scan)
    Analysis.objects.filter(pk=made.pk).update(
        rules_version="2019.1", danger_reasons=[known, "A sentence that is gone."], next_step="Go."
    )
    made.refresh_from_db()
    with translation.override("es"):
        reasons, step = assessing.words(made)
    assert reasons == [danger.shipped_texts()["es"]["pneumonia.likely"], "A sentence that is gone."]
    assert step == "Go."


@pytest.mark.django_db
def test_a_search_that_broke_off_says_so_in_the_language_of_who_asked(patient: Any) -> None:
    search = SimilarSearch.objects.create(owner=patient, kind="chest_xray", language="es", state="queued")
    held = similar_searches.claim(str(search.pk))
    assert held is not None
    similar_searches.refuse(held, "internal_error", similar_searches.busy_text(search.pk))
    search.refresh_from_db()
    assert search.reason.startswith("La búsqueda no se pudo hacer")


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Ana Ruiz", "Dr Ana Ruiz"),
        ("Dra. Ana Ruiz", "Dra. Ana Ruiz"),
        ("Doctora Ruiz", "Doctora Ruiz"),
        ("Professor Smith", "Professor Smith"),
        ("डॉ. शर्मा", "डॉ. शर्मा"),
        ("Drake Dornan", "Dr Drake Dornan"),
    ],
)
def test_a_title_is_not_doubled(name: str, shown: str) -> None:
    assert doctor_name(name) == shown


def test_hindi_tells_morning_from_evening() -> None:
    with translation.override("hi"):
        assert date_format(datetime(2026, 3, 2, 14, 5), "DATETIME_FORMAT") == "2 मार्च 2026, 14:05"
        assert date_format(datetime(2026, 3, 2, 2, 5), "DATETIME_FORMAT") == "2 मार्च 2026, 02:05"


def test_spanish_denies_what_was_not_found() -> None:
    with translation.override("es"):
        said = finding_sentence(0.8, "no-brain-tumour")
    assert said.endswith("alrededor de 8 de cada 10 no muestran ninguno de los tumores que conoce.")
