"""The worklist's reads: order, keyset, filters, search, counts, news, and who is let in."""

from __future__ import annotations

import threading
from datetime import date, timedelta
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import CareRelationship, User
from cases import worklist
from cases.levels import rank
from cases.models import Case, CaseSeen, Review, WorklistEntry
from cases.tasks import mend_worklists
from cases.worklist import Cursor, Filters
from pmi_site.errors import UserError
from tests import factories
from tests.inference import reading_rows as rows

pytestmark = pytest.mark.django_db


def waiting(patient: User, level: str, hours: int = 0, **fields: Any) -> Case:
    """A case as it is after a reading of this level, waiting for some hours."""
    case: Case = factories.CaseFactory.create(patient=patient, **fields)
    state = "waiting" if level else "not_read"
    since = timezone.now() - timedelta(hours=hours)
    Case.objects.filter(pk=case.pk).update(
        danger=level, danger_rank=rank(level), waiting_since=since, review_state=state
    )
    return case


def shown(doctor: User, **fields: Any) -> list[Any]:
    return [row.case.pk for row in worklist.page(doctor, Filters(**fields)).rows]


def test_the_most_dangerous_first_then_the_longest_waiting(reader: User, patient: User) -> None:
    levels = ["", "routine", "emergency", "none_found", "inconclusive", "soon", "urgent"]
    cases = {level: waiting(patient, level) for level in levels}
    longer = waiting(patient, "urgent", hours=5)
    factories.CaseFactory.create()
    order = ["emergency", "urgent", "soon", "inconclusive", "routine", "none_found", ""]
    wanted = [cases[level].pk for level in order]
    wanted.insert(1, longer.pk)
    found = shown(reader)
    # The fixture's own case is not read either, and has waited longer.
    assert found[:7] == wanted[:7] and found[8:] == wanted[7:]


def test_pages_by_keyset_hold_every_case_once(reader: User, patient: User) -> None:
    since = timezone.now()
    for number in range(11):
        case = waiting(patient, "urgent" if number % 2 else "soon")
        Case.objects.filter(pk=case.pk).update(waiting_since=since)  # ties are broken by id
    found, after = [], None
    while True:
        page = worklist.page(reader, Filters(), after, size=3)
        found += [row.case.pk for row in page.rows]
        if not page.next_cursor:
            break
        after = Cursor.decode(page.next_cursor)
        assert after.encode() == page.next_cursor
    assert len(found) == len(set(found)) == 12
    assert found == shown(reader)


@pytest.mark.parametrize(
    "text", ["x", "!!", "MC4x", "OTkuMS4w", "4pyT", "MC45OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTkuMA"]
)
def test_a_cursor_that_nobody_made(text: str) -> None:
    with pytest.raises(UserError) as caught:
        Cursor.decode(text)
    assert caught.value.code == "bad_cursor"


def test_outsiders_have_no_worklist(reader: User, case: Case, outsiders: list[User], patient: User) -> None:
    assert shown(reader) == [case.pk]
    for outsider in outsiders:
        assert case.pk not in [row.case.pk for row in worklist.page(outsider, Filters(state="all")).rows]
    for outsider in outsiders[:3] + [patient]:
        with pytest.raises(PermissionDenied):
            worklist.require_doctor(outsider)


def test_an_ended_grant_counts_at_once_though_its_row_is_there(reader: User, case: Case) -> None:
    CareRelationship.objects.update(expires_at=timezone.now() + timedelta(hours=1))
    assert shown(reader) == [case.pk]
    # The clock alone ends it: no event, no trigger.
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute("UPDATE accounts_carerelationship SET expires_at = expires_at - interval '2 hours'")
        cursor.execute("UPDATE cases_worklistentry SET until = until - interval '2 hours'")
        cursor.execute("SET LOCAL session_replication_role = DEFAULT")
    assert WorklistEntry.objects.filter(doctor=reader).exists()
    assert shown(reader) == [] and worklist.counts(reader).by_level[""] == 0
    mend_worklists()
    assert not WorklistEntry.objects.filter(doctor=reader).exists()


def test_an_entry_alone_opens_nothing(reader: User, case: Case, doctor: User) -> None:
    stranger = factories.DoctorFactory.create()
    WorklistEntry.objects.filter(doctor=reader).update(doctor=stranger)
    assert shown(stranger) == []


def test_an_entry_lasts_as_long_as_the_last_grant(patient: User, case: Case, doctor: User) -> None:
    soon, later = (timezone.now() + timedelta(hours=hours) for hours in (1, 5))
    factories.CareRelationshipFactory.create(patient=patient, doctor=doctor, expires_at=soon)
    factories.CareRelationshipFactory.create(patient=patient, doctor=doctor, case=case, expires_at=later)
    assert WorklistEntry.objects.get().until == later
    factories.CareRelationshipFactory.create(patient=patient, doctor=doctor, is_emergency=True)
    assert WorklistEntry.objects.get().until is None


def test_filters(reader: User, patient: User, case: Case) -> None:
    knee = waiting(patient, "soon", kind="knee_xray")
    done = waiting(patient, "soon", kind="knee_xray")
    Case.objects.filter(pk=done.pk).update(review_state="reviewed")
    other = factories.UserFactory.create(full_name="Olga Other")
    factories.CareRelationshipFactory.create(patient=other, doctor=reader)
    hers = waiting(other, "urgent")
    assert shown(reader) == [hers.pk, knee.pk, case.pk]
    assert shown(reader, state="reviewed") == [done.pk]
    assert shown(reader, state="not_read") == [case.pk]
    assert len(shown(reader, state="all")) == 4
    assert shown(reader, level="soon") == [knee.pk]
    assert shown(reader, kind="knee_xray") == [knee.pk]
    assert shown(reader, patient=other.pk) == [hers.pk]
    today = timezone.localdate()
    assert len(shown(reader, opened_from=today, opened_to=today)) == 3
    assert shown(reader, opened_to=today - timedelta(days=1)) == []
    assert shown(reader, opened_from=today + timedelta(days=1)) == []
    assert len(shown(reader, opened_from=date.min, opened_to=date.max)) == 3
    assert shown(reader, q="olg") == [hers.pk]
    assert shown(reader, q="sore KNEE my") == [case.pk]
    assert shown(reader, q="nee") == [], "words are found by their beginnings"
    for odd in ("'", "& | !", "a:*b", "\\", "\x00", "<->", "क्ष"):
        assert isinstance(shown(reader, q=odd), list)


def test_unread_goes_when_the_case_is_opened_and_comes_with_news(reader: User, case: Case) -> None:
    assert shown(reader, unread=True) == [case.pk]
    case.refresh_from_db()
    worklist.mark_seen(reader, case)
    assert shown(reader, unread=True) == [] and worklist.counts(reader).unread == 0
    seen = CaseSeen.objects.get()
    assert seen.seen_at == case.news_at
    factories.ScanFactory.create(case=case)
    assert shown(reader, unread=True) == [case.pk]
    # What came after the page was read is not seen with it.
    worklist.mark_seen(reader, case)
    assert shown(reader, unread=True) == [case.pk]


def test_only_doctors_of_others_leave_marks(case: Case, patient: User, admin_user: User) -> None:
    for user in (patient, admin_user, None):
        worklist.mark_seen(user, case)
    assert not CaseSeen.objects.exists()


def test_second_readings_and_what_a_blind_reader_is_not_told(reader: User, case: Case) -> None:
    scan = factories.ScanFactory.create(case=case)
    reading = rows.reading(scan)
    Case.objects.filter(pk=case.pk).update(danger="emergency", danger_rank=0)
    assert shown(reader, state="second") == []
    Review.objects.create(scan=scan, analysis=reading, reader=reader, reader_name="x", seat="second")
    assert shown(reader, state="second") == [case.pk]
    (row,) = worklist.page(reader, Filters()).rows
    assert row.is_blind and row.level == ""
    # Nor by which filter finds the case.
    Case.objects.filter(pk=case.pk).update(review_state="reviewed")
    assert shown(reader, level="emergency") == shown(reader, state="reviewed", level="") == []


def test_counts_by_level_stop_at_the_most_counted(
    reader: User, patient: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    for level in ("emergency", "urgent", "urgent", "urgent"):
        waiting(patient, level)
    counts = worklist.counts(reader)
    assert counts.by_level == {
        "emergency": 1,
        "urgent": 3,
        "soon": 0,
        "inconclusive": 0,
        "routine": 0,
        "none_found": 0,
        "": 1,
    }
    assert counts.unread == 5
    monkeypatch.setattr(worklist, "MOST_COUNTED", 2)
    assert worklist.counts(reader).by_level["urgent"] == 2


def test_news_since_a_moment_and_cases_that_went(reader: User, case: Case, other_patient: User) -> None:
    since = worklist.newest_news(reader)
    assert worklist.count_news(reader, since) == 0
    factories.ScanFactory.create(case=case)
    assert worklist.count_news(reader, since) == 1
    strange = factories.CaseFactory.create(patient=other_patient)
    assert worklist.no_longer_readable(reader, [case.pk, strange.pk]) == [strange.pk]
    CareRelationship.objects.filter(doctor=reader).update(revoked_at=timezone.now())
    assert worklist.no_longer_readable(reader, [case.pk]) == [case.pk]


def test_thirty_cases_take_as_many_queries_as_three(reader: User, patient: User) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as caught:
            page = worklist.page(reader, Filters(q="case"))
            assert [row.case.patient.full_name for row in page.rows]
            worklist.counts(reader)
            worklist.count_news(reader, timezone.now())
        return len(caught)

    for _ in range(3):
        factories.ScanFactory.create(case=waiting(patient, "soon"))
    few = queries()
    for _ in range(27):
        factories.ScanFactory.create(case=waiting(patient, "urgent"))
    assert queries() == few


@pytest.mark.django_db(transaction=True)
def test_a_case_and_a_grant_that_come_at_the_same_moment_miss_nothing() -> None:
    """Neither transaction sees the other's row; the second one waits, and then does."""
    patient, doctor = factories.UserFactory.create(), factories.DoctorFactory.create()
    granted = threading.Event()

    def grant() -> None:
        try:
            factories.CareRelationshipFactory.create(patient=patient, doctor=doctor)
            granted.set()
        finally:
            connection.close()

    other = threading.Thread(target=grant)
    with transaction.atomic():
        case = factories.CaseFactory.create(patient=patient)
        other.start()
        assert not granted.wait(0.5), "it waits for the case"
    other.join(timeout=30)
    assert granted.is_set()
    assert WorklistEntry.objects.get(doctor=doctor).case_id == case.pk
