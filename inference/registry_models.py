"""Who let which model version read, readings of a shadow version, and figures taken in the background.

A shadow reading is kept apart from everything that anybody but an administrator may see: no row of another
table points at one, none is found from an analysis, and only `inference.shadow` reads the table.
"""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from pmi_site.models import BaseModel


class ModelUse(BaseModel):
    """One decision about a model version: who, when, and what it replaced. Rows are only ever added."""

    class What(models.TextChoices):
        PROMOTED = "promoted", _("reads from now on")
        ROLLED_BACK = "rolled_back", _("reads again")
        SHADOW_ON = "shadow_on", _("runs in the shadow")
        SHADOW_OFF = "shadow_off", _("no longer runs in the shadow")

    model_version = models.ForeignKey("inference.ModelVersion", on_delete=models.PROTECT, related_name="uses")
    what = models.CharField(max_length=12, choices=What.choices)
    replaced = models.ForeignKey(
        "inference.ModelVersion", on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )

    class Meta:
        ordering = ["-created_at", "-id"]

    def __str__(self) -> str:
        return f"{self.model_version_id} {self.what}"


class ShadowReading(BaseModel):
    """What a shadow version says to a scan that the active version has read.

    queued -> running -> done | failed, and running -> queued when a worker died. Every arrow out of running
    is a compare-and-swap on (running, same attempt), in `inference.shadow`.
    """

    class State(models.TextChoices):
        QUEUED = "queued", _("waiting")
        RUNNING = "running", _("being read")
        DONE = "done", _("done")
        FAILED = "failed", _("failed")

    # Without a way back, so that no query from a reading can reach it.
    analysis = models.ForeignKey("inference.Analysis", on_delete=models.CASCADE, related_name="+")
    model_version = models.ForeignKey("inference.ModelVersion", on_delete=models.CASCADE, related_name="+")
    state = models.CharField(max_length=8, choices=State.choices, default=State.QUEUED)
    attempt = models.PositiveSmallIntegerField(default=0)
    lease_expires_at = models.DateTimeField(null=True, blank=True)
    refused = models.CharField(max_length=40, blank=True, help_text=_("Reason code of a refusal."))
    probabilities: Any = models.JSONField(default=dict, blank=True)
    calls: Any = models.JSONField(default=dict, blank=True)
    timings_ms: Any = models.JSONField(default=dict, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["analysis", "model_version"], name="inference_shadow_once"),
            models.CheckConstraint(
                condition=(Q(state="running") & Q(lease_expires_at__isnull=False))
                | (~Q(state="running") & Q(lease_expires_at__isnull=True)),
                name="inference_shadow_lease_iff_running",
            ),
        ]
        indexes = [
            models.Index(fields=["model_version", "-finished_at"], name="inference_shadow_by_version"),
            models.Index(
                fields=["updated_at"],
                condition=Q(state__in=["queued", "running"]),
                name="inference_shadow_open",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.state} ({self.id})"


class Snapshot(BaseModel):
    """Figures of the whole site as they were at one moment, taken in the background. They name nobody."""

    name = models.CharField(max_length=80, unique=True)
    figures: Any = models.JSONField(default=dict)
    taken_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.name} of {self.taken_at:%Y-%m-%d %H:%M}"
