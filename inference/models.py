"""Model versions, analyses, findings and embeddings.

An `Analysis` is one run of one model version on one scan. Its states:

claim (attempt + 1, lease)
┌────────┐ ─────────────────────────► ┌─────────┐
request  │ queued │                            │ running │──► succeeded   complete
───────► │        │ ◄───────────────────────── │         │──► rejected    reject: an answer, not an error
└────────┘   lease expired, or a      └─────────┘──► failed      fail, or the last lease expired
passing fault: attempts
are left

`succeeded`, `rejected` and `failed` are final. Every arrow out of `running` is a compare-and-swap on
(running, same attempt), made in `inference.services` and nowhere else, so that of a redelivered message, a
double click and a worker that was believed dead only one can write the answer. A scan has at most one
unfinished analysis; the database sees to it.
"""

from __future__ import annotations

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _
from pgvector.django import HalfVectorField

from cases.models import Scan
from pmi_site.models import BaseModel


class Kind(models.TextChoices):
    """What a model reads; `gate` is the small model that tells the others apart."""

    BRAIN_MRI = "brain_mri", _("Brain MRI")
    CHEST_XRAY = "chest_xray", _("Chest X-ray")
    KNEE_XRAY = "knee_xray", _("Knee X-ray")
    GATE = "gate", _("Image type check")


class DangerLevel(models.TextChoices):
    """How dangerous a reading is, most dangerous first."""

    EMERGENCY = "emergency", _("Emergency")
    URGENT = "urgent", _("Urgent")
    SOON = "soon", _("See a doctor soon")
    ROUTINE = "routine", _("Routine")
    NONE_FOUND = "none_found", _("Nothing found")
    INCONCLUSIVE = "inconclusive", _("No answer")


class ModelVersion(BaseModel):
    """A registered bundle. `sha256` is the hash of its metadata file, which lists the hash of every other
    file.
    """

    kind = models.CharField(max_length=20, choices=Kind.choices)
    version = models.CharField(max_length=40)
    bundle = models.CharField(max_length=120, help_text=_("Folder name under the bundle directory."))
    sha256 = models.CharField(max_length=64, unique=True)
    is_active = models.BooleanField(default=False)
    metadata = models.JSONField(default=dict)

    class Meta:
        ordering = ["kind", "-created_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["kind"], condition=Q(is_active=True), name="inference_one_active_version_per_kind"
            ),
            models.CheckConstraint(
                condition=Q(kind__in=Kind.values), name="inference_modelversion_kind_known"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.version}"

    @property
    def label_names(self) -> list[str]:
        """The names of the labels that the model gives a probability for, in the model's order."""
        return [_label_name(label) for label in self.metadata.get("labels", [])]


def _label_name(label: object) -> str:
    return str(label["name"]) if isinstance(label, dict) else str(label)


class Analysis(BaseModel):
    """One run of one model version on one scan; see the module's drawing for its states."""

    class Status(models.TextChoices):
        QUEUED = "queued", _("Waiting")
        RUNNING = "running", _("Being read")
        SUCCEEDED = "succeeded", _("Read")
        REJECTED = "rejected", _("Could not be read")
        FAILED = "failed", _("Failed")

    class Stage(models.TextChoices):
        """Where the work is, for the progress bar."""

        QUEUED = "queued", _("Waiting for a free reader")
        LOADING = "loading", _("Opening the scan")
        GATE = "gate", _("Checking what kind of scan it is")
        READING = "reading", _("Reading the scan")
        SAVING = "saving", _("Writing down the result")
        DONE = "done", _("Finished")

    UNFINISHED = (Status.QUEUED, Status.RUNNING)
    FINISHED = (Status.SUCCEEDED, Status.REJECTED, Status.FAILED)

    scan = models.ForeignKey(Scan, on_delete=models.CASCADE, related_name="analyses")
    model_version = models.ForeignKey(
        ModelVersion, on_delete=models.PROTECT, null=True, blank=True, related_name="analyses"
    )
    status = models.CharField(max_length=12, choices=Status.choices, default=Status.QUEUED)
    stage = models.CharField(max_length=12, choices=Stage.choices, default=Stage.QUEUED)
    kind = models.CharField(
        max_length=20, blank=True, help_text=_("What the scan was read as; empty until known.")
    )
    attempt = models.PositiveSmallIntegerField(default=0)
    lease_expires_at = models.DateTimeField(null=True, blank=True)
    queued_at = models.DateTimeField()
    dispatched_at = models.DateTimeField(help_text=_("When a worker was last told about this analysis."))
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    reason_code = models.CharField(max_length=40, blank=True)
    reason = models.TextField(blank=True, help_text=_("Why there is no reading, in words for the user."))
    danger = models.CharField(max_length=12, choices=DangerLevel.choices, blank=True)
    danger_reasons = models.JSONField(default=list, blank=True)
    next_step = models.TextField(blank=True)
    danger_rules = models.JSONField(
        default=list, blank=True, help_text=_("Ids of the danger rules that fired.")
    )
    rules_version = models.CharField(max_length=40, blank=True)
    probabilities = models.JSONField(default=dict, blank=True)
    timings_ms = models.JSONField(default=dict, blank=True)
    key_slice = models.PositiveIntegerField(null=True, blank=True)
    key_plane = models.CharField(max_length=10, blank=True)
    slices_read = models.PositiveIntegerField(default=0)

    class Meta:
        ordering = ["-queued_at"]
        verbose_name_plural = "analyses"
        indexes = [
            models.Index(fields=["scan", "-queued_at"], name="inference_analysis_by_scan"),
            models.Index(
                fields=["lease_expires_at"],
                condition=Q(status="running"),
                name="inference_analysis_leases",
            ),
            models.Index(fields=["status", "danger"], name="inference_analysis_by_danger"),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["scan"],
                condition=Q(status__in=["queued", "running"]),
                name="inference_one_unfinished_analysis_per_scan",
            ),
            models.CheckConstraint(
                condition=Q(status__in=["queued", "running", "succeeded", "rejected", "failed"]),
                name="inference_analysis_status_known",
            ),
            models.CheckConstraint(
                condition=Q(danger="") | Q(danger__in=DangerLevel.values),
                name="inference_analysis_danger_known",
            ),
            # A running row without a lease could never be taken from a dead worker.
            models.CheckConstraint(
                condition=(Q(status="running") & Q(lease_expires_at__isnull=False))
                | (~Q(status="running") & Q(lease_expires_at__isnull=True)),
                name="inference_analysis_lease_iff_running",
            ),
            models.CheckConstraint(
                condition=Q(status__in=["queued", "running"], finished_at__isnull=True)
                | Q(status__in=["succeeded", "rejected", "failed"], finished_at__isnull=False),
                name="inference_analysis_finished_at_iff_finished",
            ),
            # No reading without a model version and a danger level; no refusal or failure without a reason.
            models.CheckConstraint(
                condition=~Q(status="succeeded") | (Q(model_version__isnull=False) & ~Q(danger="")),
                name="inference_analysis_success_is_complete",
            ),
            models.CheckConstraint(
                condition=~Q(status__in=["rejected", "failed"]) | (~Q(reason="") & ~Q(reason_code="")),
                name="inference_analysis_refusal_has_reason",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_status_display()} ({self.id})"

    @property
    def is_finished(self) -> bool:
        """Whether the analysis has reached a final state."""
        return self.status in self.FINISHED


def heatmap_path(finding: Finding, filename: str) -> str:
    """Private storage name of a finding's heatmap: by ids only, one folder per attempt (see
    `inference.heatmaps`).
    """
    return f"analyses/{finding.analysis_id}/{filename}"


class Finding(BaseModel):
    """One condition in an analysis, with its calibrated probability and the call made from it."""

    class Call(models.TextChoices):
        LIKELY = "likely", _("Likely")
        POSSIBLE = "possible", _("Possible")
        UNLIKELY = "unlikely", _("Unlikely")

    analysis = models.ForeignKey(Analysis, on_delete=models.CASCADE, related_name="findings")
    label = models.CharField(max_length=40)
    condition = models.SlugField(max_length=80, help_text=_("Slug of the condition in the knowledge base."))
    probability = models.FloatField(validators=[MinValueValidator(0.0), MaxValueValidator(1.0)])
    call = models.CharField(max_length=8, choices=Call.choices)
    rank = models.PositiveSmallIntegerField(help_text=_("0 is the most telling finding."))
    heatmap = models.FileField(upload_to=heatmap_path, null=True, blank=True, max_length=200)
    heatmap_png = models.FileField(upload_to=heatmap_path, null=True, blank=True, max_length=200)

    class Meta:
        ordering = ["analysis", "rank"]
        constraints = [
            models.UniqueConstraint(fields=["analysis", "label"], name="inference_finding_label_once"),
            models.UniqueConstraint(fields=["analysis", "rank"], name="inference_finding_rank_once"),
            models.CheckConstraint(
                condition=Q(probability__gte=0.0) & Q(probability__lte=1.0),
                name="inference_finding_probability_in_range",
            ),
            models.CheckConstraint(
                condition=Q(call__in=["likely", "possible", "unlikely"]), name="inference_finding_call_known"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.label}: {self.call}"


class Embedding(BaseModel):
    """What the network saw, as one vector of the space of its model version; written now, searched later."""

    analysis = models.OneToOneField(Analysis, on_delete=models.CASCADE, related_name="embedding")
    model_version = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="embeddings")
    vector = HalfVectorField()  # the length is the model version's own, so the column is left open

    class Meta:
        indexes = [models.Index(fields=["model_version"], name="inference_embedding_by_version")]

    def __str__(self) -> str:
        return f"Embedding of {self.analysis_id}"
