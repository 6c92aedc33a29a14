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

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from pgvector.django import HalfVectorField

from cases.models import Case, Scan
from cases.storage import private_storage
from inference.registry_models import ModelUse as ModelUse
from inference.registry_models import ShadowReading as ShadowReading
from inference.registry_models import Snapshot as Snapshot
from inference.rule_models import DangerAssessment as DangerAssessment
from inference.rule_models import DangerRuleSet as DangerRuleSet
from inference.rule_models import RuleRun as RuleRun
from inference.similar_models import SimilarSearch as SimilarSearch
from pmi_site.models import BaseModel
from pmi_site.saying import say


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
    is_shadow = models.BooleanField(
        default=False, help_text=_("Reads beside the active version; only administrators see what it says.")
    )
    shadow_since = models.DateTimeField(null=True, blank=True)
    checked_at = models.DateTimeField(null=True, blank=True)
    problem = models.CharField(
        max_length=200, blank=True, help_text=_("What the last check of its files found.")
    )
    metadata = models.JSONField(default=dict)

    class Meta:
        ordering = ["kind", "-created_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["kind"], condition=Q(is_active=True), name="inference_one_active_version_per_kind"
            ),
            models.UniqueConstraint(
                fields=["kind"], condition=Q(is_shadow=True), name="inference_one_shadow_version_per_kind"
            ),
            models.CheckConstraint(
                condition=~Q(is_active=True, is_shadow=True), name="inference_not_active_and_shadow"
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
    ANSWERED = (Status.SUCCEEDED, Status.REJECTED)
    FINISHED = (*ANSWERED, Status.FAILED)

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
    reason = models.TextField(
        blank=True, help_text=_("Why there is no reading, in words for the user (English).")
    )
    reason_words = models.JSONField(
        default=dict,
        blank=True,
        editable=False,
        help_text=_("The same as message and values, to be said in the language of who asks."),
    )
    danger = models.CharField(max_length=12, choices=DangerLevel.choices, blank=True)
    danger_reasons = models.JSONField(default=list, blank=True)
    next_step = models.TextField(blank=True)
    danger_rules = models.JSONField(
        default=list, blank=True, help_text=_("Ids of the danger rules that fired.")
    )
    rules_version = models.CharField(max_length=40, blank=True)
    doctor_level = models.CharField(
        max_length=12, blank=True, help_text=_("Set by a doctor; no rule gives less than this.")
    )
    probabilities = models.JSONField(default=dict, blank=True)
    timings_ms = models.JSONField(default=dict, blank=True)
    key_slice = models.PositiveIntegerField(null=True, blank=True)
    key_plane = models.CharField(max_length=10, blank=True)
    slices_read = models.PositiveIntegerField(default=0)
    age_group = models.CharField(
        max_length=8,
        choices=Case.AgeGroup.choices,
        blank=True,
        help_text=_("What it was read for; empty where that is not known."),
    )
    marks = models.JSONField(
        default=dict,
        blank=True,
        help_text=_("From where on each label was possible and likely; empty where that was not kept."),
    )
    gate_distance = models.FloatField(
        null=True, blank=True, help_text=_("Of the gate's own limit: above 1 is unlike its training images.")
    )

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

    @property
    def said_reason(self) -> str:
        """Why there is no reading, in the language of who asks."""
        return say(self.reason_words or self.reason)


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
    """What a network saw in the scan of a reading, as one vector of the space of its model version.

    The reading writes that of its own version; versions that are promoted later add theirs.
    """

    analysis = models.ForeignKey(Analysis, on_delete=models.CASCADE, related_name="embeddings")
    model_version = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="embeddings")
    vector = HalfVectorField()  # the length is the model version's own, so the column is left open

    class Meta:
        indexes = [models.Index(fields=["model_version"], name="inference_embedding_by_version")]
        constraints = [
            models.UniqueConstraint(
                fields=["analysis", "model_version"], name="inference_one_embedding_each_version"
            )
        ]

    def __str__(self) -> str:
        return f"Embedding of {self.analysis_id}"


class Confirmation(BaseModel):
    """A signed review says that this finding is there (see `inference.similar_services.follow_reviews`)."""

    finding = models.OneToOneField(Finding, on_delete=models.CASCADE, related_name="confirmation")
    doctor = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+"
    )
    confirmed_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return f"Confirmation of {self.finding_id}"


class VectorSpace(BaseModel):
    """The embedding space of one model version: its size, how far it is filled, and what is near in it.

    Vectors of two spaces are never compared: every search names its space.
    """

    class State(models.TextChoices):
        WAITING = "waiting", _("waiting")
        FILLING = "filling", _("being filled")
        READY = "ready", _("filled")
        FAILED = "failed", _("broken off")

    model_version = models.OneToOneField(ModelVersion, on_delete=models.CASCADE, related_name="space")
    dims = models.PositiveIntegerField(null=True, blank=True, help_text=_("Length of a vector."))
    state = models.CharField(max_length=8, choices=State.choices, default=State.WAITING)
    total = models.PositiveIntegerField(default=0)
    done = models.PositiveIntegerField(default=0)
    failed = models.PositiveIntegerField(default=0)
    scans_total = models.PositiveIntegerField(
        default=0, help_text=_("Patients' scans that were read, to be shown as their earlier ones.")
    )
    scans_done = models.PositiveIntegerField(default=0)
    scans_failed = models.PositiveIntegerField(default=0)
    projection = models.BinaryField(
        null=True, blank=True, help_text=_("What shortens embeddings; see inference.similar_projection.")
    )
    kept = models.FloatField(null=True, blank=True, help_text=_("Share of the spread that it keeps."))
    indexed = models.BooleanField(default=False, help_text=_("There is an index over it."))
    indexed_rows = models.PositiveIntegerField(default=0, help_text=_("Vectors it was built for."))
    near = models.FloatField(null=True, blank=True, help_text=_("Distance of close pairs."))
    typical = models.FloatField(null=True, blank=True, help_text=_("Distance of usual nearest pairs."))
    lease_expires_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"Space of {self.model_version_id}"


def reference_path(reference: ReferenceImage, filename: str) -> str:
    """Private storage name of a reference picture: by id only."""
    return f"references/{str(reference.pk)[:2]}/{reference.pk}/{filename}"


class ReferenceImage(BaseModel):
    """A labelled image that similar-image search may name: of the atlas, or a consented, confirmed scan.

    It carries no date, file name or identifier of a patient. `picture` is kept to embed it again; it is shown
    only where `showable`.
    """

    class Source(models.TextChoices):
        ATLAS = "atlas", _("Reference atlas")
        PLATFORM = "platform", _("Scan confirmed by a doctor")

    class AgeBand(models.TextChoices):
        CHILD = "child", _("Child")
        ADULT = "adult", _("Adult")
        UNKNOWN = "unknown", _("Age not known")

    kind = models.CharField(max_length=20, choices=Kind.choices)
    source = models.CharField(max_length=8, choices=Source.choices)
    condition = models.SlugField(max_length=80)
    age_band = models.CharField(max_length=8, choices=AgeBand.choices, default=AgeBand.UNKNOWN)
    collection = models.CharField(max_length=120, blank=True, help_text=_("The data set it is from."))
    licence = models.CharField(max_length=120, blank=True)
    citation = models.TextField(blank=True)
    showable = models.BooleanField(default=False, help_text=_("Its licence allows showing the picture."))
    key = models.CharField(max_length=64, help_text=_("Hash that tells an image imported before."))
    group_key = models.CharField(max_length=64, blank=True, help_text=_("Hash of the person it is from."))
    picture = models.FileField(upload_to=reference_path, storage=private_storage, max_length=200)
    heatmap = models.FileField(
        upload_to=reference_path, storage=private_storage, max_length=200, null=True, blank=True
    )
    confirmation = models.OneToOneField(
        Confirmation, on_delete=models.CASCADE, null=True, blank=True, related_name="reference"
    )
    scan = models.ForeignKey(Scan, on_delete=models.CASCADE, null=True, blank=True, related_name="references")
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, null=True, blank=True, related_name="+"
    )

    class Meta:
        indexes = [models.Index(fields=["kind", "condition"], name="inference_reference_by_kind")]
        constraints = [
            models.UniqueConstraint(fields=["kind", "key"], name="inference_reference_once"),
            models.CheckConstraint(
                condition=Q(source="atlas", scan__isnull=True, owner__isnull=True, confirmation__isnull=True)
                | Q(source="platform", scan__isnull=False, owner__isnull=False, confirmation__isnull=False),
                name="inference_reference_source_is_complete",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.source} {self.condition}"


class ReferenceVector(BaseModel):
    """A reference image in the space of one model version. The indexes are partial, one per space, and
    are built by `inference.similar_services` once a space is large enough to gain from one.
    """

    reference = models.ForeignKey(ReferenceImage, on_delete=models.CASCADE, related_name="vectors")
    model_version = models.ForeignKey(ModelVersion, on_delete=models.CASCADE, related_name="+")
    vector = HalfVectorField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["model_version", "reference"], name="inference_reference_vector_once"
            )
        ]

    def __str__(self) -> str:
        return f"Vector of {self.reference_id}"
