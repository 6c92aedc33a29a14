"""What a reading's report says, as plain data for the layout in `report/report.typ`.

Everything comes from the same `Result` as the result page, so that both give the same numbers and words.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from django.conf import settings
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from cases.models import Case
from inference.bundle_words import said
from inference.calls import NORMAL_CONDITIONS
from inference.model_words import plane_name
from inference.report_review import ReviewState
from inference.result_page import FindingView, Result
from inference.templatetags.inference_tags import percent
from resources.selectors import ConditionGuide

Block = dict[str, Any]
_MOST_SOURCES = 12


@dataclass(frozen=True)
class Picture:
    """A picture of the report: its file beside the layout, what it shows in words, and its caption."""

    file: str
    alt: str
    caption: str


def report_number(analysis_id: object) -> str:
    """The short name of a report, to tell one sheet of paper from another."""
    return f"PMI-{str(analysis_id)[:8].upper()}"


def content(
    result: Result, review: ReviewState, pictures: list[Picture], *, is_newest: bool = True
) -> Mapping[str, Any]:
    """The report of `result.answer` in the active language; `is_newest` False says that the scan has been
    read anew since. Raises ValueError when there is no answer.
    """
    answer = result.answer
    if answer is None:
        raise ValueError("There is no finished reading to report.")
    case, number = result.scan.case, report_number(answer.pk)
    heading = _("Report on a %(what)s") % {"what": result.kind_words}
    return {
        "lang": (get_language() or "en").partition("-")[0],
        "title": f"{heading} · {number}",
        "subject": _("What a computer model saw on a scan, and what to do next. Not a diagnosis."),
        "maker": _("Prognosis Using Medical Imaging"),
        "issued": [
            _("Report %(number)s") % {"number": number},
            _("Made on %(when)s") % {"when": _moment(timezone.now())},
        ],
        "heading": heading,
        "facts": _facts(result),
        "state": {"title": review.title, "text": review.text},
        "blocks": [
            *([] if is_newest else [_note(_("This scan has been read again since. Use the newer report."))]),
            *_answer(result, review, pictures),
            *_background(result),
        ],
        "footer": f"{case.patient.full_name} · {number}",
        "page_of": _("Page %(page)s of %(pages)s") % {"page": "{page}", "pages": "{pages}"},
    }


# --- the head ---
def _facts(result: Result) -> list[dict[str, Any]]:
    scan, case, answer = result.scan, result.scan.case, result.answer
    rows = [
        (_("Patient"), case.patient.full_name),
        (_("Age group"), _age(case)),
        (_("Email"), case.patient.email),
        (_("Case"), case.title),
        (_("Scan"), scan.shown_description),
        (_("Added to PMI"), _moment(scan.created_at)),
        (_("Size"), _size(result)),
        (_("Read"), _moment(answer.finished_at) if answer and answer.finished_at else "–"),
    ]
    if result.is_read:
        rows.append((_("Model"), result.model_name))
        rows.append((_("Slices read"), str(answer.slices_read or 1) if answer else "1"))
    facts: list[dict[str, Any]] = [{"label": label, "value": value, "wide": False} for label, value in rows]
    if case.question:
        facts.append({"label": _("Question"), "value": case.question, "wide": True})
    return facts


def _notices(result: Result) -> list[Block]:
    told = result.notices
    return [{"kind": "box", "title": _("This reading may not hold any more"), "items": told}] if told else []


def _age(case: Case) -> str:
    words = {Case.AgeGroup.CHILD: _("Child (under 18)"), Case.AgeGroup.ADULT: _("Adult")}
    return words.get(Case.AgeGroup(case.age_group), _("Not given"))


def _size(result: Result) -> str:
    scan = result.scan
    if scan.is_volume:
        return _("%(width)s x %(height)s points, %(slices)s slices") % {
            "width": scan.width,
            "height": scan.height,
            "slices": scan.slices,
        }
    return _("%(width)s x %(height)s points") % {"width": scan.width, "height": scan.height}


# --- the answer ---
def _answer(result: Result, review: ReviewState, pictures: list[Picture]) -> list[Block]:
    if not result.is_read:
        return _refusal(result) + _review(review) + _pictures(pictures)
    words, (step, rest) = result.danger, result.next_step
    blocks = [
        _danger(words.level, str(words.label), str(words.title), step, rest, result.reasons),
        # What a doctor signed outranks the model, so it comes first.
        *_review(review),
        *_notices(result),
        _h2(_("What the model found")),
        {
            "kind": "findings",
            "head": [_("Looked for"), _("Answer"), _("Of scans like this one"), _("Score")],
            "rows": [_row(view) for view in (*result.raised, *result.unlikely)],
        },
        *_pictures(pictures),
        _h2(_("What the numbers say")),
    ]
    for view in result.raised:
        blocks += [_h3(view.name), _p(view.sentence), _p(str(view.call.meaning))]
        blocks += [_small(view.limits)] if view.limits else []
    if not result.raised:
        blocks.append(_p(_("Nothing that the model looks for stood out.")))
    blocks.append(
        _small(
            _(
                "The number counts scans that look alike to the model. It is not your own risk: that also "
                "depends on how you feel, your age and your history, which the model does not know."
            )
        )
    )
    return blocks


def _row(view: FindingView) -> dict[str, str]:
    return {
        "name": view.name,
        "call": str(view.call.title),
        "chance": view.chance,
        "percent": f"{percent(view.finding.probability)} %",
    }


def _danger(level: str, label: str, title: str, step: str, rest: str, reasons: list[str]) -> Block:
    return {
        "kind": "danger",
        "level": level,
        "label": label,
        "title": title,
        "step_label": _("What to do now"),
        "step": step,
        "rest": rest,
        "why_label": _("Why"),
        "reasons": list(reasons),
    }


def _refusal(result: Result) -> list[Block]:
    answer = result.answer
    blocks: list[Block] = []
    if result.is_alarming:
        words = result.alarm_words
        blocks.append(
            _danger(words.level, str(words.label), str(words.title), result.alarm_step, "", result.reasons)
        )
    blocks += [_h2(_("This scan could not be read")), _p(answer.said_reason if answer else "")]
    if not result.is_alarming:
        blocks.append(_p(_("Show the scan to a doctor. If you feel ill, do not wait for a reading.")))
    return blocks


# --- a doctor's review ---
def _review(review: ReviewState) -> list[Block]:
    if not review.is_signed:
        return []
    blocks = [_h2(_("The doctor's review")), {"kind": "lead", "text": review.signature}]
    blocks += [{"kind": "list", "items": review.verdicts}] if review.verdicts else []
    blocks += [_h3(_("What the doctor wrote")), _p(review.comment)] if review.comment else []
    blocks += [_h3(_("What should come next")), _p(review.follow_up)] if review.follow_up else []
    blocks += [_small(review.history)] if review.history else []
    return blocks


# --- pictures ---
def _pictures(pictures: list[Picture]) -> list[Block]:
    if not pictures:
        return []
    items = [{"file": p.file, "alt": p.alt, "caption": p.caption} for p in pictures]
    return [
        {"kind": "pictures", "items": items, "height": 52 if len(items) > 2 else 64},
        _small(
            _(
                "Colours run from dark violet (little) over red to bright yellow (most): there the model "
                "found what spoke for its answer. They do not outline a disease. The pictures are too small "
                "to read the scan from; open the scan itself for that."
            )
            if len(items) > 1
            else _("The picture is too small to read the scan from; open the scan itself for that.")
        ),
    ]


# --- what it means, limits, model, sources ---
def _background(result: Result) -> list[Block]:
    blocks: list[Block] = []
    for guide in result.guides[:2]:
        blocks += _meaning(guide)
    blocks.append(_h2(_("What this reading cannot tell")))
    blocks.append({"kind": "list", "items": [*result.age_limits, *result.general_limits]})
    if result.is_read:
        blocks += _model(result)
    blocks += _sources(result)
    wrong = _(
        "It can be wrong. Only a doctor who examines you can tell what you have. "
        "In an emergency call your local emergency number now."
    )
    return [*blocks, _note(_("PMI is not a diagnosis.") + " " + wrong)]


def _meaning(guide: ConditionGuide) -> list[Block]:
    condition = guide.condition
    blocks = [_h2(_("What it means: %(name)s") % {"name": condition.name})]
    blocks += _paragraphs(condition.what_it_is, guide.body_language)
    if condition.red_flags and condition.slug not in NORMAL_CONDITIONS:
        title = (
            _("Get help the same day if you notice any of these")
            if condition.kind == "knee_xray"
            else _("Call your local emergency number if you notice any of these")
        )
        blocks.append({"kind": "box", "title": title, "items": list(condition.red_flags)})
    if condition.outlook_treated:
        blocks += [_h3(_("Outlook")), *_paragraphs(condition.outlook_treated, guide.body_language)]
    if not guide.is_reviewed:
        blocks.append(_small(_("No clinician has reviewed this text about the condition yet.")))
    return blocks


def _makers(sentence: str) -> Block:
    """What a model's makers wrote, said to be English where nobody has translated it."""
    told = said(sentence)
    return {**_p(told.text), "lang": told.lang} if told.lang else _p(told.text)


def _model(result: Result) -> list[Block]:
    blocks = [_h2(_("Which model read it, and how good it is"))]
    blocks.append(_p(_("Read by the model %(name)s.") % {"name": result.model_name}))
    blocks += [_makers(result.intended_use)] if result.intended_use else []
    told = [part for part in result.measured if not part.is_detail and part.name not in _others(result)]
    if result.few_slices_words:
        blocks.append(_p(result.few_slices_words))
    for part in told:
        blocks.append(_h3(f"{part.name} ({part.size})" if part.size else part.name))
        blocks.append({"kind": "list", "items": list(part.sentences)})
    if not told:
        blocks.append(_p(_("How well this version does has not been written down. Trust it less for that.")))
    if result.data_sets:
        blocks.append(
            _p(_("It learnt from these public collections:") + " " + "; ".join(result.data_sets) + ".")
        )
    if result.model_limits:
        limits = [said(limit) for limit in result.model_limits]
        blocks.append(_h3(_("What its makers know to be weak:")))
        for lang in sorted({limit.lang for limit in limits}):
            own = {"kind": "list", "items": [limit.text for limit in limits if limit.lang == lang]}
            blocks.append({**own, "lang": lang} if lang else own)
    answer = result.answer
    version = answer.model_version if answer else None
    if answer is not None and version is not None:
        slice_words = ""
        if result.key_slice_number:
            named = {"n": result.key_slice_number, "plane": plane_name(result.key_plane)}
            if result.is_key_telling:
                slice_words = _("Most telling slice: %(n)s (%(plane)s).") % named + " "
            else:
                slice_words = _("Middle slice: %(n)s (%(plane)s).") % named + " "
        blocks.append(
            _small(
                slice_words
                + _("Model file %(hash)s, danger rules %(rules)s, PMI %(pmi)s.")
                % {"hash": version.sha256, "rules": answer.rules_version or "–", "pmi": settings.PMI_VERSION}
            )
        )
    return blocks


def _others(result: Result) -> tuple[str, ...]:
    """Parts of the test that are about other people than the one in the picture."""
    if result.scan.case.age_group == Case.AgeGroup.ADULT:
        return (_("Children's scans"),)
    if result.scan.case.age_group == Case.AgeGroup.CHILD:
        return (_("Adults' scans"),)
    return ()


def _sources(result: Result) -> list[Block]:
    lines: dict[str, None] = {}
    for guide in result.guides[:2]:
        for cited in guide.sources:
            source = cited.source
            lines[f"{source.citation} {source.url}".strip()] = None
    if not lines:
        return []
    return [_h2(_("Sources")), {"kind": "sources", "items": list(lines)[:_MOST_SOURCES]}]


# --- small parts ---
def _h2(text: str) -> Block:
    return {"kind": "h2", "text": text}


def _h3(text: str) -> Block:
    return {"kind": "h3", "text": text}


def _p(text: str) -> Block:
    return {"kind": "p", "text": text}


def _note(text: str) -> Block:
    return {"kind": "note", "text": text}


def _small(text: str) -> Block:
    return {"kind": "small", "text": text}


def _paragraphs(text: str, language: str) -> list[Block]:
    return [{**_p(part.strip()), "lang": language} for part in text.split("\n\n") if part.strip()]


def _moment(when: datetime | date) -> str:
    if isinstance(when, datetime):
        return date_format(timezone.localtime(when), "DATETIME_FORMAT")
    return date_format(when, "DATE_FORMAT")
