"""Forms around the record: a share link, a PIN, a follow-up."""

from __future__ import annotations

from datetime import date
from typing import Any

from django import forms
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from cases.sharing import LONGEST_DAYS, PIN_DIGITS

_TEXT = {"class": "form-control", "autocomplete": "off"}


class ShareLinkForm(forms.Form):
    """How long a link works, how often, and whom it is for."""

    days = forms.TypedChoiceField(
        label=_("The link works for"),
        choices=[(1, _("1 day")), (7, _("7 days")), (30, _("30 days")), (LONGEST_DAYS, _("90 days"))],
        coerce=int,
        initial=7,
        widget=forms.Select(attrs={"class": "form-select"}),
    )
    max_views = forms.IntegerField(
        label=_("How often it may be opened"),
        help_text=_("Leave empty for no limit."),
        required=False,
        min_value=1,
        max_value=1000,
        widget=forms.NumberInput(attrs={"class": "form-control", "inputmode": "numeric"}),
    )
    note = forms.CharField(
        label=_("Who it is for"),
        help_text=_("Optional. Only you see this."),
        required=False,
        max_length=80,
        widget=forms.TextInput(attrs=_TEXT),
    )


class PinForm(forms.Form):
    """The PIN that came with a link; spaces and dashes in it do not matter."""

    pin = forms.CharField(
        label=_("PIN with 6 digits"),
        max_length=20,
        widget=forms.TextInput(
            attrs={
                **_TEXT,
                "class": "form-control form-control-lg pin-field",
                "inputmode": "numeric",
                "autocomplete": "one-time-code",
            }
        ),
    )

    def clean_pin(self) -> str:
        """The six digits."""
        digits = "".join(str(self.cleaned_data["pin"]).replace("-", " ").split())
        if len(digits) != PIN_DIGITS or not digits.isascii() or not digits.isdecimal():
            raise forms.ValidationError(_("The PIN has 6 digits, for example 123 456."))
        return digits


class FollowUpForm(forms.Form):
    """What to do, and by when."""

    due_on = forms.DateField(
        label=_("On which day"),
        widget=forms.DateInput(attrs={"type": "date", "class": "form-control"}, format="%Y-%m-%d"),
        error_messages={"required": _("Please choose a day."), "invalid": _("Please choose a day.")},
    )
    text = forms.CharField(
        label=_("What you want to be reminded of"),
        max_length=500,
        widget=forms.TextInput(attrs=_TEXT),
        error_messages={"required": _("Please write what you want to be reminded of.")},
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        today: date = timezone.localdate()
        self.fields["due_on"].widget.attrs["min"] = today.isoformat()
