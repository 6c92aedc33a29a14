"""What this app does when something happens elsewhere: a stored scan is read; files follow their rows."""

from __future__ import annotations

import functools
import uuid
from typing import Any

from django.db import transaction
from django.db.models.signals import post_delete
from django.dispatch import receiver

from cases.signals import scan_stored
from inference.heatmaps import remove_analysis_files
from inference.models import Analysis


@receiver(scan_stored, dispatch_uid="inference.read_stored_scan")
def read_stored_scan(sender: Any, scan_id: uuid.UUID, **kwargs: Any) -> None:
    """Asks for a reading of every scan that was stored."""
    from inference.services import request_analysis

    request_analysis(scan_id)


@receiver(post_delete, sender=Analysis, dispatch_uid="inference.remove_heatmaps")
def remove_heatmaps(sender: type[Analysis], instance: Analysis, using: str, **kwargs: Any) -> None:
    """Removes the heatmaps of a deleted analysis once the deletion is committed."""
    transaction.on_commit(functools.partial(remove_analysis_files, instance.pk), using=using, robust=True)
