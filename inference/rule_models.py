"""Versions of the danger rules, what was tried with them, and what was made of each analysis."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from pmi_site.models import BaseModel


class DangerRuleSet(BaseModel):
    """One version of the danger rules: a draft may change or go, everything later is kept as it was.

    The shipped rules are in force while no row is active. A trigger in the database holds what is no draft,
    also against `QuerySet.update` and `delete`.
    """

    class Status(models.TextChoices):
        DRAFT = "draft", gettext_lazy("Draft")
        ACTIVE = "active", gettext_lazy("In force")
        RETIRED = "retired", gettext_lazy("Retired")

    version = models.CharField(gettext_lazy("version"), max_length=40, unique=True)
    status = models.CharField(
        gettext_lazy("state"), max_length=8, choices=Status.choices, default=Status.DRAFT, editable=False
    )
    note = models.TextField(
        gettext_lazy("what is different, and why"), blank=True, help_text="What is different, and why."
    )
    rules = models.JSONField(help_text="Rules and their sentences; see the shipped set for the form.")
    based_on = models.CharField(
        gettext_lazy("begun from"), max_length=40, blank=True, editable=False, help_text="Version."
    )
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, editable=False, related_name="+"
    )
    # Ids of everybody who saved the draft: none of them may put it in force.
    writer_ids: Any = models.JSONField(default=list, editable=False)
    # Counts saves: who saves or activates says which one they read.
    edit_no = models.PositiveIntegerField(default=1, editable=False)
    activated_at = models.DateTimeField(gettext_lazy("put in force"), null=True, editable=False)
    activated_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, editable=False, related_name="+"
    )

    class Meta:
        ordering = ["-created_at"]
        verbose_name = gettext_lazy("danger rule set")
        verbose_name_plural = gettext_lazy("danger rules")
        permissions = [("activate_dangerruleset", "Can put danger rules in force")]
        constraints = [
            models.UniqueConstraint(
                fields=["status"], condition=Q(status="active"), name="inference_one_active_rule_set"
            )
        ]

    def __str__(self) -> str:
        return f"{self.version} ({self.get_status_display()})"

    def clean(self) -> None:
        """Refuses a set that cannot be used, naming the rule."""
        from inference.danger import RuleError, default_rules, parse_rules
        from inference.rule_check import check

        if self.version == default_rules().version:
            raise ValidationError({"version": _("The shipped rules have this version.")})
        try:
            check(parse_rules(self.rules))
        except RuleError as error:
            raise ValidationError({"rules": str(error)}) from error

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Keeps what is no draft as it is: only its status moves on. Raises ValidationError."""
        stored = None if self._state.adding else DangerRuleSet.objects.filter(pk=self.pk).first()
        if (
            stored
            and stored.status != self.Status.DRAFT
            and (self.rules, self.version) != (stored.rules, stored.version)
        ):
            raise ValidationError(_("Rules that were in force cannot be changed. Start a new draft."))
        self.clean()
        if not self.rules.get("texts"):
            # What a version says must not change with the next release of PMI.
            from inference.danger import shipped_texts

            self.rules = {**self.rules, "texts": shipped_texts()}
        super().save(*args, **kwargs)


class RuleRun(BaseModel):
    """One walk over all past analyses with a rule set, in the background: a trial that writes nothing, or
    judging them anew after the set came into force. It goes on after `cursor` when it was cut off.
    """

    class Purpose(models.TextChoices):
        TRIAL = "trial", gettext_lazy("Trial")
        REJUDGE = "rejudge", gettext_lazy("Past readings judged anew")

    class State(models.TextChoices):
        QUEUED = "queued", gettext_lazy("Waiting to begin")
        RUNNING = "running", gettext_lazy("Running")
        DONE = "done", gettext_lazy("Finished")
        FAILED = "failed", gettext_lazy("Broke off")

    rule_set = models.ForeignKey(DangerRuleSet, on_delete=models.CASCADE, related_name="runs")
    purpose = models.CharField(max_length=8, choices=Purpose.choices)
    state = models.CharField(max_length=8, choices=State.choices, default=State.QUEUED)
    edit_no = models.PositiveIntegerField()  # of the rule set that is tried
    compared_with = models.CharField(max_length=40, blank=True)  # version in force
    started_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+"
    )
    cursor = models.UUIDField(null=True)  # the last one looked at
    total = models.PositiveIntegerField(default=0)
    looked_at = models.PositiveIntegerField(default=0)
    up = models.PositiveIntegerField(default=0)
    down = models.PositiveIntegerField(default=0)
    # Same level, but other rules fired: readers get other sentences.
    reworded = models.PositiveIntegerField(default=0)
    # The rules alone would say less than the doctor's level, which stays.
    held_by_doctor = models.PositiveIntegerField(default=0)
    # Stored under older rules and not judged anew since.
    outdated = models.PositiveIntegerField(default=0)
    # A finding that the set has no rule for: the analysis keeps what it has.
    unjudged = models.PositiveIntegerField(default=0)
    # [{kind, age, before, after, was: [rule ids], now: [rule ids], count}]
    groups: Any = models.JSONField(default=list)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return f"{self.get_purpose_display()}: {self.get_state_display()}"

    @property
    def is_open(self) -> bool:
        """Not finished yet."""
        return self.state in (self.State.QUEUED, self.State.RUNNING)

    @property
    def changed(self) -> int:
        """How many analyses get another level."""
        return self.up + self.down


class DangerAssessment(BaseModel):
    """What was made of an analysis once: rule version, the rules that fired, and what they looked at.

    The newest one is also on the analysis itself. Rows are only ever added.
    """

    analysis = models.ForeignKey("inference.Analysis", on_delete=models.CASCADE, related_name="assessments")
    level = models.CharField(max_length=12)
    rules_version = models.CharField(max_length=40)
    rule_ids = models.JSONField(default=list)
    symptoms = models.JSONField(default=dict)
    age_group = models.CharField(max_length=8)

    class Meta:
        ordering = ["created_at", "id"]

    def __str__(self) -> str:
        return f"{self.level} ({self.analysis_id})"
