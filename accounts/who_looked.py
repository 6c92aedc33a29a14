"""Who opened a patient's scans: the access log put together by person, case and hour."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.contrib.postgres.aggregates import ArrayAgg, BoolOr
from django.db.models import Count, Max, Min, QuerySet
from django.db.models.functions import TruncHour
from django.utils.translation import gettext as _

from accounts.access_log_models import AccessLog
from accounts.access_log_texts import phrase
from accounts.models import Role, User

CaseNames = Callable[[User], dict[UUID, str]]
_case_names: list[CaseNames] = []


def provide_case_names(function: CaseNames) -> None:
    """Have the app of cases tell the titles of a patient's cases."""
    _case_names[:] = [function]


def case_names(patient: User) -> dict[UUID, str]:
    """The patient's cases by id."""
    return _case_names[0](patient) if _case_names else {}


@dataclass(frozen=True)
class Visit:
    """What one person did with one case within an hour."""

    first: datetime
    last: datetime
    who: str
    is_me: bool
    what: str
    times: int
    case_id: UUID | None
    case_title: str
    is_emergency: bool


def visits(patient: User, *, case_id: UUID | None = None, mine_too: bool = False) -> QuerySet[Any]:
    """The log about a patient by person, case and hour, newest first; what they did themselves only when
    asked for.
    """
    lines = AccessLog.objects.about(patient)
    if case_id is not None:
        lines = lines.filter(case_id=case_id)
    if not mine_too:
        lines = lines.exclude(actor_key=patient.log_key)
    return (
        lines.order_by()
        .annotate(hour=TruncHour("at"))
        .values("actor_key", "case_id", "hour")
        .annotate(
            times=Count("id"),
            first=Min("at"),
            last=Max("at"),
            actions=ArrayAgg("action", distinct=True),
            emergency=BoolOr("is_emergency"),
        )
        .order_by("-last", "actor_key", "case_id")
    )


def in_words(patient: User, rows: Sequence[dict[str, Any]]) -> list[Visit]:
    """Grouped lines with names and words; two queries, however many lines."""
    keys = {row["actor_key"] for row in rows if row["actor_key"]}
    people = {user.log_key: user for user in User.objects.filter(log_key__in=keys)}
    titles = case_names(patient) if rows else {}
    return [
        Visit(
            first=row["first"],
            last=row["last"],
            who=_who(row, people, patient),
            is_me=row["actor_key"] == patient.log_key,
            what=phrase(row["actions"]),
            times=row["times"],
            case_id=row["case_id"] if row["case_id"] in titles else None,
            case_title=titles.get(row["case_id"], _("a deleted case") if row["case_id"] else ""),
            is_emergency=row["emergency"],
        )
        for row in rows
    ]


def _who(row: dict[str, Any], people: dict[UUID, User], patient: User) -> str:
    key = row["actor_key"]
    if key is None:
        return _("Somebody with your share link") if _by_link(row["actions"]) else _("PMI itself")
    if key == patient.log_key:
        return _("You")
    user = people.get(key)
    if user is None:
        return _("Somebody whose account has been erased")
    if user.role == Role.DOCTOR:
        return user.get_full_name()
    # Patients do not learn each other's names; administrators act for the site.
    return _("An administrator of PMI") if user.role == Role.ADMIN else _("Another user of PMI")


def _by_link(actions: Sequence[str]) -> bool:
    return any("share" in action for action in actions)
