"""Where allauth asks PMI."""

from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
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

    def get_signup_redirect_url(self, request: HttpRequest) -> str:
        """The first visit, after the address is confirmed, begins where later ones do."""
        return self.get_login_redirect_url(request)
