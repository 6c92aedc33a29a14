"""Background work of cases: thin."""

from cases import followups, worklist_upkeep
from pmi_site.tasks import pmi_task


@pmi_task(queue="default", time_limit=600)
def remind_follow_ups() -> None:
    """Tells patients of follow-ups whose day has come; runs every hour."""
    followups.remind_due()


@pmi_task(queue="default", time_limit=600)
def mend_worklists() -> None:
    """Takes cases off the worklists of doctors whose grant has ended by the clock; runs every hour."""
    worklist_upkeep.mend_entries()
