"""Breaking the glass: a doctor opens a patient's cases unasked, says why, and the patient is told.

The access is a grant like any other, so everything that reads ends with it; it lasts `PMI_EMERGENCY_HOURS`.
There is no search: only who knows the exact address gets in.
"""

from datetime import timedelta

from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from accounts import selectors
from accounts.models import CareRelationship, EmergencyAccess, Role, User
from accounts.notices import tell
from accounts.services import log_access
from pmi_site.errors import TooManyTries, UserError
from pmi_site.misses import Misses

SHORTEST_REASON = 20
LONGEST_REASON = 1000
# Every try counts, right or wrong.
_tries = Misses("emergency", most=5, seconds=3600)


def open_access(doctor: User, email: str, reason: str) -> CareRelationship:
    """Let a verified doctor read all cases of the patient with this address for some hours.

    Raises UserError for a missing reason, an address that is no patient's (the same words for every cause),
    a patient whose cases are open to the doctor anyway, and, until its time would have been over, where the
    patient ended the last one; TooManyTries after five tries in an hour; PermissionDenied for anybody who is
    not a verified doctor.
    """
    if not selectors.is_verified_doctor(doctor):
        raise PermissionDenied(_("Only doctors whose licence is verified can do this."))
    reason = " ".join(reason.split())
    if not SHORTEST_REASON <= len(reason) <= LONGEST_REASON:
        raise UserError(
            "no_reason",
            _("Write in a sentence why this cannot wait (20 to 1,000 letters). The patient will read it."),
        )
    if _tries.too_many(str(doctor.pk)):
        raise TooManyTries("too_many_emergencies", _("That was often within an hour. Please wait."))
    _tries.note(str(doctor.pk))
    patient = User.objects.filter(email=email.strip().lower(), role=Role.PATIENT, is_active=True).first()
    if patient is None:
        log_access(doctor, "try_emergency_access", doctor)
        raise UserError(
            "no_such_patient", _("We know no patient with exactly this address. Please check each letter.")
        )
    _check_grants(patient, doctor)
    now = timezone.now()
    try:
        with transaction.atomic():
            # One whose time is over still counts as open to the database.
            _emergencies(patient, doctor).filter(revoked_at__isnull=True, expires_at__lte=now).update(
                revoked_at=now, updated_at=now
            )
            grant = CareRelationship.objects.create(
                patient=patient,
                doctor=doctor,
                is_emergency=True,
                expires_at=now + timedelta(hours=settings.PMI_EMERGENCY_HOURS),
            )
            EmergencyAccess.objects.create(grant=grant, reason=reason)
            log_access(doctor, "open_emergency_access", grant)
            tell(patient.pk, "emergency_access", reverse("accounts:sharing") + "#emergency")
    except IntegrityError:
        # Two clicks at the same moment: the constraint let one through, and its reason is kept.
        _check_grants(patient, doctor)
        raise
    return grant


def _emergencies(patient: User, doctor: User) -> QuerySet[CareRelationship]:
    return CareRelationship.objects.filter(patient=patient, doctor=doctor, is_emergency=True)


def _check_grants(patient: User, doctor: User) -> None:
    held = CareRelationship.objects.active().filter(patient=patient, doctor=doctor, case__isnull=True)
    if held.filter(is_emergency=False).exists():
        raise UserError("open_already", _("This patient already lets you read all of their cases."))
    running = held.first()
    if running is not None:
        until = date_format(timezone.localtime(running.expires_at), "TIME_FORMAT")
        text = _("You already have emergency access to this patient's cases, until %(until)s.")
        raise UserError("running_already", text % {"until": until})
    # A doctor's own end moves the time of the grant (`care.give_back`), a patient's does not.
    ended = _emergencies(patient, doctor).filter(revoked_at__isnull=False, expires_at__gt=timezone.now())
    if ended.exists():
        raise UserError(
            "ended_by_patient",
            _("The patient has ended your emergency access. You cannot open it again for some hours."),
        )
