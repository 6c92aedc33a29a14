"""Telling patients that there is something new about their scans."""

from __future__ import annotations

import functools
import uuid

from django.core.cache import cache
from django.db import transaction
from django.urls import reverse

from accounts.notices import tell
from inference.models import Analysis
from inference.release import released_to

READY = "reading_ready"
QUIET_SECONDS = 600


def reading_ended(analysis_id: uuid.UUID) -> None:
    """Tell the patient on commit that a reading has ended. A notice that fails costs nobody the reading."""
    transaction.on_commit(functools.partial(tell_reading_ready, analysis_id), robust=True)


def tell_reading_ready(analysis_id: uuid.UUID) -> bool:
    """Tell the patient that a reading has ended, if it is released to them. Whether they were told.

    Once for a case within ten minutes: a CD full of scans is no reason for a hundred mails.
    """
    analysis = Analysis.objects.select_related("scan__case__patient").filter(pk=analysis_id).first()
    if analysis is None:
        return False
    case = analysis.scan.case
    if not released_to(case.patient, analysis) or not cache.add(f"told-{READY}-{case.pk}", 1, QUIET_SECONDS):
        return False
    tell(case.patient_id, READY, reverse("cases:detail", args=[case.pk]))
    return True
