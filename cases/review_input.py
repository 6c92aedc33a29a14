"""What a doctor fills in about a reading, whether it may be stored and signed, and the words where not.

No writes. Whether somebody may review at all, and what others did meanwhile, is asked in `cases.reviews`.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from cases.levels import RANKS
from cases.models import Review, ReviewVerdict
from pmi_site.errors import UserError

Seat, Verdict = Review.Seat, ReviewVerdict.Verdict
FURTHEST_FOLLOW_UP = timedelta(days=5 * 366)


@dataclass(frozen=True)
class VerdictInput:
    """A finding as the doctor saw it, and what they say to it; "" while they have said nothing."""

    label: str
    condition: str
    probability: float
    call: str
    verdict: str = ""
    right_condition: str = ""

    @property
    def is_raised(self) -> bool:
        """The model called it likely or possible, so a signature needs a verdict on it."""
        return self.call != "unlikely"

    @property
    def kept_right(self) -> str:
        """What it is instead, as it is stored: with a disagreement only."""
        return self.right_condition if self.verdict == Verdict.DISAGREE else ""


@dataclass(frozen=True)
class ReviewInput:
    """What a doctor filled in. `edit_no` is that of the draft the form was made from, 0 without one.

    `amends` is the signed review that this one is to replace, with a reason.
    """

    analysis_id: uuid.UUID | None
    seat: str = Seat.FIRST
    edit_no: int = 0
    verdicts: Sequence[VerdictInput] = ()
    comment: str = ""
    danger_level: str = ""
    follow_up: str = ""
    follow_up_on: date | None = None
    amends: uuid.UUID | None = None
    amend_reason: str = ""


class ReviewRefused(UserError):
    """A review that was not taken, with what a program needs to go on.

    `review_id` is the signed review that stands in the way, else the doctor's own draft, if there is one.
    `edit_no` is that of the draft, which the next try has to name: 0 without one.
    """

    def __init__(
        self, code: str, message: str, *, draft: Review | None = None, standing: Review | None = None
    ) -> None:
        super().__init__(code, message)
        found = standing or draft
        self.review_id = found.pk if found else None
        self.edit_no = draft.edit_no if draft else 0


def check(given: ReviewInput) -> None:
    """Raises UserError for what means nothing, also in a draft."""
    if given.seat not in Seat.values:
        raise UserError("bad_seat", _("The seat is first or second."))
    if given.danger_level and given.danger_level not in RANKS:
        raise UserError("bad_level", _("This is no danger level."))
    if len(given.comment) > 5000 or len(given.follow_up) > 500 or len(given.amend_reason) > 500:
        raise UserError("too_long", _("One of the texts is too long."))
    if any(one.verdict and one.verdict not in Verdict.values for one in given.verdicts):
        raise UserError("bad_verdict", _("A verdict is agree, disagree or unsure."))


def check_complete(draft: Review, given: ReviewInput, level_if_kept: str) -> None:
    """Raises ReviewRefused ``incomplete`` or ``bad_date`` for what can be a draft, but not signed."""

    def incomplete(words: str) -> ReviewRefused:
        return ReviewRefused("incomplete", words, draft=draft)

    open_ones = [one for one in given.verdicts if one.is_raised and not one.verdict]
    if open_ones:
        raise incomplete(_("Your draft is saved. To sign, please give a verdict on every finding."))
    disagrees = [one for one in given.verdicts if one.verdict == Verdict.DISAGREE]
    if disagrees and not given.danger_level:
        raise incomplete(
            _("Your draft is saved. You disagree with a finding, so please choose a danger level.")
        )
    if any(not one.right_condition for one in disagrees) and not given.comment.strip():
        raise incomplete(
            _("Your draft is saved. Please choose what it is instead, or write it in the comment.")
        )
    if not any(one.verdict for one in given.verdicts) and not given.comment.strip():
        raise incomplete(_("Your draft is saved. To sign, please write what you see."))
    if not (given.danger_level or level_if_kept):
        raise incomplete(_("Your draft is saved. Please choose a danger level."))
    today = timezone.localdate()
    if given.follow_up_on and not today <= given.follow_up_on <= today + FURTHEST_FOLLOW_UP:
        raise ReviewRefused(
            "bad_date",
            _("Your draft is saved. The follow-up must be from today on, five years ahead at most."),
            draft=draft,
        )


def says_the_same(signed: Review, given: ReviewInput, level_if_kept: str) -> bool:
    """Whether a signed review is what came of signing just this."""
    said = {(one.label, one.verdict, one.right_condition) for one in signed.verdicts.all()}
    sent = {(one.label, one.verdict, one.kept_right) for one in given.verdicts if one.verdict}
    texts = (given.comment.strip(), given.follow_up.strip(), given.amend_reason.strip())
    return (
        said == sent
        and signed.seat == given.seat
        and signed.analysis_id == given.analysis_id
        and signed.previous_id == given.amends
        and signed.danger_level == (given.danger_level or level_if_kept)
        and signed.follow_up_on == given.follow_up_on
        and (signed.comment, signed.follow_up, signed.amend_reason) == texts
    )


def edit_conflict(draft: Review | None) -> ReviewRefused:
    """Another window was faster; `draft` is what is stored."""
    return ReviewRefused(
        "edit_conflict",
        _(
            "This review was saved in another window meanwhile, so it was not saved here. Your text is "
            "still in the form. Compare it with the saved one, then save again."
        ),
        draft=draft,
    )


def signed_by(standing: Review | None, draft: Review) -> ReviewRefused:
    """Somebody else was faster; what was sent is kept in `draft`."""
    if standing is None:
        words = _("Somebody else signed this scan meanwhile. Your text is kept as a draft.")
    else:
        words = _(
            "%(name)s signed this scan on %(when)s. Your text is kept as a draft. You can change the signed "
            "review, with a reason."
        ) % {"name": standing.reader_name, "when": _moment_of(standing)}
    return ReviewRefused("already_signed", words, draft=draft, standing=standing)


def signed_by_oneself(standing: Review, draft: Review | None) -> ReviewRefused:
    """One has signed already, and said something else; what was sent is not kept."""
    words = _(
        "You signed this scan yourself on %(when)s. What you sent now says something else, and it is not "
        "saved. You can change your signed review, with a reason."
    ) % {"when": _moment_of(standing)}
    return ReviewRefused("already_signed", words, draft=draft, standing=standing)


def _moment_of(signed: Review) -> str:
    moment = signed.signed_at or signed.updated_at
    return date_format(timezone.localtime(moment), "DATETIME_FORMAT")
