"""What the worklist tells a blind second reader: nothing that the first reader's signature moves."""

from __future__ import annotations

import re
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import User
from cases import second_reader, worklist
from cases.levels import RANKS
from cases.models import Case, Scan, WorklistEntry
from cases.worklist import STATES, Cursor, Filters
from inference import case_state
from inference.models import Analysis
from tests import factories
from tests.cases.test_worklist import waiting
from tests.inference import reading_rows as rows
from tests.inference.reviewed import correct, doctor_of, sign

pytestmark = pytest.mark.django_db
API, PAGE, NEWS = "/api/v1/worklist/", "/worklist/", "/worklist/news/"


@pytest.fixture
def blind(patient: User) -> User:
    """A doctor of the patient who is going to read blind."""
    doctor: User = doctor_of(patient, "Dr Bea Second")
    return doctor


@pytest.fixture
def reading(scan: Scan, reader: User, blind: User) -> Analysis:
    """An urgent reading of the case's scan, for `reader` to review first and for `blind` second."""
    made = rows.reading(scan)
    case_state.refresh(scan.case_id)
    second_reader.ask(reader, scan, blind.pk)
    return made


@pytest.fixture
def others(patient: User, case: Case) -> list[Case]:
    """A case of each level, and unread ones that came before and after."""
    made = [waiting(patient, level, hours) for hours, level in enumerate(RANKS, 1)]
    return [*made, waiting(patient, "", 3), waiting(patient, "", -3)]


def told(as_user: Any, api_as: Any, doctor: User, since: str) -> dict[str, Any]:
    """Everything that the worklist says to a doctor: over the API, on its page, and in its news."""
    client, browser, answers = api_as(doctor), as_user(doctor), {}
    asked = [
        "",
        "unread=true",
        *(f"state={state}" for state in STATES),
        *(f"level={level}" for level in RANKS),
    ]
    for query in asked:
        # One row a page, so that every row's place is a cursor once.
        address: str | None = f"{API}?page_size=1&{query}"
        number = 0
        while address:
            answers[f"API {query} {number}"] = body = client.get(address).json()
            address, number = body["next"], number + 1
        answers[f"page {query}"] = _without_token(browser.get(f"{PAGE}?{query}").text)
    answers["news"] = browser.get(NEWS, {"since": since}).text
    return answers


def _without_token(page: str) -> str:
    return re.sub(r'(name="csrfmiddlewaretoken" value|hx-headers)=("[^"]*"|\'[^\']*\')', "", page)


@pytest.mark.parametrize("has_seen", [False, True])
@pytest.mark.parametrize("how", ["confirms", "corrects"])
def test_all_that_is_said_is_the_same_before_and_after_the_first_signature(
    as_user: Any,
    api_as: Any,
    reader: User,
    blind: User,
    reading: Analysis,
    others: list[Case],
    django_capture_on_commit_callbacks: Any,
    monkeypatch: pytest.MonkeyPatch,
    has_seen: bool,
    how: str,
) -> None:
    # Pages say how long a case has been waiting: the clock stands still from here on.
    moment = timezone.now()
    monkeypatch.setattr(worklist, "timezone", SimpleNamespace(now=lambda: moment))
    since = worklist.newest_news(blind).isoformat()
    if has_seen:
        for case in Case.objects.all():
            worklist.mark_seen(blind, case)
    before = told(as_user, api_as, blind, since)
    seen_by_first = worklist.counts(reader)
    with django_capture_on_commit_callbacks(execute=True):
        if how == "confirms":
            sign(reading, reader)
        else:
            correct(reading, reader, level="routine")
    entry = WorklistEntry.objects.get(doctor=blind, case=reading.scan.case)
    assert entry.review_state == "reviewed" and worklist.counts(reader) != seen_by_first
    after = told(as_user, api_as, blind, since)
    assert after.keys() == before.keys()
    for what, said in before.items():
        assert after[what] == said, what


def test_a_case_to_be_read_blind_stands_among_those_not_read(
    reader: User, blind: User, reading: Analysis, others: list[Case], scan: Scan
) -> None:
    Scan.objects.filter(pk=scan.pk).update(created_at=timezone.now() - timedelta(hours=1))
    correct(reading, reader, level="emergency")
    case_state.refresh(scan.case_id)
    rows_shown = worklist.page(blind, Filters()).rows
    found = [row.case.pk for row in rows_shown]
    assert found == [*(case.pk for case in others[:-1]), scan.case_id, others[-1].pk]
    row = rows_shown[-2]
    assert row.is_blind and not row.level and timedelta(minutes=59) < row.waited < timedelta(minutes=61)
    assert (row.case.danger, row.case.review_state) == ("", "not_read")
    counts = worklist.counts(blind)
    assert counts.by_level == {**dict.fromkeys(RANKS, 1), "": 3} and counts.unread == 9
    assert scan.case_id not in worklist.entries(blind, Filters()).values_list("case", flat=True)


def test_pages_hold_it_once(blind: User, reading: Analysis, others: list[Case]) -> None:
    found: list[Any] = []
    after = None
    while True:
        page = worklist.page(blind, Filters(), after, size=2)
        found += [row.case.pk for row in page.rows]
        if not page.next_cursor:
            break
        after = Cursor.decode(page.next_cursor)
    assert len(found) == len(set(found)) == 9
    assert found == [row.case.pk for row in worklist.page(blind, Filters()).rows]


@pytest.mark.parametrize(
    ("wanted", "is_there"),
    [
        ({}, True),
        ({"state": "all"}, True),
        ({"state": "not_read"}, True),
        ({"state": "second"}, True),
        ({"state": "waiting"}, False),
        ({"state": "reviewed"}, False),
        ({"level": "urgent"}, False),
        ({"unread": True}, True),
        ({"kind": "knee_xray"}, False),
        ({"q": "sore"}, True),
        ({"q": "other"}, False),
    ],
)
def test_filters_find_it_as_open_and_not_read(
    blind: User, reading: Analysis, wanted: dict[str, Any], is_there: bool
) -> None:
    found = [row.case.pk for row in worklist.page(blind, Filters(**wanted)).rows]
    assert found == ([reading.scan.case_id] if is_there else [])


def test_scans_and_answers_are_news_to_a_blind_reader(reader: User, blind: User, reading: Analysis) -> None:
    case = reading.scan.case
    case.refresh_from_db()
    since = worklist.newest_news(blind)
    worklist.mark_seen(blind, case)
    sign(reading, reader)
    case_state.refresh(case.pk)
    assert worklist.counts(blind).unread == worklist.count_news(blind, since) == 0
    assert worklist.newest_news(blind) == since
    factories.ScanFactory.create(case=case)
    assert worklist.counts(blind).unread == worklist.count_news(blind, since) == 1
    assert worklist.newest_news(blind) > since
    (row,) = worklist.page(blind, Filters(unread=True)).rows
    assert row.unread


def test_after_ones_own_signature_it_stands_where_it_is(
    reader: User, blind: User, reading: Analysis, django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        correct(reading, reader)
        sign(reading, blind, seat="second")
    (row,) = worklist.page(blind, Filters()).rows
    assert not row.is_blind and row.level == "routine" and row.case.review_state == "disagreement"
    assert worklist.counts(blind).by_level["routine"] == 1


def test_ten_of_them_take_as_many_queries_as_one(
    reader: User, blind: User, patient: User, reading: Analysis
) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as caught:
            worklist.page(blind, Filters())
            worklist.counts(blind)
        return len(caught)

    few = queries()
    for _ in range(9):
        scan = factories.ScanFactory.create(case__patient=patient)
        rows.reading(scan)
        second_reader.ask(reader, scan, blind.pk)
    assert queries() == few
    assert sum(row.is_blind for row in worklist.page(blind, Filters()).rows) == 10


def test_counts_with_it_stop_at_the_most_counted(
    blind: User, reading: Analysis, others: list[Case], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worklist, "MOST_COUNTED", 2)
    counts = worklist.counts(blind)
    assert (
        counts.by_level[""] == counts.unread == worklist.count_news(blind, timezone.now() - timedelta(1)) == 2
    )
