"""Draft, review, publication: what a curator writes reaches readers only through a second person."""

import datetime as dt
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.core.exceptions import PermissionDenied, ValidationError
from django.utils import timezone

from pmi_site.errors import UserError
from resources import services
from resources.content import changes, content_of, words
from resources.models import Condition, Source, Translation, Treatment
from tests.factories import UserFactory
from tests.resources.conftest import make_condition, make_source, make_treatment

pytestmark = pytest.mark.django_db
NEXT_YEAR = (timezone.localdate() + dt.timedelta(days=365)).isoformat()


def member(*names: str) -> Any:
    user = UserFactory.create(is_staff=True)
    user.groups.set(Group.objects.filter(name__in=names))
    return user


@pytest.fixture
def writer() -> Any:
    return member("Curator")


@pytest.fixture
def publisher() -> Any:
    return member("Publisher")


@pytest.fixture
def treatment() -> Treatment:
    row = make_treatment(make_condition())
    row.sources.add(make_source())
    return row


def test_an_edit_is_seen_only_after_somebody_else_published_it(
    treatment: Treatment, writer: Any, publisher: Any
) -> None:
    revision = services.save_draft(treatment, {"risks": "New.", "review_by": NEXT_YEAR}, writer)
    treatment.refresh_from_db()
    assert (treatment.risks, treatment.status) == ("", "published")
    services.submit(revision.pk, writer)
    services.publish(revision.pk, publisher, version=1)
    treatment.refresh_from_db()
    assert (treatment.risks, treatment.status) == ("New.", "published")
    assert treatment.sources.count() == 1
    revision.refresh_from_db()
    assert (revision.state, revision.published_by, revision.author) == ("published", publisher, writer)


def test_nobody_publishes_what_they_wrote_superusers_neither(treatment: Treatment, writer: Any) -> None:
    both = member("Curator", "Publisher")
    root = UserFactory.create(is_staff=True, is_superuser=True)
    revision = services.save_draft(treatment, {"risks": "A", "review_by": NEXT_YEAR}, writer)
    services.save_draft(treatment, {"risks": "B"}, both)
    services.save_draft(treatment, {"risks": "C"}, root)
    services.submit(revision.pk, writer)
    for person in (both, root):
        with pytest.raises(UserError) as caught:
            services.publish(revision.pk, person, version=3)
        assert caught.value.code == "own_text"
    treatment.refresh_from_db()
    assert treatment.risks == ""


def test_who_may_do_what(treatment: Treatment, writer: Any, publisher: Any) -> None:
    outsider = UserFactory.create()
    for person in (outsider, publisher):
        with pytest.raises(PermissionDenied):
            services.save_draft(treatment, {"risks": "A"}, person)
    revision = services.save_draft(treatment, {"risks": "A", "review_by": NEXT_YEAR}, writer)
    with pytest.raises(PermissionDenied):
        services.submit(revision.pk, outsider)
    services.submit(revision.pk, writer)
    for act in (
        lambda: services.publish(revision.pk, writer, version=1),
        lambda: services.send_back(revision.pk, writer, "No."),
        lambda: services.retire(treatment, writer),
        lambda: services.discard(revision.pk, outsider),
    ):
        with pytest.raises(PermissionDenied):
            act()


def test_saving_takes_a_text_out_of_review_and_the_reviewer_cannot_publish_unread_words(
    treatment: Treatment, writer: Any, publisher: Any
) -> None:
    revision = services.save_draft(treatment, {"risks": "A", "review_by": NEXT_YEAR}, writer)
    services.submit(revision.pk, writer)
    services.save_draft(treatment, {"risks": "B"}, writer)
    with pytest.raises(UserError, match="already dealt"):
        services.publish(revision.pk, publisher, version=1)
    services.submit(revision.pk, writer)
    with pytest.raises(UserError) as caught:
        services.publish(revision.pk, publisher, version=1)
    assert caught.value.code == "stale"
    services.publish(revision.pk, publisher, version=2)


def test_two_writers_do_not_overwrite_each_other(treatment: Treatment, writer: Any) -> None:
    services.save_draft(treatment, {"risks": "A"}, writer)
    services.save_draft(treatment, {"risks": "B"}, writer, version=1)
    with pytest.raises(UserError) as caught:
        services.save_draft(treatment, {"risks": "C"}, writer, version=1)
    assert caught.value.code == "stale"
    assert services.open_revision(treatment).content["risks"] == "B"


def test_text_that_changed_meanwhile_is_not_overwritten(
    treatment: Treatment, writer: Any, publisher: Any
) -> None:
    revision = services.save_draft(treatment, {"risks": "A", "review_by": NEXT_YEAR}, writer)
    Treatment.objects.update(benefits="Changed by a new seed.")
    services.submit(revision.pk, writer)
    with pytest.raises(UserError) as caught:
        services.publish(revision.pk, publisher, version=1)
    assert caught.value.code == "conflict"


def test_a_new_entry_stays_hidden_until_published(writer: Any, publisher: Any) -> None:
    condition, source = make_condition(), make_source()
    row = Treatment()
    content = {
        "condition": str(condition.pk),
        "kind": "medicine",
        "name": "Tablets",
        "what_it_involves": "<b>One</b> a day if under 5 < 6<script>alert(1)</script>",
        "position": 1,
    }
    revision = services.save_draft(row, content, writer)
    row.refresh_from_db()
    assert (row.status, row.what_it_involves) == ("draft", "One a day if under 5 < 6")
    with pytest.raises(UserError, match="At least one source"):
        services.submit(revision.pk, writer)
    services.save_draft(row, {"sources": [str(source.pk)], "review_by": NEXT_YEAR}, writer)
    services.submit(revision.pk, writer)
    row.refresh_from_db()
    assert row.status == "in_review"
    services.send_back(revision.pk, publisher, "Say how long.")
    row.refresh_from_db()
    revision.refresh_from_db()
    assert (row.status, revision.state, revision.note) == ("draft", "draft", "Say how long.")
    services.submit(revision.pk, writer)
    services.publish(revision.pk, publisher, version=2)
    row.refresh_from_db()
    assert row.status == "published" and row.sources.get() == source


def test_every_part_of_a_condition_needs_its_source(writer: Any) -> None:
    condition = make_condition()
    source = make_source()
    revision = services.save_draft(
        condition, {"citations": [f"what_it_is:{source.pk}"], "review_by": NEXT_YEAR}, writer
    )
    with pytest.raises(UserError) as caught:
        services.submit(revision.pk, writer)
    assert "What it is" not in caught.value.message and "Outlook" in caught.value.message


def test_a_past_review_day_is_refused(treatment: Treatment, writer: Any) -> None:
    revision = services.save_draft(treatment, {"review_by": "2020-01-01"}, writer)
    with pytest.raises(UserError, match="future"):
        services.submit(revision.pk, writer)


def test_a_clinicians_mark_does_not_outlive_the_words_it_was_for(treatment: Treatment, writer: Any) -> None:
    Treatment.objects.update(reviewed_by="Dr A, physician", reviewed_on=dt.date(2026, 1, 2))
    treatment.refresh_from_db()
    kept = services.save_draft(treatment, {"review_by": NEXT_YEAR}, writer)
    assert kept.content["reviewed_by"] == "Dr A, physician"
    lost = services.save_draft(treatment, {"risks": "New."}, writer)
    assert (lost.content["reviewed_by"], lost.content["reviewed_on"]) == ("", None)


def test_values_that_the_model_refuses_are_not_kept(writer: Any) -> None:
    condition = make_condition()
    for bad in ({"icd10": "XX1"}, {"snomed": "233604008"}, {"radlex": "5350"}, {"name": ""}):
        with pytest.raises(ValidationError):
            services.save_draft(condition, bad, writer)
    assert services.open_revision(condition) is None
    services.save_draft(condition, {"snomed": "233604007"}, writer)


def test_discard_and_retire(treatment: Treatment, writer: Any, publisher: Any) -> None:
    revision = services.save_draft(treatment, {"risks": "A"}, writer)
    services.discard(revision.pk, writer)
    assert services.open_revision(treatment) is None
    assert services.retire(treatment, publisher) is True
    assert services.retire(treatment, publisher) is False
    treatment.refresh_from_db()
    assert (treatment.status, treatment.risks) == ("retired", "")


def test_differences_are_shown_word_by_word() -> None:
    assert words("Rest for a day.", "Rest for one day.") == [
        ("same", "Rest for "),
        ("removed", "a"),
        ("added", "one"),
        ("same", " day."),
    ]
    source = Source.objects.create(citation="A book.")
    condition = make_condition()
    before = content_of(condition)
    after = {**before, "name": "Another name", "citations": [f"outlook:{source.pk}"]}
    found = changes(Condition, before, after)
    assert [change.label for change in found] == ["Plain name", "Sources"]
    assert found[1].parts == [("added", "outlook: A book.")]


def test_a_translation_of_words_that_changed_since_is_read_again_first(
    treatment: Treatment, writer: Any, publisher: Any
) -> None:
    begun = {"treatment": str(treatment.pk), "language": "es", "texts": {"risks": "Pocos."}}
    revision = services.save_draft(Translation(), {**begun, "review_by": NEXT_YEAR}, writer)
    services.submit(revision.pk, writer)
    Treatment.objects.update(risks="Many, and this is new.")
    with pytest.raises(UserError) as caught:
        services.publish(revision.pk, publisher, version=1)
    assert caught.value.code == "original_changed"
    revision.refresh_from_db()
    assert revision.state == "in_review"
    services.save_draft(Translation.objects.get(), {"texts": {"risks": "Muchos."}}, writer, version=1)
    services.submit(revision.pk, writer)
    services.publish(revision.pk, publisher, version=2)
    published = Translation.objects.get()
    assert published.status == "published" and not published.is_stale
