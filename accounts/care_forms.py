"""Forms of the care relationship."""

from typing import Any
from uuid import UUID

from django import forms
from django.utils.translation import gettext_lazy as _

from accounts.emergency import LONGEST_REASON, SHORTEST_REASON
from accounts.models import User
from accounts.who_looked import case_names

_DURATIONS = [
    ("", _("until I end it")),
    (7, _("for 7 days")),
    (30, _("for 30 days")),
    (90, _("for 90 days")),
    (365, _("for one year")),
]


def _id_or_none(value: str) -> UUID | None:
    return UUID(value) if value else None


class ScopeForm(forms.Form):
    """Which cases a doctor may read, and for how long. Nothing chosen: all, until the patient ends it."""

    case_id = forms.TypedChoiceField(
        label=_("What the doctor may see"), coerce=_id_or_none, empty_value=None, required=False
    )
    access_days = forms.TypedChoiceField(
        label=_("How long"), choices=_DURATIONS, coerce=int, empty_value=None, required=False
    )

    def __init__(self, patient: User, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["case_id"]
        if isinstance(field, forms.ChoiceField):
            cases = [(str(case_id), title) for case_id, title in case_names(patient).items()]
            field.choices = [("", _("All my cases, also later ones")), *cases]


class InviteForm(ScopeForm):
    """The doctor a patient wants to share with."""

    doctor_email = forms.EmailField(
        label=_("Your doctor's email address"), widget=forms.EmailInput(attrs={"autocomplete": "off"})
    )
    field_order = ["doctor_email", "case_id", "access_days"]


class CodeForm(forms.Form):
    """A patient's code, as typed: blanks, dashes and small letters do not matter."""

    code = forms.CharField(
        label=_("Code from your patient"),
        max_length=30,
        widget=forms.TextInput(attrs={"autocomplete": "off", "autocapitalize": "characters"}),
    )


class AskForm(forms.Form):
    """The patient a doctor asks."""

    patient_email = forms.EmailField(
        label=_("Your patient's email address"), widget=forms.EmailInput(attrs={"autocomplete": "off"})
    )


class EmergencyForm(forms.Form):
    """Whose cases, and why they cannot wait."""

    patient_email = forms.EmailField(
        label=_("The patient's email address"),
        help_text=_("Exactly as the patient uses it. There is no search."),
        widget=forms.EmailInput(attrs={"autocomplete": "off"}),
    )
    reason = forms.CharField(
        label=_("Why it cannot wait for the patient's yes"),
        help_text=_("At least one sentence. The patient and the administrators of PMI read it."),
        min_length=SHORTEST_REASON,
        max_length=LONGEST_REASON,
        widget=forms.Textarea(attrs={"rows": 4}),
    )
    is_emergency = forms.BooleanField(
        label=_("This is an emergency, and the patient cannot answer now."),
        error_messages={"required": _("Please confirm that this is an emergency.")},
    )
