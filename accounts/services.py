"""Every write about people."""

from collections.abc import Iterable
from uuid import UUID

from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts import access_log
from accounts.access_log import HasId
from accounts.models import ApiToken, CareRelationship, DoctorProfile, Role, User
from pmi_site.errors import UserError

MAX_TOKENS = 20


def set_up_doctor(
    user: User, *, licence_number: str, licence_country: str, specialty: str = ""
) -> DoctorProfile:
    """Give a user the doctor's role with an unverified licence."""
    with transaction.atomic():
        user.role = Role.DOCTOR
        user.save(update_fields=["role", "updated_at"])
        profile, _created = DoctorProfile.objects.update_or_create(
            user=user,
            defaults={
                "licence_number": licence_number,
                "licence_country": licence_country,
                "specialty": specialty,
                # A new number was not checked by anybody.
                "verified_at": None,
                "verified_by": None,
            },
        )
    return profile


def verify_doctor(doctor: User, by: User) -> None:
    """Record that administrator `by` has checked the doctor's licence. Raises UserError for anybody else."""
    if by.role != Role.ADMIN or not by.is_active:
        raise UserError("not_allowed", _("Only an administrator can verify a licence."))
    profile = DoctorProfile.objects.filter(user=doctor).first()
    if profile is None or doctor.role != Role.DOCTOR:
        raise UserError("not_a_doctor", _("This account has no doctor's licence to verify."))
    # The first verification stands: who checked it and when is not overwritten.
    changed = DoctorProfile.objects.filter(pk=profile.pk, verified_at__isnull=True).update(
        verified_at=timezone.now(), verified_by=by, updated_at=timezone.now()
    )
    if changed:
        log_access(by, "verify_licence", doctor)


def withdraw_verification(doctor: User, by: User) -> None:
    """Make a doctor inert again at once. Raises UserError unless `by` is an administrator."""
    if by.role != Role.ADMIN or not by.is_active:
        raise UserError("not_allowed", _("Only an administrator can withdraw a verification."))
    DoctorProfile.objects.filter(user=doctor).update(
        verified_at=None, verified_by=None, updated_at=timezone.now()
    )
    log_access(by, "withdraw_licence", doctor)


def grant_access(patient: User, doctor_email: str) -> CareRelationship:
    """Let a verified doctor read all of the patient's cases; an existing grant is returned as it is.

    Raises UserError with the same words whether the address is unknown, not a doctor's or not verified: who
    has an account here is nobody's business.
    """
    doctor = (
        User.objects.filter(
            email=doctor_email.strip().lower(),
            role=Role.DOCTOR,
            is_active=True,
            doctor_profile__verified_at__isnull=False,
        )
        .exclude(pk=patient.pk)
        .first()
    )
    if patient.role == Role.ADMIN:
        raise UserError("not_allowed", _("An administrator's account holds no scans to share."))
    if doctor is None:
        raise UserError(
            "no_such_doctor",
            _(
                "We know no verified doctor with this address. "
                "Please check it, or ask your doctor which one they use."
            ),
        )
    now = timezone.now()
    with transaction.atomic():
        # An expired grant still counts as open to the database; close it so that a new one can begin.
        CareRelationship.objects.filter(
            patient=patient, doctor=doctor, revoked_at__isnull=True, expires_at__lte=now
        ).update(revoked_at=now, updated_at=now)
        try:
            with transaction.atomic():
                grant = CareRelationship.objects.create(patient=patient, doctor=doctor)
        except IntegrityError:
            return CareRelationship.objects.get(patient=patient, doctor=doctor, revoked_at__isnull=True)
        log_access(patient, "grant_access", doctor, patient_id=patient.pk)
    return grant


def revoke_access(patient: User, grant_id: UUID) -> bool:
    """End a grant at once; False when the patient has no such open grant."""
    now = timezone.now()
    grant = CareRelationship.objects.filter(pk=grant_id, patient=patient, revoked_at__isnull=True).first()
    if grant is None:
        return False
    CareRelationship.objects.filter(pk=grant.pk, revoked_at__isnull=True).update(
        revoked_at=now, updated_at=now
    )
    log_access(patient, "revoke_access", grant.doctor, patient_id=patient.pk)
    return True


def create_token(user: User, name: str) -> tuple[ApiToken, str]:
    """A new API token and its key, which is shown now and never again. Raises UserError over the limit."""
    if ApiToken.objects.filter(user=user).count() >= MAX_TOKENS:
        raise UserError("too_many_tokens", _("You have too many tokens. Delete one that you no longer use."))
    key = ApiToken.new_key()
    return ApiToken.objects.create(user=user, name=name[:60], digest=ApiToken.digest_of(key)), key


def delete_token(user: User, token_id: UUID) -> bool:
    """Delete one of the user's tokens; False when there is none with this id."""
    deleted, _rows = ApiToken.objects.filter(pk=token_id, user=user).delete()
    return bool(deleted)


def log_access(actor: User | None, action: str, obj: HasId, patient_id: UUID | None = None) -> None:
    """Write one line of the access log: who did what to which object, and whose data it was.

    The patient is found through the object where it hangs on a case; otherwise give `patient_id`.
    """
    access_log.record(actor, action, obj, patient_id)


def log_list(actor: User, action: str, objects: Iterable[HasId]) -> None:
    """Write a line for each thing of somebody else that a list showed to `actor`."""
    access_log.record_list(actor, action, objects)
