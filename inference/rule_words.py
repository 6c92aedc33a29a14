"""Danger rules in words, for the people who curate them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from inference import danger
from inference.models import Kind, RuleRun
from inference.rule_check import reportable
from resources.choices import DangerLevel
from resources.models import Condition
from resources.symptoms import Symptom, catalogue

CALLS = {"likely": gettext_lazy("likely"), "possible": gettext_lazy("possible")}
AGES = {
    "any": gettext_lazy("any age"),
    "child": gettext_lazy("a child"),
    "adult": gettext_lazy("an adult"),
    "unknown": gettext_lazy("age not known"),
}
_SPECIAL = {
    "nothing": gettext_lazy("No finding and no warning sign"),
    "rejected": gettext_lazy("The scan could not be read"),
    "failed": gettext_lazy("The reading broke off"),
    "doctor": gettext_lazy("A doctor set the level"),
}


@dataclass(frozen=True)
class Shown:
    """One rule as a page shows it. `level` is a danger level's value, `level_name` its word."""

    rule_id: str
    when: str
    level: str
    level_name: str
    because: str
    do: str
    can_edit: bool


def level_name(level: str) -> str:
    """The word for a danger level."""
    return str(DangerLevel(level).label) if level in DangerLevel.values else level


def level_of(rule: danger.Rule) -> str:
    """The word for what a rule means."""
    return level_name(rule.level) if rule.id != danger.DOCTOR.id else _("what the doctor set")


def condition_names() -> dict[str, str]:
    """Names of everything that a model can report, by slug; the slug where the knowledge base has none."""
    stored = dict(Condition.objects.filter(slug__in=reportable()).values_list("slug", "name"))
    return {slug: stored.get(slug, slug) for slug in reportable()}


def fact_words(fact: str) -> str:
    """What a fact is: the symptom's words, or the number and its bound."""
    symptom = catalogue().by_fact().get(fact)
    if symptom is None:
        return fact
    if not symptom.is_number:
        return symptom.text
    # The first bound above the value counts, so each band begins where the one before it ends.
    values = {"what": symptom.code.replace("_", " "), "unit": symptom.unit, "from": ""}
    for name, below in symptom.bands:
        values["below"] = f"{below:g}"
        if name == fact:
            break
        values["from"] = values["below"]
    if values["from"]:
        return _("%(what)s from %(from)s to below %(below)s %(unit)s") % values
    return _("%(what)s below %(below)s %(unit)s") % values


def when(rule: danger.Rule, names: Mapping[str, str]) -> str:
    """The premises of a rule as a phrase."""
    if rule.id in _SPECIAL:
        return str(_SPECIAL[rule.id])
    parts = [fact_words(fact) for fact in rule.symptoms]
    if rule.condition:
        parts.append(
            _("%(condition)s, %(call)s")
            % {"condition": names.get(rule.condition, rule.condition), "call": CALLS[rule.call]}
        )
    text = _(" and ").join(parts)
    return text if rule.age == "any" else f"{text} ({AGES[rule.age]})"


def shown(rules: danger.RuleSet, rule: danger.Rule, names: Mapping[str, str]) -> Shown:
    """A rule with its sentences in English, which every set has."""
    return Shown(
        rule_id=rule.id,
        when=when(rule, names),
        level=rule.level,
        level_name=level_of(rule),
        because=rules.text(rule.because, "en"),
        do=rules.text(rule.do, "en"),
        can_edit=rule.id not in _SPECIAL,
    )


def by_group(rules: danger.RuleSet) -> list[tuple[str, list[Shown]]]:
    """All rules of a set under headings: findings by picture, warning signs, all the rest."""
    names, kinds = condition_names(), reportable()
    groups: dict[str, list[Shown]] = {}
    for rule in rules.by_key.values():
        kind = kinds.get(rule.condition, "")
        heading = str(Kind(kind).label) if kind in Kind.values else _("Other findings")
        groups.setdefault(heading, []).append(shown(rules, rule, names))
    felt = [shown(rules, rule, names) for rule in rules.symptom_rules]
    special = [rule for rule in rules.rules if rule.id in _SPECIAL]
    groups[_("Warning signs that somebody reports")] = felt
    groups[_("When there is nothing else")] = [shown(rules, rule, names) for rule in special]
    return list(groups.items())


def symptom_choices() -> list[tuple[str, list[tuple[str, str]]]]:
    """Every fact that an answer can establish, under the kind of picture, for a choice field."""
    groups: dict[str, list[tuple[str, str]]] = {}
    symptoms: Iterable[Symptom] = catalogue().symptoms
    for symptom in symptoms:
        heading = str(Kind(symptom.kind).label)
        groups.setdefault(heading, []).extend((fact, fact_words(fact)) for fact in symptom.facts)
    return list(groups.items())


def run_groups(run: RuleRun, before: danger.RuleSet | None, after: danger.RuleSet) -> list[dict[str, Any]]:
    """What a trial changes, the most frequent first: levels in words, and the rules that make the change."""
    names = condition_names()

    def words(rules: danger.RuleSet | None, ids: Iterable[str]) -> list[str]:
        found = [(rules.rule(i) if rules else None, i) for i in ids]
        return [f"{when(rule, names)} → {level_of(rule)}" if rule else i for rule, i in found]

    shown_groups = []
    for group in sorted(run.groups, key=lambda group: -group["count"]):
        is_up = danger.LEVELS.index(group["after"]) < danger.LEVELS.index(group["before"])
        shown_groups.append(
            {
                "count": group["count"],
                "kind": str(Kind(group["kind"]).label) if group["kind"] in Kind.values else _("not known"),
                "age": str(AGES.get(group["age"], group["age"])),
                "before": group["before"],
                "before_name": level_name(group["before"]),
                "after": group["after"],
                "after_name": level_name(group["after"]),
                "is_up": is_up,
                "was": words(before, group["was"]),
                "now": words(after, group["now"]),
            }
        )
    return shown_groups
