"""Where allauth asks PMI."""

import time
from typing import Any

from allauth.account import app_settings
from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.authentication import get_authentication_records
from allauth.core import context
from django.http import HttpRequest
from django.urls import reverse

from accounts import selectors
from accounts.models import Role, User


class AccountAdapter(DefaultAccountAdapter):
    """Writes the name at sign-up and sends each role to its first page."""

    def save_user(self, request: HttpRequest, user: User, form: Any, commit: bool = True) -> User:
        """Put the form's values on the user; allauth saves the address and password."""
        user.full_name = form.cleaned_data.get("full_name", "").strip()
        saved: User = super().save_user(request, user, form, commit)
        return saved

    def get_login_redirect_url(self, request: HttpRequest) -> str:
        """The admin for administrators, the worklist for doctors (the waiting page while nobody has verified
        them), else the cases.
        """
        user = request.user
        if isinstance(user, User):
            if user.role == Role.ADMIN and user.is_staff:
                return reverse("admin:index")
            if user.role == Role.DOCTOR:
                verified = selectors.is_verified_doctor(user)
                return reverse("cases:worklist" if verified else "accounts:waiting")
        return reverse("cases:list")

    def is_reauthentication_required(self, *, app: str, **kwargs: Any) -> bool:
        """Not of somebody who has shown who they are in the last minutes, also by signing in just now."""
        required: bool = super().is_reauthentication_required(app=app, **kwargs)
        request = context.request
        if not required or request is None:
            return required
        records = get_authentication_records(request, request.user)
        newest = max((record["at"] for record in records), default=0.0)
        return bool(time.time() - newest > app_settings.REAUTHENTICATION_TIMEOUT)

    def get_signup_redirect_url(self, request: HttpRequest) -> str:
        """The first visit, after the address is confirmed, begins where later ones do."""
        return self.get_login_redirect_url(request)
