"""Consents: the texts, who gave which, giving and taking back."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models import Consent, ConsentPurpose, Role, User
from accounts.services import log_access
from accounts.signals import consent_given, consent_revoked


@dataclass(frozen=True)
class ConsentText:
    """What a patient agrees to. A change of meaning needs a new version."""

    purpose: str
    version: str
    title: Any
    points: tuple[Any, ...]


TEXTS: dict[str, ConsentText] = {
    ConsentPurpose.SIMILAR_SEARCH: ConsentText(
        ConsentPurpose.SIMILAR_SEARCH,
        "2026-11",
        _("Let my confirmed scans help other people"),
        (
            _(
                "When a doctor has confirmed what a scan of yours shows, other users of this site may see "
                "a small picture of it, its diagnosis and whether it shows a child or an adult."
            ),
            _("They never see your name, the date, the name of the file, or anything you wrote."),
            _(
                "A picture can be recognised by somebody who has the same picture already. "
                "If that worries you, do not agree."
            ),
            _("You can change your mind at any time. The pictures are then removed at once."),
            _("Your own care is the same, whether you agree or not."),
        ),
    )
}


def open_consents(purpose: str) -> QuerySet[Consent]:
    """The consents for a purpose that hold now."""
    return Consent.objects.filter(purpose=purpose, revoked_at__isnull=True)


def has_consent(patient_id: UUID, purpose: str) -> bool:
    """Whether a patient agrees to the purpose now."""
    return open_consents(purpose).filter(patient_id=patient_id).exists()


def give_consent(patient: User, purpose: str) -> Consent:
    """Record that a patient agrees, in the words shown now; an open consent is returned as it is.

    Raises PermissionDenied for anybody who is not a patient, KeyError for an unknown purpose.
    """
    if patient.role != Role.PATIENT:
        raise PermissionDenied
    text = TEXTS[purpose]
    with transaction.atomic():
        _lock(patient)
        consent, created = Consent.objects.get_or_create(
            patient=patient, purpose=purpose, revoked_at=None, defaults={"text_version": text.version}
        )
        if created:
            log_access(patient, "give_consent", consent)
            consent_given.send(Consent, patient_id=patient.pk, purpose=purpose)
    return consent


def revoke_consent(patient: User, purpose: str) -> bool:
    """Take a consent back, with all its effects, at once; False when there was none."""
    with transaction.atomic():
        _lock(patient)
        consent = open_consents(purpose).filter(patient=patient).first()
        if consent is None:
            return False
        now = timezone.now()
        Consent.objects.filter(pk=consent.pk).update(revoked_at=now, updated_at=now)
        log_access(patient, "revoke_consent", consent)
        consent_revoked.send(Consent, patient_id=patient.pk, purpose=purpose)
    return True


def _lock(patient: User) -> None:
    """Giving, taking back and publishing under a consent happen one after the other."""
    User.objects.select_for_update().get(pk=patient.pk)
