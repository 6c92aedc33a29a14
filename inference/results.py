"""Makes what a reader sees of a scan: the readings that are shown to them, and the review that counts."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from accounts.models import User
from cases.models import Scan
from cases.reviews import SeenReviews, counting, is_blind, seen_review, seen_reviews
from inference.models import Analysis
from inference.release import split
from inference.result_page import Result
from inference.selectors import known_analyses


def result_of(user: Any, scan: Scan, *, for_doctor: bool = False, country: str = "") -> Result:
    """The result of a scan that `user` may see: the readings shown to them, and the review that counts."""
    shown, held = split(user, list(known_analyses(user).filter(scan=scan)))
    blind = isinstance(user, User) and for_doctor and is_blind(user, scan)
    review = None if blind else seen_review(user, scan)
    return Result(
        scan, shown, for_doctor=for_doctor, country=country, review=review, held=held, is_blind=blind
    )


@dataclass
class Seen:
    """What one reader sees of many readings: which are held back, and the reviews of their scans."""

    held: set[uuid.UUID] = field(default_factory=set)
    reviews: SeenReviews = field(default_factory=SeenReviews)


def seen_by(user: Any, analyses: Sequence[Analysis]) -> Seen:
    """The same for a list of readings of scans that `user` may see, in three queries."""
    held = {one.pk for one in split(user, analyses)[1]}
    return Seen(held, seen_reviews(user, {one.scan_id for one in analyses}))


def card_of(user: Any, scan: Scan) -> Result:
    """The same for the card of a case page, from the scan's relations that the page has fetched."""
    newest_first = sorted(scan.analyses.all(), key=lambda analysis: analysis.queued_at, reverse=True)
    shown, held = split(user, newest_first)
    return Result(scan, shown, review=counting(user, scan.reviews.all()), held=held)
