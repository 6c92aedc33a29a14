"""What this app does when something happens elsewhere: a stored scan is read; files follow their rows; what
a case keeps for the worklist follows its scans, symptoms and reviews."""

from __future__ import annotations

import functools
import uuid
from typing import Any

from django.db import transaction
from django.db.models import QuerySet
from django.db.models.signals import post_delete, post_save
from django.dispatch import receiver
from django.utils.translation import gettext_noop

from accounts.models import ConsentPurpose
from accounts.signals import consent_given, consent_revoked
from cases import worklist
from cases.models import Case, Review, Scan
from cases.signals import case_changed, review_signed, scan_stored
from cases.storage import remove_files
from inference import case_state
from inference.heatmaps import remove_analysis_files
from inference.models import Analysis, ReferenceImage, SimilarSearch
from pmi_site.words import words

_CARE_WITHDRAWN = words(
    gettext_noop(
        "The consent to keep and read scans was taken back, so this scan was not read. The patient can agree "
        "again under Your account, What I agree to."
    )
)


@receiver(scan_stored, dispatch_uid="inference.read_stored_scan")
def read_stored_scan(sender: Any, scan_id: uuid.UUID, **kwargs: Any) -> None:
    """Asks for a reading of every scan that was stored."""
    from inference.services import request_analysis

    request_analysis(scan_id)


@receiver(case_changed, dispatch_uid="inference.reassess_changed_case")
def reassess_changed_case(sender: Any, case_id: uuid.UUID, **kwargs: Any) -> None:
    """Judges the danger anew when symptoms or age group changed."""
    from inference.assessing import reassess_case

    reassess_case(case_id)


@receiver(review_signed, dispatch_uid="inference.tell_of_review")
def tell_of_review(sender: Any, review_id: uuid.UUID, **kwargs: Any) -> None:
    """Tells the patient that a doctor has signed or changed a review."""
    from inference.notify import tell_review_signed

    tell_review_signed(review_id)


@receiver(review_signed, dispatch_uid="inference.confirm_by_review")
def confirm_by_review(sender: Any, review_id: uuid.UUID, **kwargs: Any) -> None:
    """What a review confirms may be found by others, if the patient agreed; what it takes back is gone."""
    from inference.similar_services import follow_reviews
    from inference.similar_tasks import release_confirmed

    scan_id = Review.objects.filter(pk=review_id).values_list("scan_id", flat=True).first()
    if scan_id is not None and follow_reviews(scan_id):
        # A worker cuts the picture: decoding a volume takes longer than a doctor should wait.
        release_confirmed.delay(str(scan_id))


@receiver(post_delete, sender=Analysis, dispatch_uid="inference.remove_heatmaps")
def remove_heatmaps(sender: type[Analysis], instance: Analysis, using: str, **kwargs: Any) -> None:
    """Removes the heatmaps of a deleted analysis once the deletion is committed."""
    transaction.on_commit(functools.partial(remove_analysis_files, instance.pk), using=using, robust=True)


@receiver(post_delete, sender=ReferenceImage, dispatch_uid="inference.remove_reference_files")
def remove_reference_files(
    sender: type[ReferenceImage], instance: ReferenceImage, using: str, **kwargs: Any
) -> None:
    """Removes the pictures of a withdrawn reference image once the deletion is committed."""
    names = [file.name for file in (instance.picture, instance.heatmap) if file and file.name]
    transaction.on_commit(functools.partial(remove_files, names), using=using, robust=True)


@receiver(post_delete, sender=SimilarSearch, dispatch_uid="inference.remove_search_files")
def remove_search_files(
    sender: type[SimilarSearch], instance: SimilarSearch, using: str, **kwargs: Any
) -> None:
    """Removes what was sent for a search that nobody will answer any more."""
    names = list(instance.files)
    transaction.on_commit(functools.partial(remove_files, names), using=using, robust=True)


@receiver(consent_given, dispatch_uid="inference.release_consented")
def release_consented(sender: Any, patient_id: uuid.UUID, purpose: str, **kwargs: Any) -> None:
    """Confirmed scans of a patient who agreed may be found. A worker cuts their pictures."""
    if purpose == ConsentPurpose.SIMILAR_SEARCH:
        from inference.similar_tasks import release_patient

        transaction.on_commit(functools.partial(release_patient.delay, str(patient_id)), robust=True)


@receiver(consent_revoked, dispatch_uid="inference.stop_without_care")
def stop_without_care(sender: Any, patient_id: uuid.UUID, purpose: str, **kwargs: Any) -> None:
    """Nothing of a patient is read any more who took back that PMI may."""
    if purpose == ConsentPurpose.CARE:
        from inference.services import stop_patient

        stop_patient(patient_id, "care_withdrawn", _CARE_WITHDRAWN)


@receiver(consent_revoked, dispatch_uid="inference.withdraw_revoked")
def withdraw_revoked(sender: Any, patient_id: uuid.UUID, purpose: str, **kwargs: Any) -> None:
    """Scans of a patient who took the consent back are gone with the same commit."""
    if purpose == ConsentPurpose.SIMILAR_SEARCH:
        from inference.similar_services import withdraw_patient

        withdraw_patient(patient_id)


@receiver(post_save, sender=Case, dispatch_uid="inference.state_of_new_case")
def state_of_new_case(sender: type[Case], instance: Case, created: bool, **kwargs: Any) -> None:
    """Symptoms that a case is opened with count at once, before there is a scan."""
    if created:
        case_state.refresh(instance.pk)


@receiver(post_save, sender=Scan, dispatch_uid="inference.state_with_new_scan")
def state_with_new_scan(sender: type[Scan], instance: Scan, created: bool, **kwargs: Any) -> None:
    """A new scan waits, and is news, in the transaction that stores it."""
    if created:
        case_state.refresh(instance.case_id)


@receiver(post_delete, sender=Scan, dispatch_uid="inference.state_without_scan")
def state_without_scan(sender: type[Scan], instance: Scan, origin: Any, **kwargs: Any) -> None:
    """A deleted scan counts no more. Nothing to do where its case goes with it."""
    if (origin.model if isinstance(origin, QuerySet) else type(origin)) is Scan:
        case_state.refresh(instance.case_id)


@receiver(review_signed, dispatch_uid="inference.state_after_review")
def state_after_review(sender: Any, review_id: uuid.UUID, **kwargs: Any) -> None:
    """A signed review outranks the model. Who signed it has seen what there is."""
    review = Review.objects.filter(pk=review_id).select_related("reader", "scan__case").first()
    if review is not None:
        case_state.refresh(review.scan.case_id)
        review.scan.case.refresh_from_db()
        worklist.mark_seen(review.reader, review.scan.case)
