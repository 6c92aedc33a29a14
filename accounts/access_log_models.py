"""The access log's table: rows are added, chained once, never changed. `accounts.access_log` writes it."""

from typing import TYPE_CHECKING, Any, Optional
from uuid import UUID

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

if TYPE_CHECKING:
    from accounts.models import User


class AccessLogQuerySet(models.QuerySet["AccessLog"]):
    """Lines by person. People stand in the log under a random key that is kept on their account alone."""

    def by(self, user: "User") -> "AccessLogQuerySet":
        """What this person did."""
        return self.filter(actor_key=user.log_key)

    def about(self, user: "User") -> "AccessLogQuerySet":
        """What was done with this person's data."""
        return self.filter(patient_key=user.log_key)

    def unsealed(self) -> "AccessLogQuerySet":
        """Committed lines that wait for their place in the chain (milliseconds, as a rule)."""
        return self.filter(sequence__isnull=True)

    def sealed(self) -> "AccessLogQuerySet":
        """The chain, first line first."""
        return self.filter(sequence__isnull=False).order_by("sequence")


class AccessLog(models.Model):
    """Who did what to which object, and whose data it was.

    No name and no id of a person stands here: `actor_key` and `patient_key` are the random `User.log_key`.
    When an account is erased its key goes with it, and the lines stay as they are, about nobody.
    `is_emergency`: the doctor could do this only because they had opened the cases in an emergency.

    `sequence`, `prev_hash` and `entry_hash` chain the lines. They are filled right after the commit (see
    `access_log.seal`); a trigger of the database refuses every other change, every deletion and emptying.
    """

    actor_key = models.UUIDField(_("who"), null=True, editable=False)
    patient_key = models.UUIDField(_("whose data"), null=True, editable=False)
    action = models.CharField(_("action"), max_length=40)
    object_type = models.CharField(_("kind of object"), max_length=40)
    object_id = models.UUIDField(_("object"), db_index=True)
    case_id = models.UUIDField(_("case"), null=True, editable=False)
    is_emergency = models.BooleanField(_("in an emergency"), default=False, editable=False)
    at = models.DateTimeField(_("when"), default=timezone.now, db_index=True)
    sequence = models.BigIntegerField(_("number"), null=True, unique=True, editable=False)
    prev_hash = models.CharField(max_length=64, editable=False, default="")
    entry_hash = models.CharField(max_length=64, editable=False, default="")

    objects = AccessLogQuerySet.as_manager()

    class Meta:
        verbose_name = _("access log entry")
        verbose_name_plural = _("access log")
        ordering = ["-at", "-id"]
        indexes = [
            models.Index(fields=["patient_key", "-at"], name="access_log_by_patient"),
            models.Index(fields=["actor_key", "-at"], name="access_log_by_actor"),
            models.Index(fields=["id"], condition=Q(sequence__isnull=True), name="access_log_unsealed"),
        ]

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M} {self.action} {self.object_type}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Add the row; raises TypeError for one that exists already."""
        if not self._state.adding:
            raise TypeError("An access log entry cannot be changed.")
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        """Always raises TypeError."""
        raise TypeError("An access log entry cannot be deleted.")

    @property
    def actor(self) -> Optional["User"]:
        """Who did it; None for a visitor without an account and for an account that was erased."""
        from accounts.models import User

        return User.objects.filter(log_key=self.actor_key).first() if self.actor_key else None

    @property
    def is_erased_actor(self) -> bool:
        """Whether somebody did it whose account is gone."""
        return self.actor_key is not None and self.actor is None

    def payload(self, sequence: int, prev_hash: str) -> dict[str, Any]:
        """What the hash of this line covers, at its place in the chain."""
        # Only where it is true: lines that are older than the mark keep the hash that they were given.
        mark = {"emergency": True} if self.is_emergency else {}
        return {
            **mark,
            "sequence": sequence,
            "prev_hash": prev_hash,
            "at": self.at.astimezone(timezone.get_fixed_timezone(0)).isoformat(timespec="microseconds"),
            "actor": _text(self.actor_key),
            "patient": _text(self.patient_key),
            "action": self.action,
            "object_type": self.object_type,
            "object": _text(self.object_id),
            "case": _text(self.case_id),
        }


def _text(value: UUID | None) -> str | None:
    return str(value) if value is not None else None
