"""The form in which a doctor reviews a reading: verdicts on findings, a level, words, what comes next."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django import forms
from django.forms import BoundField
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from cases.models import Review, ReviewVerdict
from cases.reviews import ReviewInput, VerdictInput
from inference.models import Analysis, DangerLevel, Finding
from inference.presenters import danger_words
from inference.result_parts import FindingView

LONGEST = {"comment": 5000, "follow_up": 500, "amend_reason": 500}
_VERDICTS: list[tuple[str, str | Promise]] = [
    (value, label) for value, label in ReviewVerdict.Verdict.choices
]


@dataclass(frozen=True)
class FindingFields:
    """One finding with its two fields."""

    view: FindingView
    verdict: BoundField
    right: BoundField


class ReviewForm(forms.Form):
    """Drafts may be half filled: what a signature needs is checked by `cases.reviews.sign`."""

    analysis = forms.UUIDField(widget=forms.HiddenInput)
    seat = forms.ChoiceField(choices=Review.Seat.choices, widget=forms.HiddenInput)
    edit_no = forms.IntegerField(min_value=0, widget=forms.HiddenInput)
    amends = forms.UUIDField(required=False, widget=forms.HiddenInput)
    danger_level = forms.ChoiceField(label=gettext_lazy("Your level"), required=False)
    comment = forms.CharField(
        label=gettext_lazy("What you see"),
        help_text=gettext_lazy("The patient reads this as you write it. Plain words help."),
        required=False,
        max_length=LONGEST["comment"],
        widget=forms.Textarea(attrs={"rows": 4}),
    )
    follow_up = forms.CharField(
        label=gettext_lazy("What should come next"), required=False, max_length=LONGEST["follow_up"]
    )
    follow_up_on = forms.DateField(
        label=gettext_lazy("By which day"),
        help_text=gettext_lazy("The patient is reminded of it."),
        required=False,
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
    )
    amend_reason = forms.CharField(
        label=gettext_lazy("Why you change the signed review"),
        help_text=gettext_lazy("Stays with the new version, for everybody who may read it."),
        required=False,
        max_length=LONGEST["amend_reason"],
    )

    def __init__(
        self,
        views: Sequence[FindingView],
        names: Mapping[str, str],
        level: str,
        data: Any = None,
        **rest: Any,
    ) -> None:
        """`views` are the findings of the reading, `names` the conditions to choose from, `level` the one
        that counts when the doctor sets none.
        """
        self.views = views
        super().__init__(data, prefix="review", **rest)
        kept = _("As it stands: %(level)s") % {"level": danger_words(level).label}
        choices = [("", kept), *((str(value), str(label)) for value, label in DangerLevel.choices)]
        self.fields["danger_level"].choices = choices  # type: ignore[attr-defined]
        for view in views:
            label = view.finding.label
            self.fields[f"verdict_{label}"] = forms.ChoiceField(
                label=view.name, required=False, choices=_VERDICTS, widget=forms.RadioSelect
            )
            others = [pair for pair in names.items() if pair[0] != view.finding.condition]
            self.fields[f"right_{label}"] = forms.ChoiceField(
                label=_("If you disagree: what is it?"),
                required=False,
                choices=[("", _("not in this list; I write it below")), *others],
            )

    @property
    def raised(self) -> Iterator[FindingFields]:
        """What the model called likely or possible: a signature needs a verdict on each."""
        return (self._of(view) for view in self.views if view.is_raised)

    @property
    def quiet(self) -> Iterator[FindingFields]:
        """The other findings."""
        return (self._of(view) for view in self.views if not view.is_raised)

    def _of(self, view: FindingView) -> FindingFields:
        label = view.finding.label
        return FindingFields(view, self[f"verdict_{label}"], self[f"right_{label}"])

    @property
    def is_amendment(self) -> bool:
        """A signed review is to be replaced."""
        return bool(self["amends"].value())

    def given(self) -> ReviewInput:
        """What the doctor filled in; the findings as the reading has them."""
        said = self.cleaned_data
        labels = [view.finding.label for view in self.views]
        verdicts = {label: (said[f"verdict_{label}"], said[f"right_{label}"]) for label in labels}
        return ReviewInput(
            analysis_id=said["analysis"],
            seat=said["seat"],
            edit_no=said["edit_no"],
            verdicts=verdicts_of([view.finding for view in self.views], verdicts),
            comment=said["comment"],
            danger_level=said["danger_level"],
            follow_up=said["follow_up"],
            follow_up_on=said["follow_up_on"],
            amends=said["amends"],
            amend_reason=said["amend_reason"],
        )


def verdicts_of(findings: Iterable[Finding], said: Mapping[str, tuple[str, str]]) -> list[VerdictInput]:
    """Verdicts by label beside the findings that they are about."""
    made = []
    for finding in findings:
        verdict, right = said.get(finding.label, ("", ""))
        made.append(
            VerdictInput(finding.label, finding.condition, finding.probability, finding.call, verdict, right)
        )
    return made


def values_of(review: Review, answer: Analysis, *, edit_no: int, amends: uuid.UUID | None) -> dict[str, Any]:
    """What a form begins with that goes on with a draft, or changes a signed review."""
    values: dict[str, Any] = {
        "analysis": answer.pk,
        "seat": review.seat,
        "edit_no": edit_no,
        "amends": amends,
        "danger_level": review.danger_level,
        "comment": review.comment,
        "follow_up": review.follow_up,
        "follow_up_on": review.follow_up_on,
        "amend_reason": review.amend_reason if edit_no else "",
    }
    for one in review.verdicts.all():
        values[f"verdict_{one.label}"] = one.verdict
        values[f"right_{one.label}"] = one.right_condition
    return values
