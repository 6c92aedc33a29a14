"""The symptom catalogue: what is asked for which kind of picture, and what the answers mean. Pure reading."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from django.utils.translation import get_language
from django.utils.translation import gettext as _

FILE = Path(__file__).with_name("symptoms.yaml")
KINDS = ("chest_xray", "brain_mri", "knee_xray")


@dataclass(frozen=True)
class Symptom:
    """One question. `kind` is the kind of picture it belongs to, `age` the age band it is asked of (or any).
    A number has `bands`: (fact, upper bound), lowest first; the first bound above the value gives its fact.
    """

    code: str
    kind: str
    texts: Mapping[str, str]
    age: str = "any"
    is_number: bool = False
    minimum: float = 0
    maximum: float = 0
    unit: str = ""
    bands: tuple[tuple[str, float], ...] = ()
    notes: Mapping[str, str] = field(default_factory=dict)

    @property
    def note(self) -> str:
        """What to bear in mind with the answer, in the reader's language, else in English; mostly empty."""
        language = (get_language() or "en").split("-")[0]
        return self.notes.get(language) or self.notes.get("en", "")

    @property
    def text(self) -> str:
        """The question in the reader's language, else in English."""
        language = (get_language() or "en").split("-")[0]
        return self.texts.get(language) or self.texts["en"]

    @property
    def facts(self) -> tuple[str, ...]:
        """What an answer to this question can establish."""
        return tuple(fact for fact, _below in self.bands) if self.is_number else (self.code,)


@dataclass(frozen=True)
class Catalogue:
    """All questions with their sources; `reviewed_by` is empty until a clinician has read them."""

    symptoms: tuple[Symptom, ...]
    sources: tuple[Mapping[str, str], ...]
    reviewed_by: str

    def get(self, code: str) -> Symptom | None:
        """The question with this code."""
        return next((symptom for symptom in self.symptoms if symptom.code == code), None)

    def asked(self, kind: str, age_group: str) -> list[Symptom]:
        """The questions for a case; all kinds when the kind is not known. Those of one age group come first
        for that group, and last where the age is not known.
        """
        found = [
            symptom
            for symptom in self.symptoms
            if (symptom.kind == kind or kind not in KINDS)
            and (symptom.age in ("any", age_group) or age_group == "unknown")
        ]
        of_all = [symptom for symptom in found if symptom.age == "any"]
        of_some = [symptom for symptom in found if symptom.age != "any"]
        return [*of_all, *of_some] if age_group == "unknown" else [*of_some, *of_all]

    def by_fact(self) -> dict[str, Symptom]:
        """The question that establishes each fact."""
        return {fact: symptom for symptom in self.symptoms for fact in symptom.facts}


@cache
def catalogue() -> Catalogue:
    """The catalogue that this version of PMI ships."""
    raw = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    return Catalogue(
        symptoms=tuple(_symptom(entry) for entry in raw["symptoms"]),
        sources=tuple(raw["sources"]),
        reviewed_by=str(raw["reviewed_by"]),
    )


def problem_with(answers: Mapping[str, Any]) -> str:
    """What is wrong with answers by code (true, false, or a number), or an empty string."""
    for code, answer in answers.items():
        symptom = catalogue().get(code)
        if symptom is None:
            return _("There is no symptom named %(code)s.") % {"code": code}
        if symptom.is_number:
            if isinstance(answer, bool) or not isinstance(answer, int | float):
                return _("%(code)s takes a number.") % {"code": code}
            if not symptom.minimum <= answer <= symptom.maximum:
                return _("%(code)s takes a number from %(least)g to %(most)g.") % {
                    "code": code,
                    "least": symptom.minimum,
                    "most": symptom.maximum,
                }
        elif not isinstance(answer, bool):
            return _("%(code)s takes true or false; leave it out when it was not answered.") % {"code": code}
    return ""


def facts(answers: Mapping[str, Any]) -> frozenset[str]:
    """What the answers establish. A question that was not answered establishes nothing, nor does a no."""
    found = set()
    for code, answer in answers.items():
        symptom = catalogue().get(code)
        if symptom is None:
            continue  # asked by an earlier catalogue
        if symptom.is_number:
            fact = next((fact for fact, below in symptom.bands if answer < below), "")
            found |= {fact} - {""}
        elif answer is True:
            found.add(code)
    return frozenset(found)


def _symptom(raw: dict[str, Any]) -> Symptom:
    return Symptom(
        code=raw["code"],
        kind=raw["kind"],
        texts=raw["text"],
        age=raw.get("age", "any"),
        is_number=raw.get("type") == "number",
        minimum=raw.get("minimum", 0),
        maximum=raw.get("maximum", 0),
        unit=raw.get("unit", ""),
        bands=tuple((band["fact"], band["below"]) for band in raw.get("bands", [])),
        notes=raw.get("note", {}),
    )
