"""Versions of the danger rules, and the history of what was made of each analysis."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext as _

from pmi_site.models import BaseModel


class DangerRuleSet(BaseModel):
    """One version of the danger rules: a draft may change, everything later is kept as it was.

    The shipped rules are in force while no row is active.
    """

    class Status(models.TextChoices):
        DRAFT = "draft", "Draft"
        ACTIVE = "active", "In force"
        RETIRED = "retired", "Retired"

    version = models.CharField(max_length=40, unique=True)
    status = models.CharField(max_length=8, choices=Status.choices, default=Status.DRAFT, editable=False)
    note = models.TextField(blank=True, help_text="What is different, and why.")
    rules = models.JSONField(help_text="Rules and their sentences; see the shipped set for the form.")
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, editable=False, related_name="+"
    )
    activated_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        ordering = ["-created_at"]
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
        super().save(*args, **kwargs)


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
