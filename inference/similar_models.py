"""A search with a picture that is not kept: what a worker needs for it, and its vector for a short while."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _
from pgvector.django import HalfVectorField

from pmi_site.models import BaseModel


class SimilarSearch(BaseModel):
    """One search by files or by a region of a scan. The files are gone once a worker has looked at them; the
    vector, from which no picture can be shown, goes with the row some minutes later.

    receiving -> queued -> running -> done | failed, and running -> queued when a worker died. Every arrow out
    of running is a compare-and-swap on (running, same attempt), in `inference.similar_searches`.
    """

    class State(models.TextChoices):
        RECEIVING = "receiving", _("being received")
        QUEUED = "queued", _("waiting for a worker")
        RUNNING = "running", _("being compared")
        DONE = "done", _("done")
        FAILED = "failed", _("not searched")

    FINISHED = (State.DONE, State.FAILED)

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    state = models.CharField(max_length=9, choices=State.choices, default=State.RECEIVING)
    kind = models.CharField(max_length=20, blank=True, help_text=_("What the person says it shows."))
    language = models.CharField(max_length=12, blank=True)
    # Names in private storage; neutral, never the sender's.
    files = models.JSONField(default=list, blank=True)
    analysis = models.ForeignKey(
        "inference.Analysis", on_delete=models.CASCADE, null=True, blank=True, related_name="+"
    )
    region = models.JSONField(null=True, blank=True, help_text=_("Four shares of the most telling slice."))
    wanted = models.JSONField(default=dict, blank=True, help_text=_("Filters and number of hits."))
    attempt = models.PositiveSmallIntegerField(default=0)
    lease_expires_at = models.DateTimeField(null=True, blank=True)
    reason_code = models.CharField(max_length=40, blank=True)
    reason = models.TextField(blank=True)
    space = models.ForeignKey(
        "inference.VectorSpace", on_delete=models.CASCADE, null=True, blank=True, related_name="+"
    )
    vector = HalfVectorField(null=True, blank=True)

    class Meta:
        ordering = ["-created_at"]
        verbose_name_plural = "similar searches"
        indexes = [models.Index(fields=["state", "created_at"], name="inference_search_by_state")]
        constraints = [
            models.CheckConstraint(
                condition=~models.Q(state="done") | models.Q(space__isnull=False, vector__isnull=False),
                name="inference_search_done_has_vector",
            ),
            models.CheckConstraint(
                condition=~models.Q(state="failed") | (~models.Q(reason="") & ~models.Q(reason_code="")),
                name="inference_search_refusal_has_reason",
            ),
            models.CheckConstraint(
                condition=models.Q(state="running", lease_expires_at__isnull=False)
                | (~models.Q(state="running") & models.Q(lease_expires_at__isnull=True)),
                name="inference_search_lease_iff_running",
            ),
        ]

    def __str__(self) -> str:
        return f"Search {self.pk} ({self.state})"

    @property
    def is_finished(self) -> bool:
        """Nothing more will happen to it."""
        return self.state in self.FINISHED
