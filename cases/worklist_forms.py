"""The filters of the worklist as they stand in an address, and the name of a saved view."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django import forms
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from cases.levels import RANKS
from cases.models import Case, WorklistView
from cases.worklist import ALL, FIRST_DAY, LAST_DAY, OPEN, SECOND, STATES, Filters

_STATE_WORDS: dict[str, str | Promise] = {
    OPEN: _("To do"),
    SECOND: _("Mine to second-read"),
    ALL: _("All"),
    **dict(Case.ReviewState.choices),
}
_YES_OR_NO = {
    **dict.fromkeys(("on", "true", "yes", "y", "t", "1"), True),
    **dict.fromkeys(("off", "false", "no", "n", "f", "0", ""), False),
}
_DAYS = [MinValueValidator(FIRST_DAY), MaxValueValidator(LAST_DAY)]
# As browsers and programs send them: read in the reader's language, 03/02 would be two days.
_DAY_FORMATS = ["%Y-%m-%d"]


class _Tick(forms.CheckboxInput):
    """A box to tick that reads yes and no as programs write them, and hands on what is neither."""

    def value_from_datadict(self, data: Any, files: Any, name: str) -> Any:
        """True, False, or the text that means nothing."""
        text = data.get(name, "")
        return _YES_OR_NO.get(text.strip().lower(), text) if isinstance(text, str) else bool(text)

    def format_value(self, value: Any) -> str | None:
        """A ticked box is sent as every browser does it, whatever stood in the address."""
        return None


class _YesOrNo(forms.BooleanField):
    """A yes or no in an address; other words are an error, where Django takes them for a yes."""

    widget = _Tick

    def to_python(self, value: Any) -> bool:
        """The value, or a word on what is wrong."""
        if isinstance(value, str):
            raise ValidationError(_("Write true or false."), code="invalid")
        return bool(value)


class FilterForm(forms.Form):
    """Every field may be missing. A value that means nothing is an error, and the rest still counts."""

    q = forms.CharField(
        label=_("Patient or title"),
        max_length=120,
        required=False,
        widget=forms.TextInput(attrs={"type": "search", "placeholder": _("Beginnings of words are enough")}),
    )
    state = forms.ChoiceField(
        label=_("Show"), required=False, choices=[(state, _STATE_WORDS[state]) for state in STATES]
    )
    kind = forms.ChoiceField(
        label=_("Kind of picture"), required=False, choices=[("", _("All kinds")), *Case.Kind.choices]
    )
    opened_from = forms.DateField(
        label=_("Opened from"),
        required=False,
        validators=_DAYS,
        input_formats=_DAY_FORMATS,
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
    )
    opened_to = forms.DateField(
        label=_("Opened until"),
        required=False,
        validators=_DAYS,
        input_formats=_DAY_FORMATS,
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
    )
    unread = _YesOrNo(label=_("Only with news"), required=False)
    level = forms.ChoiceField(
        required=False, choices=[("", ""), *((level, level) for level in RANKS)], widget=forms.HiddenInput()
    )
    patient = forms.UUIDField(required=False, widget=forms.HiddenInput())

    def clean(self) -> dict[str, Any]:
        """The days in their order."""
        cleaned = super().clean() or self.cleaned_data
        first, last = cleaned.get("opened_from"), cleaned.get("opened_to")
        if first and last and first > last:
            self.add_error("opened_to", _("This day is before the first one."))
        return cleaned

    def filters(self) -> Filters:
        """What was asked for; a field with an error leaves nothing out."""
        self.is_valid()
        given = {name: value for name, value in self.cleaned_data.items() if value}
        return Filters(**given)


def query_of(wanted: Filters, yes: str = "on") -> str:
    """The filters as a query string that `FilterForm` reads back; what leaves nothing out is not in it.

    `yes` is how a yes is written: as a form sends it, and as saved views hold it, unless told otherwise.
    """
    plain = Filters()
    values = {name: getattr(wanted, name) for name in Filters.__dataclass_fields__}
    said = {name: value for name, value in values.items() if value != getattr(plain, name)}
    return urlencode({name: yes if value is True else str(value) for name, value in said.items()})


class ViewForm(forms.ModelForm[WorklistView]):
    """The name of a saved view."""

    class Meta:
        model = WorklistView
        fields = ["name"]
        labels = {"name": _("Name of the view")}
