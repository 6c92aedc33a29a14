"""Share links: every read and write of them. Who may look at a shared case is decided here and nowhere else.

A token is 256 random bits, so it cannot be guessed; a PIN has six digits, so it can be, and guessing it is
slowed down and then ended (`try_pin`). Tries of tokens that lead nowhere are counted per address
(`note_miss`), so that a machine that hunts for links is soon kept waiting.
"""

from __future__ import annotations

import enum
import functools
import hashlib
import secrets
import uuid
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from django.contrib.auth.hashers import check_password, make_password
from django.db import transaction
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.notices import tell
from accounts.services import log_access
from cases.models import Case
from cases.sharing_models import MOST_WRONG_PINS, ShareLink, ShareLinkQuerySet
from pmi_site.errors import UserError
from pmi_site.misses import Misses

if TYPE_CHECKING:
    from accounts.models import User

MOST_OPEN_LINKS = 10  # in one case
LONGEST_DAYS = 90
PIN_DIGITS = 6
_FREE_TRIES = 3
_FIRST_WAIT = timedelta(seconds=15)  # doubles with every further wrong PIN
_misses = Misses("share", most=10, seconds=60)


@dataclass(frozen=True)
class NewLink:
    """A link that was just made, with what is shown once and then forgotten."""

    link: ShareLink
    token: str
    pin: str


class Entry(enum.Enum):
    """What became of a PIN."""

    IN = "in"
    WRONG = "wrong"
    WAIT = "wait"
    GONE = "gone"


# --- the owner ---
def links_of(case: Case) -> ShareLinkQuerySet:
    """All links of a case, newest first; ended ones too."""
    return ShareLink.objects.filter(case=case)


def make_link(
    case: Case, user: User, *, days: int = 7, max_views: int | None = None, note: str = ""
) -> NewLink:
    """A new link to a case that `user` may change. Raises UserError when the case has too many open ones, or
    for an impossible duration or limit.
    """
    if not 1 <= days <= LONGEST_DAYS or (max_views is not None and not 1 <= max_views <= 1000):
        raise UserError("bad_share", _("A link can work for 1 to 90 days and for 1 to 1000 views."))
    open_links = [link for link in links_of(case).usable() if link.is_open]
    if len(open_links) >= MOST_OPEN_LINKS:
        raise UserError(
            "too_many_links",
            _("This case has many links that still work. Take one back before you make another."),
        )
    token, pin = secrets.token_urlsafe(32), f"{secrets.randbelow(10**PIN_DIGITS):0{PIN_DIGITS}d}"
    with transaction.atomic():
        link = ShareLink.objects.create(
            case=case,
            created_by=user,
            note=note.strip(),
            token_digest=digest_of(token),
            pin_hash=make_password(pin),
            expires_at=timezone.now() + timedelta(days=days),
            max_views=max_views,
        )
        log_access(user, "make_share_link", case)
    return NewLink(link, token, pin)


def revoke_link(case: Case, user: User, link_id: uuid.UUID) -> bool:
    """End a link of the case at once, for visitors who are in too; False when it has no such open link."""
    now = timezone.now()
    changed = ShareLink.objects.filter(pk=link_id, case=case, revoked_at__isnull=True).update(
        revoked_at=now, updated_at=now
    )
    if changed:
        log_access(user, "revoke_share_link", case)
    return bool(changed)


# --- the visitor ---
def digest_of(token: str) -> str:
    """What is stored of a token. A plain hash is enough: a token is random, not a password."""
    return hashlib.sha256(token.encode()).hexdigest()


def find(token: str) -> ShareLink | None:
    """The link of a token, unless it has ended or its patient's account is closed. A used-up link is found:
    whoever is in may stay (see `may_enter`).
    """
    return (
        ShareLink.objects.usable()
        .filter(token_digest=digest_of(token), case__patient__is_active=True)
        .select_related("case", "case__patient")
        .first()
    )


def try_pin(link_id: uuid.UUID, pin: str) -> Entry:
    """Try a PIN. Tries at one link come one after the other (row lock), so that none goes uncounted.

    The first wrong ones are free, then each costs twice the wait of the one before, and the tenth ends the
    link. A right PIN counts one view.
    """
    now = timezone.now()
    with transaction.atomic():
        link = ShareLink.objects.usable(now).select_for_update(of=("self",)).filter(pk=link_id).first()
        if link is None or link.is_used_up:
            return Entry.GONE
        if link.blocked_until is not None and link.blocked_until > now:
            return Entry.WAIT
        if not check_password(pin, link.pin_hash):
            _count_wrong(link)
            return Entry.GONE if link.failed_tries >= MOST_WRONG_PINS else Entry.WRONG
        first = link.first_viewed_at is None
        link.views += 1
        link.first_viewed_at = link.first_viewed_at or now
        link.last_viewed_at = now
        link.save(update_fields=["views", "first_viewed_at", "last_viewed_at", "updated_at"])
        case = Case.objects.get(pk=link.case_id)
        log_access(None, "open_share_link", case)
        if first:
            tell(case.patient_id, "share_opened", _page_of(case))
    return Entry.IN


def _count_wrong(link: ShareLink) -> None:
    link.failed_tries += 1
    beyond = link.failed_tries - _FREE_TRIES
    if beyond >= 0:
        link.blocked_until = timezone.now() + _FIRST_WAIT * 2**beyond
    link.save(update_fields=["failed_tries", "blocked_until", "updated_at"])
    if link.failed_tries >= MOST_WRONG_PINS:
        case = Case.objects.get(pk=link.case_id)
        transaction.on_commit(functools.partial(tell, case.patient_id, "share_locked", _page_of(case)))


def _page_of(case: Case) -> str:
    return reverse("cases:share", args=[case.pk])


def too_many_misses(address: str) -> bool:
    """Whether this address has asked for so many links that are not there that it has to wait."""
    return _misses.too_many(address)


def note_miss(address: str) -> None:
    """Count one link that is not there."""
    _misses.note(address)
