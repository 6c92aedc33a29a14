"""Follow-ups: every read and write of them, and their reminders."""

from __future__ import annotations

import uuid
from datetime import date, timedelta
from typing import TYPE_CHECKING

from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.http import Http404
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.notices import tell
from cases.models import Case, FollowUp
from cases.selectors import blind_readings, may_write, visible_cases
from pmi_site.errors import UserError

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser

    from accounts.models import User

MOST_OPEN = 50  # in one case
MOST_REMINDERS = 2
REMIND_AGAIN = timedelta(days=7)
FURTHEST = timedelta(days=5 * 366)


def visible_follow_ups(user: User | AnonymousUser) -> QuerySet[FollowUp]:
    """Follow-ups of the cases the user may read, the earliest due first.

    A blind second reader does not see what another doctor set for the case.
    """
    found = FollowUp.objects.filter(case__in=visible_cases(user)).select_related("case")
    own = Q(created_by=F("case__patient")) | Q(created_by=user.pk)
    return found.filter(own | ~Q(case__in=blind_readings(user).values("scan__case")))


def own_follow_up(user: User | AnonymousUser, follow_up_id: uuid.UUID) -> FollowUp:
    """One follow-up to change. Raises Http404 when the user may not know of it, PermissionDenied when they
    may only read it.
    """
    found = visible_follow_ups(user).filter(pk=follow_up_id).first()
    if found is None:
        raise Http404("No such follow-up.")
    if not may_write(user, found.case):
        raise PermissionDenied(_("You can look at this case, but only the patient can change it."))
    return found


def add(case: Case, user: User, *, due_on: date, text: str) -> FollowUp:
    """A follow-up that somebody who may change the case sets for themselves. Raises UserError."""
    today = timezone.localdate()
    if not today <= due_on <= today + FURTHEST:
        raise UserError("bad_date", _("Please choose a day from today on, at most five years ahead."))
    if not text.strip():
        raise UserError("no_text", _("Please write what you want to be reminded of."))
    if FollowUp.objects.filter(case=case, done_at__isnull=True).count() >= MOST_OPEN:
        raise UserError("too_many", _("This case has many open reminders. Mark some as done first."))
    return FollowUp.objects.create(case=case, created_by=user, due_on=due_on, text=text.strip()[:500])


def mark_done(follow_up: FollowUp, done: bool = True) -> None:
    """Mark as done, or open again."""
    now = timezone.now()
    FollowUp.objects.filter(pk=follow_up.pk, done_at__isnull=done).update(
        done_at=now if done else None, updated_at=now
    )


def remove(follow_up: FollowUp) -> None:
    """Delete a follow-up that the patient set. Raises UserError for one that a doctor set: it can be marked
    as done, but what a doctor advised stays on record.
    """
    if follow_up.is_from_doctor:
        raise UserError("not_yours", _("A doctor set this one. You can mark it as done, but not delete it."))
    follow_up.delete()


def remind_due() -> int:
    """Tell patients of follow-ups whose day has come: on the day, and once more a week later while they are
    open. Each reminder is a compare-and-swap, so that two runs never send it twice. Returns how many.
    """
    today = timezone.localdate()
    due = FollowUp.objects.filter(
        Q(reminded_on__isnull=True) | Q(reminded_on__lte=today - REMIND_AGAIN),
        done_at__isnull=True,
        due_on__lte=today,
        reminders__lt=MOST_REMINDERS,
        case__patient__is_active=True,
    ).values_list("pk", "reminders", "case__patient_id")
    sent = 0
    for pk, reminders, patient_id in due.iterator(chunk_size=500):
        with transaction.atomic():
            changed = FollowUp.objects.filter(pk=pk, reminders=reminders, done_at__isnull=True).update(
                reminders=F("reminders") + 1, reminded_on=today, updated_at=timezone.now()
            )
            if changed:
                tell(patient_id, "follow_up_due", reverse("inference:record") + "#follow-ups")
                sent += 1
    return sent
