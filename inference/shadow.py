"""Versions on trial: they read what the active version has read, and nobody but administrators sees it.

This is the only module that reads or writes `ShadowReading`. A shadow reading makes no finding, no heatmap,
no embedding, no danger level, no notice and no line in a record; it is left out of exports and goes with its
scan. It waits while any scan waits for its real reading.
"""

from __future__ import annotations

import functools
import logging
import uuid
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.consents import care_is_withdrawn
from inference.models import Analysis, ModelUse, ModelVersion, ShadowReading
from pmi_site.errors import UserError

if TYPE_CHECKING:
    from accounts.models import User
    from inference.reading import Reading

logger = logging.getLogger(__name__)

LEASE = timedelta(minutes=10)
MAX_ATTEMPTS = 2
_PER_SWEEP = 30
State = ShadowReading.State


@dataclass(frozen=True)
class ShadowClaim:
    """The right to write one shadow reading, as long as its attempt is the current one."""

    id: uuid.UUID
    analysis_id: uuid.UUID
    version: ModelVersion
    attempt: int


# --- on and off ---------------------------------------------------------------------------------------------


def start(version: ModelVersion, by: User | None = None) -> None:
    """Lets a version read beside the active one from now on; another one of its kind stops.

    Raises UserError for the gate, for the active version, and where no version of the kind is active.
    """
    if version.kind == "gate":
        raise UserError(
            "no_shadow", _("The image type check decides who reads, so it cannot run in the shadow.")
        )
    with transaction.atomic():
        rows = list(ModelVersion.objects.select_for_update().filter(kind=version.kind).order_by("pk"))
        active = next((row for row in rows if row.is_active), None)
        if active is None or active == version:
            raise UserError("no_shadow", _("There is no other active version that it could run beside."))
        others = [row for row in rows if row.is_shadow and row != version]
        for other in others:
            _stop(other, by)
        now = timezone.now()
        changed = ModelVersion.objects.filter(pk=version.pk, is_shadow=False).update(
            is_shadow=True, shadow_since=now, updated_at=now
        )
        if changed:
            ModelUse.objects.create(
                model_version=version, what=ModelUse.What.SHADOW_ON, replaced=active, by=by
            )


def stop(version: ModelVersion, by: User | None = None) -> bool:
    """Ends it; what was read so far stays for comparison. False where it did not run."""
    with transaction.atomic():
        list(ModelVersion.objects.select_for_update().filter(kind=version.kind).order_by("pk"))
        return _stop(version, by)


def _stop(version: ModelVersion, by: User | None) -> bool:
    changed = ModelVersion.objects.filter(pk=version.pk, is_shadow=True).update(
        is_shadow=False, shadow_since=None, updated_at=timezone.now()
    )
    if changed:
        ModelUse.objects.create(model_version=version, what=ModelUse.What.SHADOW_OFF, by=by)
        ShadowReading.objects.filter(model_version=version, state=State.QUEUED).delete()
    return bool(changed)


# --- asking -------------------------------------------------------------------------------------------------


def request_on_commit(analysis_id: uuid.UUID) -> None:
    """Asks for a shadow reading once the active version's answer is committed; never in its way."""
    transaction.on_commit(functools.partial(request, analysis_id), robust=True)


def request(analysis_id: uuid.UUID | str) -> ShadowReading | None:
    """A shadow reading of a finished reading, where a shadow version of its kind runs; one for each pair."""
    analysis = Analysis.objects.filter(pk=analysis_id, status=Analysis.Status.SUCCEEDED).first()
    if analysis is None:
        return None
    version = ModelVersion.objects.filter(kind=analysis.kind, is_shadow=True).first()
    if version is None:
        return None
    row, created = ShadowReading.objects.get_or_create(analysis=analysis, model_version=version)
    if created:
        _send(row.pk)
    return row


def _send(row_id: uuid.UUID) -> None:
    from inference.registry_tasks import read_in_shadow

    try:
        read_in_shadow.delay(str(row_id))
    except Exception as error:
        # The row is the truth: `sweep` sends it again.
        logger.error("Shadow reading %s could not be sent to a worker: %s", row_id, type(error).__name__)


def sweep() -> int:
    """Takes shadow readings from dead workers and sends what waits; how many were sent."""
    now = timezone.now()
    expired = ShadowReading.objects.filter(state=State.RUNNING, lease_expires_at__lt=now)
    expired.filter(attempt__gte=MAX_ATTEMPTS).update(
        state=State.FAILED, lease_expires_at=None, finished_at=now, updated_at=now
    )
    expired.update(state=State.QUEUED, lease_expires_at=None, updated_at=now)
    # A version that was promoted while its trial ran reads for real now.
    ShadowReading.objects.filter(state=State.QUEUED, model_version__is_shadow=False).delete()
    # Those sent a moment ago have a message under way.
    waiting = ShadowReading.objects.filter(
        state=State.QUEUED, model_version__is_shadow=True, updated_at__lt=now - timedelta(seconds=30)
    ).order_by("created_at")
    ids = [] if readings_wait() else list(waiting.values_list("pk", flat=True)[:_PER_SWEEP])
    for row_id in ids:
        ShadowReading.objects.filter(pk=row_id, state=State.QUEUED).update(updated_at=now)
        _send(row_id)
    return len(ids)


def readings_wait() -> bool:
    """Whether a scan waits for its real reading: then no worker is spent on a shadow."""
    return Analysis.objects.filter(status=Analysis.Status.QUEUED).exists()


# --- reading ------------------------------------------------------------------------------------------------


def claim(row_id: uuid.UUID | str) -> ShadowClaim | None:
    """Takes a waiting shadow reading for this worker. None where it is not to be had, where real readings
    wait, or where it may not be done any more; then it is gone.
    """
    row = (
        ShadowReading.objects.select_related("analysis__scan__case", "model_version")
        .filter(pk=row_id, state=State.QUEUED)
        .first()
    )
    if row is None or readings_wait():
        return None
    if not row.model_version.is_shadow or care_is_withdrawn(row.analysis.scan.case.patient_id):
        row.delete()
        return None
    now = timezone.now()
    taken = ShadowReading.objects.filter(pk=row.pk, state=State.QUEUED).update(
        state=State.RUNNING, attempt=F("attempt") + 1, lease_expires_at=now + LEASE, updated_at=now
    )
    return ShadowClaim(row.pk, row.analysis_id, row.model_version, row.attempt + 1) if taken else None


def finish(held: ShadowClaim, reading: Reading) -> bool:
    """Writes what the shadow version says. False where the claim was lost or the scan is gone."""
    read = reading.status == "succeeded"
    return _end(
        held,
        State.DONE,
        refused="" if read else reading.reason_code,
        probabilities=reading.probabilities if read else {},
        calls={finding.label: finding.call for finding in reading.findings},
        timings_ms=reading.timings_ms,
    )


def fail(held: ShadowClaim) -> bool:
    """Ends a shadow reading that broke."""
    return _end(held, State.FAILED)


def give_back(held: ShadowClaim) -> bool:
    """Lets it be tried once more after a passing fault; the sweep sends it."""
    if held.attempt >= MAX_ATTEMPTS:
        return fail(held)
    return bool(_mine(held).update(state=State.QUEUED, lease_expires_at=None, updated_at=timezone.now()))


def _mine(held: ShadowClaim) -> QuerySet[ShadowReading]:
    return ShadowReading.objects.filter(pk=held.id, state=State.RUNNING, attempt=held.attempt)


def _end(held: ShadowClaim, state: str, **fields: object) -> bool:
    now = timezone.now()
    return bool(
        _mine(held).update(state=state, lease_expires_at=None, finished_at=now, updated_at=now, **fields)
    )


# --- for the comparison -------------------------------------------------------------------------------------


def readings_of(version: ModelVersion, against: ModelVersion | None = None) -> QuerySet[ShadowReading]:
    """The shadow readings of a version, newest first; `against` keeps those beside one active version."""
    beside = Q(analysis__model_version=against) if against else Q()
    return (
        ShadowReading.objects.filter(beside, model_version=version)
        .select_related("analysis")
        .order_by("-created_at")
    )
