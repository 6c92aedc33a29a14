"""Where allauth asks PMI."""

import time
from typing import Any

from allauth.account import app_settings
from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.authentication import get_authentication_records
from allauth.core import context
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from accounts import selectors, sign_in
from accounts.models import Role, User

SIGNED_IN_KEY = "pmi.signed_in"


class AccountAdapter(DefaultAccountAdapter):
    """Writes the name at sign-up and sends each role to its first page."""

    error_messages = {
        **DefaultAccountAdapter.error_messages,
        "too_many_login_attempts": _(
            "Too many wrong tries. Wait five minutes and try again; or use a passkey."
        ),
        "rate_limited": _("Too many tries. Please wait a few minutes and try again."),
    }

    def _get_login_attempts_cache_key(self, request: HttpRequest, **credentials: Any) -> str:
        """An account and where the try comes from, so that nobody elsewhere can use the owner's tries up."""
        key: str = super()._get_login_attempts_cache_key(request, **credentials)
        return f"{key}:{sign_in.source_of(request, credentials.get('email', ''))}"

    def pre_authenticate(self, request: HttpRequest, **credentials: Any) -> None:
        """Raises ValidationError for whoever has to wait."""
        if sign_in.must_wait(request, credentials.get("email", "")):
            raise self.validation_error("too_many_login_attempts")
        super().pre_authenticate(request, **credentials)

    def authentication_failed(self, request: HttpRequest, **credentials: Any) -> None:
        """Counts; nothing of what was typed goes into a log."""
        sign_in.note_wrong_password(request, credentials.get("email", ""))

    def login(self, request: HttpRequest, user: User) -> None:
        """Notes the sign-in, which is complete here, whatever its steps were."""
        first = user.last_login is None
        super().login(request, user)
        request.session[SIGNED_IN_KEY] = time.time()
        sign_in.note_sign_in(request, user, first=first)

    def post_login(self, request: HttpRequest, user: User, **kwargs: Any) -> HttpResponse:
        """Makes the browser known."""
        response: HttpResponse = super().post_login(request, user, **kwargs)
        sign_in.remember(request, response, user.email)
        return response

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
        # A sign-in that ends with the confirmed address leaves no record of its own.
        newest = max((record["at"] for record in records), default=request.session.get(SIGNED_IN_KEY, 0.0))
        return bool(time.time() - newest > app_settings.REAUTHENTICATION_TIMEOUT)

    def get_signup_redirect_url(self, request: HttpRequest) -> str:
        """The first visit, after the address is confirmed, begins where later ones do."""
        return self.get_login_redirect_url(request)
