"""What signed reviews confirm, and what of it others may find."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import OperationalError

from accounts import consents
from cases import reviews
from cases.models import Review, ReviewVerdict, Scan
from cases.reviews import VerdictInput
from inference import similar_services, similar_tasks
from inference.models import Analysis, Confirmation, ReferenceImage
from inference.review_truth import most_exact
from tests.factories import CareRelationshipFactory, ScanFactory
from tests.inference import reading_rows as rows
from tests.inference import reviewed

pytestmark = pytest.mark.django_db


@pytest.fixture
def analysis(patient: Any, doctor: Any) -> Analysis:
    """A reading with a likely pneumonia, of a patient who lets the doctor look and others compare."""
    CareRelationshipFactory.create(patient=patient, doctor=doctor)
    consents.give_consent(patient, "similar_search")
    return rows.reading(ScanFactory.create(case__patient=patient), heat=True)


def confirmed(scan: Scan) -> list[str]:
    """The labels that are confirmed now."""
    return [one.finding.label for one in similar_services.follow_reviews(scan.pk)]


def test_a_signature_confirms_and_a_worker_releases(
    analysis: Analysis, doctor: Any, django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        reviewed.sign(analysis, doctor)
    held = Confirmation.objects.get()
    assert (held.finding.label, held.doctor) == ("pneumonia", doctor)
    similar_tasks.release_confirmed(str(analysis.scan_id))
    similar_tasks.release_confirmed(str(analysis.scan_id))
    reference = ReferenceImage.objects.get()
    assert (reference.condition, reference.scan) == ("pneumonia", analysis.scan)


def test_what_an_amendment_takes_back_is_gone(analysis: Analysis, doctor: Any) -> None:
    first = reviewed.sign(analysis, doctor)
    assert confirmed(analysis.scan) == ["pneumonia"]
    similar_services.release_waiting()
    assert ReferenceImage.objects.get().condition == "pneumonia"
    reviewed.correct(analysis, doctor, amends=first.pk, amend_reason="A fold of the skin.")
    assert "pneumonia" not in confirmed(analysis.scan)
    assert not ReferenceImage.objects.filter(condition="pneumonia").exists()


def test_a_draft_and_an_unsure_review_confirm_nothing(analysis: Analysis, doctor: Any) -> None:
    reviews.save_draft(doctor, analysis.scan, reviewed.filled(analysis))
    assert confirmed(analysis.scan) == []
    given = reviewed.filled(analysis, "unsure", edit_no=1)
    reviews.sign(doctor, analysis.scan, given, level_if_kept="soon")
    assert confirmed(analysis.scan) == []


def test_a_second_reader_who_is_certain_of_the_opposite_stops_it(analysis: Analysis, doctor: Any) -> None:
    first = reviewed.sign(analysis, doctor)
    assert confirmed(analysis.scan) == ["pneumonia"]
    other = Review.objects.create(
        scan=analysis.scan,
        analysis=analysis,
        seat="second",
        status="signed",
        signed_at=first.signed_at,
        reader_name="Dr Other",
    )
    ReviewVerdict.objects.create(
        review=other,
        label="pneumonia",
        condition="pneumonia",
        probability=0.8,
        call="likely",
        verdict="disagree",
    )
    assert confirmed(analysis.scan) == []
    assert not Confirmation.objects.exists()


def test_nothing_is_released_without_consent(analysis: Analysis, patient: Any, doctor: Any) -> None:
    consents.revoke_consent(patient, "similar_search")
    reviewed.sign(analysis, doctor)
    assert confirmed(analysis.scan) == ["pneumonia"]
    similar_tasks.release_confirmed(str(analysis.scan_id))
    assert similar_services.release_waiting() == 0
    assert not ReferenceImage.objects.exists()


def test_the_right_condition_is_what_is_confirmed(analysis: Analysis, doctor: Any) -> None:
    said = [
        VerdictInput("pneumonia", "pneumonia", 0.83, "likely", "disagree", "no-chest-finding"),
    ]
    given = reviews.ReviewInput(analysis_id=analysis.pk, verdicts=said, danger_level="none_found")
    reviews.sign(doctor, analysis.scan, given, level_if_kept="soon")
    assert confirmed(analysis.scan) == ["no_finding"]


def test_the_most_exact_label_is_taken() -> None:
    assert most_exact("chest_xray", ["pneumonia", "bacterial"]) == ["bacterial"]
    assert most_exact("chest_xray", ["pneumonia"]) == ["pneumonia"]
    assert most_exact("knee_xray", ["3"]) == ["3"]


def test_a_signature_that_nobody_heard_of_is_followed_all_the_same(analysis: Analysis, doctor: Any) -> None:
    first = reviewed.sign(analysis, doctor)
    assert not Confirmation.objects.exists(), "the receiver comes after the commit, which a test has not"
    similar_tasks.fill_waiting_spaces()
    assert ReferenceImage.objects.get().condition == "pneumonia"
    reviewed.correct(analysis, doctor, amends=first.pk, amend_reason="A fold of the skin.")
    similar_tasks.fill_waiting_spaces()
    assert not ReferenceImage.objects.filter(condition="pneumonia").exists()


def test_one_broken_review_does_not_keep_the_others_waiting(
    analysis: Analysis, doctor: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    reviewed.sign(analysis, doctor)

    def broken(_scan_id: Any) -> None:
        raise OperationalError("deadlock detected")

    monkeypatch.setattr(similar_services, "follow_reviews", broken)
    assert similar_services.follow_recent() == 1


def test_what_is_taken_back_while_its_picture_is_cut_is_not_released(
    analysis: Analysis, doctor: Any, monkeypatch: pytest.MonkeyPatch, private_root: Any
) -> None:
    reviewed.sign(analysis, doctor)
    similar_services.follow_reviews(analysis.scan_id)
    cut = similar_services._picture

    def slowly(scan: Scan, of: Analysis) -> bytes:
        Confirmation.objects.all().delete()  # an amendment, meanwhile
        return cut(scan, of)

    monkeypatch.setattr(similar_services, "_picture", slowly)
    assert similar_services.release_scan(Confirmation.objects.get()) is None
    assert not list(private_root.glob("references/**/*.png"))
