"""The symptom checklist of a case: asked on the case page, changed on a page of its own."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.forms import BoundField
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from cases.models import Case
from cases.selectors import get_case, may_write, person
from cases.serializers import AlarmOf
from cases.services import update_case
from inference import presenters
from inference.standing import Rules
from resources.symptoms import Symptom, catalogue

_CHOICES = [("yes", gettext_lazy("Yes")), ("no", gettext_lazy("No")), ("", gettext_lazy("No answer"))]
_NONE = "none_of_these"


class SymptomForm(forms.Form):
    """Yes, no or no answer for each symptom, a number where one is asked for, and "none of these"."""

    def __init__(self, case: Case, data: Any = None) -> None:
        self.asked: list[Symptom] = catalogue().asked(case.kind, case.age_group)
        self.case = case
        super().__init__(data, prefix="symptom")
        for symptom in self.asked:
            answer = case.symptoms.get(symptom.code)
            if symptom.is_number:
                self.fields[symptom.code] = forms.FloatField(
                    label=f"{symptom.text} ({symptom.unit})",
                    help_text=symptom.note,
                    required=False,
                    min_value=symptom.minimum,
                    max_value=symptom.maximum,
                    initial=answer,
                    widget=forms.NumberInput(attrs={"class": "form-control", "step": "any"}),
                )
            else:
                self.fields[symptom.code] = forms.ChoiceField(
                    label=symptom.text,
                    required=False,
                    choices=_CHOICES,
                    initial={True: "yes", False: "no"}.get(answer, ""),
                    widget=forms.RadioSelect(),
                )
        self.fields[_NONE] = forms.BooleanField(label=_("None of these"), required=False)

    def questions(self) -> Iterator[BoundField]:
        """The fields with yes and no."""
        return (self[symptom.code] for symptom in self.asked if not symptom.is_number)

    def numbers(self) -> Iterator[BoundField]:
        """The fields for numbers."""
        return (self[symptom.code] for symptom in self.asked if symptom.is_number)

    def clean(self) -> dict[str, Any]:
        """Refuses "none of these" beside a yes."""
        cleaned: dict[str, Any] = super().clean() or {}
        if cleaned.get(_NONE) and "yes" in cleaned.values():
            raise forms.ValidationError(
                _("You chose “None of these”, but also answered yes. Please choose one.")
            )
        return cleaned

    def answers(self) -> dict[str, bool | float]:
        """The case's answers: what was left open is missing; "none of these" is a no to all of them."""
        found: dict[str, bool | float] = {}
        for symptom in self.asked:
            value = self.cleaned_data.get(symptom.code)
            if symptom.is_number:
                if value is not None:
                    found[symptom.code] = value
            elif value or self.cleaned_data.get(_NONE):
                found[symptom.code] = value == "yes"
        return found


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@login_required
def case_symptoms(request: HttpRequest, case_id: uuid.UUID) -> HttpResponse:
    """Answer the checklist; the readings of the case are judged anew, no scan is read again."""
    case = get_case(request.user, case_id, write=True)
    form = SymptomForm(case, request.POST or None)
    if request.method == "POST" and form.is_valid():
        update_case(case, person(request.user), symptoms=form.answers())
        messages.success(request, _("Your answers are saved."))
        return redirect("cases:detail", case.pk)
    context = {"case": case, "form": form, **facts_of_catalogue()}
    return render(request, "inference/symptoms.html", context, status=400 if form.errors else 200)


def facts_of_catalogue() -> dict[str, Any]:
    """Where the questions come from, and whether a clinician has read them."""
    return {"sources": catalogue().sources, "reviewed_by": catalogue().reviewed_by}


def alarm(case: Case) -> dict[str, Any] | None:
    """What the symptoms say by themselves, for a page whose reading is held back; None when nothing."""
    said = Rules().felt(case.symptoms, case.age_group)
    return {"said": said, "words": presenters.danger_words(said.level)} if said else None


def alarms() -> AlarmOf:
    """The same for one answer of the API that shows many cases: the rules are fetched once."""
    rules = Rules()

    def alarm_of(case: Case) -> dict[str, Any] | None:
        said = rules.felt(case.symptoms, case.age_group)
        if said is None:
            return None
        return {"level": said.level, "reasons": list(said.reasons), "next_step": said.next_step}

    return alarm_of


def panel(case: Case, user: Any) -> dict[str, Any]:
    """What the case page shows: what the symptoms say already, and the checklist or the way to it."""
    said = Rules().felt(case.symptoms, case.age_group)
    writes = may_write(user, case)
    return {
        "case": case,
        "said": said,
        "words": presenters.danger_words(said.level) if said else None,
        "may_write": writes,
        "form": SymptomForm(case) if writes and not case.symptoms else None,
        "is_open": any(
            one.code not in case.symptoms
            for one in catalogue().asked(case.kind, case.age_group)
            if not one.is_number
        ),
        "yes": [item.text for item in catalogue().symptoms if case.symptoms.get(item.code) is True],
        **facts_of_catalogue(),
    }
