"""Danger rules applied to stored analyses: the rules in force, judging, and judging anew.

Rule sets themselves (drafts, trials, putting one in force) are in `rule_sets`.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Iterable
from typing import Any

from django.db import transaction
from django.utils import timezone, translation

from cases.models import Case
from inference import danger
from inference.models import Analysis, DangerAssessment, DangerRuleSet, Finding
from resources import symptoms

logger = logging.getLogger(__name__)
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


def words(
    analysis: Analysis, find: Callable[[str], danger.RuleSet | None] = rules_for
) -> tuple[list[str], str]:
    """Reasons and next step of an analysis in the reader's language; `find` gives the rules of a version.

    An analysis judged by rules that are not kept here shows the sentences stored with it, translated where
    this version of PMI still has them.
    """
    rules = find(analysis.rules_version) if analysis.rules_version else None
    rendered = danger.render(rules, analysis.danger_rules) if rules else None
    if rendered is None:
        return [danger.said(one) for one in analysis.danger_reasons], danger.said(analysis.next_step)
    return list(rendered[0]), rendered[1]


def is_felt(analysis: Analysis) -> bool:
    """Whether what the person answered, rather than the scan, decided the level of an analysis."""
    rules = rules_for(analysis.rules_version) if analysis.rules_version else None
    decisive = rules.rule(analysis.danger_rules[0]) if rules and analysis.danger_rules else None
    return decisive is not None and bool(decisive.symptoms)


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
    # What is kept is English, whoever made the change: others read it, each in their own language.
    with translation.override("en"):
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

    Returns how many have a new assessment. Earlier assessments stay in the history. A level that a doctor
    set stays a floor: it is read while the case is held, so it cannot be overtaken. An analysis with a
    finding that the rules in force do not know keeps what it has.
    """
    from inference import case_state  # judges by the rules of this module

    changed = 0
    with transaction.atomic():
        case = Case.objects.select_for_update(no_key=True).filter(pk=case_id).first()
        if case is None:
            return 0
        rules = active_rules()
        analyses = Analysis.objects.filter(scan__case=case, status__in=Analysis.FINISHED)
        for analysis in analyses.prefetch_related("findings"):
            try:
                assessed = judge(
                    case,
                    findings_of(analysis),
                    status=analysis.status,
                    doctor_level=analysis.doctor_level,
                    rules=rules,
                )
            except danger.RuleError as error:
                logger.warning("Analysis %s keeps its level: %s", analysis.pk, error)
                continue
            fields = fields_of(assessed)
            if all(getattr(analysis, name) == value for name, value in fields.items()):
                continue
            Analysis.objects.filter(pk=analysis.pk).update(**fields, updated_at=timezone.now())
            record(analysis.pk, case, assessed)
            changed += 1
        # Also where no reading changed: symptoms count for what is not read yet.
        case_state.write(case)
    return changed


def findings_of(analysis: Analysis) -> list[Finding]:
    """The findings of an analysis; prefetch them where there are many analyses."""
    return list(analysis.findings.all())
