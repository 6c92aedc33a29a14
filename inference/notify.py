"""Telling patients that there is something new about their scans."""

from __future__ import annotations

import functools
import uuid

from django.core.cache import cache
from django.db import transaction
from django.urls import reverse

from accounts.notices import tell
from cases.models import Review
from cases.reviews import disagreements, signed_review
from cases.selectors import visible_scans
from inference.models import Analysis
from inference.release import released_to, waits_for_doctor

READY = "reading_ready"
HELD = "reading_held"
QUIET_SECONDS = 600


def reading_ended(analysis_id: uuid.UUID) -> None:
    """Tell the patient on commit that a reading has ended. A notice that fails costs nobody the reading."""
    transaction.on_commit(functools.partial(tell_reading_ready, analysis_id), robust=True)


def tell_reading_ready(analysis_id: uuid.UUID) -> bool:
    """Tell the patient that a reading has ended, or that a doctor looks at it first. Whether they were told.

    Once for a case within ten minutes: a CD full of scans is no reason for a hundred mails.
    """
    analysis = Analysis.objects.select_related("scan__case__patient").filter(pk=analysis_id).first()
    if analysis is None:
        return False
    case = analysis.scan.case
    kind = READY if released_to(case.patient, analysis) else HELD
    if not cache.add(f"told-{kind}-{case.pk}", 1, QUIET_SECONDS):
        return False
    tell(case.patient_id, kind, reverse("cases:detail", args=[case.pk]))
    return True


def _tell_readers(review: Review) -> None:
    """Two readers who differ learn of it; whoever has just signed sees it on the page."""
    if not disagreements(review.scan):
        return
    others = Review.objects.filter(scan=review.scan, status=Review.Status.SIGNED).exclude(pk=review.pk)
    link = reverse("inference:review", args=[review.scan.case_id, review.scan_id])
    for other in others.exclude(reader=None):
        if other.reader and visible_scans(other.reader).filter(pk=review.scan_id).exists():
            tell(other.reader.pk, "readers_differ", link)


def tell_review_signed(review_id: uuid.UUID) -> bool:
    """Tell the patient that a doctor signed a review, changed one, or that a reading is shown to them now.

    Whether they were told: a second reader's signature changes nothing for the patient while the first's
    stands.
    """
    review = Review.objects.select_related("scan__case", "analysis").filter(pk=review_id).first()
    if review is None or review.status != Review.Status.SIGNED:
        return False
    _tell_readers(review)
    counts = signed_review(review.scan)
    if counts is None or counts.pk != review.pk:
        return False
    kind = "review_amended" if review.version > 1 else "review_signed"
    if review.version == 1 and review.analysis is not None and waits_for_doctor(review.analysis):
        kind = "reading_released"
    case = review.scan.case
    tell(case.patient_id, kind, reverse("inference:scan_result", args=[case.pk, review.scan_id]))
    return True
