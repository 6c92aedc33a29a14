"""What a case keeps for the worklist is what its scans, readings and reviews say, after every event."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.utils import timezone

from accounts.models import CareRelationship, User
from cases import reviews, second_reader, worklist
from cases import services as case_services
from cases.models import Case, CaseSeen, Review, Scan, WorklistEntry
from cases.reviews import ReviewInput, VerdictInput
from inference import assessing, case_state, danger, services
from inference.models import Analysis
from inference.reading import Reading
from inference.tasks import settle_reviewed_cases
from resources import symptoms
from tests import factories
from tests.inference import reading_rows as rows

pytestmark = pytest.mark.django_db
State = Case.ReviewState
AGREED = VerdictInput("pneumonia", "pneumonia", 0.83, "likely", "agree")


@pytest.fixture
def doctor_of(patient: User) -> Callable[[], User]:
    """Verified doctors whom the patient lets read."""

    def make() -> User:
        doctor = factories.DoctorFactory.create()
        factories.CareRelationshipFactory.create(patient=patient, doctor=doctor)
        return doctor

    return make


@pytest.fixture
def case(patient: User) -> Case:
    """An empty case."""
    return factories.CaseFactory.create(patient=patient)


def kept(case: Case) -> Case:
    """The case as stored, after checking that case and entries hold what they should."""
    case.refresh_from_db()
    now = case_state.computed(case)
    for name, value in dataclasses.asdict(now).items():
        if name != "news_at":
            assert getattr(case, name) == value, name
    assert case.news_at >= now.news_at
    for entry in WorklistEntry.objects.filter(case=case):
        for name in ("danger_rank", "waiting_since", "review_state", "kind", "news_at"):
            assert getattr(entry, name) == getattr(case, name), name
        assert entry.is_open == (case.review_state != State.REVIEWED)
    return case


def finish(scan: Scan, status: str = "rejected", **fields: Any) -> Analysis:
    """Ends a running analysis of the scan the way a worker does."""
    running = rows.analysis(scan, "running", **fields)
    claim = services.Claim(running.pk, running.attempt)
    if status == "failed":
        assert services.fail(claim, "some_code", "It broke off.")
    else:
        reading = Reading("rejected", "chest_xray", reason_code="not_a_film", reason="This is no film.")
        assert services.reject(claim, reading)
    running.refresh_from_db()
    return running


def sign(doctor: User, of: Analysis, commit: Any, level: str = "routine", **fields: Any) -> Review:
    given = ReviewInput(
        analysis_id=of.pk,
        verdicts=[AGREED],
        comment="Seen.",
        danger_level=level,
        **fields,
    )
    with commit(execute=True):
        return reviews.sign(doctor, of.scan, given, level_if_kept="urgent")


def test_a_new_case_and_its_first_scan(case: Case, doctor_of: Any) -> None:
    doctor_of()
    assert kept(case).review_state == State.NOT_READ and case.danger == ""
    scan = factories.ScanFactory.create(case=case)
    assert kept(case).waiting_since == scan.created_at


def test_a_reading_succeeds(case: Case) -> None:
    scan = factories.ScanFactory.create(case=case)
    rows.reading(scan)
    assert case_state.refresh(case.pk)
    assert kept(case).danger == "urgent" and case.review_state == State.WAITING
    assert case.waiting_since == scan.created_at
    assert not case_state.refresh(case.pk)


def test_a_reading_is_rejected_or_fails(case: Case, doctor_of: Any) -> None:
    doctor_of()
    scan = factories.ScanFactory.create(case=case)
    finish(scan, "failed")
    assert kept(case).danger == "inconclusive" and case.review_state == State.NOT_READ
    finish(scan, "rejected")
    assert kept(case).review_state == State.WAITING


def test_the_most_dangerous_scan_counts_until_it_is_deleted(case: Case, patient: User) -> None:
    mild = factories.ScanFactory.create(case=case)
    bad = factories.ScanFactory.create(case=case)
    rows.reading(mild, danger="routine")
    rows.reading(bad, danger="emergency")
    case_state.refresh(case.pk)
    assert kept(case).danger == "emergency"
    case_services.delete_scan(bad, patient)
    assert kept(case).danger == "routine"


def test_deleting_a_case_leaves_no_entry(case: Case, patient: User, doctor_of: Any) -> None:
    doctor_of()
    factories.ScanFactory.create(case=case)
    assert WorklistEntry.objects.filter(case=case).count() == 1
    case_services.delete_case(case, patient)
    assert not WorklistEntry.objects.exists()


def test_symptoms_count_before_there_is_a_reading_and_with_one(
    patient: User, django_capture_on_commit_callbacks: Any
) -> None:
    case = case_services.open_case(patient, kind="brain_mri", age_group="adult", symptoms={})
    before = kept(case).news_at
    answers = next(alarming())
    with django_capture_on_commit_callbacks(execute=True):
        case_services.update_case(case, patient, symptoms=answers)
    assert kept(case).danger in ("emergency", "urgent") and case.news_at > before
    with django_capture_on_commit_callbacks(execute=True):
        case_services.update_case(case, patient, symptoms={})
    assert kept(case).danger == ""


def alarming() -> Iterator[dict[str, Any]]:
    """Answers of which one alone raises the level by the rules in force."""
    for symptom in symptoms.catalogue().symptoms:
        answers = {symptom.code: True}
        felt = danger.from_symptoms(symptoms.facts(answers), "adult", assessing.active_rules())
        if felt is not None and felt.level in ("emergency", "urgent"):
            yield answers


def test_a_signed_review_outranks_the_model_and_an_amendment_that(
    case: Case, doctor_of: Any, django_capture_on_commit_callbacks: Any
) -> None:
    doctor = doctor_of()
    scan = factories.ScanFactory.create(case=case)
    reading = rows.reading(scan)
    case_state.refresh(case.pk)
    review = sign(doctor, reading, django_capture_on_commit_callbacks, "routine")
    assert kept(case).danger == "routine" and case.review_state == State.REVIEWED
    assert case.waiting_since == review.signed_at and case.news_at == review.signed_at
    assert not WorklistEntry.objects.get(doctor=doctor).unread, "who signs has seen it"
    amended = sign(
        doctor,
        reading,
        django_capture_on_commit_callbacks,
        "emergency",
        amends=review.pk,
        amend_reason="I looked again.",
    )
    assert kept(case).danger == "emergency" and case.waiting_since == amended.signed_at


def test_two_readers_disagree(case: Case, doctor_of: Any, django_capture_on_commit_callbacks: Any) -> None:
    scan = factories.ScanFactory.create(case=case)
    reading = rows.reading(scan)
    first, second = doctor_of(), doctor_of()
    sign(first, reading, django_capture_on_commit_callbacks, "routine")
    second_reader.ask(first, scan, second.pk)
    sign(second, reading, django_capture_on_commit_callbacks, "urgent", seat="second")
    assert kept(case).review_state == State.DISAGREEMENT
    assert case.danger == "routine", "the first reader's counts"
    assert WorklistEntry.objects.filter(case=case, is_open=True).count() == 2


def test_a_newer_reading_waits_again_and_never_lowers_the_doctors_level(
    case: Case, doctor_of: Any, django_capture_on_commit_callbacks: Any
) -> None:
    scan = factories.ScanFactory.create(case=case)
    reading = rows.reading(scan, waited=timedelta(hours=2))
    sign(doctor_of(), reading, django_capture_on_commit_callbacks, "soon")
    newer = rows.reading(scan, danger="none_found")
    case_state.refresh(case.pk)
    assert kept(case).review_state == State.WAITING and case.danger == "soon"
    assert case.waiting_since == newer.finished_at


def test_judging_anew(case: Case) -> None:
    scan = factories.ScanFactory.create(case=case)
    rows.reading(scan, danger="routine")
    case_state.refresh(case.pk)
    assert kept(case).danger == "routine"
    assessing.reassess_case(case.pk)
    assert kept(case).danger == Analysis.objects.get().danger != "routine"


def test_grants_and_names_move_entries(patient: User, case: Case, doctor_of: Any) -> None:
    doctor = doctor_of()
    entry = WorklistEntry.objects.get(doctor=doctor, case=case)
    CareRelationship.objects.filter(doctor=doctor).update(revoked_at=timezone.now())
    assert not WorklistEntry.objects.filter(pk=entry.pk).exists()
    grant = factories.CareRelationshipFactory.create(patient=patient, doctor=doctor, case=case)
    assert WorklistEntry.objects.filter(doctor=doctor).count() == 1
    other = factories.CaseFactory.create(patient=patient)
    assert not WorklistEntry.objects.filter(case=other).exists(), "the grant is for one case"
    CareRelationship.objects.filter(pk=grant.pk).update(case=None)
    assert WorklistEntry.objects.filter(doctor=doctor).count() == 2
    patient.full_name = "Zoë Ångström"
    patient.save()
    found = worklist.entries(doctor, worklist.Filters(q="angst zo"))
    assert {one.case_id for one in found} == {case.pk, other.pk}
    Case.objects.filter(pk=other.pk).update(title="Left knee (2nd film)")
    assert [one.case_id for one in worklist.entries(doctor, worklist.Filters(q="KNEE 2nd"))] == [other.pk]
    CareRelationship.objects.all().delete()
    assert not WorklistEntry.objects.exists()


def test_recomputing_mends_everything(case: Case, doctor_of: Any, capsys: Any) -> None:
    doctor = doctor_of()
    scan = factories.ScanFactory.create(case=case)
    rows.reading(scan)
    CaseSeen.objects.create(doctor=doctor, case=case, seen_at=timezone.now() + timedelta(days=1))
    WorklistEntry.objects.all().delete()
    gone = factories.DoctorFactory.create()
    WorklistEntry.objects.create(
        doctor=gone,
        case=case,
        danger_rank=0,
        waiting_since=case.created_at,
        review_state="waiting",
        is_open=True,
        kind=case.kind,
        opened_at=case.created_at,
        news_at=case.news_at,
        unread=True,
        words="",
    )
    call_command("recompute_worklist")
    assert kept(case).danger == "urgent"
    entry = WorklistEntry.objects.get()
    assert entry.doctor == doctor and not entry.unread
    assert "1 of 1 cases" in capsys.readouterr().out
    call_command("recompute_worklist")
    assert "0 of 1 cases" in capsys.readouterr().out


def test_symptoms_after_the_signature_bring_the_case_back(
    case: Case, patient: User, doctor_of: Any, django_capture_on_commit_callbacks: Any
) -> None:
    scan = factories.ScanFactory.create(case=case)
    reading = rows.reading(scan)
    sign(doctor_of(), reading, django_capture_on_commit_callbacks, "routine")
    assert kept(case).review_state == State.REVIEWED
    with django_capture_on_commit_callbacks(execute=True):
        case_services.update_case(case, patient, symptoms=next(alarming()))
    assert kept(case).review_state == State.WAITING and case.danger in ("emergency", "urgent")
    assert WorklistEntry.objects.get(case=case).unread


def test_a_signature_whose_process_died_is_caught_up_on(case: Case, doctor_of: Any) -> None:
    scan = factories.ScanFactory.create(case=case)
    reading = rows.reading(scan)
    case_state.refresh(case.pk)
    given = ReviewInput(analysis_id=reading.pk, comment="Seen.", danger_level="routine", verdicts=[AGREED])
    reviews.sign(doctor_of(), scan, given, level_if_kept="urgent")  # what follows the commit never runs
    case.refresh_from_db()
    assert case.review_state == State.WAITING
    settle_reviewed_cases()
    assert kept(case).review_state == State.REVIEWED and case.danger == "routine"
