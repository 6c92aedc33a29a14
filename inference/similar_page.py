"""What pages and the API show of a search: hits with their words, and the neighbours' vote."""

from __future__ import annotations

import math
import uuid
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.core.cache import cache
from django.core.validators import ProhibitNullCharactersValidator
from django.db.models import QuerySet
from django.utils.translation import gettext as _
from django.utils.translation import pgettext

from accounts.consents import care_is_withdrawn
from accounts.models import Role, User
from cases.models import Scan
from inference.calls import NORMAL_CONDITIONS, PARENT_CONDITION
from inference.models import (
    Analysis,
    Finding,
    Kind,
    ModelVersion,
    ReferenceImage,
    SimilarSearch,
    VectorSpace,
)
from inference.presenters import shown_words
from inference.similar_selectors import (
    NEAREST,
    Filters,
    Hits,
    Neighbour,
    Probe,
    active_space,
    empty_atlas_text,
    neighbours,
    seen_as,
)
from inference.similar_spaces import missing
from pmi_site.errors import TooManyTries, UserError

SEARCHES_PER_MINUTE = 30
_MINUTE = 60
_ENOUGH_VOTES = 4
FILTERS = ("condition", "source", "age_band")


def sentence_start(words: str) -> str:
    """Words with a capital in front."""
    return words[:1].upper() + words[1:]


@dataclass(frozen=True)
class HitView:
    """One hit in words."""

    hit: Neighbour
    space: VectorSpace

    @property
    def label(self) -> str:
        """What the image shows."""
        return sentence_start(shown_words(self.hit.condition))

    @property
    def likeness(self) -> str:
        """Similarity in words, measured against pairs within the atlas, since bare distances mean nothing."""
        near, typical = self.space.near, self.space.typical
        if near is None or typical is None:
            return _("One of the nearest that are known")
        if self.hit.distance <= near:
            return _("Looks very much alike")
        if self.hit.distance <= typical:
            return _("Looks alike")
        return _("Looks only a little alike")

    @property
    def age(self) -> str:
        """The age band in words; empty when not known."""
        return {"child": _("child"), "adult": _("adult")}.get(self.hit.age_band, "")

    @property
    def origin(self) -> str:
        """Where it is from."""
        if self.hit.source == ReferenceImage.Source.PLATFORM:
            return _("A scan that a doctor confirmed, shared with consent")
        return self.hit.collection or _("Reference atlas")

    @property
    def has_picture(self) -> bool:
        """The picture may be shown."""
        return self.hit.scan_id is not None or self.hit.showable


@dataclass(frozen=True)
class Section:
    """The result of a search, ready to show. `vote` is for doctors only and mostly empty; `why` says why
    there are no hits, or fewer than there will be, where that is not for want of known cases.
    """

    others: tuple[HitView, ...]
    own: tuple[HitView, ...]
    vote: str = ""
    empty: bool = False
    form: FilterForm | None = None
    error: str = ""
    why: str = ""


@dataclass(frozen=True)
class FilterForm:
    """The filters that a page offers, and which are chosen. `anatomy` is what all hits show, in words."""

    chosen: Filters
    anatomy: str = ""
    conditions: tuple[tuple[str, str], ...] = ()
    sources: tuple[tuple[str, str], ...] = ()
    ages: tuple[tuple[str, str], ...] = ()

    @property
    def is_used(self) -> bool:
        """Something is filtered out."""
        return bool(self.chosen.condition or self.chosen.source or self.chosen.age_band)


def filter_form(versions: Iterable[ModelVersion], chosen: Filters, anatomy: str = "") -> FilterForm:
    """The filters for what these model versions can tell apart."""
    slugs = dict.fromkeys(
        str(label["condition"])
        for version in versions
        for label in version.metadata.get("labels", [])
        if isinstance(label, dict) and label.get("condition")
    )
    named = ((slug, sentence_start(shown_words(slug))) for slug in slugs)
    return FilterForm(
        chosen=chosen,
        anatomy=anatomy,
        conditions=tuple(sorted(named, key=lambda pair: pair[1].casefold())),
        sources=tuple((str(value), str(label)) for value, label in ReferenceImage.Source.choices),
        ages=tuple((str(value), str(label)) for value, label in ReferenceImage.AgeBand.choices),
    )


def view_of(
    hits: Hits, space: VectorSpace, vote: str = "", filters: Filters | None = None, error: str = ""
) -> Section:
    """Hits with their words."""
    version = space.model_version
    return Section(
        tuple(HitView(hit, space) for hit in hits.others),
        tuple(HitView(hit, space) for hit in hits.own),
        vote,
        empty=not hits.others,
        form=filter_form([version], filters or Filters(), str(Kind(version.kind).label)),
        error=error,
        why=filling_text(space),
    )


def empty_text(view: Section) -> str:
    """That there is nothing to compare with, for programs; "" where something was found or filtered out.

    A page says it in its own words.
    """
    filtered = view.form is not None and view.form.is_used
    return empty_atlas_text() if view.empty and not filtered else ""


def filling_text(space: VectorSpace) -> str:
    """That known cases are still missing from the space; empty where none are."""
    if space.state == VectorSpace.State.READY or not missing(space.model_version).exists():
        return ""
    return _("The known cases are still being prepared. More will be found later.")


def section(
    analysis: Analysis,
    scan: Scan,
    visible: QuerySet[Scan],
    *,
    for_doctor: bool = False,
    asked: tuple[Filters, str] = (Filters(), ""),
) -> Section | None:
    """The similar cases of a reading, by the vector that the reading wrote: one SQL statement, no model.

    `asked` comes from `asked_filters`. A retired space is not searched: a reading by a version that was
    replaced is compared in the space of the present one, once that has looked at the scan. None where there
    is no reading.
    """
    version = analysis.model_version
    if version is None or analysis.status != Analysis.Status.SUCCEEDED:
        return None
    if care_is_withdrawn(scan.case.patient_id):
        return Section((), (), why=_withdrawn_text())
    space = getattr(version, "space", None) if version.is_active else active_space(version.kind)
    if space is None and not version.is_active:
        return None  # nothing reads scans of this kind now
    if space is None or not space.dims:
        return Section((), (), empty=True, why=filling_text(space) if space else "")
    seen = analysis.pk if version.is_active else seen_as(analysis, space)
    if seen is None:
        return Section((), (), why=replaced_text(space))
    probe = Probe(space=space, analysis_id=seen, patient_id=scan.case.patient_id, scan_id=scan.pk)
    filters, error = asked
    hits = neighbours(probe, visible, filters)
    findings = list(analysis.findings.all())
    # Neighbours that somebody chose by a filter are no vote.
    said = vote(hits, findings) if for_doctor and filters == Filters() else ""
    return view_of(hits, space, said, filters, error)


def _withdrawn_text() -> str:
    return _(
        "The consent to keep and read these scans was taken back, so this one is not compared with known "
        "cases."
    )


def replaced_text(space: VectorSpace) -> str:
    """Why a reading by another version than the present one is not compared in its space, or not yet."""
    if space.state == VectorSpace.State.READY and space.scans_failed:
        return _(
            "Another version of the model reads scans now, and it could not look at this one by itself. Have "
            "the scan read again to compare it with known cases."
        )
    return _(
        "Another version of the model reads scans now. Known cases are shown here once it has looked at this "
        "scan, too; that happens by itself."
    )


def found(search: SimilarSearch, visible: QuerySet[Scan], filters: Filters, k: int = NEAREST) -> Section:
    """What a finished search found; nothing with scans of somebody who took the consent to care back since.

    Raises UserError where its space is no longer searched.
    """
    space = search.space
    if space is None or search.vector is None or not space.model_version.is_active:
        raise UserError("model_changed", _("The model was just changed. Please search again."))
    scan = search.analysis.scan if search.analysis is not None else None
    # What patients send is about themselves: their own scans are theirs here, too.
    patient_id = scan.case.patient_id if scan else _own_id(search.owner)
    if patient_id is not None and care_is_withdrawn(patient_id):
        return Section((), (), why=_withdrawn_text())
    probe = Probe(
        space=space,
        vector=list(search.vector),
        patient_id=patient_id,
        scan_id=scan.pk if scan else None,
    )
    return view_of(neighbours(probe, visible, filters, k), space, filters=filters)


def _own_id(owner: User) -> uuid.UUID | None:
    return owner.pk if owner.role == Role.PATIENT else None


def vote(hits: Hits, findings: list[Finding]) -> str:
    """Why a doctor should look twice: most neighbours differ from the model. It changes nothing."""
    if not findings or len(hits.others) < _ENOUGH_VOTES:
        return ""
    # A cause of pneumonia is pneumonia: models may not say causes of everybody.
    (condition, count), *_rest = Counter(_broad(hit.condition) for hit in hits.others).most_common(1)
    said = {f.condition for f in findings if f.call != Finding.Call.UNLIKELY} or {findings[0].condition}
    if count < _ENOUGH_VOTES or condition in {_broad(own) for own in said}:
        return ""
    text = _(
        "%(count)d of the %(all)d nearest known cases show %(what)s; the model says %(said)s. Look twice."
    )
    if condition in NORMAL_CONDITIONS:  # some languages say "do not show any"
        text = pgettext(
            "nothing",
            "%(count)d of the %(all)d nearest known cases show %(what)s; the model says %(said)s. Look "
            "twice.",
        )
    return text % {
        "count": count,
        "all": len(hits.others),
        "what": shown_words(condition),
        "said": ", ".join(shown_words(name) for name in sorted(said)),
    }


def _broad(condition: str) -> str:
    return PARENT_CONDITION.get(condition, condition)


def count_search(user: User) -> None:
    """Counts a search against the person's limit. Raises TooManyTries `too_many` above it.

    Unlimited searching would let somebody walk through the whole index, or test which pictures are in it.
    """
    key = f"similar:{user.pk}"
    cache.add(key, 0, timeout=_MINUTE)
    try:
        count = cache.incr(key)
    except ValueError:  # it expired between the two
        cache.set(key, 1, timeout=_MINUTE)
        count = 1
    if count > SEARCHES_PER_MINUTE:
        raise TooManyTries("too_many", _("You have searched very often. Please wait a minute."), _MINUTE)


def asked_filters(user: User, values: Any) -> tuple[Filters, str]:
    """The filters of a page's address, and what is wrong with them in words. Using any counts as a search."""
    if not any(values.get(name) for name in FILTERS):
        return Filters(), ""
    try:
        filters = filters_of(values)
        count_search(user)
    except UserError as error:
        return Filters(), error.message
    return filters, ""


def filters_of(values: Any) -> Filters:
    """Filters from a form or a request. Raises UserError for a value that means nothing."""
    source, age = str(values.get("source") or ""), str(values.get("age_band") or "")
    if source and source not in ReferenceImage.Source.values:
        raise UserError("bad_filter", _("The source is atlas or platform."))
    if age and age not in ReferenceImage.AgeBand.values:
        raise UserError("bad_filter", _("The age band is child, adult or unknown."))
    condition = str(values.get("condition") or "")[:80]
    if "\x00" in condition:
        raise UserError("bad_filter", str(ProhibitNullCharactersValidator.message))
    return Filters(condition=condition, source=source, age_band=age)


def region_of(text: str) -> tuple[float, float, float, float]:
    """Four shares (0..1) "x,y,width,height". Raises UserError otherwise."""
    try:
        x, y, width, height = (float(part) for part in text.split(","))
        if not all(map(math.isfinite, (x, y, width, height))):
            raise ValueError
    except ValueError as error:
        raise UserError("bad_region", _("A region is four numbers: x, y, width, height.")) from error
    if not all(0 <= share <= 1 for share in (x, y, width, height)):
        raise UserError("bad_region", _("The region lies outside the picture."))
    return x, y, width, height
