"""Danger rules applied to stored analyses: the rules in force, judging, judging anew, and trying a draft."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from cases.models import Case
from inference import danger
from inference.models import Analysis, DangerAssessment, DangerRuleSet, Finding
from resources import symptoms

DRY_RUN_LIMIT = 5000
_parsed: dict[uuid.UUID, danger.RuleSet] = {}


def active_rules() -> danger.RuleSet:
    """The rules in force: the active set, else the shipped one."""
    row = DangerRuleSet.objects.filter(status=DangerRuleSet.Status.ACTIVE).first()
    return _rules_of(row) if row else danger.default_rules()


def rules_for(version: str) -> danger.RuleSet | None:
    """The rules of a version that judged an analysis; None when they are not kept here."""
    if version == danger.default_rules().version:
        return danger.default_rules()
    row = DangerRuleSet.objects.filter(version=version).exclude(status=DangerRuleSet.Status.DRAFT).first()
    return _rules_of(row) if row else None


def _rules_of(row: DangerRuleSet) -> danger.RuleSet:
    if row.pk not in _parsed:  # what was in force never changes
        _parsed[row.pk] = danger.parse_rules({**row.rules, "version": row.version})
    return _parsed[row.pk]


def words(analysis: Analysis) -> tuple[list[str], str]:
    """Reasons and next step of an analysis in the reader's language.

    An analysis judged by rules that are not kept here shows the sentences stored with it.
    """
    rules = rules_for(analysis.rules_version) if analysis.rules_version else None
    rendered = danger.render(rules, analysis.danger_rules) if rules else None
    if rendered is None:
        return list(analysis.danger_reasons), analysis.next_step
    return list(rendered[0]), rendered[1]


def case_of(analysis_id: uuid.UUID | str) -> Case:
    """The case of an analysis, held until the end of the transaction so that its answers stay as they are."""
    return Case.objects.select_for_update(no_key=True).get(scans__analyses__id=analysis_id)


def judge(
    case: Case,
    findings: Iterable[danger.HasCall] = (),
    *,
    status: str = "succeeded",
    doctor_level: str = "",
    rules: danger.RuleSet | None = None,
) -> danger.Danger:
    """The danger level of findings beside a case's symptoms and age group, by the rules in force."""
    return danger.assess(
        findings,
        case.age_group,
        status=status,
        rules=rules or active_rules(),
        facts=symptoms.facts(case.symptoms),
        doctor_level=doctor_level,
    )


def fields_of(assessed: danger.Danger) -> dict[str, Any]:
    """What an analysis keeps of an assessment."""
    return {
        "danger": assessed.level,
        "danger_reasons": list(assessed.reasons),
        "danger_rules": list(assessed.rule_ids),
        "rules_version": assessed.rules_version,
        "next_step": assessed.next_step,
    }


def record(analysis_id: uuid.UUID, case: Case, assessed: danger.Danger) -> None:
    """Adds an assessment to an analysis's history."""
    DangerAssessment.objects.create(
        analysis_id=analysis_id,
        level=assessed.level,
        rules_version=assessed.rules_version,
        rule_ids=list(assessed.rule_ids),
        symptoms=case.symptoms,
        age_group=case.age_group,
    )


def reassess_case(case_id: uuid.UUID | str) -> int:
    """Judges a case's finished analyses anew, after its symptoms or age group changed; no scan is read again.

    Returns how many have a new assessment. Earlier assessments stay in the history.
    """
    changed = 0
    with transaction.atomic():
        case = Case.objects.select_for_update(no_key=True).filter(pk=case_id).first()
        if case is None:
            return 0
        rules = active_rules()
        analyses = Analysis.objects.filter(scan__case=case, status__in=Analysis.FINISHED)
        for analysis in analyses.prefetch_related("findings"):
            assessed = judge(
                case,
                _findings(analysis),
                status=analysis.status,
                doctor_level=analysis.doctor_level,
                rules=rules,
            )
            fields = fields_of(assessed)
            if all(getattr(analysis, name) == value for name, value in fields.items()):
                continue
            Analysis.objects.filter(pk=analysis.pk).update(**fields, updated_at=timezone.now())
            record(analysis.pk, case, assessed)
            changed += 1
    return changed


def _findings(analysis: Analysis) -> list[Finding]:
    return list(analysis.findings.all())


# --- rule sets ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Change:
    """One past analysis that a draft would judge differently."""

    analysis_id: uuid.UUID
    before: str
    after: str

    @property
    def is_up(self) -> bool:
        """The draft finds it more dangerous."""
        return _rank(self.after) < _rank(self.before)


@dataclass
class DryRun:
    """What a rule set would make of past analyses. `unjudged`: a finding that the set has no rule for."""

    looked_at: int = 0
    changes: list[Change] = field(default_factory=list)
    unjudged: int = 0

    @property
    def up(self) -> int:
        """How many would become more dangerous."""
        return sum(change.is_up for change in self.changes)

    @property
    def down(self) -> int:
        """How many would become less dangerous."""
        return len(self.changes) - self.up


def _rank(level: str) -> int:
    return danger.LEVELS.index(level) if level in danger.LEVELS else len(danger.LEVELS)


def dry_run(rules: danger.RuleSet) -> DryRun:
    """Judges the newest finished analyses (at most `DRY_RUN_LIMIT`), writing nothing. Two queries."""
    result = DryRun()
    finished: QuerySet[Analysis] = Analysis.objects.filter(status__in=Analysis.FINISHED)
    newest = finished.select_related("scan__case").prefetch_related("findings").order_by("-queued_at")
    for analysis in newest[:DRY_RUN_LIMIT]:
        result.looked_at += 1
        try:
            after = judge(
                analysis.scan.case,
                _findings(analysis),
                status=analysis.status,
                doctor_level=analysis.doctor_level,
                rules=rules,
            ).level
        except danger.RuleError:
            result.unjudged += 1
            continue
        if after != analysis.danger:
            result.changes.append(Change(analysis.pk, analysis.danger, after))
    return result


def activate_rules(row: DangerRuleSet) -> None:
    """Puts a draft in force and retires the set before it. Past analyses keep their assessment.

    Raises ValidationError when the rules cannot be used, ValueError when the set is no draft.
    """
    with transaction.atomic():
        held = DangerRuleSet.objects.select_for_update().get(pk=row.pk)
        if held.status != DangerRuleSet.Status.DRAFT:
            raise ValueError("Only a draft can be put in force.")
        held.clean()
        before = DangerRuleSet.objects.select_for_update().filter(status=DangerRuleSet.Status.ACTIVE)
        before.update(status=DangerRuleSet.Status.RETIRED, updated_at=timezone.now())
        held.status = DangerRuleSet.Status.ACTIVE
        held.activated_at = timezone.now()
        held.save()
