"""Every write of similar-image search: spaces and their vectors, confirmations, release and withdrawal."""

from __future__ import annotations

import hashlib
import logging
import uuid
from collections.abc import Sequence
from datetime import timedelta

import numpy as np
from django.core.exceptions import PermissionDenied
from django.core.files.base import ContentFile
from django.db import connection, transaction
from django.db.models import F, Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.consents import has_consent
from accounts.models import ConsentPurpose, User
from accounts.selectors import is_verified_doctor
from accounts.services import log_access
from cases.imaging.preview import default_plane, slice_png
from cases.models import Scan
from cases.selectors import visible_scans
from cases.services import load_volume
from inference.models import (
    Analysis,
    Confirmation,
    Embedding,
    Finding,
    ModelVersion,
    ReferenceImage,
    ReferenceVector,
    VectorSpace,
)
from pmi_site.errors import UserError

logger = logging.getLogger(__name__)

# Below this exact search is the faster one (docs/similar-benchmark.md); above it the planner may choose.
INDEX_FROM = 20_000
_SAMPLE = 300
_LEASE = timedelta(minutes=15)


# --- spaces -------------------------------------------------------------------------------------------------


def space_of(version: ModelVersion) -> VectorSpace:
    """The version's space, made when it is first asked for."""
    return VectorSpace.objects.get_or_create(model_version=version)[0]


def set_dims(space: VectorSpace, dims: int) -> None:
    """Fixes the length of the space's vectors. Raises ValueError when it was fixed to another one."""
    VectorSpace.objects.filter(pk=space.pk, dims__isnull=True).update(dims=dims)
    space.refresh_from_db(fields=["dims"])
    if space.dims != dims:
        raise ValueError(f"The space {space.pk} has {space.dims} dimensions, not {dims}.")


def missing(version: ModelVersion) -> QuerySet[ReferenceImage]:
    """The reference images that have no vector in the version's space yet."""
    return ReferenceImage.objects.filter(kind=version.kind).exclude(vectors__model_version=version)


def request_filling(version: ModelVersion) -> None:
    """Has the space filled in the background once the transaction commits."""
    if version.kind == "gate":
        return
    space_of(version)
    transaction.on_commit(lambda: _send(version.pk), robust=True)


def _send(version_id: uuid.UUID) -> None:
    from inference.similar_tasks import fill_space

    try:
        fill_space.delay(str(version_id))
    except Exception as error:
        # The row is the truth: `fill_waiting_spaces` sends it again.
        logger.error("The space of %s could not be sent to a worker: %s", version_id, type(error).__name__)


def claim_space(version_id: uuid.UUID | str) -> VectorSpace | None:
    """Takes a space for filling; None while another worker holds it or there is nothing to fill."""
    now = timezone.now()
    free = Q(lease_expires_at__isnull=True) | Q(lease_expires_at__lt=now)
    taken = VectorSpace.objects.filter(free, model_version__id=version_id).update(
        state=VectorSpace.State.FILLING, lease_expires_at=now + _LEASE, failed=0, updated_at=now
    )
    if not taken:
        return None
    return VectorSpace.objects.select_related("model_version").get(model_version__id=version_id)


def store_vectors(space: VectorSpace, found: Sequence[tuple[ReferenceImage, np.ndarray]]) -> None:
    """Writes vectors of reference images; one that is there already stays. Safe against images that were
    withdrawn meanwhile.
    """
    if not found:
        return
    set_dims(space, len(found[0][1]))
    with transaction.atomic():
        ids = [reference.pk for reference, _vector in found]
        # Locked, so that a withdrawal either comes first (the row is gone) or removes what is written here.
        there = set(
            ReferenceImage.objects.select_for_update().filter(pk__in=ids).values_list("pk", flat=True)
        )
        ReferenceVector.objects.bulk_create(
            [
                ReferenceVector(
                    reference=reference, model_version_id=space.model_version_id, vector=vector.tolist()
                )
                for reference, vector in found
                if reference.pk in there
            ],
            ignore_conflicts=True,
        )
    progress(space)


def progress(space: VectorSpace, failed: int = 0) -> None:
    """Counts what is done, for the admin, and holds the lease."""
    total = ReferenceImage.objects.filter(kind=space.model_version.kind).count()
    done = ReferenceVector.objects.filter(model_version_id=space.model_version_id).count()
    now = timezone.now()
    VectorSpace.objects.filter(pk=space.pk).update(
        total=total, done=done, failed=F("failed") + failed, lease_expires_at=now + _LEASE, updated_at=now
    )


def finish_space(space: VectorSpace, *, state: str = VectorSpace.State.READY) -> None:
    """Measures what is near in the space, builds its index where that pays, and gives the lease back."""
    progress(space)
    space.refresh_from_db()
    near, typical = _distances(space)
    indexed = space.indexed or _build_index(space)
    now = timezone.now()
    VectorSpace.objects.filter(pk=space.pk).update(
        state=state,
        near=near,
        typical=typical,
        indexed=indexed,
        lease_expires_at=None,
        finished_at=now,
        updated_at=now,
    )


def give_back_space(space: VectorSpace) -> None:
    """Ends this worker's hold; the rest is filled later."""
    VectorSpace.objects.filter(pk=space.pk).update(
        state=VectorSpace.State.WAITING, lease_expires_at=None, updated_at=timezone.now()
    )


def _distances(space: VectorSpace) -> tuple[float | None, float | None]:
    """Quarter and three-quarter point of the nearest-neighbour distance between people in a sample."""
    rows = list(
        ReferenceVector.objects.filter(model_version_id=space.model_version_id)
        .order_by("reference_id")
        .values_list("vector", "reference__group_key")[: 5 * _SAMPLE]
    )
    if len(rows) < 8:
        return None, None
    vectors = np.stack([np.asarray(vector, dtype=np.float32) for vector, _key in rows])
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    groups = np.array([key or str(n) for n, (_vector, key) in enumerate(rows)])
    distance = 1 - vectors[:_SAMPLE] @ vectors.T
    distance[groups[:_SAMPLE, None] == groups[None]] = np.inf
    nearest = distance.min(axis=1)
    nearest = nearest[np.isfinite(nearest)]
    if not len(nearest):
        return None, None
    low, high = np.percentile(nearest, [25, 75])
    return float(low), float(high)


def _build_index(space: VectorSpace) -> bool:
    """A partial HNSW index over one space. The planner then chooses between it and exact search."""
    if not space.dims or space.done < INDEX_FROM or space.dims > 4000:
        return False
    name = f"inference_hnsw_{space.model_version_id.hex}"
    with connection.cursor() as cursor:
        cursor.execute(
            f'CREATE INDEX IF NOT EXISTS "{name}" ON inference_referencevector'
            f" USING hnsw ((vector::halfvec({int(space.dims)})) halfvec_cosine_ops)"
            f" WHERE model_version_id = '{space.model_version_id}'::uuid"
        )
        cursor.execute("ANALYZE inference_referencevector")
    return True


# --- scans that may be found --------------------------------------------------------------------------------


def confirm_finding(doctor: User, finding: Finding) -> Confirmation:
    """Records that a verified doctor of this patient confirms a finding; releases the scan if consented.

    Raises PermissionDenied for anybody else, UserError when the reading is not finished or the model called
    the finding unlikely. A finding is confirmed once.
    """
    analysis = finding.analysis
    if not is_verified_doctor(doctor) or not visible_scans(doctor).filter(pk=analysis.scan_id).exists():
        raise PermissionDenied(_("Only a doctor who cares for this patient can confirm a finding."))
    if analysis.scan.case.patient_id == doctor.pk:
        raise PermissionDenied(_("You cannot confirm findings of your own scans."))
    if analysis.status != Analysis.Status.SUCCEEDED or finding.call == Finding.Call.UNLIKELY:
        raise UserError("not_confirmable", _("Only a likely or possible finding can be confirmed."))
    confirmation, created = Confirmation.objects.get_or_create(finding=finding, defaults={"doctor": doctor})
    if created:
        log_access(doctor, "confirm_finding", finding)
    release_scan(confirmation)
    return confirmation


def withdraw_confirmation(doctor: User, finding: Finding) -> bool:
    """Takes the doctor's own confirmation back; what was released by it goes at once."""
    deleted, _rows = Confirmation.objects.filter(finding=finding, doctor=doctor).delete()
    if deleted:
        log_access(doctor, "withdraw_confirmation", finding)
    return bool(deleted)


def release_scan(confirmation: Confirmation) -> ReferenceImage | None:
    """Lets others find a confirmed scan, if its patient consents now. None where that is not so.

    The newest confirmation of a scan stands. A picture is cut from the most telling slice; the vector is the
    one that the reading wrote.
    """
    finding = (
        Finding.objects.select_related("analysis__scan__case", "analysis__model_version")
        .filter(confirmation=confirmation)
        .first()
    )
    if finding is None:
        return None
    analysis = finding.analysis
    scan, version = analysis.scan, analysis.model_version
    patient_id = scan.case.patient_id
    if version is None or not has_consent(patient_id, ConsentPurpose.SIMILAR_SEARCH):
        return None
    if existing := ReferenceImage.objects.filter(confirmation=confirmation).first():
        return existing
    picture = _picture(scan, analysis)
    with transaction.atomic():
        # Behind the lock that giving and taking back use: a consent cannot end between question and row.
        User.objects.select_for_update().get(pk=patient_id)
        if not has_consent(patient_id, ConsentPurpose.SIMILAR_SEARCH):
            return None
        ReferenceImage.objects.filter(scan=scan, condition=finding.condition).delete()
        reference = ReferenceImage(
            kind=version.kind,
            source=ReferenceImage.Source.PLATFORM,
            condition=finding.condition,
            age_band=scan.case.age_group,
            showable=True,
            key=hashlib.sha256(confirmation.pk.bytes).hexdigest(),
            group_key=hashlib.sha256(patient_id.bytes).hexdigest(),
            confirmation=confirmation,
            scan=scan,
            owner_id=patient_id,
        )
        reference.picture.save("picture.png", ContentFile(picture), save=False)
        if finding.heatmap_png:
            with finding.heatmap_png.open("rb") as handle:
                reference.heatmap.save("heatmap.png", ContentFile(handle.read()), save=False)
        reference.save()
        held = Embedding.objects.filter(analysis=analysis).first()
        if held is not None:
            store_vectors(space_of(version), [(reference, np.asarray(held.vector, np.float32))])
            VectorSpace.objects.filter(model_version=version, state=VectorSpace.State.WAITING).update(
                lease_expires_at=None
            )
    if not version.is_active and (
        active := ModelVersion.objects.filter(kind=version.kind, is_active=True).first()
    ):
        request_filling(active)
    return reference


def release_consented(patient_id: uuid.UUID) -> int:
    """Releases all confirmed scans of a patient who just agreed; how many."""
    confirmed = Confirmation.objects.filter(finding__analysis__scan__case__patient_id=patient_id)
    return sum(release_scan(confirmation) is not None for confirmation in confirmed)


def withdraw_patient(patient_id: uuid.UUID) -> int:
    """Removes every reference image of a patient: rows and vectors now, files on commit."""
    withdrawn = list(ReferenceImage.objects.filter(owner_id=patient_id))
    for reference in withdrawn:
        reference.delete()
    return len(withdrawn)


def _picture(scan: Scan, analysis: Analysis) -> bytes:
    volume = load_volume(scan)
    plane = analysis.key_plane or default_plane(volume)
    index = analysis.key_slice if analysis.key_slice is not None else volume.n_slices(plane) // 2
    return slice_png(volume, index, plane, max_side=512)
