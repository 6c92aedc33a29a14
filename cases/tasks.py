"""Background work of cases: thin."""

from cases import followups
from pmi_site.tasks import pmi_task


@pmi_task(queue="default", time_limit=600)
def remind_follow_ups() -> None:
    """Tells patients of follow-ups whose day has come; runs every hour."""
    followups.remind_due()
