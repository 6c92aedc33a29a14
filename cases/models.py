"""Case (one question about one patient) and Scan (one acquisition as stored)."""

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from cases.followup_models import FollowUp as FollowUp
from cases.levels import NOT_READ
from cases.review_models import Review as Review
from cases.review_models import ReviewVerdict as ReviewVerdict
from cases.sharing_models import ShareLink as ShareLink
from cases.storage import private_storage
from cases.worklist_models import CaseSeen as CaseSeen
from cases.worklist_models import WorklistEntry as WorklistEntry
from cases.worklist_models import WorklistView as WorklistView
from pmi_site.models import BaseModel
from pmi_site.saying import say


class Case(BaseModel):
    """One question about one patient; holds scans. It belongs to its patient."""

    class Kind(models.TextChoices):
        """What kind of picture the case is about."""

        BRAIN_MRI = "brain_mri", _("Brain MRI")
        CHEST_XRAY = "chest_xray", _("Chest X-ray")
        KNEE_XRAY = "knee_xray", _("Knee X-ray")
        UNSURE = "unsure", _("Not sure")

    class AgeGroup(models.TextChoices):
        """Age group of the person in the picture; models know some groups better than others."""

        CHILD = "child", _("A child (under 18)")
        ADULT = "adult", _("An adult")
        UNKNOWN = "unknown", _("Rather not say")

    class ReviewState(models.TextChoices):
        """How far doctors are with the case's readings."""

        NOT_READ = "not_read", _("Not read yet")
        WAITING = "waiting", _("Waiting for a doctor")
        REVIEWED = "reviewed", _("Reviewed")
        DISAGREEMENT = "disagreement", _("Two readers disagree")

    patient = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="cases")
    title = models.CharField(_("title"), max_length=120)
    question = models.TextField(_("question"), max_length=2000, blank=True)
    kind = models.CharField(_("kind of picture"), max_length=16, choices=Kind.choices, default=Kind.UNSURE)
    age_group = models.CharField(
        _("age group"), max_length=8, choices=AgeGroup.choices, default=AgeGroup.UNKNOWN
    )
    symptoms = models.JSONField(
        _("symptoms"), default=dict, blank=True, help_text=_("answers by code; a missing code is no answer")
    )

    # Kept by whoever reads and reviews, so that a worklist sorts by them without looking at every reading.
    danger = models.CharField(max_length=12, blank=True, editable=False)
    danger_rank = models.PositiveSmallIntegerField(default=NOT_READ, editable=False)
    waiting_since = models.DateTimeField(default=timezone.now, editable=False)
    news_at = models.DateTimeField(
        default=timezone.now, editable=False, help_text=_("last new answer or review")
    )
    review_state = models.CharField(
        max_length=12, choices=ReviewState.choices, default=ReviewState.NOT_READ, editable=False
    )

    class Meta:
        ordering = ["-created_at", "-id"]
        verbose_name = _("case")
        verbose_name_plural = _("cases")
        indexes = [
            models.Index(fields=["patient", "-created_at", "-id"], name="case_patient_newest"),
            models.Index(fields=["danger_rank", "waiting_since", "id"], name="case_worklist"),
            models.Index(
                fields=["review_state", "danger_rank", "waiting_since", "id"], name="case_worklist_state"
            ),
            models.Index(
                fields=["patient", "review_state", "danger_rank", "waiting_since", "id"],
                name="case_worklist_patient",
            ),
        ]

    def __str__(self) -> str:
        """Name the case by id: titles may carry personal words and end up in logs."""
        return f"case {self.pk}"


_EVERYDAY_NAMES = {
    "CR": _("X-ray"),
    "DX": _("X-ray"),
    "RG": _("X-ray"),
    "MR": _("MRI"),
    "CT": _("CT"),
    "US": _("Ultrasound"),
    "MG": _("Mammogram"),
}


class Scan(BaseModel):
    """One acquisition as stored: the de-identified original, one canonical volume, one preview."""

    case = models.ForeignKey(Case, on_delete=models.CASCADE, related_name="scans")
    uploaded_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="uploaded_scans"
    )
    sha256 = models.CharField(max_length=64, editable=False)
    source_format = models.CharField(max_length=16)
    modality = models.CharField(max_length=16, blank=True)
    body_part = models.CharField(max_length=32, blank=True)
    plane = models.CharField(max_length=16, blank=True)
    description = models.CharField(max_length=200, blank=True)
    notes = models.JSONField(
        default=list, blank=True, help_text=_("what the user should know about this scan")
    )
    width = models.PositiveIntegerField()
    height = models.PositiveIntegerField()
    slices = models.PositiveIntegerField(default=1)
    spacing = models.JSONField(
        null=True, blank=True, help_text=_("mm per axis of the volume; empty when unknown")
    )
    oriented = models.BooleanField(
        default=False,
        db_default=False,
        help_text=_("whether the file says how the patient lay, so that left and right are known"),
    )
    is_colour = models.BooleanField(default=False)
    byte_size = models.PositiveBigIntegerField(help_text=_("bytes of the stored original"))
    original = models.FileField(storage=private_storage, max_length=200, editable=False)
    canonical = models.FileField(storage=private_storage, max_length=200, editable=False)
    preview = models.FileField(storage=private_storage, max_length=200, editable=False)

    class Meta:
        ordering = ["created_at", "id"]
        verbose_name = _("scan")
        verbose_name_plural = _("scans")
        constraints = [models.UniqueConstraint(fields=["case", "sha256"], name="scan_once_per_case")]

    def __str__(self) -> str:
        """Name the scan by id only."""
        return f"scan {self.pk}"

    @property
    def plain_name(self) -> str:
        """What the scan is, in everyday words: "X-ray", "MRI with 192 slices", "Picture"."""
        name = str(_EVERYDAY_NAMES.get(self.modality, _("Picture")))
        if not self.is_volume:
            return name
        if not self.modality:
            name = str(_("Scan"))
        return gettext("%(name)s with %(count)d slices") % {"name": name, "count": self.slices_as_made}

    @property
    def slices_as_made(self) -> int:
        """Slices of the plane it was acquired in; `slices` counts those from the feet to the head."""
        return {"sagittal": self.width, "coronal": self.height}.get(self.plane, self.slices)

    @property
    def shown_size(self) -> str:
        """Size of a single picture: "2048 × 2500 pixels"; empty for a volume, whose name says its slices."""
        if self.is_volume:
            return ""
        return gettext("%(columns)d × %(rows)d pixels") % {"columns": self.width, "rows": self.height}

    @property
    def shown_description(self) -> str:
        """Name and size: "X-ray, 2048 × 2500 pixels"."""
        return ", ".join(part for part in (self.plain_name, self.shown_size) if part)

    @property
    def said_notes(self) -> list[str]:
        """The notes in the language of who asks."""
        return [say(note) for note in self.notes]

    @property
    def is_volume(self) -> bool:
        """Whether the scan has more than one slice."""
        return self.slices > 1
