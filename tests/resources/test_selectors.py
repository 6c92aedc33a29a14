"""What leaves the knowledge base, to whom, and at what cost."""

from typing import Any

import pytest
from django.test.utils import CaptureQueriesContext

from resources.choices import Audience, DangerLevel
from resources.models import Resource
from resources.selectors import missing_slugs, published_for, search_conditions
from tests.resources.conftest import SLUGS, make_advice, make_condition, make_source, make_treatment

pytestmark = pytest.mark.django_db


@pytest.mark.usefixtures("knowledge_base")
class TestPublishedFor:
    @pytest.mark.parametrize("audience", Audience.values)
    @pytest.mark.parametrize("level", DangerLevel.values)
    def test_no_reader_is_left_without_advice(self, level: str, audience: str) -> None:
        guides = published_for(SLUGS, level, audience)
        assert [guide.condition.slug for guide in guides] == SLUGS
        for guide in guides:
            assert guide.advice is not None
            assert guide.advice.danger_level == level
            assert guide.advice.audience == audience
            assert guide.treatments
            assert guide.resources
            assert guide.sources

    def test_queries_do_not_grow_with_the_number_of_conditions(self, django_assert_num_queries: Any) -> None:
        from django.db import connection

        with CaptureQueriesContext(
            connection,
        ) as one:
            published_for(["glioma"], "urgent")
        with django_assert_num_queries(len(one)):
            for guide in published_for(SLUGS, "urgent"):
                assert [source.supports for source in guide.sources]
        assert len(one) <= 12

    def test_order_and_repeats_follow_the_findings(self) -> None:
        guides = published_for(["pneumonia", "glioma", "pneumonia", "nothing-such"], "urgent")
        assert [guide.condition.slug for guide in guides] == ["pneumonia", "glioma"]

    def test_own_advice_goes_before_general_advice(self) -> None:
        (own,) = published_for(["glioma"], "urgent")
        (general,) = published_for(["glioma"], "routine")
        assert not own.has_general_advice
        assert general.has_general_advice

    def test_guidelines_for_doctors_are_not_put_before_patients(self) -> None:
        (patient,) = published_for(["glioma"], "urgent", "patient")
        (doctor,) = published_for(["glioma"], "urgent", "doctor")
        assert "doctor" not in {resource.audience for resource in patient.resources}
        assert "doctor" in {resource.audience for resource in doctor.resources}

    def test_language_and_country(self) -> None:
        (english,) = published_for(["pneumonia"], "urgent")
        (spanish,) = published_for(["pneumonia"], "urgent", language="es", country="US")
        assert {resource.language for resource in english.resources} == {"en"}
        assert {resource.language for resource in spanish.resources} == {"en", "es"}
        # What one can read comes first, then what is near.
        spoken = [resource.language for resource in spanish.resources]
        assert spoken == sorted(spoken, reverse=True)
        english_part = [resource for resource in spanish.resources if resource.language == "en"]
        assert english_part[0].country == "US"
        assert "GB" not in {resource.country for resource in english_part if resource.kind != "guideline"}

    def test_an_unknown_audience_reads_as_a_patient(self) -> None:
        (guide,) = published_for(["glioma"], "urgent", "stranger")
        assert guide.audience == "patient"

    def test_the_seed_is_shown_as_not_reviewed(self) -> None:
        assert not any(guide.is_reviewed for guide in published_for(SLUGS, "urgent"))

    def test_missing_slugs(self) -> None:
        assert missing_slugs([*SLUGS, "b", "a", "b"]) == ["b", "a"]


def test_nothing_asked_nothing_answered(django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(0):
        assert published_for([], "urgent") == []


@pytest.mark.parametrize("status", ["draft", "in_review", "retired"])
def test_only_published_rows_are_shown(status: str) -> None:
    shown = make_condition("shown")
    make_treatment(shown, status=status)
    make_advice(shown, status=status)
    resource = Resource.objects.create(
        kind="article", title="T", publisher="P", url="https://example.org/", status=status
    )
    resource.conditions.add(shown)
    make_condition("hidden", status=status)
    (guide,) = published_for(["shown", "hidden"], "urgent")
    assert (guide.condition.slug, guide.advice, guide.treatments, guide.resources) == ("shown", None, [], [])
    assert missing_slugs(["shown", "hidden"]) == ["hidden"]


def test_a_childs_carer_gets_the_patients_advice_where_there_is_no_other() -> None:
    condition = make_condition()
    make_advice(condition, headline="For patients.")
    make_advice(None, headline="For all.", audience="carer")
    (guide,) = published_for([condition.slug], "urgent", "carer")
    assert guide.advice is not None
    assert guide.advice.headline == "For patients."


def test_a_guide_is_reviewed_only_when_all_of_it_is() -> None:
    review = {"reviewed_by": "Dr A", "reviewed_on": "2026-01-02"}
    condition = make_condition(**review)
    make_advice(condition, **review)
    treatment = make_treatment(condition)
    assert not published_for([condition.slug], "urgent")[0].is_reviewed
    type(treatment).objects.update(**review)
    assert published_for([condition.slug], "urgent")[0].is_reviewed


def test_each_source_is_listed_once_with_all_it_stands_behind() -> None:
    condition, source = make_condition(), make_source()
    condition.citations.create(source=source, section="what_it_is")
    condition.citations.create(source=source, section="outlook")
    make_treatment(condition).sources.add(source)
    (guide,) = published_for([condition.slug], "urgent")
    (cited,) = guide.sources
    assert sorted(cited.supports) == ["Outlook", "Rest", "What it is"]


@pytest.mark.usefixtures("knowledge_base")
@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("glioblastoma", {"glioma"}),
        ("J18.9", {"pneumonia"}),
        ("knee severe", {"knee-oa-4"}),
        ("bone on bone", {"knee-oa-4"}),
        ("zzzz", set()),
        ("100% _", set()),
        ("\x00", set(SLUGS)),
    ],
)
def test_search(query: str, expected: set[str]) -> None:
    found = [condition.slug for condition in search_conditions(query)]
    # Texts that mention it may follow; the best match stands first.
    assert set(found[:1] if len(expected) == 1 else found) == expected
