"""From findings to a danger level, by rules kept as data (`danger_rules.json`).

Pure: no database, no files written. The most dangerous rule that fires decides the level and what to do now;
every rule that fired gives its sentence.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from inference.danger_texts import TEXTS

RULES_FILE = Path(__file__).with_name("danger_rules.json")
# Most dangerous first. `inconclusive` is no step of this ladder: it says that there is no reading.
LADDER: tuple[str, ...] = ("emergency", "urgent", "soon", "routine", "none_found")
LEVELS: tuple[str, ...] = (*LADDER, "inconclusive")
AGES: tuple[str, ...] = ("any", "child", "adult")
FIRING_CALLS: tuple[str, ...] = ("likely", "possible")


class RuleError(ValueError):
    """A rule set that cannot be used; the message names the rule."""


class HasCall(Protocol):
    """What a rule looks at in a finding."""

    @property
    def condition(self) -> str: ...
    @property
    def call(self) -> str: ...
    @property
    def probability(self) -> float: ...


@dataclass(frozen=True)
class Rule:
    """`condition` with `call` at `age` means `level`; `because` and `do` are keys of `danger_texts.TEXTS`."""

    id: str
    level: str
    because: str
    do: str
    condition: str = ""
    call: str = ""
    age: str = "any"


@dataclass(frozen=True)
class RuleSet:
    """All rules of one version. `by_key` is keyed by (condition, call, age)."""

    version: str
    by_key: dict[tuple[str, str, str], Rule]
    nothing: Rule
    rejected: Rule
    failed: Rule

    def match(self, condition: str, call: str, age: str) -> Rule | None:
        """The rule for the age band, else the one for any age, else None."""
        return self.by_key.get((condition, call, age)) or self.by_key.get((condition, call, "any"))


@dataclass(frozen=True)
class Danger:
    """A danger level, the sentences that explain it (most dangerous first), and the one thing to do next."""

    level: str
    reasons: tuple[str, ...]
    next_step: str
    rules_version: str
    rule_ids: tuple[str, ...]


def _rule(raw: dict[str, Any], rule_id: str) -> Rule:
    rule = Rule(
        id=rule_id,
        level=raw["level"],
        because=raw["because"],
        do=raw["do"],
        condition=raw.get("condition", ""),
        call=raw.get("call", ""),
        age=raw.get("age", "any"),
    )
    if rule.level not in LEVELS:
        raise RuleError(f"rule {rule_id}: unknown level {rule.level!r}")
    if rule.age not in AGES:
        raise RuleError(f"rule {rule_id}: unknown age band {rule.age!r}")
    if rule.call and rule.call not in FIRING_CALLS:
        raise RuleError(f"rule {rule_id}: a rule fires on {' or '.join(FIRING_CALLS)}, not on {rule.call!r}")
    for key in (rule.because, rule.do):
        if key not in TEXTS:
            raise RuleError(f"rule {rule_id}: no text named {key!r}")
    return rule


def parse_rules(raw: dict[str, Any]) -> RuleSet:
    """Checks a rule set and makes it usable; raises `RuleError` naming the rule that is wrong."""
    by_key: dict[tuple[str, str, str], Rule] = {}
    for entry in raw["rules"]:
        rule = _rule(entry, str(entry.get("id", "?")))
        if not rule.condition or not rule.call:
            raise RuleError(f"rule {rule.id}: condition and call are needed")
        if rule.level == "inconclusive":
            raise RuleError(f"rule {rule.id}: a finding cannot be inconclusive")
        key = (rule.condition, rule.call, rule.age)
        if key in by_key:
            raise RuleError(f"rule {rule.id}: {by_key[key].id} already covers {key}")
        by_key[key] = rule
    special = {name: _rule(raw[name], name) for name in ("nothing", "rejected", "failed")}
    return RuleSet(version=str(raw["version"]), by_key=by_key, **special)


@cache
def default_rules() -> RuleSet:
    """The rules that this version of PMI ships."""
    return parse_rules(json.loads(RULES_FILE.read_text(encoding="utf-8")))


def _answer(rules: RuleSet, fired: list[Rule]) -> Danger:
    reasons = dict.fromkeys(str(TEXTS[rule.because]) for rule in fired)  # two rules may share a sentence
    return Danger(
        level=fired[0].level,
        reasons=tuple(reasons),
        next_step=str(TEXTS[fired[0].do]),
        rules_version=rules.version,
        rule_ids=tuple(rule.id for rule in fired),
    )


def assess(
    findings: Iterable[HasCall],
    age_group: str = "unknown",
    *,
    status: str = "succeeded",
    rules: RuleSet | None = None,
) -> Danger:
    """The danger level of a reading.

    `age_group` is child, adult or unknown. A `status` of rejected or failed is inconclusive whatever the
    findings. A likely or possible finding that no rule covers raises `RuleError`: a finding never disappears
    silently.
    """
    rules = rules or default_rules()
    if status in ("rejected", "failed"):
        return _answer(rules, [rules.rejected if status == "rejected" else rules.failed])
    fired: list[tuple[int, float, Rule]] = []
    for finding in findings:
        if finding.call not in FIRING_CALLS:
            continue
        rule = rules.match(finding.condition, finding.call, age_group)
        if rule is None:
            raise RuleError(f"no danger rule for {finding.condition} {finding.call}")
        fired.append((LADDER.index(rule.level), -finding.probability, rule))
    if not fired:
        return _answer(rules, [rules.nothing])
    fired.sort(key=lambda item: item[:2])
    # Beside a real finding, the sentence "nothing was found" would only confuse.
    worst = fired[0][2].level
    kept = [rule for _, _, rule in fired if rule.level != "none_found" or worst == "none_found"]
    return _answer(rules, kept)
