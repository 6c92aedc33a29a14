"""Slowing down whoever guesses passwords or codes, without letting them lock the owner out.

Wrong tries are counted three ways, in the cache that all processes share:

- for an account and a network together (allauth's `login_failed`, five in five minutes): whoever guesses from
  elsewhere does not touch the owner's own tries;
- for a network alone (allauth, twenty a minute): one address cannot try many accounts;
- for an account, from all devices that never signed in to it (fifty in an hour): many addresses together get
  no further. A browser that has signed in before carries a signed cookie and is counted on its own, so the
  owner gets in while others are shut out. A passkey always opens a way.
"""

import hashlib
import logging
import secrets
from uuid import UUID

from allauth.core.internal.ratelimit import get_ip
from django.conf import settings
from django.core import signing
from django.core.cache import cache
from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from accounts import notices, services
from accounts.models import User
from pmi_site.misses import Misses

logger = logging.getLogger(__name__)
COOKIE = "pmi_device"
COOKIE_AGE = 365 * 24 * 3600
_SALT = "pmi.device"
_MOST_ACCOUNTS = 10
STRANGERS = Misses("sign-in-stranger", most=50, seconds=3600)
# After so many the owner is told, once a day.
TOLD_AFTER = Misses("sign-in-told", most=5, seconds=3600)
CODES_TOLD_AFTER = Misses("sign-in-code-told", most=3, seconds=3600)
_DAY = 24 * 3600


def _name(email: str) -> str:
    return hashlib.sha256(f"{_SALT}:{email.strip().lower()}".encode()).hexdigest()[:24]


def _devices(request: HttpRequest) -> dict[str, str]:
    try:
        found = signing.loads(request.COOKIES.get(COOKIE, ""), salt=_SALT, max_age=COOKIE_AGE)
    except signing.BadSignature:
        return {}
    return found if isinstance(found, dict) else {}


def is_known(request: HttpRequest, email: str) -> bool:
    """Whether this browser has signed in to the account before."""
    return _name(email) in _devices(request)


def source_of(request: HttpRequest, email: str) -> str:
    """Where a try comes from: a known browser, or else a network."""
    return _devices(request).get(_name(email)) or get_ip(request)


def remember(request: HttpRequest, response: HttpResponse, email: str) -> None:
    """Give the browser the cookie by which it is known the next time."""
    devices = _devices(request)
    devices.setdefault(_name(email), secrets.token_urlsafe(12))
    kept = dict(list(devices.items())[-_MOST_ACCOUNTS:])
    response.set_cookie(
        COOKIE,
        signing.dumps(kept, salt=_SALT),
        max_age=COOKIE_AGE,
        httponly=True,
        samesite="Lax",
        secure=settings.SESSION_COOKIE_SECURE,
    )


def must_wait(request: HttpRequest, email: str) -> bool:
    """Whether strangers have tried this account too often; known browsers never have to wait for them."""
    waits = not is_known(request, email) and STRANGERS.too_many(_name(email))
    if waits:
        logger.warning("sign-in: an account is shut to unknown devices for a while")
    return waits


def note_wrong_password(request: HttpRequest, email: str) -> None:
    """Count a wrong password, and tell the owner when there were many."""
    logger.info("sign-in: wrong address or password")
    if not is_known(request, email):
        STRANGERS.note(_name(email))
    TOLD_AFTER.note(_name(email))
    if TOLD_AFTER.too_many(_name(email)):
        owner = User.objects.filter(email=email.strip().lower(), is_active=True).first()
        if owner is not None:
            _tell_once_a_day(owner.pk, "many_failures")


def note_wrong_code(user: User) -> None:
    """Count a wrong code: whoever sends it knows the password."""
    logger.info("sign-in: wrong code")
    CODES_TOLD_AFTER.note(str(user.pk))
    if CODES_TOLD_AFTER.too_many(str(user.pk)):
        _tell_once_a_day(user.pk, "wrong_codes")


def note_sign_in(request: HttpRequest, user: User, *, first: bool) -> None:
    """Tell the owner of a sign-in from a browser that was never seen with this account."""
    if not first and not is_known(request, user.email):
        notices.tell(user.pk, "new_device", reverse("usersessions_list"))


def on_new_password(sender: object, user: User, **kwargs: object) -> None:
    """End the API tokens: whoever had the old password may have made one. allauth ends the other sessions."""
    services.end_tokens(user)


def on_saved_password(sender: type[User], instance: User, created: bool, **kwargs: object) -> None:
    """The same where an administrator, or the command line, sets the password: those send no signal of their
    own.
    """
    # Set by `set_password`, and taken away again where only the hash was made anew.
    if not created and getattr(instance, "_password", None) is not None:
        services.end_tokens(instance)


def _tell_once_a_day(user_id: UUID, kind: str) -> None:
    if cache.add(f"sign-in-told:{kind}:{user_id}", 1, timeout=_DAY):
        logger.warning("sign-in: many wrong tries, the owner is told")
        notices.tell(user_id, kind, reverse("usersessions_list"))
