"""Reviews: drafts, signatures, amendments, the blind second reader, and two doctors at once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied
from django.db import connection, transaction
from django.http import Http404
from django.utils import timezone

from accounts.models import AccessLog, CareRelationship, DoctorProfile, User
from cases import reviews, second_reader
from cases.levels import RANKS
from cases.models import FollowUp, Review, Scan
from cases.reviews import ReviewInput, VerdictInput
from cases.signals import review_signed
from inference.models import Analysis, DangerLevel
from pmi_site.errors import UserError
from tests import factories
from tests.inference import reading_rows as rows

pytestmark = pytest.mark.django_db


@pytest.fixture
def reading(scan: Scan) -> Analysis:
    """A reading of the scan: pneumonia, likely."""
    return rows.reading(scan)


@pytest.fixture
def second(case: Any) -> User:
    """Another verified doctor of the patient."""
    doctor = factories.DoctorFactory.create(full_name="Dr Second")
    factories.CareRelationshipFactory.create(patient=case.patient, doctor=doctor)
    return doctor


def given(of: Analysis, verdict: str = "agree", **fields: Any) -> ReviewInput:
    """A filled-in form about the reading."""
    right = fields.pop("right", "")
    verdicts = [VerdictInput("pneumonia", "pneumonia", 0.83, "likely", verdict, right)]
    return ReviewInput(analysis_id=of.pk, verdicts=verdicts, **fields)


def sign(user: User, scan: Scan, form: ReviewInput) -> Review:
    return reviews.sign(user, scan, form, level_if_kept="urgent")


def code_of(call: Callable[[], Any]) -> str:
    with pytest.raises(UserError) as caught:
        call()
    return caught.value.code


def test_levels_are_those_of_the_readings() -> None:
    assert set(RANKS) == set(DangerLevel.values)


def test_a_draft_is_kept_and_nobody_else_sees_it(
    reader: User, second: User, scan: Scan, reading: Analysis
) -> None:
    draft = reviews.save_draft(reader, scan, given(reading, "", comment=" Half a thought "))
    assert draft.edit_no == 1 and draft.comment == "Half a thought"
    assert reviews.draft_of(reader, scan) == draft
    assert reviews.draft_of(second, scan) is None
    assert not reviews.reviews_of(scan) and reviews.signed_review(scan) is None


def test_signing_takes_the_level_over_and_sends_the_signal(
    reader: User, scan: Scan, reading: Analysis, django_capture_on_commit_callbacks: Any
) -> None:
    heard: list[Any] = []

    def hear(sender: Any, review_id: Any, **kwargs: Any) -> None:
        heard.append(review_id)

    review_signed.connect(hear)
    try:
        with django_capture_on_commit_callbacks(execute=True):
            signed = sign(reader, scan, given(reading))
    finally:
        review_signed.disconnect(hear)
    assert heard == [signed.pk]
    assert signed.status == "signed" and signed.danger_level == "urgent" and signed.version == 1
    assert signed.reader_name == reader.full_name
    assert reviews.signed_review(scan) == signed
    assert reviews.draft_of(reader, scan) is None


def test_a_follow_up_reaches_the_record(reader: User, scan: Scan, reading: Analysis) -> None:
    day = timezone.localdate() + timedelta(days=30)
    sign(reader, scan, given(reading, follow_up="X-ray again", follow_up_on=day))
    assert FollowUp.objects.get(case=scan.case).text == "X-ray again"


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"verdict": ""}, "incomplete"),
        ({"verdict": "disagree", "comment": "Nothing there"}, "incomplete"),
        ({"verdict": "disagree", "danger_level": "routine"}, "incomplete"),
        ({"follow_up_on": timezone.localdate() - timedelta(days=2)}, "bad_date"),
    ],
)
def test_an_incomplete_review_is_saved_but_not_signed(
    reader: User, scan: Scan, reading: Analysis, fields: dict[str, Any], code: str
) -> None:
    assert code_of(lambda: sign(reader, scan, given(reading, **fields))) == code
    assert reviews.draft_of(reader, scan) is not None


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"seat": "third"}, "bad_seat"),
        ({"danger_level": "terrible"}, "bad_level"),
        ({"comment": "x" * 5001}, "too_long"),
        ({"verdict": "perhaps"}, "bad_verdict"),
    ],
)
def test_values_that_mean_nothing(
    reader: User, scan: Scan, reading: Analysis, fields: dict[str, Any], code: str
) -> None:
    assert code_of(lambda: reviews.save_draft(reader, scan, given(reading, **fields))) == code


def test_the_same_draft_in_two_windows(reader: User, scan: Scan, reading: Analysis) -> None:
    reviews.save_draft(reader, scan, given(reading, comment="first window"))
    late = given(reading, comment="second window")
    assert code_of(lambda: reviews.save_draft(reader, scan, late)) == "edit_conflict"
    kept = reviews.draft_of(reader, scan)
    assert kept is not None and kept.comment == "first window"
    reviews.save_draft(reader, scan, given(reading, comment="both", edit_no=1))


def test_a_second_doctor_is_told_who_signed_and_loses_nothing(
    reader: User, second: User, scan: Scan, reading: Analysis
) -> None:
    sign(reader, scan, given(reading))
    with pytest.raises(UserError) as caught:
        sign(second, scan, given(reading, comment="I see more"))
    assert caught.value.code == "already_signed" and reader.full_name in caught.value.message
    draft = reviews.draft_of(second, scan)
    assert draft is not None and draft.comment == "I see more"


def test_an_amendment_is_a_new_version_with_a_reason(reader: User, scan: Scan, reading: Analysis) -> None:
    first = sign(reader, scan, given(reading))
    change = given(reading, "disagree", right="no-chest-finding", danger_level="routine", amends=first.pk)
    assert code_of(lambda: sign(reader, scan, change)) == "no_reason"
    change = given(
        reading,
        "disagree",
        right="no-chest-finding",
        danger_level="routine",
        amends=first.pk,
        amend_reason="Looked at it on a better screen",
        edit_no=1,
    )
    second_version = sign(reader, scan, change)
    first.refresh_from_db()
    assert first.status == "superseded" and first.danger_level == "urgent"
    assert second_version.version == 2 and second_version.previous == first
    assert reviews.signed_review(scan) == second_version
    assert [one.version for one in reviews.reviews_of(scan)] == [2, 1]


def test_an_amendment_of_an_amended_review_is_refused(
    reader: User, second: User, scan: Scan, reading: Analysis
) -> None:
    first = sign(reader, scan, given(reading))
    sign(reader, scan, given(reading, amends=first.pk, amend_reason="Better"))
    late = given(reading, amends=first.pk, amend_reason="I, too", comment="mine")
    assert code_of(lambda: sign(second, scan, late)) == "amended_meanwhile"
    assert reviews.draft_of(second, scan) is not None


def test_only_a_signed_review_can_be_amended(reader: User, scan: Scan, reading: Analysis) -> None:
    draft = reviews.save_draft(reader, scan, given(reading))
    for amends in (draft.pk, reading.pk):
        late = given(reading, amends=amends, amend_reason="Better", edit_no=1)
        assert code_of(lambda late=late: sign(reader, scan, late)) == "not_amendable"  # type: ignore[misc]


def test_a_newer_reading_refuses_the_review(reader: User, scan: Scan, reading: Analysis) -> None:
    reviews.save_draft(reader, scan, given(reading, comment="old"))
    newer = rows.reading(scan)
    late = given(reading, edit_no=1)
    assert code_of(lambda: sign(reader, scan, late)) == "superseded"
    assert sign(reader, scan, given(newer, edit_no=1)).analysis == newer


def test_a_scan_that_is_not_read_yet(reader: User, scan: Scan) -> None:
    waiting = rows.analysis(scan, "queued")
    assert code_of(lambda: reviews.save_draft(reader, scan, given(waiting))) == "not_read"


def test_the_blind_second_reader(reader: User, second: User, scan: Scan, reading: Analysis) -> None:
    second_reader.ask(second, scan, second.pk)
    sign(reader, scan, given(reading))
    assert reviews.is_blind(second, scan) and reviews.reviews_for(second, scan) == []
    assert len(reviews.reviews_for(reader, scan)) == 1
    sign(
        second,
        scan,
        given(
            reading,
            "disagree",
            seat="second",
            danger_level="routine",
            right="no-chest-finding",
        ),
    )
    assert len(reviews.reviews_for(second, scan)) == 2
    assert [item.what for item in reviews.disagreements(scan)] == ["level", "pneumonia"]
    counting = reviews.signed_review(scan)
    assert counting is not None and counting.seat == "first"


def test_one_person_is_not_two_readers(reader: User, scan: Scan, reading: Analysis) -> None:
    sign(reader, scan, given(reading))
    late = given(reading, seat="second")
    assert code_of(lambda: reviews.save_draft(reader, scan, late)) == "same_reader"


def test_nobody_reads_as_second_unasked(reader: User, second: User, scan: Scan, reading: Analysis) -> None:
    """They could have seen the first review by then."""
    sign(reader, scan, given(reading))
    late = given(reading, seat="second")
    assert code_of(lambda: reviews.save_draft(second, scan, late)) == "not_asked"


def test_who_may_not_review(
    case: Any, outsiders: list[User], patient: User, scan: Scan, reading: Analysis
) -> None:
    for outsider in outsiders:
        assert not reviews.may_review(outsider, scan)
        with pytest.raises(Http404):
            sign(outsider, scan, given(reading))
    with pytest.raises(PermissionDenied):
        sign(patient, scan, given(reading))


def test_a_doctor_does_not_review_their_own_scan(doctor: User) -> None:
    own = factories.ScanFactory.create(case=factories.CaseFactory.create(patient=doctor))
    assert not reviews.may_review(doctor, own)
    with pytest.raises(PermissionDenied):
        sign(doctor, own, given(rows.reading(own)))


@pytest.mark.parametrize("how", ["grant", "licence"])
def test_revoked_between_draft_and_signature(reader: User, scan: Scan, reading: Analysis, how: str) -> None:
    reviews.save_draft(reader, scan, given(reading, comment="mid-way"))
    if how == "grant":
        CareRelationship.objects.update(revoked_at=timezone.now())
    else:
        DoctorProfile.objects.update(verified_at=None)
    with pytest.raises(Http404):
        sign(reader, scan, given(reading, edit_no=1))
    assert Review.objects.get().status == "draft"


@pytest.mark.django_db(transaction=True)
def test_two_doctors_sign_at_the_same_moment(reader: User, second: User, scan: Scan) -> None:
    reading = rows.reading(scan)
    gate = threading.Barrier(2)
    answers: dict[str, str] = {}

    def go(user: User) -> None:
        try:
            gate.wait(timeout=10)
            sign(user, scan, given(reading, comment=f"by {user.full_name}"))
            answers[user.full_name] = "signed"
        except UserError as error:
            answers[user.full_name] = error.code
        finally:
            connection.close()

    threads = [threading.Thread(target=go, args=(user,)) for user in (reader, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert sorted(answers.values()) == ["already_signed", "signed"]
    assert Review.objects.filter(status="signed").count() == 1
    draft = Review.objects.get(status="draft")
    assert draft.comment == f"by {draft.reader_name}"


@pytest.mark.django_db(transaction=True)
def test_what_is_signed_while_it_is_thrown_away_stays(reader: User, scan: Scan) -> None:
    reading = rows.reading(scan)
    draft = reviews.save_draft(reader, scan, given(reading, comment="Half a thought"))
    thrown: list[bool] = []

    def discard() -> None:
        try:
            thrown.append(reviews.discard_draft(reader, scan))
        finally:
            connection.close()

    thread = threading.Thread(target=discard)
    with transaction.atomic():
        sign(reader, scan, given(reading, comment="All of it", edit_no=draft.edit_no))
        thread.start()
        thread.join(timeout=1)
        assert thread.is_alive(), "it waits for the signature"
    thread.join(timeout=30)
    assert thrown == [False]
    assert Review.objects.get().status == "signed"
    assert not AccessLog.objects.filter(action="discard_review_draft").exists()
