"""The worklist: the cases of a doctor's patients, the most dangerous first, then the longest waiting.

Read from the doctor's own `WorklistEntry` rows by index, a page at a time: a page starts after the last row
of the one before it (keyset), so that the thousandth page costs what the first does. Cases are counted up to
`MOST_COUNTED` and no further. Entries say where to look; each row that is shown passes
`accounts.selectors.case_access` as well. The few cases that the doctor is to read blind come by themselves
(`cases.worklist_blind`) and are put in at their place.
"""

from __future__ import annotations

import binascii
import uuid
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from django.contrib.auth import get_user_model
from django.contrib.postgres.search import SearchQuery
from django.core.exceptions import PermissionDenied
from django.db.models import Count, IntegerField, OuterRef, Q, QuerySet, Subquery
from django.db.models.fields.tuple_lookups import Tuple, TupleGreaterThan
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.models import Role
from accounts.selectors import case_access, is_verified_doctor
from cases.levels import NOT_READ, RANKS, rank
from cases.models import Case, CaseSeen, Scan, WorklistEntry
from cases.worklist_blind import BlindCase, blind_cases
from pmi_site.errors import UserError

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser

    from accounts.models import User

PAGE_SIZE = 25
MOST_COUNTED = 100
OPEN, ALL, SECOND = "open", "all", "second"
# `Case.ReviewState`, and what is not a state of one case alone.
STATES = (OPEN, *Case.ReviewState.values, SECOND, ALL)
_ORDER = ("danger_rank", "waiting_since", "case_id")
# Days that can be asked for. What lies outside means nothing, and some of it no clock can reckon with.
FIRST_DAY, LAST_DAY = date(1900, 1, 1), date(2200, 12, 31)


@dataclass(frozen=True)
class Filters:
    """What a doctor wants to see; the empty value of each leaves nothing out, but `state` "open" leaves out
    what is reviewed. `opened_from` and `opened_to` are days on which the case was opened, both included.
    """

    state: str = OPEN
    level: str = ""
    kind: str = ""
    unread: bool = False
    patient: uuid.UUID | None = None
    opened_from: date | None = None
    opened_to: date | None = None
    q: str = ""

    @property
    def is_narrow(self) -> bool:
        """Whether anything but what everybody starts with is left out."""
        return self != Filters()


@dataclass(frozen=True)
class Cursor:
    """The last row of a page: the next page starts after it."""

    danger_rank: int
    waiting_since: datetime
    case_id: uuid.UUID

    def encode(self) -> str:
        """As it stands in an address: opaque, and without a name in it."""
        micros = (self.waiting_since - _EPOCH) // timedelta(microseconds=1)
        text = f"{self.danger_rank}.{micros}.{self.case_id.hex}"
        return urlsafe_b64encode(text.encode()).decode().rstrip("=")

    @classmethod
    def decode(cls, text: str) -> Cursor:
        """Raises UserError ``bad_cursor`` for anything that `encode` did not make."""
        try:
            raw = urlsafe_b64decode(text.encode() + b"=" * (-len(text) % 4)).decode("ascii")
            place, micros, case_id = raw.split(".")
            if not 0 <= int(place) <= NOT_READ:
                raise ValueError
            since = _EPOCH + timedelta(microseconds=int(micros))
            return cls(int(place), since, uuid.UUID(hex=case_id))
        except (ValueError, OverflowError, binascii.Error) as error:
            raise UserError(
                "bad_cursor", _("This page of the worklist does not exist. Please start from the first page.")
            ) from error


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Row:
    """One case as a line of the worklist, with `scan_count` and `newest_scan_id` on the case.

    `is_blind`: the doctor is the blind second reader here, so the case knows nothing that the first one set.
    """

    case: Any
    unread: bool
    is_blind: bool

    @property
    def level(self) -> str:
        """The danger level; "" while nothing is read, or where it must stay hidden."""
        return "" if self.is_blind else str(self.case.danger)

    @property
    def waited(self) -> timedelta:
        """How long the oldest unreviewed scan has been waiting."""
        return max(timezone.now() - self.case.waiting_since, timedelta())


@dataclass(frozen=True)
class Page:
    """Rows in order, and where the next page starts; "" on the last one."""

    rows: list[Row]
    next_cursor: str


@dataclass(frozen=True)
class Counts:
    """Cases that are open, by level ("" for those not read yet or to be read blind), and the unread ones.

    No number is above `MOST_COUNTED`, which means: that many or more.
    """

    by_level: dict[str, int]
    unread: int


class _WordStarts(SearchQuery):
    """What somebody typed, as a query for words that start so; folded by the database, as the names are."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.function = "pmi_worklist_query"


class _Counted(Subquery):
    """How many rows a query has."""

    template = "(SELECT count(*) FROM (%(subquery)s) counted)"
    output_field = IntegerField()


def require_doctor(user: User | AnonymousUser) -> User:
    """The verified doctor who asks. Raises PermissionDenied for everybody else."""
    if not user.is_authenticated or not is_verified_doctor(user):
        raise PermissionDenied(_("The worklist is for doctors whose licence we have checked."))
    return user


# --- reads ----------------------------------------------------------------------------------------
def entries(
    user: User, wanted: Filters, blind: Collection[uuid.UUID] | None = None
) -> QuerySet[WorklistEntry]:
    """The entries that fit, in the worklist's order, without those whose grant the clock has ended.

    Nor those of cases that the user is to read blind (`blind`, asked for when left out): where these stand is
    not what their entries say.
    """
    found = _fitting(user, wanted)
    if wanted.state == SECOND:
        return found.none()
    if blind is None:
        blind = blind_cases(user, found)
    if blind:
        found = found.exclude(case__in=list(blind))
    if wanted.state == OPEN:
        found = found.filter(is_open=True)
    elif wanted.state != ALL:
        found = found.filter(review_state=wanted.state)
    if wanted.level:
        found = found.filter(danger_rank=RANKS[wanted.level])
    if wanted.unread:
        found = found.filter(unread=True)
    return found.order_by(*_ORDER)


def _fitting(user: User, wanted: Filters) -> QuerySet[WorklistEntry]:
    """The entries that fit by what no reading and no review moves."""
    holds = Q(until__isnull=True) | Q(until__gt=timezone.now())
    # A closed account shares nothing (`accounts.selectors.case_access`); entries learn of it hourly only.
    found = WorklistEntry.objects.filter(holds, doctor=user, case__patient__is_active=True)
    if wanted.kind:
        found = found.filter(kind=wanted.kind)
    if wanted.patient:
        found = found.filter(case__patient=wanted.patient)
    if wanted.opened_from:
        found = found.filter(opened_at__gte=_start_of(max(wanted.opened_from, FIRST_DAY)))
    if wanted.opened_to:
        last = min(wanted.opened_to, LAST_DAY)
        found = found.filter(opened_at__lt=_start_of(last + timedelta(days=1)))
    if wanted.q.strip():
        found = found.filter(words=_WordStarts(wanted.q.replace("\x00", " ")))
    return found


def _fits_blind(wanted: Filters, one: BlindCase) -> bool:
    """The rest of the filters, for a case that is to be read blind: it is open, and not read."""
    states = (OPEN, Case.ReviewState.NOT_READ, SECOND, ALL)
    return wanted.state in states and not wanted.level and (one.unread or not wanted.unread)


def page(user: User, wanted: Filters, after: Cursor | None = None, size: int = PAGE_SIZE) -> Page:
    """A page of the worklist, in three queries (four for a blind reader) besides that of the access rule."""
    blind = blind_cases(user, _fitting(user, wanted))
    found = entries(user, wanted, blind)
    fitting = [one for one in blind.values() if _fits_blind(wanted, one)]
    if after is not None:
        place = (after.danger_rank, after.waiting_since, after.case_id)
        found = found.filter(TupleGreaterThan(Tuple(*_ORDER), place))
        fitting = [one for one in fitting if one.key > place]
    keys = [*found.values_list(*_ORDER, "unread")[: size + 1], *((*one.key, one.unread) for one in fitting)]
    keys.sort()
    more = len(keys) > size
    keys = keys[:size]
    unread = {case_id: is_new for _place, _since, case_id, is_new in keys}
    cases = _cases(user, unread)
    for case_id in blind.keys() & cases.keys():
        blind[case_id].hide(cases[case_id])
    # A case that is gone or closed to this doctor since the first query is left out.
    rows = [Row(cases[pk], is_new, pk in blind) for pk, is_new in unread.items() if pk in cases]
    return Page(rows, Cursor(*keys[-1][:3]).encode() if more else "")


def _cases(user: User, ids: Iterable[uuid.UUID]) -> dict[uuid.UUID, Any]:
    newest = Scan.objects.filter(case=OuterRef("pk")).order_by("-created_at", "-id")
    cases = Case.objects.select_related("patient").annotate(
        scan_count=Count("scans"), newest_scan_id=Subquery(newest.values("pk")[:1])
    )
    return {case.pk: case for case in cases.filter(case_access(user), pk__in=list(ids))}


def counts(user: User) -> Counts:
    """How many open cases there are of each level, and how many of them are unread."""
    levels = [*RANKS, ""]
    blind = blind_cases(user, _fitting(user, Filters()))
    open_ones = entries(user, Filters(), blind).order_by()
    parts = [open_ones.filter(danger_rank=rank(level)) for level in levels] + [open_ones.filter(unread=True)]
    # One row that holds all the numbers: of the user, who is there.
    asked = [_Counted(part.values("danger_rank")[:MOST_COUNTED]) for part in parts]
    *by_level, unread = get_user_model().objects.filter(pk=user.pk).values_list(*asked).get()
    found = dict(zip(levels, by_level, strict=True))
    found[""] = min(found[""] + len(blind), MOST_COUNTED)
    unread += sum(one.unread for one in blind.values())
    return Counts(found, min(unread, MOST_COUNTED))


def newest_news(user: User) -> datetime:
    """The moment of the last news on the doctor's worklist; long ago while there is none."""
    known = WorklistEntry.objects.filter(doctor=user)
    blind = blind_cases(user, known)
    others = known.exclude(case__in=list(blind)) if blind else known
    newest = others.order_by("-news_at").values_list("news_at", flat=True).first()
    return max([newest or _EPOCH, *(one.news_at for one in blind.values())])


def count_news(user: User, since: datetime) -> int:
    """Unread cases with news after a moment, up to `MOST_COUNTED`."""
    wanted = Filters(state=ALL, unread=True)
    blind = blind_cases(user, _fitting(user, wanted))
    fresh = entries(user, wanted, blind).filter(news_at__gt=since).order_by()
    among_blind = sum(one.unread and one.news_at > since for one in blind.values())
    return min(fresh[:MOST_COUNTED].count() + among_blind, MOST_COUNTED)


def no_longer_readable(user: User, case_ids: Sequence[uuid.UUID]) -> list[uuid.UUID]:
    """Those of the cases that the user may not read any more, or that are gone."""
    known = set(Case.objects.filter(case_access(user), pk__in=case_ids).values_list("pk", flat=True))
    return [pk for pk in case_ids if pk not in known]


def _start_of(day: date) -> datetime:
    return timezone.make_aware(datetime(day.year, day.month, day.day))


# --- writes ---------------------------------------------------------------------------------------
def mark_seen(user: User | AnonymousUser | None, case: Case) -> None:
    """Note that a doctor has seen what is new about a case, up to what `case` knows as its news.

    Does nothing for patients, and for a doctor's own case. News that came after `case` was read stays unread.
    """
    if user is None or not user.is_authenticated or user.role != Role.DOCTOR or case.patient_id == user.pk:
        return
    seen = CaseSeen(doctor=user, case=case, seen_at=case.news_at)
    CaseSeen.objects.bulk_create(
        [seen], update_conflicts=True, unique_fields=["doctor", "case"], update_fields=["seen_at"]
    )
    WorklistEntry.objects.filter(doctor=user, case=case, unread=True, news_at__lte=case.news_at).update(
        unread=False
    )
