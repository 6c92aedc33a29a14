"""Follow-ups: what should happen next in a case, and by when."""

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from pmi_site.models import BaseModel


class FollowUp(BaseModel):
    """One thing to do by one day: set by a doctor's signed review or by the patient."""

    case = models.ForeignKey("cases.Case", on_delete=models.CASCADE, related_name="follow_ups")
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+"
    )
    due_on = models.DateField(_("due on"))
    text = models.CharField(_("what to do"), max_length=500)
    done_at = models.DateTimeField(_("done on"), null=True, blank=True)
    reminders = models.PositiveSmallIntegerField(default=0, editable=False)
    reminded_on = models.DateField(null=True, blank=True, editable=False)

    class Meta:
        ordering = ["due_on", "created_at", "id"]
        verbose_name = _("follow-up")
        verbose_name_plural = _("follow-ups")
        indexes = [
            models.Index(
                fields=["due_on"], condition=models.Q(done_at__isnull=True), name="cases_followup_open_due"
            )
        ]

    def __str__(self) -> str:
        """Name the follow-up by id only: its text is medical."""
        return f"follow-up {self.pk}"

    @property
    def is_due(self) -> bool:
        """Its day has come and it is not done."""
        return self.done_at is None and self.due_on <= timezone.localdate()

    @property
    def is_from_doctor(self) -> bool:
        """Somebody else than the patient set it, so it stays on record."""
        return self.created_by_id != self.case.patient_id
