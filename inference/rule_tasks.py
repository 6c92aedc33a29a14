"""Walking over past analyses with a rule set, in the background."""

from __future__ import annotations

from inference import rule_runs
from pmi_site.tasks import pmi_task


@pmi_task(queue="default", time_limit=300)
def walk_past_analyses(run_id: str) -> None:
    """Goes on with a trial of danger rules, or with judging anew; hands the rest to a new task."""
    try:
        is_more = rule_runs.walk(run_id)
    except Exception:
        rule_runs.break_off(run_id)
        raise
    if is_more:
        walk_past_analyses.delay(run_id)
