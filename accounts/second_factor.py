"""The second step of signing in: who needs one, and whether this session has taken it.

Doctors, administrators and everybody who may use the admin need a second step (a code from an app, a passkey
or a recovery code). allauth asks for it at every sign-in of an account that has one; this module says when an
account must have one, and `accounts.middleware` keeps everybody else out of what it protects.
"""

from typing import Any

from allauth.account.authentication import get_authentication_records
from allauth.account.internal.flows.login import record_authentication
from allauth.mfa.models import Authenticator
from django.contrib.auth.models import AnonymousUser
from django.db import transaction
from django.db.models import Exists, OuterRef
from django.http import HttpRequest
from django.urls import reverse
from django.utils.translation import gettext as _

from accounts import notices, services, sessions, sign_in
from accounts.models import Role, User
from accounts.services import log_access
from pmi_site.errors import UserError

# Recovery codes alone are no second step: they only stand in for one.
FACTORS = (Authenticator.Type.TOTP, Authenticator.Type.WEBAUTHN)


def is_required(user: User | AnonymousUser) -> bool:
    """Whether this account may not be used without a second step."""
    return isinstance(user, User) and (user.is_staff or user.role in (Role.DOCTOR, Role.ADMIN))


def is_set_up(user: User) -> bool:
    """Whether the account has an app or a passkey."""
    return Authenticator.objects.filter(user=user, type__in=FACTORS).exists()


def set_up_for(user: str) -> Exists:
    """`is_set_up` as an expression in a query; `user` is the field that leads to the account."""
    return Exists(Authenticator.objects.filter(user=OuterRef(user), type__in=FACTORS))


def is_proven(request: HttpRequest) -> bool:
    """Whether whoever holds this session has taken the second step in it. Asks no database."""
    if not isinstance(request.user, User):
        return False
    return any(record.get("method") == "mfa" for record in get_authentication_records(request, request.user))


def note_proof(request: HttpRequest, authenticator: Authenticator) -> None:
    """Whoever has just set an authenticator up has shown that they hold it."""
    if isinstance(request.user, User) and authenticator.type in FACTORS:
        record_authentication(
            request, request.user, "mfa", id=authenticator.pk, type=str(authenticator.type), set_up=True
        )


def reset(user: User, by: User) -> None:
    """Take every second step off the account of somebody who lost theirs, and sign them out everywhere.

    Raises UserError unless `by` is another administrator: who may do it for themselves needs no second step.
    """
    if by.role != Role.ADMIN or not by.is_active or by.pk == user.pk:
        raise UserError("not_allowed", _("Only another administrator can take a second step off."))
    with transaction.atomic():
        Authenticator.objects.filter(user=user).delete()
        sessions.end_all(user.pk)
        services.end_tokens(user)
        log_access(by, "reset_second_factor", user)
        notices.tell(user.pk, "second_factor_reset", reverse("mfa_index"))


def on_failed(sender: Any, user: User, **rest: Any) -> None:
    """Receiver of allauth's `authentication_failed`."""
    sign_in.note_wrong_code(user)


def on_added(
    sender: Any, request: HttpRequest, user: User, authenticator: Authenticator, **rest: Any
) -> None:
    """Receiver of allauth's `authenticator_added`.

    With the first second step, sessions that began with a password alone end: whoever holds them may have
    nothing but the password.
    """
    note_proof(request, authenticator)
    factors = Authenticator.objects.filter(user=authenticator.user, type__in=FACTORS)
    if authenticator.type in FACTORS and factors.count() == 1:
        sessions.end_others(request, authenticator.user)
