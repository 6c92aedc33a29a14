"""`manage.py recompute_worklist`: what cases keep for the worklist, worked out anew."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from cases import worklist_upkeep
from cases.models import Case
from inference import case_state


class Command(BaseCommand):
    """Safe at any time; each case is held only while it is worked out."""

    help = (
        "Works out the danger level, waiting time and review state of every case, and doctors' lists, anew."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        """Goes through all cases, then through the lists, and says how much was wrong."""
        changed = total = 0
        for case_id in Case.objects.order_by("pk").values_list("pk", flat=True).iterator(chunk_size=2000):
            changed += case_state.refresh(case_id)
            total += 1
        removed, added = worklist_upkeep.mend_entries()
        self.stdout.write(
            f"{changed} of {total} cases were different. Lists: {removed} rows removed, {added} added."
        )
