"""Search: by word, by a misspelt word, by code, in the reader's language."""

from typing import Any

import pytest

from resources import search, selectors, services
from resources.models import Condition, SearchDocument, Translation
from tests.factories import UserFactory
from tests.resources.conftest import make_condition, make_treatment


@pytest.fixture
def two(db: None) -> tuple[Condition, Condition]:
    lung = make_condition(
        "lung", name="Pneumonia", icd10="J18.9", snomed="233604007", aliases=["lung infection"]
    )
    brain = make_condition(
        "brain", name="Meningioma", kind="brain_mri", icd11="2A01.0Z", summary="Skin of the brain."
    )
    return lung, brain


def slugs(query: str, kind: str = "", language: str = "en") -> list[str]:
    return [c.slug for c in selectors.search_conditions(query, kind, language)]


@pytest.mark.usefixtures("two")
@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("pneumonia", ["lung"]),
        ("PNEUMONÍA", ["lung"]),
        ("pnuemonia", ["lung"]),
        ("neumonia", ["lung"]),
        ("meningeoma", ["brain"]),
        ("lung infections", ["lung"]),
        ("lung brain", []),
        ("J18.9", ["lung"]),
        ("j18", ["lung"]),
        ("2a01", ["brain"]),
        ("233604007", ["lung"]),
        ("zzzzzz", []),
        ("%", []),
        ("'; DROP TABLE", []),
        ("\x00", ["brain", "lung"]),
        ("", ["brain", "lung"]),
        ("pneumonia " * 60, ["lung"]),
    ],
)
def test_finds(query: str, expected: list[str]) -> None:
    assert slugs(query) == expected


@pytest.mark.usefixtures("two")
def test_kind_narrows() -> None:
    assert slugs("pneumonia", "brain_mri") == []


def test_translations_are_searched_in_their_language_only(two: tuple[Condition, Condition]) -> None:
    row = Translation.objects.create(
        condition=two[0],
        language="es",
        status="published",
        texts={"name": "Neumonía", "summary": "Infección del pulmón."},
    )
    assert slugs("infecciones", language="es") == ["lung"]
    assert slugs("infecciones") == []
    assert slugs("pneumonia", language="es") == ["lung"]
    row.status = "retired"
    row.save()
    assert slugs("infecciones", language="es") == []


def test_follows_edits_and_hides_what_is_not_published(two: tuple[Condition, Condition]) -> None:
    make_treatment(two[1], name="Radiosurgery")
    assert slugs("radiosurgery") == ["brain"]
    two[1].name = "Xylophone"
    two[1].save()
    assert slugs("xylofone") == ["brain"]
    assert slugs("meningioma") == []
    two[1].status = "draft"
    two[1].save()
    assert slugs("xylophone") == []


def test_takes_the_same_queries_for_any_number(
    two: tuple[Condition, Condition], django_assert_num_queries: Any
) -> None:
    for number in range(5):
        make_condition(f"p{number}", name=f"Pneumonia {number}")
    with django_assert_num_queries(3):
        assert len(slugs("pneumonia")) == 6


def test_rebuild_all(two: tuple[Condition, Condition]) -> None:
    SearchDocument.objects.all().delete()
    assert slugs("pneumonia") == []
    assert search.rebuild_all() == 2
    assert slugs("pneumonia") == ["lung"]


def test_what_was_withdrawn_is_found_no_more(two: tuple[Condition, Condition]) -> None:
    publisher = UserFactory.create(role="admin", is_staff=True, is_superuser=True)
    treatment = make_treatment(two[1], name="Radiosurgery")
    own = Translation.objects.create(
        condition=two[0], language="es", status="published", texts={"name": "Xilofonía"}
    )
    assert slugs("radiosurgery") == ["brain"] and slugs("xilofonía", language="es") == ["lung"]
    assert services.retire(treatment, publisher) and services.retire(own, publisher)
    assert slugs("radiosurgery") == [] and slugs("xilofonía", language="es") == []
