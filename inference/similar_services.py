"""What signed reviews confirm, and the release and withdrawal of scans that others may find."""

from __future__ import annotations

import hashlib
import logging
import uuid

import numpy as np
from django.core.files.base import ContentFile
from django.db import DatabaseError, transaction
from django.utils import timezone

from accounts.consents import consenting_patient_ids, has_consent
from accounts.models import ConsentPurpose, User
from cases.imaging.preview import default_plane, slice_png
from cases.models import Case, Review, Scan
from cases.reviews import signed_review
from cases.services import load_volume
from cases.storage import remove_files
from inference.case_state import RECENT
from inference.models import (
    Analysis,
    Confirmation,
    Embedding,
    Finding,
    ModelVersion,
    ReferenceImage,
)
from inference.registry import READABLE_KINDS
from inference.review_truth import disputed, most_exact, truth_of
from inference.similar_spaces import request_filling, space_of, store_vectors

logger = logging.getLogger(__name__)


def follow_reviews(scan_id: uuid.UUID) -> list[Confirmation]:
    """Makes the confirmations of a scan what its signed reviews make certain now, and returns them.

    The review that counts confirms what it says is there, the most exact label of it. What an amendment or a
    second reader takes back goes at once, with the picture that others found.
    """
    with transaction.atomic():
        # The case first, as whoever deletes a scan does. Two signatures at once: the second looks at the scan
        # when the first is done.
        list(Case.objects.select_for_update(no_key=True).filter(scans=scan_id).values_list("pk"))
        scan = Scan.objects.select_for_update(no_key=True).filter(pk=scan_id).first()
        review = signed_review(scan) if scan else None
        confirmed = _certain_findings(review) if review else []
        held = Confirmation.objects.filter(finding__analysis__scan=scan_id)
        held.exclude(finding__in=confirmed).delete()
        if review is None:
            return []
        return [
            Confirmation.objects.update_or_create(finding=finding, defaults={"doctor": review.reader})[0]
            for finding in confirmed
        ]


def follow_recent() -> int:
    """Does again what reviews signed of late ask for, should nobody have heard of one; how many scans.

    `follow_reviews` comes after the signature is committed: a process that dies in between would leave a
    picture under a diagnosis that a doctor has taken back.
    """
    since = timezone.now() - RECENT
    scans = Review.objects.filter(signed_at__gte=since).order_by("scan_id").values_list("scan_id", flat=True)
    ids = list(scans.distinct())
    for scan_id in ids:
        try:
            follow_reviews(scan_id)
        except DatabaseError as error:  # the others are not to wait for it
            logger.error("Reviews of scan %s were not followed: %s", scan_id, type(error).__name__)
    return len(ids)


def _certain_findings(review: Review) -> list[Finding]:
    """The findings that a signed review says are there; none where the second reader is certain of less."""
    analysis: Analysis | None = review.analysis
    if (
        analysis is None
        or analysis.status != Analysis.Status.SUCCEEDED
        or analysis.kind not in READABLE_KINDS
    ):
        return []
    truth = truth_of(analysis.kind, list(review.verdicts.all()))
    others = Review.objects.filter(scan_id=review.scan_id, status=Review.Status.SIGNED).exclude(pk=review.pk)
    for other in others.prefetch_related("verdicts"):
        if disputed(truth, truth_of(analysis.kind, list(other.verdicts.all()))):
            return []
    return list(analysis.findings.filter(label__in=most_exact(analysis.kind, truth.present)))


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
        # (Not against new rows that name the patient: an upload holds its case, and waits for these.)
        User.objects.select_for_update(no_key=True).get(pk=patient_id)
        # In the order of those who delete a scan or follow an amended review: who is second sees the first.
        list(Case.objects.select_for_update(no_key=True).filter(pk=scan.case_id).values_list("pk"))
        list(Scan.objects.select_for_update(no_key=True).filter(pk=scan.pk).values_list("pk"))
        if (
            not has_consent(patient_id, ConsentPurpose.SIMILAR_SEARCH)
            or not Confirmation.objects.filter(pk=confirmation.pk).exists()
        ):
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
        try:
            reference.picture.save("picture.png", ContentFile(picture), save=False)
            if finding.heatmap_png:
                with finding.heatmap_png.open("rb") as handle:
                    reference.heatmap.save("heatmap.png", ContentFile(handle.read()), save=False)
            reference.save()
        except BaseException:
            # No row would name them, so nothing would ever remove them.
            remove_files([str(file.name) for file in (reference.picture, reference.heatmap) if file.name])
            raise
        held = Embedding.objects.filter(analysis=analysis, model_version=version).first()
        if held is not None:
            store_vectors(space_of(version), [(reference, np.asarray(held.vector, np.float32))])
    if not version.is_active and (
        active := ModelVersion.objects.filter(kind=version.kind, is_active=True).first()
    ):
        request_filling(active)
    return reference


def release_consented(patient_id: uuid.UUID) -> int:
    """Releases all confirmed scans of a patient who just agreed; how many."""
    confirmed = Confirmation.objects.filter(finding__analysis__scan__case__patient_id=patient_id)
    return sum(_release(confirmation) for confirmation in confirmed)


def _release(confirmation: Confirmation) -> bool:
    """Whether a scan was released. A scan that cannot be must not stop a consent, nor the others."""
    try:
        with transaction.atomic():
            return release_scan(confirmation) is not None
    except Exception as error:
        logger.error("Confirmation %s was not released: %s", confirmation.pk, type(error).__name__)
        return False


def release_waiting() -> int:
    """Releases what was confirmed while no worker was told of it; how many."""
    waiting = Confirmation.objects.filter(
        reference__isnull=True,
        finding__analysis__scan__case__patient__in=consenting_patient_ids(ConsentPurpose.SIMILAR_SEARCH),
    )
    # In any order: what cannot be released must not stand before the rest for ever.
    return sum(_release(confirmation) for confirmation in waiting.order_by("?")[:100])


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
