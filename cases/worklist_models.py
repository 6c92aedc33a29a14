"""What a doctor keeps about the worklist: named views, and which cases they have looked at."""

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from pmi_site.models import BaseModel


class WorklistView(BaseModel):
    """Filters that a doctor saved under a name."""

    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="worklist_views"
    )
    name = models.CharField(_("name"), max_length=60)
    query = models.CharField(
        max_length=400, blank=True, help_text=_("the filters as they stand in the address")
    )

    class Meta:
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["owner", "name"], name="worklist_view_name_once")]

    def __str__(self) -> str:
        """Name it by id: the name may hold a patient's."""
        return f"worklist view {self.pk}"


class CaseSeen(models.Model):
    """When a doctor last opened a case."""

    doctor = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    case = models.ForeignKey("cases.Case", on_delete=models.CASCADE, related_name="seen_by")
    seen_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["doctor", "case"], name="case_seen_once")]

    def __str__(self) -> str:
        """Name it by id."""
        return f"seen {self.case_id}"
