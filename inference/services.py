"""Every write of analyses and model versions.

Nothing here is slow except writing heatmap files, which happens before the short transaction that makes them
count.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.db import IntegrityError, transaction
from django.db.models import F, Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from accounts.consents import care_is_withdrawn, require_care
from accounts.models import User
from cases.imaging.volume import CanonicalVolume
from cases.models import Case, Scan
from inference import (
    assessing,
    case_state,
    danger,
    explained,
    heatmaps,
    marks,
    notify,
    registry,
    shadow,
    similar_spaces,
)
from inference.models import Analysis, Finding, ModelUse, ModelVersion
from inference.reading import Reading
from pmi_site.words import Words, words

logger = logging.getLogger(__name__)

_GAVE_UP = words(
    gettext_noop(
        "The reading broke off several times. This is our fault, not your scan's; the scan is stored. "
        "Please ask for the reading again later."
    )
)

Status = Analysis.Status
Stage = Analysis.Stage


class LeaseLost(Exception):
    """Another worker owns the analysis now, or somebody finished it: whatever this one finds no longer
    counts.
    """


@dataclass(frozen=True)
class Claim:
    """The right to write the answer of one analysis, as long as its attempt is the current one."""

    analysis_id: uuid.UUID
    attempt: int


# --- asking -------------------------------------------------------------------------------------------------


def request_analysis(scan_id: uuid.UUID | str, *, reread: bool = False) -> Analysis | None:
    """Makes sure that a scan is read by the active model, and returns the analysis that does or did it.

    Idempotent: an unfinished analysis is returned as it is, and so is an answer by a model version that is
    still active, or by the gate in use, unless `reread` asks for a new one. Returns None when the scan is
    gone (it may be deleted at any time) or its patient took back that PMI reads it. The task goes out when
    the transaction commits.
    """
    scan = Scan.objects.select_related("case").filter(pk=scan_id).first()
    if scan is None or care_is_withdrawn(scan.case.patient_id):
        return None
    existing = _existing(scan, reread=reread)
    if existing is not None:
        return existing
    kind = "" if scan.case.kind == "unsure" else scan.case.kind
    now = timezone.now()
    try:
        with transaction.atomic():
            analysis = Analysis.objects.create(
                scan=scan,
                kind=kind,
                model_version=ModelVersion.objects.filter(kind=kind, is_active=True).first()
                if kind
                else None,
                queued_at=now,
                dispatched_at=now,
            )
            _dispatch_on_commit(analysis.pk)
    except IntegrityError:
        # Somebody asked at the same moment and the constraint let one of us through; or the scan was just
        # deleted.
        return Analysis.objects.filter(scan_id=scan_id, status__in=Analysis.UNFINISHED).first()
    return analysis


def reread(analysis: Analysis, *, may_write: bool) -> Analysis:
    """A new reading of the same scan; the earlier one stays. Raises PermissionDenied unless `may_write`,
    UserError ``care_withdrawn`` when the patient took back that PMI reads their scans.
    """
    if not may_write:
        raise PermissionDenied(
            _("You can look at this scan, but only the patient can ask for a new reading.")
        )
    require_care(analysis.scan.case.patient_id)
    fresh = request_analysis(analysis.scan_id, reread=True)
    return fresh or analysis


def _existing(scan: Scan, *, reread: bool) -> Analysis | None:
    analyses = scan.analyses.select_related("model_version")
    unfinished = analyses.filter(status__in=Analysis.UNFINISHED).first()
    if unfinished is not None or reread:
        return unfinished
    answers = analyses.filter(status__in=[Status.SUCCEEDED, Status.REJECTED])
    held = answers.filter(Q(model_version__is_active=True) | _refused_by_gate(scan.case)).first()
    if held is not None and held.status == Status.SUCCEEDED:
        held.scan = scan
        # Read again it would say something else.
        return None if marks.is_for_other_age(held) or marks.are_marks_outdated(held) else held
    return held


def _refused_by_gate(case: Case) -> Q:
    """Refusals that were made before any model was asked, and would be made again: by the gate in use now,
    and with the case as it is now, since the gate is told what the user says that the scan is.
    """
    active = {version.kind: version for version in ModelVersion.objects.filter(is_active=True)}
    gate = active.get(registry.GATE_KIND)
    if gate is None:
        return Q(pk__in=())
    use = gate.uses.filter(what__in=[ModelUse.What.PROMOTED, ModelUse.What.ROLLED_BACK]).first()
    # An analysis does not say which gate it met. One that began earlier may have met the one before.
    since = max(use.created_at if use else gate.created_at, case.updated_at)
    has_model_now = Q(reason_code="no_model", kind__in=active)
    return Q(status=Status.REJECTED, model_version=None, started_at__gte=since) & ~has_model_now


def _dispatch_on_commit(analysis_id: uuid.UUID) -> None:
    transaction.on_commit(lambda: _dispatch(analysis_id), robust=True)


def _dispatch(analysis_id: uuid.UUID) -> None:
    from inference.tasks import run_analysis

    try:
        run_analysis.delay(str(analysis_id))
    except Exception as error:
        # The row is the truth, the message only a nudge: `requeue_expired` sends it again when the broker is
        # back.
        logger.error("Analysis %s could not be sent to a worker: %s", analysis_id, type(error).__name__)


# --- running ------------------------------------------------------------------------------------------------


def claim(analysis_id: uuid.UUID | str) -> Claim | None:
    """Takes a queued analysis for this worker: one more attempt, a lease. None when it is not to be had."""
    now = timezone.now()
    changed = Analysis.objects.filter(pk=analysis_id, status=Status.QUEUED).update(
        status=Status.RUNNING,
        stage=Stage.LOADING,
        attempt=F("attempt") + 1,
        started_at=now,
        lease_expires_at=now + _lease(),
        updated_at=now,
    )
    if not changed:
        return None
    # Between the two statements only the lease's end could change the row, and that is minutes away.
    analysis = Analysis.objects.only("attempt").get(pk=analysis_id)
    return Claim(analysis.pk, analysis.attempt)


def heartbeat(held: Claim, stage: str) -> None:
    """Shows where the work is and prolongs the lease. Raises `LeaseLost` when the claim no longer holds."""
    now = timezone.now()
    if not _mine(held).update(stage=stage, lease_expires_at=now + _lease(), updated_at=now):
        raise LeaseLost


def complete(held: Claim, reading: Reading, volume: CanonicalVolume, age_group: str) -> bool:
    """Writes a reading: heatmap files first, then rows in one short transaction. `age_group` is the one that
    it was made for.

    False when the claim was lost meanwhile: then nothing of this reading is kept.
    """
    version = ModelVersion.objects.filter(sha256=reading.model_sha256).first()
    if version is None:
        return fail(
            held,
            "model_gone",
            words(gettext_noop("The model that read this scan was removed meanwhile. Please ask again.")),
        )
    written: list[str] = []
    try:
        findings = _findings_with_files(held, reading, volume, written)
        with transaction.atomic():
            if not _finish(
                held,
                assessing.case_of(held.analysis_id),
                reading.findings,
                status=Status.SUCCEEDED,
                kind=reading.kind,
                model_version=version,
                probabilities=reading.probabilities,
                timings_ms=reading.timings_ms,
                key_slice=reading.key_slice,
                key_plane=reading.key_plane,
                slices_read=reading.slices_read,
                gate_distance=reading.gate_distance,
                age_group=age_group,
                marks={name: list(own) for name, own in reading.marks.items()},
            ):
                raise LeaseLost
            Finding.objects.bulk_create(findings)
            shadow.request_on_commit(held.analysis_id)
            if reading.embedding is not None:
                similar_spaces.store_embedding(held.analysis_id, version, reading.embedding)
    except LeaseLost:
        heatmaps.remove(written)
        return False
    except BaseException:
        heatmaps.remove(written)
        raise
    heatmaps.remove_other_attempts(held.analysis_id, keep=held.attempt)
    return True


def reject(held: Claim, reading: Reading) -> bool:
    """Writes a refusal, which is an answer: why the scan was not read and what to do. False when the claim
    was lost.
    """
    version = (
        ModelVersion.objects.filter(sha256=reading.model_sha256).first() if reading.model_sha256 else None
    )
    with transaction.atomic():
        return _finish(
            held,
            assessing.case_of(held.analysis_id),
            status=Status.REJECTED,
            kind=reading.kind,
            model_version=version,
            reason_code=reading.reason_code,
            reason=reading.reason,
            reason_words=Words.restored(reading.reason).stored(),
            timings_ms=reading.timings_ms,
            slices_read=reading.slices_read,
            gate_distance=reading.gate_distance,
        )


def fail(held: Claim, code: str, message: str) -> bool:
    """Ends an analysis that cannot be done; `message` is for the user. False when the claim was lost."""
    return _fail(_mine(held), held.analysis_id, code, message)


def give_back(held: Claim, code: str, message: str) -> bool:
    """Lets another attempt be made after a passing fault, or fails with `message` when none is left."""
    if held.attempt >= settings.PMI_ANALYSIS_MAX_ATTEMPTS:
        return fail(held, code, message)
    # Queued without a new message: `requeue_expired` sends one when a lease's time has passed, and the fault
    # with it.
    return bool(_mine(held).update(**{**_queued(), "dispatched_at": timezone.now()}))


def requeue_expired() -> tuple[int, int]:
    """Takes analyses from workers that went silent, and nudges for those whose message was lost.

    Returns how many were sent again and how many were given up. Safe to run twice at once.
    """
    now = timezone.now()
    expired = Analysis.objects.filter(status=Status.RUNNING, lease_expires_at__lt=now)
    tired = expired.filter(attempt__gte=settings.PMI_ANALYSIS_MAX_ATTEMPTS)
    given_up = sum(
        _fail(tired.filter(pk=analysis_id), analysis_id, "gave_up", _GAVE_UP)
        for analysis_id in list(tired.values_list("pk", flat=True))
    )
    expired.filter(attempt__lt=settings.PMI_ANALYSIS_MAX_ATTEMPTS).update(**_queued())
    sent = 0
    stale = Analysis.objects.filter(status=Status.QUEUED, dispatched_at__lt=now - _lease())
    for analysis_id in list(stale.values_list("pk", flat=True)[:500]):
        # Compare-and-swap again, so that two beats do not send two messages.
        if stale.filter(pk=analysis_id).update(dispatched_at=now):
            _dispatch(analysis_id)
            sent += 1
    if sent or given_up:
        logger.warning("Analyses sent again: %d, given up: %d", sent, given_up)
    return sent, given_up


def retry(analyses: Sequence[Analysis]) -> int:
    """Asks for a new reading of each analysis's scan; the old rows stay as history. Returns how many were
    asked for.
    """
    return sum(1 for analysis in analyses if request_analysis(analysis.scan_id, reread=True) is not None)


def stop_patient(patient_id: uuid.UUID, code: str, message: str) -> int:
    """Ends the unfinished analyses of a patient; `message` says why. Workers on them lose their claim."""
    waiting = Analysis.objects.filter(scan__case__patient_id=patient_id, status__in=Analysis.UNFINISHED)
    ids = list(waiting.values_list("pk", flat=True))
    return sum(_fail(waiting.filter(pk=analysis_id), analysis_id, code, message) for analysis_id in ids)


def _lease() -> timedelta:
    return timedelta(seconds=settings.PMI_ANALYSIS_LEASE_SECONDS)


def _mine(held: Claim) -> QuerySet[Analysis]:
    return Analysis.objects.filter(pk=held.analysis_id, status=Status.RUNNING, attempt=held.attempt)


def _finish(
    held: Claim, case: Case, findings: Sequence[danger.HasCall] = (), *, status: str, **fields: object
) -> bool:
    """Writes an answer with its danger level; inside the caller's transaction, which holds `case`."""
    now = timezone.now()
    assessed = assessing.judge(case, findings, status=status)
    changed = _mine(held).update(
        **fields,
        **assessing.fields_of(assessed),
        status=status,
        stage=Stage.DONE,
        lease_expires_at=None,
        finished_at=now,
        updated_at=now,
    )
    if changed:
        assessing.record(held.analysis_id, case, assessed)
        case_state.write(case)
        notify.reading_ended(held.analysis_id)
    return bool(changed)


def _queued() -> dict[str, object]:
    now = timezone.now()
    return {
        "status": Status.QUEUED,
        "stage": Stage.QUEUED,
        "lease_expires_at": None,
        "updated_at": now,
        # Long ago, so that the same sweep sends it.
        "dispatched_at": now - _lease() - timedelta(seconds=1),
    }


def _fail(which: QuerySet[Analysis], analysis_id: uuid.UUID, code: str, message: str) -> bool:
    """Ends the analysis if it is still among `which`."""
    now = timezone.now()
    with transaction.atomic():
        case = assessing.case_of(analysis_id) if which.exists() else None
        if case is None:
            return False
        assessed = assessing.judge(case, status=Status.FAILED)
        changed = which.update(
            **assessing.fields_of(assessed),
            status=Status.FAILED,
            stage=Stage.DONE,
            lease_expires_at=None,
            finished_at=now,
            updated_at=now,
            reason_code=code,
            reason=message,
            reason_words=Words.restored(message).stored(),
        )
        if changed:
            assessing.record(analysis_id, case, assessed)
            case_state.write(case)
            notify.reading_ended(analysis_id)
    return bool(changed)


def _findings_with_files(
    held: Claim, reading: Reading, volume: CanonicalVolume, written: list[str]
) -> list[Finding]:
    """Findings ready to insert; the names of their files are added to `written` as they come to be."""
    findings = []
    key = (reading.key_slice or 0, reading.key_plane or "axial")
    for rank, found in enumerate(reading.findings):
        finding = Finding(
            analysis_id=held.analysis_id,
            label=found.label,
            condition=found.condition,
            probability=found.probability,
            call=found.call,
            rank=rank,
        )
        if found.heatmap is not None:
            names = heatmaps.write(held.analysis_id, held.attempt, finding.pk, volume, found.heatmap, key)
            written.extend(names)
            finding.heatmap.name, finding.heatmap_png.name = names
        findings.append(finding)
    return findings


# --- model versions -----------------------------------------------------------------------------------------


def register_bundle(facts: registry.BundleFacts) -> tuple[ModelVersion, bool]:
    """Registers a verified bundle; (version, whether it is new). A bundle is never registered twice."""
    version, created = ModelVersion.objects.get_or_create(
        sha256=facts.sha256,
        defaults={
            "kind": facts.kind,
            "version": facts.version,
            "bundle": facts.name,
            "metadata": facts.metadata,
        },
    )
    if not created and version.bundle != facts.name:
        version.bundle = facts.name  # the same bundle under another folder name
        version.save(update_fields=["bundle", "updated_at"])
    return version, created


def activate(
    version: ModelVersion,
    by: User | None = None,
    *,
    what: str = ModelUse.What.PROMOTED,
    only_if: Callable[[ModelVersion | None], bool] = lambda active: True,
) -> bool:
    """Makes a version the one that reads its kind from now on, and notes who did it.

    False, and nothing changes, where `only_if` says no to the version that reads now, or it is this one.
    Refused with a UserError where the knowledge base does not explain everything that it can report.
    """
    explained.require(version)
    with transaction.atomic():
        # One statement order for everybody: rows of the kind are locked before one is switched on.
        rows = list(ModelVersion.objects.select_for_update().filter(kind=version.kind).order_by("pk"))
        active = next((row for row in rows if row.is_active), None)
        if active == version or not only_if(active):
            return False
        ModelVersion.objects.filter(Q(kind=version.kind) & Q(is_active=True)).exclude(pk=version.pk).update(
            is_active=False, updated_at=timezone.now()
        )
        ModelVersion.objects.filter(pk=version.pk).update(
            is_active=True, is_shadow=False, shadow_since=None, updated_at=timezone.now()
        )
        ModelUse.objects.create(model_version=version, what=what, replaced=active, by=by)
        similar_spaces.request_filling(version)
    version.is_active = True
    return True
