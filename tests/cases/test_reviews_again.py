"""Signing again: the same is signed once, something else is refused, and each refusal says how to go on."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from accounts.models import AccessLog, User
from cases import reviews, second_reader
from cases.models import FollowUp, Review, Scan
from cases.reviews import ReviewInput, ReviewRefused
from inference.models import Analysis
from tests.inference import reading_rows as rows
from tests.inference.reviewed import doctor_of, filled

pytestmark = pytest.mark.django_db
DAY = timezone.localdate() + timedelta(days=30)


@pytest.fixture
def reading(scan: Scan) -> Analysis:
    """A reading of the scan: pneumonia, likely; urgent."""
    return rows.reading(scan)


@pytest.fixture
def second(patient: User) -> Any:
    """Another verified doctor of the patient."""
    return doctor_of(patient, "Dr Second")


def sign(user: User, scan: Scan, form: ReviewInput) -> tuple[Review, bool]:
    return reviews.sign_once(user, scan, form, level_if_kept="urgent")


def refusal(user: User, scan: Scan, form: ReviewInput) -> ReviewRefused:
    with pytest.raises(ReviewRefused) as caught:
        sign(user, scan, form)
    return caught.value


# --- the same again -------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"comment": " Seen. ", "follow_up": "X-ray again ", "follow_up_on": DAY},
        {"verdict": "disagree", "right": "no-chest-finding", "danger_level": "routine"},
        {"verdict": "agree", "right": "no-chest-finding", "danger_level": "urgent"},
    ],
)
@pytest.mark.parametrize("has_draft", [False, True])
def test_the_same_again_is_signed_once(
    reader: User, scan: Scan, reading: Analysis, fields: dict[str, Any], has_draft: bool
) -> None:
    form = filled(reading, **fields)
    if has_draft:
        reviews.save_draft(reader, scan, form)
        form = filled(reading, edit_no=1, **fields)
    signed, is_new = sign(reader, scan, form)
    assert is_new
    lines = AccessLog.objects.count()
    assert sign(reader, scan, form) == (signed, False)
    assert Review.objects.get() == signed and AccessLog.objects.count() == lines
    assert FollowUp.objects.count() == ("follow_up_on" in fields)


def test_the_same_again_after_a_newer_reading(reader: User, scan: Scan, reading: Analysis) -> None:
    signed, _is_new = sign(reader, scan, filled(reading))
    rows.reading(scan)
    assert sign(reader, scan, filled(reading)) == (signed, False)


def test_the_same_amendment_again(reader: User, scan: Scan, reading: Analysis) -> None:
    first, _is_new = sign(reader, scan, filled(reading))
    change = filled(reading, comment="On a better screen", amends=first.pk, amend_reason="Better")
    version, is_new = sign(reader, scan, change)
    assert is_new and version.version == 2
    assert sign(reader, scan, change) == (version, False)
    assert AccessLog.objects.about(scan.case.patient).filter(action="amend_review").count() == 1
    # Of the new version, the same with the same reason is one version more.
    again, is_new = sign(reader, scan, filled(reading, amends=version.pk, amend_reason="Better"))
    assert is_new and again.version == 3


def test_the_same_second_reading_again(reader: User, second: User, scan: Scan, reading: Analysis) -> None:
    second_reader.ask(reader, scan, second.pk)
    signed, is_new = sign(second, scan, filled(reading, seat="second", edit_no=0))
    assert is_new and sign(second, scan, filled(reading, seat="second")) == (signed, False)


@pytest.mark.django_db(transaction=True)
def test_the_same_twice_at_the_same_moment(reader: User, scan: Scan) -> None:
    reading = rows.reading(scan)
    gate = threading.Barrier(2)
    answers: list[Any] = []

    def go() -> None:
        try:
            gate.wait(timeout=10)
            answers.append(sign(reader, scan, filled(reading, comment="Seen.")))
        except Exception as error:
            answers.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=go) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    signed = Review.objects.get()
    assert sorted(answers, key=lambda answer: answer[1]) == [(signed, False), (signed, True)]


# --- something else -------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "fields",
    [
        {"verdict": "unsure"},
        {"verdict": "disagree", "right": "no-chest-finding", "danger_level": "urgent"},
        {"verdict": ""},
        {"danger_level": "routine"},
        {"comment": "I see more"},
        {"follow_up": "Come back"},
        {"follow_up_on": DAY},
    ],
)
def test_something_else_is_refused_and_leaves_no_draft(
    reader: User, scan: Scan, reading: Analysis, fields: dict[str, Any]
) -> None:
    signed, _is_new = sign(reader, scan, filled(reading))
    error = refusal(reader, scan, filled(reading, **fields))
    assert error.code == "already_signed" and error.message.startswith("You signed this scan yourself on")
    assert (error.review_id, error.edit_no) == (signed.pk, 0)
    assert Review.objects.get() == signed
    # What was said is enough to go on.
    change = filled(reading, comment="More", amends=error.review_id, edit_no=error.edit_no, amend_reason="x")
    assert sign(reader, scan, change)[0].version == 2


def test_something_else_leaves_the_draft_of_an_amendment_alone(
    reader: User, scan: Scan, reading: Analysis
) -> None:
    signed, _is_new = sign(reader, scan, filled(reading))
    draft = reviews.save_draft(reader, scan, filled(reading, comment="Half a thought", amends=signed.pk))
    error = refusal(reader, scan, filled(reading, comment="Late"))
    assert (error.review_id, error.edit_no) == (signed.pk, 1)
    kept = reviews.draft_of(reader, scan)
    assert kept == draft and kept.comment == "Half a thought" and kept.previous == signed


# --- how to go on ---------------------------------------------------------------------------------
def test_what_is_incomplete_says_which_draft_it_is(reader: User, scan: Scan, reading: Analysis) -> None:
    error = refusal(reader, scan, filled(reading, ""))
    draft = reviews.draft_of(reader, scan)
    assert error.code == "incomplete" and (error.review_id, error.edit_no) == (draft.pk, 1)
    assert sign(reader, scan, filled(reading, edit_no=error.edit_no))[1]


def test_somebody_elses_signature_and_ones_own_draft(
    reader: User, second: User, scan: Scan, reading: Analysis
) -> None:
    signed, _is_new = sign(reader, scan, filled(reading))
    error = refusal(second, scan, filled(reading, comment="I see more"))
    assert error.code == "already_signed" and error.message.startswith(f"{reader.full_name} signed this scan")
    assert (error.review_id, error.edit_no) == (signed.pk, 1)
    change = filled(
        reading,
        comment="I see more",
        amends=error.review_id,
        edit_no=error.edit_no,
        amend_reason="It is more",
    )
    version, _is_new = sign(second, scan, change)
    late = refusal(reader, scan, filled(reading, comment="Late", amends=signed.pk, amend_reason="Late"))
    assert late.code == "amended_meanwhile" and (late.review_id, late.edit_no) == (version.pk, 1)


def test_other_conflicts_name_the_stored_draft(reader: User, scan: Scan, reading: Analysis) -> None:
    late = refusal(reader, scan, filled(reading, edit_no=3))
    assert late.code == "edit_conflict" and (late.review_id, late.edit_no) == (None, 0)
    draft = reviews.save_draft(reader, scan, filled(reading))
    late = refusal(reader, scan, filled(reading, edit_no=0))
    assert late.code == "edit_conflict" and (late.review_id, late.edit_no) == (draft.pk, 1)
    rows.reading(scan)
    late = refusal(reader, scan, filled(reading, edit_no=1))
    assert late.code == "superseded" and (late.review_id, late.edit_no) == (draft.pk, 1)


def test_whatever_goes_wrong_with_the_signature_the_draft_stays(
    reader: User, scan: Scan, reading: Analysis, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(**values: Any) -> None:
        raise RuntimeError("the disk is full")

    monkeypatch.setattr(FollowUp.objects, "get_or_create", fail)
    with pytest.raises(RuntimeError):
        sign(reader, scan, filled(reading, comment="Seen.", follow_up_on=DAY))
    draft = Review.objects.get()
    assert draft.status == "draft" and draft.comment == "Seen." and draft.edit_no == 1
