"""The second reader: a doctor asks another one to read a scan without seeing what the first wrote.

Being asked is an empty draft in the second seat. As long as it stands, `reviews.is_blind` keeps the first
reader's review from them; throwing the draft away declines.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from django.db import IntegrityError, transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.urls import reverse
from django.utils.translation import gettext as _

from accounts.models import CareRelationship, User
from accounts.notices import tell
from accounts.services import log_access
from cases.models import Review, ReviewVerdict, Scan
from cases.reviews import Seat, Status, hold_for_review, may_review, newest_answer_id, reader_name
from cases.selectors import visible_scans
from pmi_site.errors import UserError

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser

ASKED = "second_reading_asked"


def possible(user: User, scan: Scan) -> list[User]:
    """Whom `user` may ask: verified doctors who may read the scan now and have written nothing about it.

    `user` is among them only while nobody has signed, since they could have seen it otherwise.
    """
    grants = CareRelationship.objects.active().filter(
        Q(case__isnull=True) | Q(case=scan.case_id), patient=scan.case.patient_id, doctor=OuterRef("pk")
    )
    wrote = Review.objects.filter(scan=scan, reader=OuterRef("pk"))
    found = User.objects.filter(
        Exists(grants), ~Exists(wrote), is_active=True, doctor_profile__verified_at__isnull=False
    ).order_by("full_name", "pk")
    if Review.objects.filter(scan=scan).exclude(status=Status.DRAFT).exists():
        found = found.exclude(pk=user.pk)
    return list(found)


def asked(scan: Scan) -> Review | None:
    """The second reading that is under way: somebody was asked, has not signed, and may still look."""
    drafts = Review.objects.filter(scan=scan, seat=Seat.SECOND, status=Status.DRAFT, previous__isnull=True)
    found = drafts.select_related("reader")
    return next((draft for draft in found if draft.reader and may_review(draft.reader, scan)), None)


def is_taken(scan: Scan) -> bool:
    """Whether there is a second reader already, signed or asked."""
    signed = Review.objects.filter(scan=scan, seat=Seat.SECOND).exclude(status=Status.DRAFT)
    return signed.exists() or asked(scan) is not None


def ask(user: User, scan: Scan, doctor_id: uuid.UUID | str) -> Review:
    """Ask a doctor (or take it on oneself) to read the scan as second, blind reader.

    Raises PermissionDenied or Http404 for who may not review, UserError ``not_read``, ``second_exists`` and
    ``not_possible``.
    """
    try:
        with transaction.atomic():
            hold_for_review(user, scan)
            newest = newest_answer_id(scan.pk)
            if newest is None:
                raise UserError("not_read", _("This scan has no finished reading yet."))
            if is_taken(scan):
                raise UserError("second_exists", _("This scan has a second reader already."))
            doctor = next((one for one in possible(user, scan) if str(one.pk) == str(doctor_id)), None)
            if doctor is None:
                raise UserError(
                    "not_possible",
                    _("This doctor cannot be the second reader: the patient must let them look at the scan, "
                      "and they must not have written about it."),
                )  # fmt: skip
            draft = Review.objects.create(
                scan=scan,
                seat=Seat.SECOND,
                reader=doctor,
                reader_name=reader_name(doctor),
                analysis_id=newest,
            )
            if doctor.pk != user.pk:
                tell(doctor.pk, ASKED, reverse("inference:review", args=[scan.case_id, scan.pk]))
    except IntegrityError as error:
        raise UserError("second_exists", _("This scan has a second reader already.")) from error
    log_access(user, "ask_second_reader", scan)
    return draft


def in_disagreement(user: User | AnonymousUser) -> QuerySet[Scan]:
    """The scans `user` may read whose two signed readers differ, the newest signature first."""
    first = Review.objects.filter(scan=OuterRef("pk"), seat=Seat.FIRST, status=Status.SIGNED)
    second = Review.objects.filter(scan=OuterRef("scan"), seat=Seat.SECOND, status=Status.SIGNED)
    other_level = first.filter(Exists(second.exclude(danger_level=OuterRef("danger_level"))))
    theirs = ReviewVerdict.objects.filter(
        review__scan=OuterRef("review__scan"),
        review__seat=Seat.SECOND,
        review__status=Status.SIGNED,
        label=OuterRef("label"),
    ).exclude(verdict=OuterRef("verdict"), right_condition=OuterRef("right_condition"))
    other_verdict = ReviewVerdict.objects.filter(
        Exists(theirs), review__scan=OuterRef("pk"), review__seat=Seat.FIRST, review__status=Status.SIGNED
    )
    return (
        visible_scans(user)
        .filter(Exists(other_level) | Exists(other_verdict))
        .filter(reviews__seat=Seat.SECOND, reviews__status=Status.SIGNED)
        .annotate(second_signed_at=F("reviews__signed_at"))
        .select_related("case", "case__patient")
        .order_by("-second_signed_at", "-id")
    )
