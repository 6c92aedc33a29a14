"""Whether a doctor has confirmed a reading, in words: for the result, the report, the record and the API."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from cases.models import Review, ReviewVerdict
from inference.calls import NORMAL_CONDITIONS
from inference.models import Analysis, Finding
from inference.presenters import danger_words, shown_words
from inference.standing import Standing

_TITLED = re.compile(r"(dra?|doctora?|prof|profess?or(a)?|डॉ|डॉक्टर|प्रो|प्रोफ़ेसर)(?![^\W\d_])", re.IGNORECASE)


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
    level: str = ""


def unreviewed(text: str = "") -> ReviewState:
    """Nobody has looked yet."""
    return ReviewState(
        False,
        _("Read by AI, not yet by a doctor."),
        text or _("It is not a diagnosis; only a doctor can make one."),
    )


def review_state(analysis: Analysis, review: Review | None) -> ReviewState:
    """What a reader is told of doctors' reviews of this reading; `review` is the one of its scan that counts
    for this reader (`cases.reviews.seen_review`).
    """
    standing = Standing(analysis, review)
    if review is None and analysis.status == Analysis.Status.REJECTED:
        return ReviewState(
            False,
            _("Neither read by AI nor looked at by a doctor."),
            _("It says nothing about the person's health."),
        )
    if review is None:
        return unreviewed()
    if not standing.is_reviewed:
        return unreviewed(_about_another(standing, review))
    return ReviewState(
        True,
        title(review),
        _("Where doctor and AI differ, the doctor's word counts."),
        signature=_signed(review),
        signed_at=review.signed_at,
        verdicts=[_level_line(review), *(verdict_words(one) for one in review.verdicts.all() if one.verdict)],
        comment=review.comment,
        follow_up=follow_up_words(review),
        history=_history(review),
        level=review.danger_level,
    )


def title(review: Review) -> str:
    """Confirmed, corrected or looked at, by whom, on which day."""
    values = {"name": doctor_name(review.reader_name), "when": _day(review.signed_at)}
    said = [one.verdict for one in review.verdicts.all()]
    if ReviewVerdict.Verdict.DISAGREE in said:
        return _("Corrected and confirmed by %(name)s on %(when)s.") % values
    if ReviewVerdict.Verdict.UNSURE in said or not said:
        return _("Reviewed by %(name)s on %(when)s.") % values
    return _("Confirmed by %(name)s on %(when)s.") % values


def doctor_name(name: str) -> str:
    """A doctor's name as patients know it: with a title in front."""
    return name if _TITLED.match(name) else _("Dr %(name)s") % {"name": name}


def verdict_words(verdict: ReviewVerdict) -> str:
    """What the doctor says to one finding, as a sentence."""
    normal = verdict.condition in NORMAL_CONDITIONS
    values = {"condition": _("Nothing found") if normal else _capital(shown_words(verdict.condition))}
    if verdict.verdict == ReviewVerdict.Verdict.UNSURE:
        return _("%(condition)s: the doctor is not sure.") % values
    if verdict.call == Finding.Call.UNLIKELY:
        return _on_unlikely(verdict, values)
    if verdict.verdict == ReviewVerdict.Verdict.AGREE:
        return _("%(condition)s: the doctor agrees with the AI.") % values
    if verdict.right_condition in NORMAL_CONDITIONS:
        return _("%(condition)s: the doctor disagrees and sees no sign of it.") % values
    if verdict.right_condition:
        values["right"] = shown_words(verdict.right_condition)
        return _("%(condition)s: the doctor disagrees. The doctor sees: %(right)s.") % values
    return _("%(condition)s: the doctor disagrees.") % values


def _on_unlikely(verdict: ReviewVerdict, values: dict[str, str]) -> str:
    """To a finding that the AI called unlikely; without that word the sentence would say the opposite."""
    if verdict.verdict == ReviewVerdict.Verdict.AGREE:
        return _("%(condition)s: the AI calls it unlikely, and the doctor agrees.") % values
    if verdict.right_condition in NORMAL_CONDITIONS:
        return _("%(condition)s: the AI calls it unlikely. The doctor sees no sign of it.") % values
    if verdict.right_condition:
        values["right"] = shown_words(verdict.right_condition)
        return _("%(condition)s: the AI calls it unlikely. The doctor sees: %(right)s.") % values
    return _("%(condition)s: the AI calls it unlikely, and the doctor disagrees.") % values


def by_doctor(said: Sequence[ReviewVerdict], slugs: Iterable[str]) -> list[str]:
    """Conditions to explain: without those that the doctor refuted, with what they see instead.

    That they see nothing instead is said with their verdict; what the model's "nothing found" means is
    another matter.
    """
    refuted = {one.condition for one in said if one.verdict == ReviewVerdict.Verdict.DISAGREE}
    right = [one.right_condition for one in said if one.right_condition not in ("", *NORMAL_CONDITIONS)]
    return list(dict.fromkeys([*right, *(slug for slug in slugs if slug not in refuted)]))


def follow_up_words(review: Review) -> str:
    """What should come next, and by when; empty where the doctor said nothing of it."""
    when = _("By %(when)s.") % {"when": date_format(review.follow_up_on)} if review.follow_up_on else ""
    return " ".join(part for part in (review.follow_up.strip(), when) if part)


@dataclass(frozen=True)
class VersionLine:
    """One version of a review, as readers see it in the history."""

    review: Review
    who: str
    level: str
    is_standing: bool
    verdicts: list[str]
    follow_up: str


def versions(found: list[Review]) -> list[VersionLine]:
    """The versions of a scan's reviews (`cases.reviews.reviews_for`), newest first."""
    return [
        VersionLine(
            one,
            doctor_name(one.reader_name),
            str(danger_words(one.danger_level).label),
            one.status == Review.Status.SIGNED,
            [verdict_words(verdict) for verdict in one.verdicts.all() if verdict.verdict],
            follow_up_words(one),
        )
        for one in found
    ]


def _about_another(standing: Standing, review: Review) -> str:
    values = {"name": doctor_name(review.reader_name), "when": _day(review.signed_at)}
    if standing.is_of_earlier:
        told = _("%(name)s reviewed an earlier reading of this scan on %(when)s, not this one.") % values
        return told + " " + _("What the doctor set is never lowered by a newer reading.")
    return _("%(name)s reviewed another reading of this scan on %(when)s.") % values


def _level_line(review: Review) -> str:
    return _("The doctor's level: %(level)s.") % {"level": danger_words(review.danger_level).label}


def _signed(review: Review) -> str:
    when = date_format(timezone.localtime(review.signed_at), "DATETIME_FORMAT") if review.signed_at else "–"
    values = {"name": doctor_name(review.reader_name), "when": when.rstrip(".")}  # "5 p.m." ends with one
    return _("Signed by %(name)s on %(when)s.") % values


def _history(review: Review) -> str:
    if review.version == 1:
        return ""
    return _("Version %(n)s of this review. Why it was changed: %(reason)s") % {
        "n": review.version,
        "reason": review.amend_reason,
    }


def _day(when: datetime | None) -> str:
    return date_format(timezone.localtime(when), "DATE_FORMAT") if when else "–"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
