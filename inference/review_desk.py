"""Everything around a doctor's review of one scan, as the panel on the result page and in the reading room
shows it. No writes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from django.utils.translation import get_language

from accounts.models import User
from cases import second_reader
from cases.models import Review, ReviewVerdict, Scan
from cases.reviews import Disagreement, Seat, Status, disagreements, draft_of, may_review
from inference.models import Analysis
from inference.presenters import danger_words, shown_words
from inference.report_review import doctor_name
from inference.result_page import Result
from inference.review_forms import ReviewForm, values_of
from resources.selectors import in_language, published_conditions


@dataclass(frozen=True)
class Difference:
    """One thing about which two readers differ, in words."""

    what: str
    first: str
    second: str


@dataclass
class Desk:
    """The panel. `form` is None while a signed review stands and nobody asked to change it."""

    user: User
    scan: Scan
    result: Result
    answer: Analysis
    seat: str
    draft: Review | None
    standing: Review | None
    form: ReviewForm | None
    problem: str = ""
    done: str = ""
    saved: Review | None = None
    candidates: list[User] = field(default_factory=list)

    @property
    def is_second(self) -> bool:
        """The doctor sits in the second seat."""
        return self.seat == Seat.SECOND

    @property
    def is_outdated(self) -> bool:
        """The draft was written for an earlier reading."""
        return self.draft is not None and self.draft.analysis_id != self.answer.pk

    @property
    def standing_name(self) -> str:
        """Who signed what stands."""
        return doctor_name(self.standing.reader_name) if self.standing else ""

    @property
    def waiting_for(self) -> str:
        """Who was asked to be the second reader and has not signed; empty when it is this doctor."""
        found = second_reader.asked(self.scan)
        return "" if found is None or found.reader_id == self.user.pk else doctor_name(found.reader_name)

    @property
    def differences(self) -> list[Difference]:
        """What the two readers say differently; nothing for a blind one."""
        return [] if self.result.is_blind else in_words(disagreements(self.scan))


def in_words(found: list[Disagreement]) -> list[Difference]:
    """Disagreements as people say them."""
    made = []
    for one in found:
        if one.what == "level":
            levels = [str(danger_words(level).label) for level in (one.first, one.second)]
            made.append(Difference("", *levels))
        else:
            first, second = _said(one.first, one.first_right), _said(one.second, one.second_right)
            made.append(Difference(shown_words(one.condition), first, second))
    return made


def _said(verdict: str, right: str) -> str:
    words = str(ReviewVerdict.Verdict(verdict).label)
    return f"{words}: {shown_words(right)}" if right else words


def desk_for(
    user: Any,
    scan: Scan,
    result: Result,
    *,
    data: Any = None,
    change: bool = False,
    problem: str = "",
    done: str = "",
) -> Desk | None:
    """The panel of a doctor who may review the scan; None for anybody else, or while nothing was read.

    `data` is a filled-in form that was not accepted: it comes back with what the doctor wrote, about the
    newest reading and on top of the stored draft. `change` opens the signed review for an amendment.
    """
    answer = result.answer
    if answer is None or not isinstance(user, User) or not may_review(user, scan):
        return None
    seat = _seat_of(user, scan)
    draft = draft_of(user, scan, seat)
    standing = (
        Review.objects.filter(scan=scan, seat=seat, status=Status.SIGNED).prefetch_related("verdicts").first()
    )
    desk = Desk(user, scan, result, answer, seat, draft, standing, None, problem, done)
    desk.form = _form(desk, data, change)
    if problem and draft is not None:
        desk.saved = draft
    if not result.is_blind and not second_reader.is_taken(scan):
        desk.candidates = second_reader.possible(user, scan)
    return desk


def _seat_of(user: User, scan: Scan) -> str:
    mine = Review.objects.filter(scan=scan, seat=Seat.SECOND, reader=user)
    return Seat.SECOND if mine.exclude(status=Status.SUPERSEDED).exists() else Seat.FIRST


def _form(desk: Desk, data: Any, change: bool) -> ReviewForm | None:
    edit_no = desk.draft.edit_no if desk.draft else 0
    names = condition_names(desk.answer.kind or desk.scan.case.kind)
    level = desk.answer.danger
    if data is not None:
        again = data.copy()
        again["review-analysis"], again["review-edit_no"] = str(desk.answer.pk), str(edit_no)
        again["review-seat"] = desk.seat
        again["review-amends"] = str(desk.standing.pk) if desk.standing else ""
        return ReviewForm(desk.result.findings, names, level, again)
    if desk.draft is not None:
        amends = desk.standing.pk if desk.standing else None
        initial = values_of(desk.draft, desk.answer, edit_no=edit_no, amends=amends)
    elif desk.standing is not None and change:
        initial = values_of(desk.standing, desk.answer, edit_no=0, amends=desk.standing.pk)
    elif desk.standing is not None:
        return None
    else:
        initial = {"analysis": desk.answer.pk, "seat": desk.seat, "edit_no": 0}
    return ReviewForm(desk.result.findings, names, level, initial=initial)


def form_as_sent(desk: Desk, data: Any) -> ReviewForm:
    """The form as the doctor sent it."""
    names = condition_names(desk.answer.kind or desk.scan.case.kind)
    return ReviewForm(desk.result.findings, names, desk.answer.danger, data)


def condition_names(kind: str) -> dict[str, str]:
    """The published conditions of a kind of scan by slug, in the reader's language."""
    found = in_language(published_conditions().filter(kind=kind), get_language() or "en")
    return {condition.slug: condition.name for condition in found}
