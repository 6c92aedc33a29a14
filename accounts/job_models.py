"""Background jobs of a person: taking data away, and erasing it. They survive the death of their worker.

```
 asked ──► waiting ──claim──► running ──► done ──(exports, after a week)──► expired
              ▲                  │
              └── lease ends ────┴──► failed (exports, after three tries)
```
"""

from datetime import timedelta
from typing import Any, ClassVar

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from pmi_site.models import BaseModel

LEASE = timedelta(minutes=3)


class Job(BaseModel):
    """One job. Whoever claims it holds it as long as its lease is renewed."""

    class State(models.TextChoices):
        WAITING = "waiting", _("Waiting")
        RUNNING = "running", _("Being prepared")
        DONE = "done", _("Ready")
        FAILED = "failed", _("Failed")
        EXPIRED = "expired", _("Removed")

    state = models.CharField(max_length=8, choices=State.choices, default=State.WAITING)
    done = models.PositiveIntegerField(default=0)
    total = models.PositiveIntegerField(default=0)
    attempt = models.PositiveSmallIntegerField(default=0)
    lease_expires_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        abstract = True

    @classmethod
    def claim(cls, job_id: Any) -> Any:
        """The job for this worker alone, or None while another one holds it or it is over."""
        now = timezone.now()
        free = Q(state="waiting") | Q(state="running", lease_expires_at__lt=now)
        taken = cls._default_manager.filter(free, pk=job_id).update(
            state="running", attempt=F("attempt") + 1, lease_expires_at=now + LEASE, updated_at=now
        )
        return cls._default_manager.get(pk=job_id) if taken else None

    @classmethod
    def stale(cls) -> Any:
        """Jobs that nobody works on: their message was lost, or their worker."""
        now = timezone.now()
        return cls._default_manager.filter(
            Q(state="waiting", updated_at__lt=now - LEASE) | Q(state="running", lease_expires_at__lt=now)
        )

    def mine(self) -> Any:
        """The row, as long as this attempt still holds it."""
        return type(self)._default_manager.filter(pk=self.pk, state="running", attempt=self.attempt)

    def renew(self, **fields: Any) -> bool:
        """Prolong the lease and write fields; False when another worker took over."""
        now = timezone.now()
        return bool(self.mine().update(lease_expires_at=now + LEASE, updated_at=now, **fields))

    def finish(self, state: str, **fields: Any) -> bool:
        """End the job; False when another worker took over."""
        now = timezone.now()
        return bool(
            self.mine().update(state=state, lease_expires_at=None, finished_at=now, updated_at=now, **fields)
        )


class DataExport(Job):
    """Everything that PMI holds of one person, as one zip file for a week."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="data_exports")
    as_of = models.DateTimeField(_("shows the state of"), null=True, blank=True)
    archive = models.FileField(max_length=200, blank=True, editable=False)
    byte_size = models.PositiveBigIntegerField(default=0)
    sha256 = models.CharField(max_length=64, blank=True)
    expires_at = models.DateTimeField(_("removed on"), null=True, blank=True)
    downloads = models.PositiveIntegerField(default=0)

    class Meta:
        ordering: ClassVar[list[str]] = ["-created_at"]
        verbose_name = _("export of one's data")
        verbose_name_plural = _("exports of people's data")
        constraints: ClassVar[list[Any]] = [
            models.UniqueConstraint(
                fields=["user"],
                condition=Q(state__in=["waiting", "running"]),
                name="accounts_one_unfinished_export",
            )
        ]

    def __str__(self) -> str:
        return f"export {self.pk}"

    @property
    def is_unfinished(self) -> bool:
        """Whether it is still being made."""
        return self.state in {self.State.WAITING, self.State.RUNNING}

    @property
    def can_be_fetched(self) -> bool:
        """Whether there is a file to download."""
        return self.state == self.State.DONE and bool(self.archive) and not self.is_over

    @property
    def is_over(self) -> bool:
        """Whether its week has passed."""
        return self.expires_at is not None and self.expires_at <= timezone.now()


class Erasure(Job):
    """One account that is being erased, or was. In the end it names nobody.

    `subject` and `mail_to` are emptied when all is gone. What stays are hashes of random numbers: of the id,
    so that a check can be asked for by somebody who knows it, and of the private folders, so that a file
    which turns up later is recognised.
    """

    subject = models.UUIDField(null=True, blank=True, editable=False)
    subject_digest = models.CharField(max_length=64, unique=True, editable=False)
    mail_to = models.CharField(max_length=254, blank=True, editable=False)
    mail_language = models.CharField(max_length=10, default="en", editable=False)
    folders = models.JSONField(default=list, editable=False)
    proof = models.JSONField(default=list, editable=False)
    left = models.JSONField(default=list, editable=False, help_text=_("what the last check still found"))
    looked_again_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering: ClassVar[list[str]] = ["-created_at"]
        verbose_name = _("erasure")
        verbose_name_plural = _("erasures")

    def __str__(self) -> str:
        return f"erasure {self.pk}"
