"""Doctors' reviews of readings.

A review is a draft until it is signed. What is signed is never changed: an amendment is a new version with a
reason, and the one before is kept as superseded. A scan has at most one signed review per seat; the database
sees to it. The second seat is a blind second reading.
"""

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from cases.levels import RANKS
from pmi_site.models import BaseModel


class Review(BaseModel):
    """One doctor's verdict on one scan and its reading, in one version."""

    class Seat(models.TextChoices):
        """First reader, or blind second reader."""

        FIRST = "first", _("first reader")
        SECOND = "second", _("second reader")

    class Status(models.TextChoices):
        """draft -> signed -> superseded (by an amendment)."""

        DRAFT = "draft", _("draft")
        SIGNED = "signed", _("signed")
        SUPERSEDED = "superseded", _("replaced by a newer version")

    scan = models.ForeignKey("cases.Scan", on_delete=models.CASCADE, related_name="reviews")
    analysis = models.ForeignKey(
        "inference.Analysis", on_delete=models.SET_NULL, null=True, blank=True, related_name="reviews"
    )
    reader = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="reviews"
    )
    reader_name = models.CharField(max_length=150, help_text=_("the name at the time of signing"))
    seat = models.CharField(max_length=6, choices=Seat.choices, default=Seat.FIRST)
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.DRAFT)
    version = models.PositiveIntegerField(default=1)
    previous = models.ForeignKey(
        "self", on_delete=models.SET_NULL, null=True, blank=True, related_name="amendments"
    )
    comment = models.TextField(max_length=5000, blank=True)
    danger_level = models.CharField(max_length=12, blank=True)
    follow_up = models.TextField(max_length=500, blank=True)
    follow_up_on = models.DateField(null=True, blank=True)
    amend_reason = models.TextField(max_length=500, blank=True)
    edit_no = models.PositiveIntegerField(default=0, help_text=_("grows with each save of a draft"))
    signed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-created_at", "-id"]
        verbose_name = _("review")
        verbose_name_plural = _("reviews")
        constraints = [
            models.UniqueConstraint(
                fields=["scan", "seat"], condition=Q(status="signed"), name="review_one_signed_per_seat"
            ),
            models.UniqueConstraint(
                fields=["scan", "seat", "reader"],
                condition=Q(status="draft"),
                name="review_one_draft_per_reader",
            ),
            models.CheckConstraint(
                condition=Q(status="draft", signed_at__isnull=True)
                | (~Q(status="draft") & Q(signed_at__isnull=False)),
                name="review_signed_at_iff_signed",
            ),
            models.CheckConstraint(
                condition=Q(danger_level="") | Q(danger_level__in=list(RANKS)), name="review_level_known"
            ),
        ]

    def __str__(self) -> str:
        """Name it by id only."""
        return f"review {self.pk}"

    @property
    def is_agreement(self) -> bool:
        """No verdict of it disagrees with the model."""
        return all(one.verdict != ReviewVerdict.Verdict.DISAGREE for one in self.verdicts.all())


class ReviewVerdict(models.Model):
    """What the doctor says to one finding; the finding is copied as the doctor saw it."""

    class Verdict(models.TextChoices):
        """Agree, disagree, or unsure."""

        AGREE = "agree", _("I agree")
        DISAGREE = "disagree", _("I disagree")
        UNSURE = "unsure", _("I am not sure")

    review = models.ForeignKey(Review, on_delete=models.CASCADE, related_name="verdicts")
    label = models.CharField(max_length=40)
    condition = models.SlugField(max_length=80)
    probability = models.FloatField()
    call = models.CharField(max_length=8)
    verdict = models.CharField(max_length=8, choices=Verdict.choices)
    right_condition = models.SlugField(max_length=80, blank=True)

    class Meta:
        ordering = ["-probability", "label"]
        constraints = [models.UniqueConstraint(fields=["review", "label"], name="review_verdict_once")]

    def __str__(self) -> str:
        """Name it by its finding."""
        return f"{self.label}: {self.verdict}"
