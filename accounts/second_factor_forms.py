"""The forms of the second step."""

from typing import Any

from allauth.mfa import app_settings
from allauth.mfa.adapter import get_adapter
from allauth.mfa.base.forms import AuthenticateForm, ReauthenticateForm
from allauth.mfa.models import Authenticator
from allauth.mfa.webauthn.forms import AddWebAuthnForm
from django import forms
from django.core.cache import cache
from django.utils.translation import gettext_lazy as _

from accounts.models import User


class _CodeField(forms.Form):
    code = forms.CharField(
        label=_("Code"),
        max_length=32,
        widget=forms.TextInput(
            attrs={"autocomplete": "one-time-code", "inputmode": "numeric", "autofocus": True}
        ),
    )

    def clean_code(self) -> str:
        """A code of the app counts once in all the time that it could be used.

        allauth remembers a used code for one period; with a tolerance it is valid for longer than that.
        """
        code: str = super().clean_code()  # type: ignore[misc]
        authenticator: Authenticator = self.authenticator  # type: ignore[attr-defined]
        if authenticator.type == Authenticator.Type.TOTP:
            digits = "".join(letter for letter in code if letter.isdigit())
            seconds = app_settings.TOTP_PERIOD * (2 * app_settings.TOTP_TOLERANCE + 1)
            if not cache.add(f"pmi.totp.used:{authenticator.pk}:{digits}", "y", timeout=seconds):
                raise get_adapter().validation_error("incorrect_code")
        return code


class CodeForm(_CodeField, AuthenticateForm):
    """A code at sign-in: from the app, or a recovery code."""


def use_code(user: User, code: str) -> list[str]:
    """Use a code up outside of a page; returns what is wrong with it, nothing when it is right."""
    form_class: Any = CodeForm
    form = form_class(data={"code": code}, user=user)
    if not form.is_valid():
        return [str(error) for error in form.errors["code"]]
    form.authenticator.record_usage()
    return []


class ConfirmCodeForm(_CodeField, ReauthenticateForm):
    """A code to confirm that it is still the same person."""


class AddPasskeyForm(AddWebAuthnForm):
    """A new passkey; unless one asks otherwise it opens the account without a password."""

    name = forms.CharField(label=_("Name of this passkey"), max_length=60, required=False)
    passwordless = forms.BooleanField(
        label=_("Sign me in with this passkey alone, without my password"),
        help_text=_("Your device then asks for your finger, your face or its PIN. Old keys cannot do that."),
        required=False,
        initial=True,
    )
    field_order = ["name", "passwordless", "credential"]
