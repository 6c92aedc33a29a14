"""How a case stands on the worklist of its blind second reader: as one that nobody has read.

The first reader's signature moves the level of a case, its state, its last news and since when it waits.
Where a case is sorted and counted, and whether it counts as new, must not tell that to the blind reader. So
nothing of it is used for them: the case is open and not read, waits since the oldest scan came that they are
to read, and its news are scans and answers. They have few such cases, which are all read at once.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from django.db.models import OuterRef, QuerySet, Subquery

from cases.levels import NOT_READ
from cases.models import Case, CaseSeen, Scan, WorklistEntry
from cases.selectors import blind_readings

if TYPE_CHECKING:
    from accounts.models import User


@dataclass(frozen=True)
class BlindCase:
    """A case that the doctor is to read blind, without anything that the first reader moves."""

    case_id: uuid.UUID
    waiting_since: datetime
    news_at: datetime
    unread: bool

    @property
    def key(self) -> tuple[int, datetime, uuid.UUID]:
        """Its place in the worklist's order."""
        return NOT_READ, self.waiting_since, self.case_id

    def hide(self, case: Case) -> None:
        """Put this in the place of what the case itself knows, so that nothing that shows it tells more."""
        case.danger, case.danger_rank = "", NOT_READ
        case.review_state = Case.ReviewState.NOT_READ
        case.waiting_since, case.news_at = self.waiting_since, self.news_at


def blind_cases(user: User, found: QuerySet[WorklistEntry]) -> dict[uuid.UUID, BlindCase]:
    """Those of the doctor's entries that are of cases to be read blind, by case.

    In one query for the most, who have none; else in two.
    """
    since: dict[uuid.UUID, datetime] = {}
    for case_id, moment in blind_readings(user).values_list("scan__case_id", "scan__created_at"):
        since[case_id] = min(moment, since.get(case_id, moment))
    if not since:
        return {}
    scans = Scan.objects.filter(case=OuterRef("case"))
    answers = scans.filter(analyses__finished_at__isnull=False).order_by("-analyses__finished_at")
    seen = CaseSeen.objects.filter(doctor=user, case=OuterRef("case"))
    rows = (
        found.filter(case__in=list(since))
        .annotate(
            last_scan=Subquery(scans.order_by("-created_at").values("created_at")[:1]),
            last_answer=Subquery(answers.values("analyses__finished_at")[:1]),
            seen_at=Subquery(seen.values("seen_at")[:1]),
        )
        .order_by()
        .values_list("case_id", "last_scan", "last_answer", "seen_at", "unread")
    )
    made = {}
    for case_id, last_scan, last_answer, seen_at, unread in rows:
        news_at = max([since[case_id], *(moment for moment in (last_scan, last_answer) if moment)])
        # Unread by a review alone is not unread.
        is_new = unread and (seen_at is None or news_at > seen_at)
        made[case_id] = BlindCase(case_id, since[case_id], news_at, is_new)
    return made
