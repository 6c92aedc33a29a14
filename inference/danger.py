"""From findings and symptoms to a danger level, by rules kept as data (`danger_rules.json` is shipped).

Pure: no database, no files written. The most dangerous rule that fires decides the level and what to do now;
every rule that fired gives its sentence. Rules only ever raise: there is none that takes a level down, and a
level that a doctor set is a floor.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from django.utils import translation
from django.utils.translation import get_language

from inference.calls import NORMAL_CONDITIONS
from inference.danger_texts import TEXTS
from inference.danger_texts_earlier import EARLIER
from inference.danger_texts_es import TEXTS_ES
from inference.danger_texts_hi import TEXTS_HI

RULES_FILE = Path(__file__).with_name("danger_rules.json")
# Most dangerous first. `inconclusive` is no step of this ladder: it says that there is no reading.
LADDER: tuple[str, ...] = ("emergency", "urgent", "soon", "routine", "none_found")
LEVELS: tuple[str, ...] = (*LADDER, "inconclusive")
AGES: tuple[str, ...] = ("any", "child", "adult")
FIRING_CALLS: tuple[str, ...] = ("likely", "possible")


_RULE_KEYS = {"id", "level", "because", "do", "condition", "call", "age", "symptoms"}
_SPECIAL = ("nothing", "rejected", "failed")


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
    """`condition` with `call` at `age`, or all `symptoms` together (beside that finding, where one is named),
    mean `level`; `because` and `do` are keys of the rule set's texts.
    """

    id: str
    level: str
    because: str
    do: str
    condition: str = ""
    call: str = ""
    age: str = "any"
    symptoms: tuple[str, ...] = ()

    def fires(self, found: Collection[tuple[str, str]], facts: Collection[str], age: str) -> bool:
        """Whether a symptom rule fires for (condition, call) pairs, facts and an age group."""
        return (
            self.age in ("any", age)
            and all(symptom in facts for symptom in self.symptoms)
            and (not self.condition or (self.condition, self.call) in found)
        )


@dataclass(frozen=True)
class RuleSet:
    """All rules of one version. `by_key`: by (condition, call, age); `texts`: by language, then key."""

    version: str
    by_key: dict[tuple[str, str, str], Rule]
    nothing: Rule
    rejected: Rule
    failed: Rule
    symptom_rules: tuple[Rule, ...] = ()
    texts: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    @property
    def rules(self) -> tuple[Rule, ...]:
        """Every rule, the special ones too."""
        return (*self.by_key.values(), *self.symptom_rules, self.nothing, self.rejected, self.failed, DOCTOR)

    def rule(self, rule_id: str) -> Rule | None:
        """The rule with this id."""
        return next((rule for rule in self.rules if rule.id == rule_id), None)

    def text(self, key: str, language: str | None = None) -> str:
        """A sentence in a language (the reader's by default), else in English."""
        wanted = (language or get_language() or "en").split("-")[0]
        return self.texts.get(wanted, {}).get(key) or self.texts["en"][key]

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


# What stands beside a level that a doctor set; the level itself is the doctor's.
DOCTOR = Rule(id="doctor", level="inconclusive", because="doctor.because", do="doctor.do")


def _rule(raw: dict[str, Any], rule_id: str, texts: Mapping[str, str]) -> Rule:
    unknown = set(raw) - _RULE_KEYS
    missing = {"level", "because", "do"} - set(raw)
    if unknown or missing:
        raise RuleError(
            f"rule {rule_id}: {', '.join(sorted(missing or unknown))} {'missing' if missing else 'unknown'}"
        )
    symptoms = raw.get("symptoms", [])
    if not isinstance(symptoms, list) or not all(isinstance(name, str) for name in symptoms):
        raise RuleError(f"rule {rule_id}: symptoms is a list of names")
    if not all(isinstance(value, str) for key, value in raw.items() if key != "symptoms"):
        raise RuleError(f"rule {rule_id}: everything but symptoms is text")
    rule = Rule(
        id=rule_id,
        level=raw["level"],
        because=raw["because"],
        do=raw["do"],
        condition=raw.get("condition", ""),
        call=raw.get("call", ""),
        age=raw.get("age", "any"),
        symptoms=tuple(symptoms),
    )
    if rule.level not in LEVELS:
        raise RuleError(f"rule {rule_id}: unknown level {rule.level!r}")
    if rule.age not in AGES:
        raise RuleError(f"rule {rule_id}: unknown age band {rule.age!r}")
    if rule.call and rule.call not in FIRING_CALLS:
        raise RuleError(f"rule {rule_id}: a rule fires on {' or '.join(FIRING_CALLS)}, not on {rule.call!r}")
    for key in (rule.because, rule.do):
        if key not in texts:
            raise RuleError(f"rule {rule_id}: no text named {key!r}")
    return rule


def shipped_texts() -> dict[str, dict[str, str]]:
    """The sentences that this version of PMI ships, by language and key."""
    with translation.override(None):
        english = {key: str(text) for key, text in TEXTS.items()}
    return {"en": english, "es": dict(TEXTS_ES), "hi": dict(TEXTS_HI)}


def said(sentence: str) -> str:
    """A shipped English sentence in the reader's language; any other sentence as it is.

    Where the sentence has changed since, English readers are given what was said, others what is said now.
    """
    language = translation.get_language() or "en"
    if language == "en":
        return sentence
    texts = default_rules().texts
    key = next((key for key, english in texts["en"].items() if english == sentence), "")
    return texts.get(language, {}).get(key or EARLIER.get(sentence, ""), sentence)


def _texts(raw: dict[str, Any]) -> dict[str, dict[str, str]]:
    texts = raw.get("texts") or shipped_texts()
    if not isinstance(texts, dict) or not isinstance(texts.get("en"), dict):
        raise RuleError("texts: an object by language is needed, with 'en' in it")
    for language, sentences in texts.items():
        if not isinstance(sentences, dict):
            raise RuleError(f"texts {language}: an object of key and sentence is needed")
        for key, sentence in sentences.items():
            if not isinstance(sentence, str) or not sentence.strip():
                raise RuleError(f"texts {language}: {key!r} is empty")
            if key not in texts["en"]:
                raise RuleError(f"texts {language}: {key!r} has no English sentence")
    for key in (DOCTOR.because, DOCTOR.do):
        if key not in texts["en"]:
            raise RuleError(f"texts en: {key!r} is missing")
    return texts


def parse_rules(raw: Any) -> RuleSet:
    """Checks the form of a rule set and makes it usable; raises `RuleError` naming the rule that is wrong.

    `inference.rule_check` looks further: for rules that can never fire or decide.
    """
    if not isinstance(raw, dict) or not isinstance(raw.get("rules"), list):
        raise RuleError("a rule set is an object with version, rules, nothing, rejected and failed")
    texts = _texts(raw)
    by_key: dict[tuple[str, str, str], Rule] = {}
    symptom_rules: dict[tuple[frozenset[str], str, str, str], Rule] = {}
    seen = {*_SPECIAL, DOCTOR.id}
    for number, entry in enumerate(raw["rules"], start=1):
        if not isinstance(entry, dict) or not entry.get("id"):
            raise RuleError(f"rule number {number}: it needs an id")
        rule = _rule(entry, str(entry["id"]), texts["en"])
        if rule.level == "inconclusive":
            raise RuleError(f"rule {rule.id}: a finding cannot be inconclusive, nor can a symptom")
        if bool(rule.condition) != bool(rule.call) or not (rule.condition or rule.symptoms):
            raise RuleError(f"rule {rule.id}: condition and call are needed, or symptoms")
        earlier = _remember(rule, by_key, symptom_rules)
        if earlier is not None:
            raise RuleError(f"rule {rule.id}: {earlier.id} already covers exactly the same situation")
        if rule.id in seen:
            raise RuleError(f"rule {rule.id}: another rule has this id")
        seen.add(rule.id)
    for name in _SPECIAL:
        if not isinstance(raw.get(name), dict):
            raise RuleError(f"rule {name}: missing")
    special = {name: _rule(raw[name], name, texts["en"]) for name in _SPECIAL}
    for name, levels in (("nothing", ("none_found",)), ("rejected", _UNREAD), ("failed", _UNREAD)):
        if special[name].level not in levels:
            raise RuleError(f"rule {name}: its level is {levels[0]}")
    return RuleSet(
        version=str(raw.get("version", "")),
        by_key=by_key,
        symptom_rules=tuple(symptom_rules.values()),
        texts=texts,
        **special,
    )


_UNREAD = ("inconclusive",)


def _remember(
    rule: Rule,
    by_key: dict[tuple[str, str, str], Rule],
    symptom_rules: dict[tuple[frozenset[str], str, str, str], Rule],
) -> Rule | None:
    """Files a rule under its premises; returns the rule that was there already."""
    if rule.symptoms:
        return _file(symptom_rules, (frozenset(rule.symptoms), rule.condition, rule.call, rule.age), rule)
    return _file(by_key, (rule.condition, rule.call, rule.age), rule)


def _file(where: dict[Any, Rule], key: tuple[Any, ...], rule: Rule) -> Rule | None:
    earlier = where.get(key)
    where.setdefault(key, rule)
    return earlier


@cache
def default_rules() -> RuleSet:
    """The rules that this version of PMI ships."""
    return parse_rules(shipped_raw())


def shipped_raw() -> dict[str, Any]:
    """The shipped rule set as data, its sentences included."""
    raw: dict[str, Any] = json.loads(RULES_FILE.read_text(encoding="utf-8"))
    texts = {language: {k: str(v) for k, v in part.items()} for language, part in shipped_texts().items()}
    return {**raw, "texts": texts}


def render(rules: RuleSet, rule_ids: Iterable[str]) -> tuple[tuple[str, ...], str] | None:
    """Reasons and next step of the rules that fired, in the reader's language; the first decides what to do.

    None when this rule set does not know one of the ids.
    """
    fired = [rules.rule(rule_id) for rule_id in rule_ids]
    known = [rule for rule in fired if rule is not None]
    if not known or len(known) != len(fired):
        return None
    reasons = dict.fromkeys(rules.text(rule.because) for rule in known)  # two rules may share a sentence
    return tuple(reasons), rules.text(known[0].do)


def _answer(rules: RuleSet, fired: list[Rule], doctor_level: str) -> Danger:
    level = fired[0].level
    if doctor_level in LADDER and (level not in LADDER or LADDER.index(doctor_level) < LADDER.index(level)):
        level, fired = doctor_level, [DOCTOR, *fired]
    reasons, next_step = render(rules, [rule.id for rule in fired]) or ((), "")
    return Danger(
        level=level,
        reasons=reasons,
        next_step=next_step,
        rules_version=rules.version,
        rule_ids=tuple(rule.id for rule in fired),
    )


def assess(
    findings: Iterable[HasCall],
    age_group: str = "unknown",
    *,
    status: str = "succeeded",
    rules: RuleSet | None = None,
    facts: Collection[str] = (),
    doctor_level: str = "",
) -> Danger:
    """The danger level of a reading.

    `age_group` is child, adult or unknown. `facts` are what answered symptoms establish
    (`resources.symptoms.facts`). A `status` of rejected or failed makes the findings count for nothing: the
    answer is inconclusive unless symptoms alone give one. `doctor_level` is what a doctor set; the answer is
    never below it. A likely or possible finding that no rule covers raises `RuleError`: a finding never
    disappears silently.
    """
    rules = rules or default_rules()
    unread = status in ("rejected", "failed")
    called = [] if unread else [finding for finding in findings if finding.call in FIRING_CALLS]
    fired: list[tuple[int, float, Rule]] = []
    for finding in called:
        rule = rules.match(finding.condition, finding.call, age_group)
        if rule is None:
            raise RuleError(f"no danger rule for {finding.condition} {finding.call}")
        fired.append((LADDER.index(rule.level), -finding.probability, rule))
    # Beside a real finding, the sentence "nothing was found" would only confuse, also where it is as urgent,
    # as of a child's knee without wear.
    worst = min((rank for rank, _, _ in fired), default=0)
    real = [item for item in fired if item[2].condition not in NORMAL_CONDITIONS]
    if any(rank == worst for rank, _, _ in real):
        fired = real
    if any(rule.level != "none_found" for _, _, rule in fired):
        fired = [item for item in fired if item[2].level != "none_found"]
    # At the same level, what the person feels goes before what a model saw.
    pairs = {(finding.condition, finding.call) for finding in called}
    felt = [
        (LADDER.index(rule.level), -2.0, rule)
        for rule in rules.symptom_rules
        if rule.fires(pairs, facts, age_group)
    ]
    ordered = [rule for _, _, rule in sorted([*fired, *felt], key=lambda item: item[:2])]
    if unread:
        ordered.append(rules.rejected if status == "rejected" else rules.failed)
    elif not fired:
        ordered.append(rules.nothing)
    return _answer(rules, ordered, doctor_level)


def from_symptoms(facts: Collection[str], age_group: str, rules: RuleSet | None = None) -> Danger | None:
    """What symptoms say by themselves, before or without any reading; None when they say nothing."""
    rules = rules or default_rules()
    fired = [rule for rule in rules.symptom_rules if rule.fires((), facts, age_group)]
    fired.sort(key=lambda rule: LADDER.index(rule.level))
    return _answer(rules, fired, "") if fired else None
