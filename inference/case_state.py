"""What a case keeps for the worklist, worked out from its scans, readings and reviews.

| field           | what it is                                                                            |
|-----------------|---------------------------------------------------------------------------------------|
| `danger`        | the most dangerous level among its scans; of symptoms alone while nothing is read     |
| `review_state`  | the first that fits of: readers disagree, a reading waits, a scan is unread, reviewed |
| `waiting_since` | arrival of the oldest scan without a signed review; else the last signature           |
| `news_at`       | the last new scan, answer, review, or level that rose                                 |

Which level counts is decided by `inference.standing`. Everything that changes one of these calls `write` in
the same transaction, with the case held, or `refresh` after it. `manage.py recompute_worklist` does it for
all cases.
"""

from __future__ import annotations

import dataclasses
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.utils import timezone

from cases import reviews
from cases.levels import rank
from cases.models import Case, Review, Scan
from inference import assessing, danger
from inference.models import Analysis
from inference.standing import Standing
from resources import symptoms

State = Case.ReviewState
# Longer than the hour between two looks at what was left undone.
RECENT = timedelta(hours=3)


@dataclass(frozen=True)
class CaseState:
    """The denormalised fields of a case; the names are the model's."""

    danger: str
    danger_rank: int
    review_state: str
    waiting_since: datetime
    news_at: datetime


@dataclass(frozen=True)
class _ScanState:
    """What one scan adds to its case."""

    level: str  # "" while it is not read
    state: str
    since: datetime
    news_at: datetime


def refresh(case_id: uuid.UUID) -> bool:
    """Work the fields of a case out anew and keep them; whether they were different."""
    with transaction.atomic():
        case = Case.objects.select_for_update(no_key=True).filter(pk=case_id).first()
        return case is not None and write(case)


def write(case: Case) -> bool:
    """The same for a case that the caller's transaction holds."""
    kept = CaseState(case.danger, case.danger_rank, case.review_state, case.waiting_since, case.news_at)
    now = computed(case)
    news_at = max(kept.news_at, now.news_at)
    if now.danger_rank < kept.danger_rank:
        news_at = max(news_at, timezone.now())
    now = dataclasses.replace(now, news_at=news_at)
    if now == kept:
        return False
    Case.objects.filter(pk=case.pk).update(**dataclasses.asdict(now))
    for name, value in dataclasses.asdict(now).items():
        setattr(case, name, value)
    return True


def settle_recent() -> int:
    """Work out anew the cases with a review signed of late; how many were different."""
    since = timezone.now() - RECENT
    cases = Case.objects.filter(scans__reviews__signed_at__gte=since).order_by("pk").distinct()
    return sum(refresh(case_id) for case_id in list(cases.values_list("pk", flat=True)))


def computed(case: Case) -> CaseState:
    """What the fields should be. `news_at` is without levels that rose, which only `write` sees."""
    scans = list(Scan.objects.filter(case=case).only("id", "case_id", "created_at"))
    for scan in scans:
        scan.case = case
    analyses = _finished_by_scan(case)
    signed = _signed_by_scan(case)
    states = [_of_scan(scan, analyses.get(scan.pk, []), signed.get(scan.pk, [])) for scan in scans]
    levels = [one.level for one in states if one.level]
    felt = danger.from_symptoms(symptoms.facts(case.symptoms), case.age_group, assessing.active_rules())
    if felt is not None and len(levels) < max(len(scans), 1):
        # A reading takes symptoms into account; what is not read yet cannot.
        levels.append(felt.level)
    level = min(levels, key=rank, default="")
    return CaseState(
        danger=level,
        danger_rank=rank(level),
        review_state=_state_of(states),
        waiting_since=_waiting_since(case, states),
        news_at=max([case.created_at, *(one.news_at for one in states)]),
    )


def _state_of(states: list[_ScanState]) -> str:
    found = {one.state for one in states}
    for state in (State.DISAGREEMENT, State.WAITING, State.NOT_READ):
        if state in found:
            return state
    return State.REVIEWED if states else State.NOT_READ


def _waiting_since(case: Case, states: list[_ScanState]) -> datetime:
    waiting = [one.since for one in states if one.state in (State.WAITING, State.NOT_READ)]
    if waiting:
        return min(waiting)
    return max((one.since for one in states), default=case.created_at)


def _of_scan(scan: Scan, analyses: list[Analysis], signed: list[Review]) -> _ScanState:
    """`analyses` are the finished ones, newest first; `signed` the signed reviews."""
    answer = next((one for one in analyses if one.status in Analysis.ANSWERED), None)
    review = reviews.that_counts(signed) if signed else None
    moments = [one.finished_at for one in analyses] + [one.signed_at for one in signed]
    news_at = max([scan.created_at, *(moment for moment in moments if moment)])
    if answer is None:
        # Only broken-off readings: somebody has to look, and symptoms may have raised the level.
        return _ScanState(analyses[0].danger if analyses else "", State.NOT_READ, scan.created_at, news_at)
    answer.scan = scan
    standing = Standing(answer, review)
    level = standing.level
    if review is None:
        return _ScanState(level, State.WAITING, scan.created_at, news_at)
    if not standing.is_reviewed:
        # Reviewed once, then read anew: what waits is the new reading.
        return _ScanState(level, State.WAITING, answer.finished_at or scan.created_at, news_at)
    last_signed = max(one.signed_at for one in signed if one.signed_at)
    if standing.source == "symptoms":
        # The doctor did not know them: somebody has to look again.
        judged = answer.assessments.order_by("created_at").values_list("created_at", flat=True).last()
        return _ScanState(level, State.WAITING, max(last_signed, judged or last_signed), news_at)
    differ = len(signed) > 1 and bool(reviews.disagreements(scan))
    return _ScanState(level, State.DISAGREEMENT if differ else State.REVIEWED, last_signed, news_at)


def _finished_by_scan(case: Case) -> dict[uuid.UUID, list[Analysis]]:
    found: dict[uuid.UUID, list[Analysis]] = {}
    rows = Analysis.objects.filter(scan__case=case, status__in=Analysis.FINISHED)
    for row in rows.order_by("-queued_at", "-id"):
        found.setdefault(row.scan_id, []).append(row)
    return found


def _signed_by_scan(case: Case) -> dict[uuid.UUID, list[Review]]:
    found: dict[uuid.UUID, list[Review]] = {}
    signed = Review.objects.filter(scan__case=case, status=Review.Status.SIGNED)
    for row in signed.select_related("analysis"):
        found.setdefault(row.scan_id, []).append(row)
    return found
