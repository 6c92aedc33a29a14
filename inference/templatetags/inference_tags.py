"""Template tags that let other apps' pages show readings."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django import template
from django.template import Context
from django.utils.formats import number_format
from django.utils.translation import gettext as _

from cases.models import Case, Scan
from inference import presenters, symptom_page
from inference.results import card_of

register = template.Library()


@register.inclusion_tag("inference/_card.html", takes_context=True)
def scan_reading_card(context: Context, scan: Scan) -> dict[str, Any]:
    """The state of a scan's reading in a few words, with a link; polls while it is unfinished.

    Uses the scan's prefetched `analyses` and `reviews` where there are any. The page that holds the card must
    have decided that the reader may see the scan.
    """
    return {"scan": scan, "result": card_of(context["request"].user, scan)}


@register.inclusion_tag("inference/_symptom_panel.html", takes_context=True)
def symptom_panel(context: Context, case: Case) -> dict[str, Any]:
    """The symptom checklist of a case that the reader may see, and what the answers say already."""
    shown = symptom_page.panel(case, context["request"].user)
    return {**shown, "csrf_token": context.get("csrf_token")}


@register.filter
def percent(value: float) -> str:
    """A probability for the table of figures, with one decimal; never 0 or 100."""
    # `number_format` cuts digits off instead of rounding.
    return number_format(round(min(99.9, max(0.1, value * 100)), 1), decimal_pos=1)


@register.inclusion_tag("inference/_danger_badge.html")
def danger_badge(level: str) -> dict[str, Any]:
    """A danger level as a badge with an icon; "" is not read yet."""
    return {"words": presenters.danger_words(level) if level else None}


@register.filter
def level_words(level: str) -> str:
    """The name of a danger level; "" is not read yet."""
    return str(presenters.danger_words(level).label) if level else _("Not read yet")


@register.filter
def duration(span: timedelta) -> str:
    """A time span in words: "3 minutes", "2 hours", "5 days"."""
    return presenters.duration_words(span)
