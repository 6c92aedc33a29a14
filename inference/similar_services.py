"""Confirmations, and the release and withdrawal of scans that others may find."""

from __future__ import annotations

import hashlib
import uuid

import numpy as np
from django.core.exceptions import PermissionDenied
from django.core.files.base import ContentFile
from django.db import transaction
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
    VectorSpace,
)
from inference.similar_spaces import request_filling, space_of, store_vectors
from pmi_site.errors import UserError


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
