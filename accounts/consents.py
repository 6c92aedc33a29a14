"""Consents: who gave which, giving and taking back. The words are in `accounts.consent_texts`.

Care is special: a patient agrees to it when they make their account, and it counts as given until it is taken
back, so that accounts older than the question keep working. Every other purpose counts only where somebody
said yes to a text that still holds.
"""

from uuid import UUID

from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.consent_texts import TEXTS as TEXTS
from accounts.consent_texts import ConsentText as ConsentText
from accounts.models import Consent, ConsentPurpose, Role, User
from accounts.services import log_access
from accounts.signals import consent_given, consent_revoked
from pmi_site.errors import UserError


def open_consents(purpose: str) -> QuerySet[Consent]:
    """The consents for a purpose that hold now: not taken back, and to words that still count."""
    return Consent.objects.filter(
        purpose=purpose, revoked_at__isnull=True, text_version__in=TEXTS[purpose].counting
    )


def has_consent(patient_id: UUID, purpose: str) -> bool:
    """Whether a patient agrees to the purpose now."""
    return open_consents(purpose).filter(patient_id=patient_id).exists()


def consenting_patient_ids(purpose: str) -> QuerySet[Consent, UUID]:
    """Ids of the patients who agree to the purpose now, ready for a subquery."""
    return open_consents(purpose).values_list("patient_id", flat=True)


def care_is_withdrawn(patient_id: UUID) -> bool:
    """Whether the patient took back that PMI keeps and reads their scans."""
    held = Consent.objects.filter(patient_id=patient_id, purpose=ConsentPurpose.CARE)
    return held.exists() and not held.filter(revoked_at__isnull=True).exists()


def patients_without_care() -> QuerySet[User]:
    """The patients who took their consent to care back."""
    given = Consent.objects.filter(patient=OuterRef("pk"), purpose=ConsentPurpose.CARE)
    return User.objects.filter(Exists(given) & ~Q(Exists(given.filter(revoked_at__isnull=True))))


def require_care(patient_id: UUID, asked_by: UUID | None = None) -> None:
    """Raise UserError ``care_withdrawn`` when PMI may neither take nor read scans of this patient.

    `asked_by` is who is told so; None: the patient.
    """
    if care_is_withdrawn(patient_id):
        own = asked_by is None or asked_by == patient_id
        raise UserError("care_withdrawn", care_withdrawn_text(own=own))


def care_withdrawn_text(*, own: bool = True) -> str:
    """Why nothing new is taken or read, and what to do about it; `own`: for the patient."""
    if not own:
        return _("The patient took back the consent to keep and read scans, so PMI reads none of them.")
    return _(
        "You took back your consent to keep and read your scans, so PMI takes no new ones and reads none. "
        "You can agree again under Your account, What I agree to."
    )


def give_consent(patient: User, purpose: str) -> Consent:
    """Record that a patient agrees, in the words shown now; a consent that holds is returned as it is.

    One given to words that no longer count is closed first. Raises PermissionDenied for anybody who is not a
    patient, KeyError for an unknown purpose.
    """
    if patient.role != Role.PATIENT:
        raise PermissionDenied
    text = TEXTS[purpose]
    with transaction.atomic():
        _lock(patient)
        now = timezone.now()
        Consent.objects.filter(patient=patient, purpose=purpose, revoked_at__isnull=True).exclude(
            text_version__in=text.counting
        ).update(revoked_at=now, updated_at=now)
        consent, created = Consent.objects.get_or_create(
            patient=patient, purpose=purpose, revoked_at=None, defaults={"text_version": text.version}
        )
        if created:
            log_access(patient, "give_consent", consent)
            consent_given.send(Consent, patient_id=patient.pk, purpose=purpose)
    return consent


def revoke_consent(patient: User, purpose: str) -> bool:
    """Take a consent back, with all its effects, at once; False when there was none.

    Care can also be taken back by somebody who was never asked: that leaves a consent that began and ended
    now.
    """
    text = TEXTS[purpose]
    with transaction.atomic():
        _lock(patient)
        consent = Consent.objects.filter(patient=patient, purpose=purpose, revoked_at__isnull=True).first()
        if consent is None and purpose == ConsentPurpose.CARE and not care_is_withdrawn(patient.pk):
            consent = Consent.objects.create(patient=patient, purpose=purpose, text_version=text.version)
        if consent is None:
            return False
        now = timezone.now()
        Consent.objects.filter(pk=consent.pk).update(revoked_at=now, updated_at=now)
        log_access(patient, "revoke_consent", consent)
        consent_revoked.send(Consent, patient_id=patient.pk, purpose=purpose)
    return True


def history_of(patient: User) -> QuerySet[Consent]:
    """All that the patient ever said yes to, newest first."""
    return Consent.objects.filter(patient=patient).order_by("-given_at")


def _lock(patient: User) -> None:
    """Giving, taking back and publishing under a consent happen one after the other."""
    User.objects.select_for_update().get(pk=patient.pk)
