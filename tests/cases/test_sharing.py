"""Share links as a service: making, entering, guessing, ending."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import AccessLog
from cases import sharing
from cases.models import Case
from cases.sharing import Entry
from cases.sharing_models import MOST_WRONG_PINS, ShareLink
from pmi_site.errors import UserError
from tests.factories import CaseFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def case(patient: Any) -> Case:
    return CaseFactory.create(patient=patient)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """(kind, link) of every notice."""
    found: list[tuple[str, str]] = []
    monkeypatch.setattr(sharing, "tell", lambda user_id, kind, link="": found.append((kind, link)))
    return found


def other(pin: str) -> str:
    return f"{(int(pin) + 1) % 10**6:06d}"


def test_token_and_pin_are_random_and_only_their_hashes_are_kept(case: Case) -> None:
    one, two = (sharing.make_link(case, case.patient) for _ in range(2))
    assert one.token != two.token and len(one.token) >= 43
    assert len(one.pin) == 6 and one.pin.isdecimal()
    row = ShareLink.objects.filter(pk=one.link.pk).values().get()
    assert one.token not in str(row) and one.pin not in row["pin_hash"] and row["pin_hash"] != one.pin
    assert sharing.find(one.token) == one.link
    assert AccessLog.objects.filter(action="make_share_link", object_id=case.pk).count() == 2


def test_right_pin_counts_a_view_and_tells_the_owner_once(case: Case, told: list[Any]) -> None:
    made = sharing.make_link(case, case.patient)
    assert sharing.try_pin(made.link.pk, made.pin) is Entry.IN
    assert sharing.try_pin(made.link.pk, made.pin) is Entry.IN
    made.link.refresh_from_db()
    assert made.link.views == 2 and made.link.last_viewed_at is not None
    assert told == [("share_opened", f"/cases/{case.pk}/share/")]
    assert AccessLog.objects.filter(action="open_share_link", actor_key=None).count() == 2


def test_wrong_pins_slow_down_and_then_end_the_link(
    case: Case, told: list[Any], django_capture_on_commit_callbacks: Any
) -> None:
    made = sharing.make_link(case, case.patient)
    wrong = other(made.pin)
    for _try in range(3):
        assert sharing.try_pin(made.link.pk, wrong) is Entry.WRONG
    # Now even the right one has to wait.
    assert sharing.try_pin(made.link.pk, made.pin) is Entry.WAIT
    made.link.refresh_from_db()
    assert made.link.blocked_until
    first_wait = made.link.blocked_until - timezone.now()
    assert timedelta(0) < first_wait <= timedelta(seconds=15)
    waits = []
    with django_capture_on_commit_callbacks(execute=True):
        while made.link.failed_tries < MOST_WRONG_PINS:
            ShareLink.objects.filter(pk=made.link.pk).update(blocked_until=None)
            answer = sharing.try_pin(made.link.pk, wrong)
            made.link.refresh_from_db()
            assert made.link.blocked_until
            waits.append(made.link.blocked_until)
    assert answer is Entry.GONE and waits == sorted(waits)
    assert made.link.state == ShareLink.State.LOCKED
    assert sharing.find(made.token) is None
    assert sharing.try_pin(made.link.pk, made.pin) is Entry.GONE
    assert told == [("share_locked", f"/cases/{case.pk}/share/")]


def test_a_limit_of_views(case: Case, told: list[Any]) -> None:
    made = sharing.make_link(case, case.patient, max_views=1)
    assert sharing.try_pin(made.link.pk, made.pin) is Entry.IN
    assert sharing.try_pin(made.link.pk, made.pin) is Entry.GONE
    made.link.refresh_from_db()
    assert (made.link.views, made.link.state) == (1, ShareLink.State.USED_UP)
    assert sharing.find(made.token) is not None  # whoever is in may stay


@pytest.mark.parametrize("how", ["expired", "revoked", "unknown", "patient_gone"])
def test_what_ended_is_not_found(case: Case, how: str) -> None:
    made = sharing.make_link(case, case.patient)
    if how == "expired":
        ShareLink.objects.update(expires_at=timezone.now())
    elif how == "revoked":
        assert sharing.revoke_link(case, case.patient, made.link.pk)
        assert not sharing.revoke_link(case, case.patient, made.link.pk)
        assert AccessLog.objects.about(case.patient).filter(action="revoke_share_link").count() == 1
    elif how == "patient_gone":
        case.patient.is_active = False
        case.patient.save()
    assert sharing.find("unknown" if how == "unknown" else made.token) is None
    if how in ("expired", "revoked"):
        assert sharing.try_pin(made.link.pk, made.pin) is Entry.GONE


def test_a_link_of_another_case_is_not_revoked(case: Case, other_patient: Any) -> None:
    made = sharing.make_link(case, case.patient)
    elsewhere = CaseFactory.create(patient=other_patient)
    assert not sharing.revoke_link(elsewhere, other_patient, made.link.pk)
    assert sharing.find(made.token)


@pytest.mark.parametrize("fields", [{"days": 0}, {"days": 91}, {"max_views": 0}, {"max_views": 1001}])
def test_impossible_links(case: Case, fields: dict[str, int]) -> None:
    with pytest.raises(UserError) as caught:
        sharing.make_link(case, case.patient, **fields)
    assert caught.value.code == "bad_share"


def test_there_is_an_end_to_open_links(case: Case) -> None:
    for _n in range(sharing.MOST_OPEN_LINKS):
        made = sharing.make_link(case, case.patient)
    with pytest.raises(UserError) as caught:
        sharing.make_link(case, case.patient)
    assert caught.value.code == "too_many_links"
    sharing.revoke_link(case, case.patient, made.link.pk)
    sharing.make_link(case, case.patient)


def test_misses_are_counted_per_address() -> None:
    for _n in range(10):
        assert not sharing.too_many_misses("198.51.100.7")
        sharing.note_miss("198.51.100.7")
    assert sharing.too_many_misses("198.51.100.7")
    assert not sharing.too_many_misses("198.51.100.8")


@pytest.mark.django_db(transaction=True)
def test_two_at_once_are_counted_one_after_the_other(patient: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from concurrent.futures import ThreadPoolExecutor

    from django.db import connection

    monkeypatch.setattr(sharing, "tell", lambda *args, **kwargs: None)
    case = CaseFactory.create(patient=patient)
    made = sharing.make_link(case, patient, max_views=1)

    def enter(pin: str) -> Entry:
        try:
            return sharing.try_pin(made.link.pk, pin)
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(enter, [other(made.pin)] * 3)) == [Entry.WRONG] * 3
        ShareLink.objects.update(blocked_until=None)
        entries = list(pool.map(enter, [made.pin] * 4))
    assert sorted(entry.value for entry in entries) == ["gone", "gone", "gone", "in"]
    made.link.refresh_from_db()
    assert (made.link.views, made.link.failed_tries) == (1, 3)
