"""Share links: one case shown, read-only, to whoever has the link and its PIN.

```
            expires_at passes ──────────────► expired
 open ───── max_views reached ──────────────► used up
            MOST_WRONG_PINS wrong PINs ─────► locked
            its owner takes it back ────────► revoked
```
Nothing leads back to open. The token and the PIN are shown once and never kept: only what they hash to is.
"""

from datetime import datetime

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from pmi_site.models import BaseModel

MOST_WRONG_PINS = 10


class ShareLinkQuerySet(models.QuerySet["ShareLink"]):
    """Which links still open anything."""

    def usable(self, now: datetime | None = None) -> "ShareLinkQuerySet":
        """Not revoked, not expired, not locked; used-up ones are kept for visitors who are already in."""
        return self.filter(
            revoked_at__isnull=True,
            expires_at__gt=now or timezone.now(),
            failed_tries__lt=MOST_WRONG_PINS,
        )


class ShareLink(BaseModel):
    """One link to one case. A view is one visitor who entered the PIN, not one page."""

    class State(models.TextChoices):
        OPEN = "open", _("Works")
        EXPIRED = "expired", _("Ended")
        USED_UP = "used_up", _("Used up")
        LOCKED = "locked", _("Locked after wrong PINs")
        REVOKED = "revoked", _("Taken back")

    case = models.ForeignKey("cases.Case", on_delete=models.CASCADE, related_name="share_links")
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+"
    )
    note = models.CharField(_("who it is for"), max_length=80, blank=True)
    token_digest = models.CharField(max_length=64, unique=True, editable=False)
    pin_hash = models.CharField(max_length=128, editable=False)
    expires_at = models.DateTimeField(_("ends on"))
    max_views = models.PositiveSmallIntegerField(_("most views"), null=True, blank=True)
    views = models.PositiveIntegerField(_("views"), default=0)
    first_viewed_at = models.DateTimeField(null=True, blank=True)
    last_viewed_at = models.DateTimeField(_("last opened"), null=True, blank=True)
    failed_tries = models.PositiveSmallIntegerField(_("wrong PINs"), default=0)
    blocked_until = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(_("taken back on"), null=True, blank=True)

    objects = ShareLinkQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at", "-id"]
        verbose_name = _("share link")
        verbose_name_plural = _("share links")
        constraints = [
            models.CheckConstraint(
                condition=Q(max_views__isnull=True) | Q(views__lte=F("max_views")),
                name="share_views_within_limit",
            )
        ]

    def __str__(self) -> str:
        """Name the link by id only: a note names a person."""
        return f"share link {self.pk}"

    @property
    def state(self) -> "ShareLink.State":
        """What the link is good for now."""
        if self.revoked_at is not None:
            return self.State.REVOKED
        if self.failed_tries >= MOST_WRONG_PINS:
            return self.State.LOCKED
        if self.expires_at <= timezone.now():
            return self.State.EXPIRED
        return self.State.USED_UP if self.is_used_up else self.State.OPEN

    @property
    def is_used_up(self) -> bool:
        """Nobody else may enter; visitors who are in may stay."""
        return self.max_views is not None and self.views >= self.max_views

    @property
    def is_open(self) -> bool:
        """Somebody with the link and the PIN gets in."""
        return self.state == self.State.OPEN
