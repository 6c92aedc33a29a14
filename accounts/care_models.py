"""Who may read whose cases: grants, invitations that lead to them, and the emergency way in."""

import hashlib
from datetime import datetime

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from pmi_site.models import BaseModel


class CareRelationshipQuerySet(models.QuerySet["CareRelationship"]):
    """Which grants hold."""

    def active(self) -> "CareRelationshipQuerySet":
        """Neither revoked nor expired."""
        return self.filter(
            Q(expires_at__isnull=True) | Q(expires_at__gt=timezone.now()), revoked_at__isnull=True
        )


class CareRelationship(BaseModel):
    """A patient lets a doctor read one case, or all of them. Ended ones are kept: who could see what, when.

    An emergency access is a grant too, one that the doctor took (`is_emergency`): everything that reads asks
    this one table, so that nothing can be forgotten when access ends.
    """

    patient = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, related_name="grants_given", verbose_name=_("patient")
    )
    doctor = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, related_name="grants_received", verbose_name=_("doctor")
    )
    case = models.ForeignKey(
        "cases.Case",
        models.CASCADE,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("case"),
        help_text=_("empty: all cases of the patient"),
    )
    is_emergency = models.BooleanField(_("taken in an emergency"), default=False, editable=False)
    granted_at = models.DateTimeField(_("granted on"), default=timezone.now)
    expires_at = models.DateTimeField(_("ends on"), null=True, blank=True)
    revoked_at = models.DateTimeField(_("revoked on"), null=True, blank=True)

    objects = CareRelationshipQuerySet.as_manager()

    class Meta:
        verbose_name = _("care relationship")
        verbose_name_plural = _("care relationships")
        ordering = ["-granted_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["patient", "doctor", "is_emergency"],
                condition=Q(revoked_at__isnull=True, case__isnull=True),
                name="one_open_grant_per_pair",
            ),
            models.UniqueConstraint(
                fields=["patient", "doctor", "case"],
                condition=Q(revoked_at__isnull=True, case__isnull=False),
                name="one_open_grant_per_case",
            ),
            models.CheckConstraint(condition=~Q(patient=F("doctor")), name="no_grant_to_oneself"),
        ]

    def __str__(self) -> str:
        return f"{self.patient_id} -> {self.doctor_id}"

    @property
    def is_active(self) -> bool:
        """Whether it holds now (the doctor's licence is looked at elsewhere)."""
        return self.revoked_at is None and (self.expires_at is None or self.expires_at > timezone.now())

    @property
    def ended_at(self) -> datetime | None:
        """When it ended; None while it holds."""
        if self.is_active:
            return None
        return min(moment for moment in (self.revoked_at, self.expires_at) if moment is not None)


class CareInvitationQuerySet(models.QuerySet["CareInvitation"]):
    """Which invitations wait for an answer."""

    def waiting(self) -> "CareInvitationQuerySet":
        """Open and not too old."""
        return self.filter(state=CareInvitation.State.OPEN, expires_at__gt=timezone.now())

    def to_deliver(self) -> "CareInvitationQuerySet":
        """Waiting, for somebody at an address, and nobody has told them yet."""
        return self.waiting().filter(delivered_at__isnull=True).exclude(email="")


class CareInvitation(BaseModel):
    """One side asks, the other answers; a "yes" makes a `CareRelationship`.

    | way     | who asks | who answers                                    | `email`      |
    |---------|----------|------------------------------------------------|--------------|
    | email   | patient  | the verified doctor with this address          | the doctor's |
    | code    | patient  | the verified doctor who enters the code        | empty        |
    | request | doctor   | the patient with this address                  | the patient's|

    Whether somebody has an account with the address is not looked up when asking, and not told.
    """

    class Way(models.TextChoices):
        """How the other side learns of it."""

        EMAIL = "email", _("by email")
        CODE = "code", _("by code")
        REQUEST = "request", _("asked by the doctor")

    class State(models.TextChoices):
        """What became of it. An open one whose time is over is shown as expired."""

        OPEN = "open", _("waiting for an answer")
        ACCEPTED = "accepted", _("accepted")
        DECLINED = "declined", _("declined")
        CANCELLED = "cancelled", _("taken back")

    way = models.CharField(_("way"), max_length=8, choices=Way)
    patient = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.CASCADE,
        null=True,
        related_name="care_invitations_as_patient",
        verbose_name=_("patient"),
    )
    doctor = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.CASCADE,
        null=True,
        related_name="care_invitations_as_doctor",
        verbose_name=_("doctor"),
    )
    email = models.EmailField(_("address"), blank=True, db_index=True)
    code_digest = models.CharField(max_length=64, null=True, unique=True, editable=False)  # noqa: DJ001
    case = models.ForeignKey(
        "cases.Case", models.CASCADE, null=True, blank=True, related_name="+", verbose_name=_("case")
    )
    access_days = models.PositiveSmallIntegerField(
        _("access lasts (days)"), null=True, help_text=_("empty: until the patient ends it")
    )
    expires_at = models.DateTimeField(_("waits until"))
    state = models.CharField(_("state"), max_length=10, choices=State, default=State.OPEN)
    answered_at = models.DateTimeField(_("answered on"), null=True)
    delivered_at = models.DateTimeField(null=True, editable=False)
    grant = models.ForeignKey(
        CareRelationship, models.CASCADE, null=True, related_name="invitations", verbose_name=_("grant")
    )

    objects = CareInvitationQuerySet.as_manager()

    class Meta:
        verbose_name = _("invitation")
        verbose_name_plural = _("invitations")
        ordering = ["-created_at"]
        constraints = [
            models.CheckConstraint(
                condition=Q(way="request", doctor__isnull=False)
                | Q(~Q(way="request"), patient__isnull=False),
                name="invitation_has_an_asker",
            )
        ]

    def __str__(self) -> str:
        """Name it by id: the address is personal and ends up in logs."""
        return f"invitation {self.pk}"

    @staticmethod
    def digest_of(code: str) -> str:
        """What is stored of a code. Short-lived, single-use and guess-limited, so a plain hash is enough."""
        return hashlib.sha256(f"pmi-care-code:{code}".encode()).hexdigest()

    @property
    def is_waiting(self) -> bool:
        """Whether it can still be answered."""
        return self.state == self.State.OPEN and self.expires_at > timezone.now()

    @property
    def state_text(self) -> str:
        """The state in words; an open one whose time is over is "expired"."""
        if self.state == self.State.OPEN and not self.is_waiting:
            return str(_("expired"))
        return str(self.get_state_display())


class EmergencyAccess(BaseModel):
    """A doctor opened a patient's cases without being asked, and said why. Kept, and told at once."""

    grant = models.OneToOneField(
        CareRelationship, models.CASCADE, related_name="emergency", verbose_name=_("grant")
    )
    reason = models.TextField(_("reason"), max_length=1000)

    class Meta:
        verbose_name = _("emergency access")
        verbose_name_plural = _("emergency accesses")
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return f"emergency access {self.pk}"
