"""Finds rules that contradict each other, can never fire or never decide, and findings without a rule. Pure.

Rules are conjunctions that only raise a level, so a rule that loses in its own smallest situation (its
finding, its symptoms, nothing else) loses in every larger one. It is therefore enough to try each rule's
smallest situation at every age.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from inference.danger import FIRING_CALLS, LADDER, Rule, RuleError, RuleSet
from ml_training.labels import TASKS
from resources.symptoms import Symptom, catalogue

AGE_GROUPS = ("child", "adult", "unknown")


def reportable() -> dict[str, str]:
    """Every condition that a model can report, with the kind of picture."""
    return {label.condition: kind for kind, task in TASKS.items() if kind != "gate" for label in task.labels}


def problems(rules: RuleSet) -> list[str]:
    """One line for each thing that is wrong, naming the rule; empty when the set can be used."""
    return [*_uncovered(rules), *_useless_findings(rules), *_symptom_problems(rules)]


def check(rules: RuleSet) -> None:
    """Raises `RuleError` with the first problems of a rule set."""
    if found := problems(rules):
        raise RuleError("; ".join(found[:5]))


def _uncovered(rules: RuleSet) -> Iterator[str]:
    for condition in sorted(reportable()):
        for call in FIRING_CALLS:
            for age in AGE_GROUPS:
                if rules.match(condition, call, age) is None:
                    yield f"no rule covers {condition} {call} at age {age}"
                    break


def _useless_findings(rules: RuleSet) -> Iterator[str]:
    known = reportable()
    for (condition, call, age), rule in rules.by_key.items():
        if condition not in known:
            yield f"rule {rule.id} can never fire: no model reports {condition}"
        if age == "any":
            continue
        general = rules.by_key.get((condition, call, "any"))
        if general and (general.level, general.because, general.do) == (rule.level, rule.because, rule.do):
            yield f"rule {rule.id} changes nothing: {general.id} says the same at any age"


def _symptom_problems(rules: RuleSet) -> Iterator[str]:
    by_fact = catalogue().by_fact()
    for rule in rules.symptom_rules:
        impossible = _impossible(rule, by_fact)
        if impossible:
            yield f"rule {rule.id} can never fire: {impossible}"
        elif stronger := _shadow(rule, rules, by_fact):
            yield (f"rule {rule.id} never decides: {stronger.id} always says {stronger.level} already")


def _impossible(rule: Rule, by_fact: Mapping[str, Symptom]) -> str:
    """Why no case can ever meet the premises of a rule, or an empty string."""
    if len(set(rule.symptoms)) != len(rule.symptoms):
        return "a symptom is named twice"
    for fact in rule.symptoms:
        if fact not in by_fact:
            return f"no checklist asks for {fact}"
    asked = [by_fact[fact] for fact in rule.symptoms]
    if rule.condition and rule.condition not in reportable():
        return f"no model reports {rule.condition}"
    numbers = [symptom.code for symptom in asked if symptom.is_number]
    if len(set(numbers)) != len(numbers):
        return f"one value of {numbers[0]} cannot be in two bands"
    kinds = {symptom.kind for symptom in asked}
    if rule.condition:
        kinds.add(reportable()[rule.condition])
    if len(kinds) > 1:
        return f"nobody is asked about {' and '.join(sorted(kinds))} together"
    ages = {rule.age, *(symptom.age for symptom in asked)} - {"any"}
    if len(ages) > 1:
        return "it needs a child and an adult at once"
    return ""


def _shadow(rule: Rule, rules: RuleSet, by_fact: Mapping[str, Symptom]) -> Rule | None:
    """A rule that fires at every age at which this one does, and is more dangerous or as dangerous and goes
    first: of two symptom rules of one level the first one says what to do.
    """
    found = {(rule.condition, rule.call)} if rule.condition else set()
    rank = LADDER.index(rule.level)
    ages = [age for age in AGE_GROUPS if rule.fires(found, rule.symptoms, age)]
    stronger: Rule | None = None
    for age in ages:
        place = rules.symptom_rules.index(rule)
        others = [
            other
            for number, other in enumerate(rules.symptom_rules)
            if other.fires(found, rule.symptoms, age) and LADDER.index(other.level) < rank + (number < place)
        ]
        beside = rules.match(rule.condition, rule.call, age) if rule.condition else None
        # At the same level a symptom goes before the finding.
        if beside is not None and LADDER.index(beside.level) < rank:
            others.append(beside)
        stronger = next(iter(others), None)
        if stronger is None:
            return None
    return stronger
