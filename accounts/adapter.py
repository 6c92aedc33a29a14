"""Where allauth asks PMI."""

from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from django.http import HttpRequest

from accounts.models import User


class AccountAdapter(DefaultAccountAdapter):
    """Writes the name at sign-up."""

    def save_user(self, request: HttpRequest, user: User, form: Any, commit: bool = True) -> User:
        """Put the form's values on the user; allauth saves the address and password."""
        user.full_name = form.cleaned_data.get("full_name", "").strip()
        saved: User = super().save_user(request, user, form, commit)
        return saved
