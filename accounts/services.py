"""Every write about people. Who may read whose cases is in `accounts.care` and `accounts.emergency`."""

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts import access_log, notices
from accounts.access_log import HasId
from accounts.models import ApiToken, DoctorProfile, Role, User
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
                "waiting_since": timezone.now(),
                "checks": [],
                "declined_at": None,
                "declined_by": None,
                "decline_reason": "",
            },
        )
    return profile


def rename(user: User, full_name: str) -> bool:
    """Give a user another name. True when a verified doctor has to be checked anew because of it.

    A name is what patients trust a doctor by and what signs reviews, and it was checked with the licence.
    """
    with transaction.atomic():
        held = User.objects.select_for_update().get(pk=user.pk)
        if held.full_name == full_name:
            return False
        User.objects.filter(pk=user.pk).update(full_name=full_name, updated_at=timezone.now())
        doubted = DoctorProfile.objects.filter(
            user=user, user__role=Role.DOCTOR, verified_at__isnull=False
        ).update(
            verified_at=None,
            verified_by=None,
            checks=[],
            waiting_since=timezone.now(),
            updated_at=timezone.now(),
        )
        if doubted:
            log_access(user, "correct_licence", user)
    return bool(doubted)


def verify_doctor(
    doctor: User, by: User, checks: Iterable[str] = (), *, waiting_since: datetime | None = None
) -> None:
    """Record that administrator `by` has checked the doctor's licence, and how (`licences.CHECKS`).

    `waiting_since` is what the administrator saw: a licence that was corrected since then waits anew. Raises
    UserError for that, and for anybody who is no administrator.
    """
    if by.role != Role.ADMIN or not by.is_active:
        raise UserError("not_allowed", _("Only an administrator can verify a licence."))
    profile = DoctorProfile.objects.filter(user=doctor).first()
    if profile is None or doctor.role != Role.DOCTOR:
        raise UserError("not_a_doctor", _("This account has no doctor's licence to verify."))
    # The first verification stands: who checked it and when is not overwritten.
    unseen = DoctorProfile.objects.filter(pk=profile.pk, verified_at__isnull=True)
    if waiting_since is not None:
        unseen = unseen.filter(waiting_since=waiting_since)
        if profile.verified_at is None and not unseen.exists():
            raise UserError(
                "changed", _("The doctor has corrected the licence meanwhile. Please check it again.")
            )
    changed = unseen.update(
        verified_at=timezone.now(),
        verified_by=by,
        checks=list(checks),
        declined_at=None,
        declined_by=None,
        decline_reason="",
        updated_at=timezone.now(),
    )
    if changed:
        log_access(by, "verify_licence", doctor)
        notices.tell(doctor.pk, "licence_verified")


def withdraw_verification(doctor: User, by: User) -> None:
    """Make a doctor inert again at once. Raises UserError unless `by` is an administrator, and for an account
    without a verified licence.
    """
    if by.role != Role.ADMIN or not by.is_active:
        raise UserError("not_allowed", _("Only an administrator can withdraw a verification."))
    changed = DoctorProfile.objects.filter(user=doctor, verified_at__isnull=False).update(
        verified_at=None,
        verified_by=None,
        checks=[],
        waiting_since=timezone.now(),
        updated_at=timezone.now(),
    )
    if not changed:
        raise UserError("not_verified", _("This account has no verified licence."))
    log_access(by, "withdraw_licence", doctor)
    notices.tell(doctor.pk, "licence_withdrawn")


def remember_language(user: User, language: str, *, chosen: bool = False) -> None:
    """Keep in which language a person reads: mails to them are written in it. `chosen`: pages are, too,
    whatever the browser asks for.
    """
    user.language = language
    user.language_is_chosen = user.language_is_chosen or chosen
    user.save(update_fields=["language", "language_is_chosen"])


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


def end_tokens(user: User) -> int:
    """Delete all of the user's tokens and tell them; how many there were."""
    deleted, _rows = ApiToken.objects.filter(user=user).delete()
    if deleted:
        notices.tell(user.pk, "tokens_ended", reverse("accounts:account"))
    return deleted


def log_access(actor: User | None, action: str, obj: HasId, patient_id: UUID | None = None) -> None:
    """Write one line of the access log: who did what to which object, and whose data it was.

    The patient is found through the object where it hangs on a case; otherwise give `patient_id`.
    """
    access_log.record(actor, action, obj, patient_id)


def log_list(actor: User, action: str, objects: Iterable[HasId]) -> None:
    """Write a line for each thing of somebody else that a list showed to `actor`."""
    access_log.record_list(actor, action, objects)
