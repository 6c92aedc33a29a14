"""Which level counts for a reading: the model's, a doctor's, or that of symptoms given since.

- A signed review of the reading decides, whether it says more or less than the model.
- A review of another reading of the same scan is a floor: a newer reading may raise what a doctor set, never
  lower it.
- Symptoms that were given after the signature, and that are worse than what the doctor set, count at once:
  the doctor did not know them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from django.utils.translation import gettext as _

from cases.levels import rank
from cases.models import Review
from inference import assessing, danger, presenters
from inference.danger import Danger
from inference.models import Analysis
from resources import symptoms

Source = Literal["model", "doctor", "symptoms"]


def is_worse(level: str, than: str) -> bool:
    """Whether a level comes before another one in a worklist: "no answer" before one without hurry."""
    return rank(level) < rank(than)


class Rules:
    """The danger rules as one answer needs them: each set is fetched once, however many readings it is asked
    for. Made anew for each request: other rules may be in force for the next one.
    """

    def __init__(self) -> None:
        self._kept: dict[str, danger.RuleSet | None] = {}

    @cached_property
    def in_force(self) -> danger.RuleSet:
        """The rules in force."""
        return assessing.active_rules()

    def of(self, version: str) -> danger.RuleSet | None:
        """The rules of a version that judged an analysis; None when they are not kept here."""
        if version not in self._kept:
            self._kept[version] = assessing.rules_for(version) if version else None
        return self._kept[version]

    def felt(self, answers: Mapping[str, Any], age_group: str) -> Danger | None:
        """What symptoms say by themselves, by the rules in force; None when they say nothing."""
        if not answers:
            return None
        return danger.from_symptoms(symptoms.facts(answers), age_group, self.in_force)


@dataclass(frozen=True)
class Standing:
    """What counts for `analysis`, given the signed review of its scan (None: nobody signed one that this
    reader sees). Of many readings, prefetch `assessments` and give all the same `rules`.
    """

    analysis: Analysis
    review: Review | None = None
    rules: Rules = field(default_factory=Rules, compare=False, repr=False)

    @property
    def is_reviewed(self) -> bool:
        """The review is about this reading."""
        return self.review is not None and self.review.analysis_id == self.analysis.pk

    @property
    def is_of_earlier(self) -> bool:
        """The review is about a reading that was made before this one."""
        review = self.review
        if review is None or self.is_reviewed:
            return False
        return review.analysis is None or review.analysis.queued_at < self.analysis.queued_at

    @cached_property
    def alarm(self) -> Danger | None:
        """What symptoms given since the signature say, where that is worse than what the doctor set."""
        review = self.review
        if review is None or review.signed_at is None:
            return None
        case = self.analysis.scan.case
        says = self.rules.felt(case.symptoms, case.age_group)
        if says is None or not is_worse(says.level, review.danger_level):
            return None
        known = [one for one in self.analysis.assessments.all() if one.created_at <= review.signed_at]
        before = self.rules.felt(known[-1].symptoms, known[-1].age_group) if known else None
        return says if before is None or is_worse(says.level, before.level) else None

    @property
    def source(self) -> Source:
        """Whose level it is."""
        if self.review is None:
            return "model"
        if self.is_reviewed:
            return "symptoms" if self.alarm else "doctor"
        return "doctor" if is_worse(self.review.danger_level, self.analysis.danger) else "model"

    @property
    def level(self) -> str:
        """The level that counts."""
        if self.source == "symptoms" and self.alarm:
            return self.alarm.level
        if self.source == "doctor" and self.review:
            return self.review.danger_level
        return self.analysis.danger


def advice_fits(standing: Standing) -> bool:
    """Whether the knowledge base's advice on the findings goes with the level that counts.

    It is written for what a scan shows. Where symptoms or a doctor decided, their own next step stands, and a
    second one beside it could say less.
    """
    if standing.source == "symptoms" or assessing.is_felt(standing.analysis):
        return False
    if standing.source == "model" or standing.review is None:
        return True
    # "Let a doctor confirm this" has been done.
    agreed = standing.review.is_agreement and standing.level == standing.analysis.danger
    return agreed and standing.level not in ("none_found", "inconclusive")


def words(standing: Standing) -> tuple[list[str], str]:
    """Reasons and next step for the level that counts, in the reader's language."""
    analysis, review = standing.analysis, standing.review
    if standing.source == "symptoms" and standing.alarm:
        since = _("You gave these symptoms after the doctor looked at the scan.")
        return [*standing.alarm.reasons, since], standing.alarm.next_step
    reasons, step = assessing.words(analysis, standing.rules.of)
    if standing.source == "model" or review is None:
        return reasons, step
    own_step = str(presenters.doctor_words(standing.level).next_step)
    if standing.level != analysis.danger:
        said = _(
            "Before the doctor looked, PMI said: %(level)s. Where they differ, the doctor's word counts."
        )
        return [said % {"level": presenters.danger_words(analysis.danger).label}], own_step
    return (reasons, step or own_step) if review.is_agreement else ([], own_step)
