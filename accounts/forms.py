"""Forms about people."""

from typing import Any

from django import forms
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from accounts import consents, services
from accounts.models import ConsentPurpose, DoctorProfile, Role, User
from accounts.selectors import is_verified_doctor


class SignupForm(forms.Form):
    """What PMI asks beside the address and password. allauth builds its sign-up form on top of this."""

    full_name = forms.CharField(
        label=_("Full name"), max_length=150, widget=forms.TextInput(attrs={"autocomplete": "name"})
    )
    role = forms.ChoiceField(
        label=_("I am here as a"),
        choices=[(Role.PATIENT, Role.PATIENT.label), (Role.DOCTOR, Role.DOCTOR.label)],
        initial=Role.PATIENT,
        widget=forms.RadioSelect,
    )
    licence_number = forms.CharField(label=_("Licence number"), max_length=64, required=False)
    licence_country = forms.CharField(label=_("Country of the licence"), max_length=64, required=False)
    agree_care = forms.BooleanField(
        label=_("PMI may keep my scans and read them. I can take this back at any time."), required=False
    )

    field_order = [
        "full_name",
        "email",
        "password1",
        "password2",
        "role",
        "licence_number",
        "licence_country",
    ]

    def clean(self) -> dict[str, Any]:
        """A doctor must name a licence, of a patient it is not kept; a patient must agree to care."""
        data = super().clean() or {}
        if data.get("role") == Role.PATIENT and not data.get("agree_care"):
            self.add_error("agree_care", _("PMI cannot work for you without this."))
        if data.get("role") == Role.DOCTOR:
            for name in ("licence_number", "licence_country"):
                if not data.get(name, "").strip():
                    self.add_error(name, _("A doctor's account needs this."))
        return data

    def signup(self, request: HttpRequest, user: User) -> None:
        """Called by allauth once the user is saved."""
        if self.cleaned_data["role"] == Role.DOCTOR:
            services.set_up_doctor(
                user,
                licence_number=self.cleaned_data["licence_number"].strip(),
                licence_country=self.cleaned_data["licence_country"].strip(),
            )
        else:
            consents.give_consent(user, ConsentPurpose.CARE)


class LicenceForm(forms.ModelForm[DoctorProfile]):
    """A doctor's licence, as they correct it."""

    class Meta:
        model = DoctorProfile
        fields = ["licence_number", "licence_country", "specialty"]


class TokenForm(forms.Form):
    """What the token is for."""

    name = forms.CharField(label=_("What is it for?"), max_length=60)


class AccountForm(forms.ModelForm[User]):
    """What a person may change about themselves. A doctor's name is checked with the licence, so a new one
    waits to be checked anew.
    """

    class Meta:
        model = User
        fields = ["full_name"]
        widgets = {"full_name": forms.TextInput(attrs={"autocomplete": "name"})}

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        if is_verified_doctor(self.instance):
            self.fields["full_name"].help_text = _(
                "If you change it, we check your licence again, and until then you cannot see patients' data."
            )
