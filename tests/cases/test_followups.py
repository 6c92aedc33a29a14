"""Follow-ups: adding, marking as done, deleting, reminding; who may do it."""

import uuid
from datetime import date, timedelta
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied
from django.http import Http404
from django.urls import reverse
from django.utils import timezone

from cases import followups
from cases.models import Case, FollowUp, Review
from cases.tasks import remind_follow_ups
from pmi_site.errors import UserError
from tests.factories import CareRelationshipFactory, CaseFactory, DoctorFactory, ScanFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def case(patient: Any) -> Case:
    return CaseFactory.create(patient=patient)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[tuple[uuid.UUID, str]]:
    """(user id, kind) of every notice."""
    found: list[tuple[uuid.UUID, str]] = []
    monkeypatch.setattr(followups, "tell", lambda user_id, kind, link="": found.append((user_id, kind)))
    return found


def in_days(days: int) -> date:
    return timezone.localdate() + timedelta(days=days)


def own(case: Case, days: int = 3, **fields: Any) -> FollowUp:
    return FollowUp.objects.create(
        **{"case": case, "created_by": case.patient, "due_on": in_days(days), "text": "New film", **fields}
    )


# --- the service ---
@pytest.mark.parametrize(
    ("days", "text", "code"), [(-1, "x", "bad_date"), (6 * 366, "x", "bad_date"), (1, "  ", "no_text")]
)
def test_what_cannot_be_added(case: Case, days: int, text: str, code: str) -> None:
    with pytest.raises(UserError) as caught:
        followups.add(case, case.patient, due_on=in_days(days), text=text)
    assert caught.value.code == code


def test_there_is_an_end_to_open_ones(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(followups, "MOST_OPEN", 1)
    followups.add(case, case.patient, due_on=in_days(0), text="x")
    with pytest.raises(UserError) as caught:
        followups.add(case, case.patient, due_on=in_days(0), text="y")
    assert caught.value.code == "too_many"


def test_reminders_come_on_the_day_and_once_more(case: Case, told: list[Any]) -> None:
    due, later = own(case, 0), own(case, 1)
    done = own(case, -3, done_at=timezone.now())
    assert followups.remind_due() == 1 and followups.remind_due() == 0
    assert told == [(case.patient_id, "follow_up_due")]
    FollowUp.objects.filter(pk=due.pk).update(reminded_on=in_days(-7))
    remind_follow_ups.run()
    assert len(told) == 2
    FollowUp.objects.filter(pk=due.pk).update(reminded_on=in_days(-30))
    assert followups.remind_due() == 0  # twice is enough
    for untouched in (later, done):
        untouched.refresh_from_db()
        assert untouched.reminders == 0


def test_nobody_is_reminded_whose_account_is_closed(case: Case, told: list[Any]) -> None:
    own(case, 0)
    case.patient.is_active = False
    case.patient.save()
    assert followups.remind_due() == 0 and told == []


def test_who_may_change_one(case: Case, patient: Any, doctor: Any, other_patient: Any) -> None:
    one = own(case)
    assert followups.own_follow_up(patient, one.pk) == one
    with pytest.raises(Http404):
        followups.own_follow_up(other_patient, one.pk)
    CareRelationshipFactory.create(patient=patient, doctor=doctor)
    with pytest.raises(PermissionDenied):
        followups.own_follow_up(doctor, one.pk)


# --- the pages ---
def add(client: Any, case: Case | uuid.UUID | str, **fields: str) -> Any:
    data = {"due_on": in_days(5).isoformat(), "text": "Second film", **fields}
    return client.post(reverse("inference:record"), {"case": str(getattr(case, "pk", case)), **data})


def test_adding_from_the_record(as_user: Any, patient: Any, case: Case) -> None:
    response = add(as_user(patient), case)
    # Not to a place further down: the answer stands at the top.
    assert response["Location"] == "/record/"
    one = FollowUp.objects.get()
    assert (one.case, one.created_by, one.text, one.due_on) == (case, patient, "Second film", in_days(5))
    assert not one.is_due and not one.is_from_doctor


@pytest.mark.parametrize(
    "fields", [{"due_on": ""}, {"due_on": "soon"}, {"due_on": "2020-01-01"}, {"text": ""}]
)
def test_a_bad_reminder_is_explained(as_user: Any, patient: Any, case: Case, fields: dict[str, str]) -> None:
    CaseFactory.create(patient=patient)
    page = add(as_user(patient), case, **fields)
    assert page.status_code == 400 and page["Cache-Control"] == "private, no-store"
    assert not FollowUp.objects.exists()
    assert 'aria-invalid="true"' in page.text and "invalid-feedback" in page.text
    # What was written is still there.
    kept = {"due_on": in_days(5).isoformat(), "text": "Second film", **fields}
    assert {name: page.context["form"][name].value() for name in kept} == kept
    assert f'<option value="{case.pk}" selected>' in page.text
    assert '<details class="card measure no-print" open>' in page.text


def test_too_many_open_ones_are_explained_at_the_form(
    as_user: Any, patient: Any, case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(followups, "MOST_OPEN", 0)
    page = add(as_user(patient), case)
    assert page.status_code == 400 and "This case has many open reminders." in page.text
    assert 'value="Second film"' in page.text


def test_done_and_open_again(as_user: Any, patient: Any, case: Case) -> None:
    one, client = own(case, -1), as_user(patient)
    path = reverse("cases:follow_up_done", args=[one.pk])
    assert client.post(path)["Location"] == "/record/"
    one.refresh_from_db()
    assert one.done_at is not None and not one.is_due
    client.post(path, {"open": "1"})
    one.refresh_from_db()
    assert one.done_at is None and one.is_due


def test_only_ones_own_can_be_deleted(as_user: Any, patient: Any, doctor: Any, case: Case) -> None:
    mine, theirs, client = own(case), own(case, created_by=doctor), as_user(patient)
    for one in (mine, theirs):
        client.post(reverse("cases:delete_follow_up", args=[one.pk]))
    assert list(FollowUp.objects.all()) == [theirs]
    assert "A doctor set this one." in client.get("/record/").content.decode()


@pytest.mark.parametrize("who", ["other_patient", "doctor", "unverified_doctor", "admin_user"])
def test_nobody_else_knows_of_it(as_user: Any, case: Case, who: str, request: pytest.FixtureRequest) -> None:
    one, client = own(case), as_user(request.getfixturevalue(who))
    assert add(client, case).status_code == (404 if who == "other_patient" else 403)
    assert FollowUp.objects.get() == one
    for name in ("follow_up_done", "delete_follow_up"):
        assert client.post(reverse(f"cases:{name}", args=[one.pk])).status_code == 404
    assert FollowUp.objects.get().done_at is None


def test_a_doctor_with_access_may_not_change_it(as_user: Any, patient: Any, doctor: Any, case: Case) -> None:
    CareRelationshipFactory.create(patient=patient, doctor=doctor)
    one, client = own(case), as_user(doctor)
    assert add(client, case).status_code == 403
    for name in ("follow_up_done", "delete_follow_up"):
        assert client.post(reverse(f"cases:{name}", args=[one.pk])).status_code == 403


def test_anonymous_bad_id_and_wrong_method(as_user: Any, patient: Any, case: Case) -> None:
    one = own(case)
    paths = [reverse(f"cases:{name}", args=[one.pk]) for name in ("follow_up_done", "delete_follow_up")]
    for path in paths:
        assert "login" in as_user(None).post(path)["Location"]
        assert as_user(patient).get(path).status_code == 405
    assert "login" in add(as_user(None), case)["Location"]
    assert add(as_user(patient), "nonsense").status_code == 404
    assert add(as_user(patient), uuid.uuid4()).status_code == 404
    unknown = reverse("cases:follow_up_done", args=[uuid.uuid4()])
    assert as_user(patient).post(unknown).status_code == 404


def test_a_blind_second_reader_does_not_see_what_the_first_one_set(case: Case, doctor: Any) -> None:
    reader = DoctorFactory.create()
    for one in (doctor, reader):
        CareRelationshipFactory.create(patient=case.patient, doctor=one)
    mine, theirs = own(case), own(case, created_by=doctor, text="Drain the effusion")
    assert set(followups.visible_follow_ups(reader)) == {mine, theirs}
    scan = ScanFactory.create(case=case)
    draft = Review.objects.create(scan=scan, reader=reader, reader_name="x", seat="second")
    assert set(followups.visible_follow_ups(reader)) == {mine}
    assert set(followups.visible_follow_ups(case.patient)) == {mine, theirs}
    draft.delete()
    assert set(followups.visible_follow_ups(reader)) == {mine, theirs}
