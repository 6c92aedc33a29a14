"""Whether a doctor has confirmed a reading, in words: for the report, the record and shared results."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from django.utils.translation import gettext as _

from inference.models import Analysis


@dataclass(frozen=True)
class ReviewState:
    """A doctor's signed review of a reading, or that there is none."""

    is_signed: bool
    title: str
    text: str
    signature: str = ""
    signed_at: datetime | None = None
    verdicts: list[str] = field(default_factory=list)
    comment: str = ""
    follow_up: str = ""
    history: str = ""


def unreviewed() -> ReviewState:
    """Nobody has looked yet."""
    return ReviewState(
        False,
        _("Read by AI, not yet by a doctor."),
        _("It is not a diagnosis; only a doctor can make one."),
    )


def review_state(analysis: Analysis) -> ReviewState:
    """What is known of a doctor's review of this reading."""
    return unreviewed()
