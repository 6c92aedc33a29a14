"""Template tags that let other apps' pages show readings."""

from __future__ import annotations

from typing import Any

from django import template
from django.template import Context

from cases.models import Case, Scan
from inference import symptom_page
from inference.result_page import Result

register = template.Library()


@register.inclusion_tag("inference/_card.html")
def scan_reading_card(scan: Scan) -> dict[str, Any]:
    """The state of a scan's reading in a few words, with a link; polls while it is unfinished.

    Uses the scan's prefetched `analyses` where there are any. The page that holds the card must have decided
    that the reader may see the scan.
    """
    analyses = sorted(scan.analyses.all(), key=lambda analysis: analysis.queued_at, reverse=True)
    return {"scan": scan, "result": Result(scan, analyses)}


@register.inclusion_tag("inference/_symptom_panel.html", takes_context=True)
def symptom_panel(context: Context, case: Case) -> dict[str, Any]:
    """The symptom checklist of a case that the reader may see, and what the answers say already."""
    shown = symptom_page.panel(case, context["request"].user)
    return {**shown, "csrf_token": context.get("csrf_token")}


@register.filter
def percent(value: float) -> str:
    """A probability for the table of figures, with one decimal; never 0 or 100."""
    return f"{min(99.9, max(0.1, value * 100)):.1f}"
