"""Telling people that something is new: a line on their notices page, and a mail that says only that.

A mail travels unprotected and may be read by others, so it never says what is new, about whom, or from whom.
"""

import logging
from datetime import timedelta
from uuid import UUID

from celery.exceptions import SoftTimeLimitExceeded
from django.conf import settings
from django.core.mail import send_mail
from django.db import transaction
from django.db.models import Q, QuerySet
from django.urls import reverse
from django.utils import timezone, translation
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, gettext_noop

from accounts.models import User
from accounts.notice_models import Notice

logger = logging.getLogger(__name__)

# Every kind of notice with its words. Apps above add theirs in `apps.py`:
# `NOTICE_TEXTS["review_signed"] = gettext_lazy("...")`. Plain words, no medical detail.
NOTICE_TEXTS: dict[str, str | Promise] = {
    "care_invited": gettext_lazy("A patient invites you to look at their scans."),
    "care_accepted": gettext_lazy("A doctor accepted your invitation and can now look at your scans."),
    "care_declined": gettext_lazy("A doctor declined your invitation."),
    "care_code_used": gettext_lazy("A doctor used your code and can now look at your scans."),
    "care_requested": gettext_lazy("A doctor asks to look at your scans. You decide."),
    "care_request_accepted": gettext_lazy("A patient said yes: you can now look at their scans."),
    "care_request_declined": gettext_lazy("A patient said no to your request."),
    "care_ended": gettext_lazy("A patient has stopped sharing with you."),
    "care_given_back": gettext_lazy("A doctor no longer looks at your scans and gave the access back."),
    "emergency_access": gettext_lazy(
        "A doctor opened your cases in an emergency, without asking you first. See who and why."
    ),
    "new_device": gettext_lazy(
        "Somebody signed in to your account on a new device. If it was not you, sign it out and change your "
        "password."
    ),
    "many_failures": gettext_lazy(
        "Somebody typed a wrong password for your account several times. They did not get in."
    ),
    "wrong_codes": gettext_lazy(
        "Somebody who knows your password typed wrong codes for the second step. If it was not you, change "
        "your password now."
    ),
    "tokens_ended": gettext_lazy(
        "Your password is new, so your API tokens were ended. Make new ones for the programs that need them."
    ),
    "second_factor_reset": gettext_lazy(
        "An administrator took the second step off your account. If you did not ask for it, tell us."
    ),
    "licence_declined": gettext_lazy("We could not verify your licence. See why, and correct it."),
    "licence_verified": gettext_lazy(
        "Your licence is verified. You can now use everything that PMI offers doctors."
    ),
    "licence_withdrawn": gettext_lazy(
        "Your licence is no longer verified. You cannot see any patient's scans at the moment."
    ),
}
# Kinds that are mailed even to people who switched mails off: what they must learn for their own safety.
ALWAYS_MAILED = {
    "emergency_access",
    "new_device",
    "many_failures",
    "wrong_codes",
    "tokens_ended",
    "second_factor_reset",
}
MAIL_SUBJECT = gettext_noop("There is something new in PMI")


def text_of(kind: str) -> str:
    """The words of a kind; of one that no longer exists, that something is new."""
    return str(NOTICE_TEXTS.get(kind) or _("There is something new."))


def tell(user_id: UUID, kind: str, link: str = "") -> None:
    """Write a notice for a person and, on commit, mail them that there is one.

    `link` is a path of this site ("/cases/..."). Raises ValueError for an unknown kind or a link that leads
    off the site: both are mistakes of the code, not of a person.
    """
    if kind not in NOTICE_TEXTS:
        raise ValueError(f"No such kind of notice: {kind}. Add its words to NOTICE_TEXTS.")
    if link and (not link.startswith("/") or link.startswith("//")):
        raise ValueError("A notice can only lead to a page of this site.")
    notice = Notice.objects.create(user_id=user_id, kind=kind, link=link)
    from accounts.tasks import mail_notice

    # Not the caller's problem: what they did is done, and the notice is on the page.
    transaction.on_commit(lambda: mail_notice.delay(str(notice.pk)), robust=True)


def mail(notice_id: UUID | str) -> bool:
    """Send the mail of a notice once; False when there is nothing to send. A worker calls this."""
    notice = Notice.objects.select_related("user").filter(pk=notice_id, mailed_at__isnull=True).first()
    if notice is None or notice.read_at is not None or not notice.user.is_active:
        return False
    if not notice.user.mail_notices and notice.kind not in ALWAYS_MAILED:
        return False
    now = timezone.now()
    # Claimed before it is sent: two workers with the same message send one mail.
    if not Notice.objects.filter(pk=notice.pk, mailed_at__isnull=True).update(mailed_at=now):
        return False
    try:
        with translation.override(notice.user.language):
            send_mail(_(MAIL_SUBJECT), _mail_body(), settings.DEFAULT_FROM_EMAIL, [notice.user.email])
    except Exception:
        # Free again for the next try of the task.
        Notice.objects.filter(pk=notice.pk, mailed_at=now).update(mailed_at=None)
        raise
    return True


def _mail_body() -> str:
    return "\n\n".join(
        (
            _("There is something new in PMI. Sign in to see it."),
            settings.PMI_PUBLIC_URL + reverse("accounts:notices"),
            _("For your privacy this mail does not say what it is about."),
            _("You can switch these mails off on the page with your notices."),
        )
    )


def sweep() -> int:
    """Try again to mail what no worker was told of (the broker was away); how many mails went out."""
    now = timezone.now()
    waiting = Notice.objects.filter(
        mailed_at__isnull=True,
        read_at__isnull=True,
        created_at__lt=now - timedelta(minutes=5),
        created_at__gt=now - timedelta(days=1),
    ).filter(Q(user__mail_notices=True) | Q(kind__in=ALWAYS_MAILED), user__is_active=True)
    sent = 0
    for pk in list(waiting.values_list("pk", flat=True)[:100]):
        try:
            sent += mail(pk)
        except SoftTimeLimitExceeded:
            raise
        except Exception as error:
            # An address that takes no mail must not keep the others waiting.
            logger.error("Notice %s could not be mailed: %s", pk, type(error).__name__)
    return sent


def notices_of(user: User) -> QuerySet[Notice]:
    """A person's notices, newest first."""
    return Notice.objects.filter(user=user).order_by("-created_at", "-id")


def unread_count(user: User) -> int:
    """How many the person has not seen yet."""
    return Notice.objects.filter(user=user, read_at__isnull=True).count()


def mark_all_read(user: User) -> int:
    """Mark everything as seen; how many were not."""
    now = timezone.now()
    return Notice.objects.filter(user=user, read_at__isnull=True).update(read_at=now, updated_at=now)


def switch_mails(user: User, wanted: bool) -> None:
    """Whether notices are mailed to this person."""
    user.mail_notices = wanted
    user.save(update_fields=["mail_notices", "updated_at"])
