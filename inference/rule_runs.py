"""Walking over all past analyses with a rule set: trying a draft, and judging anew after it came into force.

Done in the background in steps of some hundred analyses. Each step notes how far it came, so that a walk that
was cut off goes on where it was; nothing is left out because there is too much of it.
"""

from __future__ import annotations

import functools
import time
import uuid
from typing import Any

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from accounts.models import User
from cases.models import Case
from inference import assessing, danger
from inference.models import Analysis, DangerRuleSet, RuleRun

STEP = 300
# After this many seconds a task hands the rest to a new one, so that other work gets its turn.
TURN = 40.0
# Kinds of change that are kept in detail; with the shipped rules there cannot be as many.
MAX_GROUPS = 400


def start(row: DangerRuleSet, purpose: str, by: User | None) -> RuleRun:
    """Begins a walk in the background, on commit; one that is under way already is returned instead."""
    from inference.rule_tasks import walk_past_analyses

    under_way = latest(row, purpose)
    if under_way is not None and under_way.is_open and is_current(under_way, row):
        # A lost message must not leave it waiting for ever: sent once more, it goes on where it was.
        run = under_way
    else:
        in_force = assessing.active_rules().version
        run = RuleRun.objects.create(
            rule_set=row,
            purpose=purpose,
            edit_no=row.edit_no,
            compared_with=in_force,
            started_by=by,
            total=_all_of(purpose).count(),
        )
    transaction.on_commit(functools.partial(walk_past_analyses.delay, str(run.pk)))
    return run


def latest(row: DangerRuleSet, purpose: str) -> RuleRun | None:
    """The newest walk of one purpose with a rule set."""
    return RuleRun.objects.filter(rule_set=row, purpose=purpose).order_by("-created_at").first()


def is_current(run: RuleRun, row: DangerRuleSet) -> bool:
    """The walk used the rules as they stand, beside those in force now."""
    if run.purpose == RuleRun.Purpose.REJUDGE:
        return row.status == DangerRuleSet.Status.ACTIVE
    return run.edit_no == row.edit_no and run.compared_with == assessing.active_rules().version


def walk(run_id: uuid.UUID | str) -> bool:
    """Goes on with a walk for a turn. True where there is more to do."""
    run = RuleRun.objects.select_related("rule_set").filter(pk=run_id).first()
    if run is None or not run.is_open:
        return False
    row = run.rule_set
    if not is_current(run, row):
        # The draft was changed or other rules came into force: the figures would mean nothing.
        _finish(run, RuleRun.State.FAILED)
        return False
    step = _trial_step if run.purpose == RuleRun.Purpose.TRIAL else _rejudge_step
    rules = danger.parse_rules({**row.rules, "version": row.version})
    until = time.monotonic() + TURN
    while time.monotonic() < until:
        seen = run.cursor
        if not step(run, rules):
            _finish(run, RuleRun.State.DONE)
            return False
        run.state = RuleRun.State.RUNNING
        # Only from where this step began: a message that was delivered twice must not count twice.
        same_place = RuleRun.objects.filter(pk=run.pk, cursor=seen, finished_at=None)
        if not same_place.update(**{name: getattr(run, name) for name in _NOTED}, updated_at=timezone.now()):
            return False
    return True


_NOTED = (
    "state",
    "cursor",
    "looked_at",
    "up",
    "down",
    "reworded",
    "held_by_doctor",
    "outdated",
    "unjudged",
    "groups",
)


def break_off(run_id: uuid.UUID | str) -> None:
    """Says that a walk broke off; it can be started again."""
    RuleRun.objects.filter(pk=run_id, finished_at=None).update(
        state=RuleRun.State.FAILED, finished_at=timezone.now(), updated_at=timezone.now()
    )


def _finish(run: RuleRun, state: str) -> None:
    RuleRun.objects.filter(pk=run.pk, finished_at=None).update(
        state=state, finished_at=timezone.now(), updated_at=timezone.now()
    )


def _all_of(purpose: str) -> QuerySet[Any]:
    if purpose == RuleRun.Purpose.TRIAL:
        return Analysis.objects.filter(status__in=Analysis.FINISHED)
    return Case.objects.filter(scans__analyses__status__in=Analysis.FINISHED).distinct()


def _next(run: RuleRun, rows: QuerySet[Any]) -> list[Any]:
    if run.cursor is not None:
        rows = rows.filter(pk__gt=run.cursor)
    return list(rows.order_by("pk")[:STEP])


def _trial_step(run: RuleRun, draft: danger.RuleSet) -> bool:
    """Judges the next analyses by the rules in force and by the draft, and writes nothing to them."""
    rows = _all_of(run.purpose).select_related("scan__case").prefetch_related("findings")
    now_in_force = assessing.active_rules()
    analyses = _next(run, rows)
    for analysis in analyses:
        run.cursor = analysis.pk
        run.looked_at += 1
        _compare(run, analysis, now_in_force, draft)
    return bool(analyses)


def _compare(run: RuleRun, analysis: Analysis, in_force: danger.RuleSet, draft: danger.RuleSet) -> None:
    case, found = analysis.scan.case, assessing.findings_of(analysis)

    def by(rules: danger.RuleSet, doctor_level: str) -> danger.Danger:
        return assessing.judge(case, found, status=analysis.status, doctor_level=doctor_level, rules=rules)

    try:
        before, after = by(in_force, analysis.doctor_level), by(draft, analysis.doctor_level)
    except danger.RuleError:
        run.unjudged += 1
        return
    if before.level != analysis.danger:
        run.outdated += 1
    if before.level == after.level and analysis.doctor_level:
        alone = (by(in_force, ""), by(draft, ""))
        if rank(alone[1].level) > rank(alone[0].level):
            run.held_by_doctor += 1
    if before.level == after.level:
        if (before.reasons, before.next_step) != (after.reasons, after.next_step):
            run.reworded += 1
        return
    if rank(after.level) < rank(before.level):
        run.up += 1
    else:
        run.down += 1
    _count(run, analysis.kind or case.kind, case.age_group, before, after)


def _count(run: RuleRun, kind: str, age: str, before: danger.Danger, after: danger.Danger) -> None:
    same = {
        "kind": kind,
        "age": age,
        "before": before.level,
        "after": after.level,
        "was": list(before.rule_ids),
        "now": list(after.rule_ids),
    }
    for group in run.groups:
        if all(group[name] == value for name, value in same.items()):
            group["count"] += 1
            return
    if len(run.groups) < MAX_GROUPS:
        run.groups.append({**same, "count": 1})


def rank(level: str) -> int:
    """0 for the most dangerous level."""
    return danger.LEVELS.index(level) if level in danger.LEVELS else len(danger.LEVELS)


def _rejudge_step(run: RuleRun, rules: danger.RuleSet) -> bool:
    """Judges the analyses of the next cases anew by the rules in force."""
    cases = _next(run, _all_of(run.purpose))
    for case in cases:
        levels = dict(_levels(case))
        assessing.reassess_case(case.pk)
        for key, level in _levels(case):
            before = levels.get(key, level)
            run.up += rank(level) < rank(before)
            run.down += rank(level) > rank(before)
        run.cursor = case.pk
        run.looked_at += 1
    return bool(cases)


def _levels(case: Case) -> list[tuple[uuid.UUID, str]]:
    rows = Analysis.objects.filter(scan__case=case, status__in=Analysis.FINISHED)
    return list(rows.values_list("pk", "danger"))
