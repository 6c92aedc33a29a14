"""A patient's record: what happened, in time order; how findings change; what to ask. No writes.

Everything is read through the selectors of whoever looks, and only readings that are released to them count.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import TYPE_CHECKING

from django.urls import reverse
from django.utils import timezone
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from cases.followups import visible_follow_ups
from cases.models import Case, FollowUp, Scan
from cases.reviews import SeenReviews, seen_reviews
from cases.selectors import visible_cases
from inference import presenters, prognosis
from inference.calls import NORMAL_CONDITIONS
from inference.marks import way_of
from inference.models import Analysis, Finding
from inference.presenters import DangerWords, danger_words, doctor_words, kind_words, shown_words
from inference.prognosis import Point, Trend
from inference.questions import Asked, questions
from inference.report_review import ReviewState, by_doctor, review_state
from inference.selectors import visible_analyses
from inference.standing import Standing
from resources.selectors import ConditionGuide, published_for

if TYPE_CHECKING:
    from accounts.models import User

KNEE = "knee_xray"
_KINDS = ("brain_mri", "chest_xray", KNEE)


@dataclass(frozen=True)
class Event:
    """One thing that happened, on the timeline."""

    at: datetime
    icon: str
    title: str
    text: str = ""
    link: str = ""
    danger: DangerWords | None = None


@dataclass(frozen=True)
class Row:
    """One reading of one finding."""

    scan: Scan
    on: date
    words: str
    call: str
    bar: int
    model: str


@dataclass(frozen=True)
class Course:
    """One finding over time: its readings (newest first) and what they say together."""

    name: str
    slug: str
    rows: list[Row]
    trend: Trend
    words: str


@dataclass
class Anatomy:
    """All readings of one kind of scan."""

    kind: str
    newest: Analysis
    standing: Standing
    state: ReviewState
    courses: list[Course]
    guides: list[ConditionGuide]
    readings: int
    models: list[str]

    @property
    def title(self) -> str:
        """The kind as a heading."""
        words = kind_words(self.kind)
        return words[:1].upper() + words[1:]

    @property
    def is_knee(self) -> bool:
        """Left and right cannot be told apart."""
        return self.kind == KNEE

    @property
    def danger(self) -> DangerWords:
        """The newest reading's level; a doctor's word counts before the model's."""
        words = doctor_words if self.standing.source == "doctor" else danger_words
        return words(self.standing.level)

    @property
    def questions(self) -> list[str]:
        """What to ask the doctor."""
        raised = tuple(_by_doctor(self.standing, [f.condition for f in _telling(self.newest)]))
        changed = any(course.trend.kind in ("higher", "lower") for course in self.courses)
        asked = Asked(
            kind_words(self.kind), raised, self.standing.level, changed, is_reviewed=self.state.is_signed
        )
        return questions(asked, self.guides)


@dataclass
class Record:
    """Everything on the page."""

    events: list[Event] = field(default_factory=list)
    anatomies: list[Anatomy] = field(default_factory=list)
    open_follow_ups: list[FollowUp] = field(default_factory=list)
    done_follow_ups: list[FollowUp] = field(default_factory=list)
    cases: list[Case] = field(default_factory=list)


def build(reader: User, patient_id: uuid.UUID, *, country: str = "") -> Record:
    """The record of one patient as `reader` may see it; empty where nothing may be seen."""
    cases = list(visible_cases(reader).filter(patient_id=patient_id).prefetch_related("scans"))
    found = visible_analyses(reader).filter(scan__case__patient_id=patient_id, status__in=Analysis.FINISHED)
    analyses = list(found)
    reviews = seen_reviews(reader, {one.scan_id for one in analyses})
    follow_ups = list(visible_follow_ups(reader).filter(case__patient_id=patient_id))
    events = [*_case_events(cases), *_reading_events(analyses, reviews), *_follow_up_events(follow_ups)]
    done = [one for one in follow_ups if one.done_at is not None]
    return Record(
        events=sorted(events, key=lambda event: event.at, reverse=True),
        anatomies=_anatomies(analyses, reviews, country),
        open_follow_ups=[one for one in follow_ups if one.done_at is None],
        done_follow_ups=sorted(done, key=lambda one: one.done_at or timezone.now(), reverse=True)[:20],
        cases=cases,
    )


# --- the timeline ---
def _case_events(cases: Iterable[Case]) -> list[Event]:
    events = []
    for case in cases:
        link = reverse("cases:detail", args=[case.pk])
        events.append(Event(case.created_at, "bi-folder-plus", _("Case opened"), case.title, link))
        for scan in case.scans.all():
            page = reverse("inference:scan_result", args=[case.pk, scan.pk])
            text = f"{scan.shown_description} · {case.title}"
            events.append(Event(scan.created_at, "bi-image", _("Scan added"), text, page))
    return events


def _reading_events(analyses: Iterable[Analysis], reviews: SeenReviews) -> list[Event]:
    events = []
    for one in analyses:
        at = one.finished_at or one.queued_at
        link = reverse("inference:scan_result", args=[one.scan.case_id, one.scan_id])
        what = {"what": kind_words(one.kind or one.scan.case.kind)}
        if one.status == Analysis.Status.SUCCEEDED:
            title, text = _("AI read the %(what)s") % what, _found_words(one)
            state = review_state(one, reviews.of(one.scan_id, one.pk))
            # Once a doctor has signed, theirs is the level to go by, and the only one with a mark.
            level = None if state.is_signed else danger_words(one.danger)
            events.append(Event(at, "bi-robot", title, text, link, level))
            if state.signed_at:
                events.append(_review_event(state, state.signed_at, link))
        elif one.status == Analysis.Status.REJECTED:
            events.append(Event(at, "bi-x-octagon", _("The scan could not be read"), one.said_reason, link))
    return events


def _review_event(state: ReviewState, at: datetime, link: str) -> Event:
    text = " ".join(part for part in (*state.verdicts, state.follow_up) if part)
    return Event(at, "bi-patch-check", state.title, text, link, doctor_words(state.level))


def _found_words(analysis: Analysis) -> str:
    raised = _telling(analysis)
    if not raised:
        return _("Nothing that the model looks for stood out.")
    parts = []
    for one in raised[:3]:
        call = presenters.call_words(one.call, normal=one.condition in NORMAL_CONDITIONS).title
        parts.append(
            _("%(condition)s: %(call)s")
            % {"condition": _capital(shown_words(one.condition)), "call": str(call).lower()}
        )
    return "; ".join(parts)


def _telling(analysis: Analysis) -> list[Finding]:
    """Likely and possible findings, the likely ones first. Beside a disease, a possible "nothing found" says
    nothing more.
    """
    raised = [f for f in analysis.findings.all() if f.call != Finding.Call.UNLIKELY]
    diseases = [f for f in raised if f.condition not in NORMAL_CONDITIONS]
    return sorted(diseases or raised, key=lambda f: f.call != Finding.Call.LIKELY)


def _follow_up_events(follow_ups: Iterable[FollowUp]) -> list[Event]:
    return [
        Event(one.done_at, "bi-check2-circle", _("Follow-up done"), one.text)
        for one in follow_ups
        if one.done_at is not None
    ]


# --- findings over time ---
def _anatomies(analyses: Sequence[Analysis], reviews: SeenReviews, country: str) -> list[Anatomy]:
    newest: dict[uuid.UUID, Analysis] = {}
    for one in sorted(analyses, key=lambda a: a.queued_at):
        if one.status == Analysis.Status.SUCCEEDED:
            newest[one.scan_id] = one
        elif one.status == Analysis.Status.REJECTED:
            newest.pop(one.scan_id, None)  # what was read before does not hold any more
    made = []
    for kind in _KINDS:
        readings = [a for a in newest.values() if a.kind == kind]
        readings.sort(key=lambda a: (a.scan.created_at, a.queued_at))
        if readings:
            made.append(_anatomy(kind, readings, reviews, country))
    # What matters most first.
    order = {level: n for n, level in enumerate(("emergency", "urgent", "soon", "routine"))}
    return sorted(made, key=lambda anatomy: order.get(anatomy.standing.level, 9))


def _anatomy(kind: str, readings: list[Analysis], reviews: SeenReviews, country: str) -> Anatomy:
    newest = readings[-1]
    standing = Standing(newest, reviews.of(newest.scan_id))
    current = _telling(newest)
    ever: dict[str, None] = {f.condition: None for f in current if f.condition not in NORMAL_CONDITIONS}
    for one in reversed(readings):
        for f in one.findings.all():
            if f.call != Finding.Call.UNLIKELY and f.condition not in NORMAL_CONDITIONS:
                ever.setdefault(f.condition)
    now = _by_doctor(standing, [f.condition for f in current])
    slugs = list(dict.fromkeys([*now, *ever]))
    guides = published_for(slugs, standing.level, language=get_language() or "en", country=country)
    names = {guide.condition.slug: guide.condition.name for guide in guides}
    if kind == KNEE:
        courses = [course] if (course := _grade_course(readings, names)) else []
    else:
        courses = [_course(slug, readings, names) for slug in ever]
    models = list(dict.fromkeys(str(a.model_version) for a in reversed(readings) if a.model_version))
    return Anatomy(
        kind,
        newest,
        standing,
        review_state(newest, standing.review),
        courses,
        [guide for guide in guides if guide.condition.slug in now],
        len(readings),
        models,
    )


def _by_doctor(standing: Standing, slugs: list[str]) -> list[str]:
    """The conditions to speak of, as the doctor who signed sees them."""
    if standing.review is None or not standing.is_reviewed:
        return slugs
    return by_doctor(list(standing.review.verdicts.all()), slugs)


def _course(slug: str, readings: list[Analysis], names: dict[str, str]) -> Course:
    rows, points, least = [], [], prognosis.LEAST_MARGIN
    for one in readings:
        finding = next((f for f in one.findings.all() if f.condition == slug), None)
        if finding is None:
            continue
        on = timezone.localdate(one.scan.created_at)
        points.append(Point(on, finding.probability, str(one.model_version_id), way_of(one)))
        least = prognosis.margin(_metadata(one), finding.label)
        rows.append(
            Row(
                one.scan,
                on,
                presenters.chance_words(finding.probability),
                str(presenters.call_words(finding.call).title),
                presenters.bar_value(finding.probability),
                str(one.model_version or ""),
            )
        )
    found = prognosis.trend(points, least)
    name = names.get(slug) or _capital(shown_words(slug))
    return Course(name, slug, rows[::-1], found, prognosis.words(found, points[-1].on))


def _grade_course(readings: list[Analysis], names: dict[str, str]) -> Course | None:
    """Wear of the knee has grades: their mean moves, where single grades would jump."""
    rows, points = [], []
    for one in readings:
        grade = prognosis.expected_grade(one.probabilities)
        top = next(iter(one.findings.all()), None)
        if grade is None or top is None:
            continue
        on = timezone.localdate(one.scan.created_at)
        points.append(Point(on, grade, str(one.model_version_id), way_of(one)))
        name = names.get(top.condition) or _capital(shown_words(top.condition))
        rows.append(
            Row(
                one.scan,
                on,
                name,
                str(presenters.call_words(top.call).title),
                max(1, min(99, round(grade / 4 * 100))),
                str(one.model_version or ""),
            )
        )
    if not points:
        return None
    found = prognosis.trend(points, prognosis.GRADE_MARGIN)
    return Course(_("Wear of the joint"), "", rows[::-1], found, prognosis.words(found, points[-1].on))


def _metadata(analysis: Analysis) -> dict[str, object]:
    version = analysis.model_version
    return version.metadata if version and isinstance(version.metadata, dict) else {}


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
