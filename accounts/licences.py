"""The queue of doctors whose licence an administrator has to check."""

from collections.abc import Iterable
from datetime import datetime

from allauth.account.models import EmailAddress
from django.db import transaction
from django.db.models import Count, Exists, OuterRef, QuerySet, Subquery
from django.db.models.functions import Lower
from django.urls import reverse
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts import notices, second_factor, services
from accounts.models import DoctorProfile, Role, User
from accounts.services import log_access
from pmi_site.errors import UserError

# What an administrator confirms by hand; all of them, or the licence is not verified.
CHECKS: dict[str, str | Promise] = {
    "register": gettext_lazy("The number stands in the register of that country"),
    "name": gettext_lazy("The name there is this doctor's"),
    "standing": gettext_lazy("The licence holds today"),
}
MOST_SHOWN = 50


def waiting() -> QuerySet[DoctorProfile]:
    """Licences nobody has decided on, the longest waiting first.

    Each carries what PMI can check by itself: `address_confirmed`, `has_second_factor`, and `same_number`,
    how many accounts name the same number in the same country (this one counts).
    """
    same = (
        DoctorProfile.objects.annotate(
            lower_number=Lower("licence_number"), lower_country=Lower("licence_country")
        )
        .filter(
            lower_number=Lower(OuterRef("licence_number")), lower_country=Lower(OuterRef("licence_country"))
        )
        .order_by()
        .values("lower_number")
        .annotate(count=Count("pk"))
        .values("count")
    )
    return (
        DoctorProfile.objects.filter(
            verified_at__isnull=True, declined_at__isnull=True, user__role=Role.DOCTOR, user__is_active=True
        )
        .select_related("user")
        .annotate(
            address_confirmed=Exists(EmailAddress.objects.filter(user=OuterRef("user"), verified=True)),
            has_second_factor=second_factor.set_up_for("user"),
            same_number=Subquery(same),
        )
        .order_by("waiting_since", "pk")
    )


def verify(doctor: User, by: User, checks: Iterable[str], *, waiting_since: datetime | None = None) -> None:
    """Verify with every check done. Raises UserError when one is missing, `by` is no administrator, or the
    doctor has corrected the licence since `waiting_since`, which the administrator saw.
    """
    done = [name for name in CHECKS if name in set(checks)]
    if len(done) < len(CHECKS):
        raise UserError("checks_missing", _("Please do and tick every check, or decline with a reason."))
    services.verify_doctor(doctor, by, done, waiting_since=waiting_since)


def decline(doctor: User, by: User, reason: str) -> None:
    """Say no for now, with a reason that the doctor reads. Raises UserError when it cannot be done."""
    if by.role != Role.ADMIN or not by.is_active:
        raise UserError("not_allowed", _("Only an administrator can decline a licence."))
    reason = reason.strip()
    if not reason:
        raise UserError("reason_missing", _("Please write why, so that the doctor can correct it."))
    now = timezone.now()
    with transaction.atomic():
        changed = DoctorProfile.objects.filter(
            user=doctor, user__role=Role.DOCTOR, verified_at__isnull=True, declined_at__isnull=True
        ).update(declined_at=now, declined_by=by, decline_reason=reason[:500], checks=[], updated_at=now)
        if not changed:
            raise UserError("decided", _("Somebody else has decided on this licence meanwhile."))
        log_access(by, "decline_licence", doctor)
        notices.tell(doctor.pk, "licence_declined", reverse("accounts:waiting"))


def correct(doctor: User, *, number: str, country: str, specialty: str) -> None:
    """The doctor writes the licence anew and waits again, at the end of the queue."""
    with transaction.atomic():
        services.set_up_doctor(doctor, licence_number=number, licence_country=country, specialty=specialty)
        log_access(doctor, "correct_licence", doctor)
