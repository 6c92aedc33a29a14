"""Every read of the knowledge base. Only published rows leave this module."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from django.db.models import OuterRef, Prefetch, QuerySet, prefetch_related_objects
from django.utils.translation import gettext as _

from resources import search
from resources.choices import Audience, DangerLevel, Kind, ResourceAudience, Section, Status
from resources.models import Advice, Citation, Condition, Resource, Source, Treatment
from resources.translating import localise, published_translations, translated_text

_READERS = {
    Audience.PATIENT: [ResourceAudience.EVERYONE, ResourceAudience.PATIENT],
    Audience.CARER: [ResourceAudience.EVERYONE, ResourceAudience.PATIENT, ResourceAudience.CARER],
    Audience.DOCTOR: list(ResourceAudience),
}


@dataclass(frozen=True)
class CitedSource:
    """One source and the parts of the text that rest on it."""

    source: Source
    supports: list[str]


@dataclass(frozen=True)
class ConditionGuide:
    """Everything to show about one condition to one kind of reader."""

    condition: Condition
    danger_level: str
    audience: str
    advice: Advice | None
    treatments: list[Treatment]
    resources: list[Resource]
    sources: list[CitedSource] = field(default_factory=list)

    @property
    def body_language(self) -> str:
        """The language of the longer texts: a translation may hold only the shorter ones."""
        return str(getattr(self.condition, "body_language", "en"))

    @property
    def is_for_doctor(self) -> bool:
        return self.audience == Audience.DOCTOR

    @property
    def has_general_advice(self) -> bool:
        """The advice is not this condition's own but stands in for it."""
        return self.advice is not None and self.advice.condition_id is None

    @property
    def is_reviewed(self) -> bool:
        """A clinician has read every medical text of this guide."""
        texts = [self.condition, *self.treatments, *([self.advice] if self.advice else [])]
        return all(text.is_reviewed for text in texts)


def published_for(
    condition_slugs: Sequence[str],
    danger_level: str,
    audience: str = Audience.PATIENT,
    *,
    language: str = "en",
    country: str = "",
) -> list[ConditionGuide]:
    """Guides for the published conditions among `condition_slugs`, in that order.

    A slug without a published condition is left out (`missing_slugs` names them). Advice is the
    condition's own for this level and audience, else the patient's, else the general one for the level.
    Resources are in `language` or English, those of `country` (two capital letters) first. Takes the same
    number of queries for any number of slugs.
    """
    audience = audience if audience in Audience.values else Audience.PATIENT.value
    wanted = list(dict.fromkeys(condition_slugs))
    if not wanted:
        return []
    audiences = [audience, Audience.PATIENT.value]
    advice = Advice.objects.filter(status=Status.PUBLISHED, danger_level=danger_level, audience__in=audiences)
    advice = advice.prefetch_related("sources", *_translations(language))
    conditions = published_conditions().filter(slug__in=wanted).prefetch_related(Prefetch("advice", advice))
    found = {condition.slug: condition for condition in _with_details(conditions, audience, language)}
    general = list(advice.filter(condition=None))
    guides = []
    for slug in wanted:
        condition = found.get(slug)
        if condition is None:
            continue
        own = list(condition.advice.all())
        chosen = _pick(own, audience) or _pick(general, audience)
        guides.append(_guide(condition, danger_level, audience, chosen, country, language))
    return guides


def guide_of(condition: Condition, *, language: str = "en", country: str = "") -> ConditionGuide:
    """All there is to read about `condition` (from `published_condition`), without advice for one level."""
    return _guide(condition, "", Audience.DOCTOR.value, None, country, language)


def published_conditions() -> QuerySet[Condition]:
    """Conditions that anybody may read."""
    return Condition.objects.filter(status=Status.PUBLISHED)


def published_condition(slug: str, language: str = "en") -> Condition | None:
    """One published condition with all that its page shows in `language`, or None."""
    advice = Advice.objects.filter(status=Status.PUBLISHED)
    advice = advice.prefetch_related("sources", *_translations(language))
    conditions = published_conditions().filter(slug=slug).prefetch_related(Prefetch("advice", advice))
    condition = _with_details(conditions, Audience.DOCTOR.value, language).first()
    if condition is not None:
        localise([condition, *condition.treatments.all(), *condition.advice.all()], language)
    return condition


def published_treatments() -> QuerySet[Treatment]:
    """Treatments that anybody may read: published, of a published condition."""
    return (
        Treatment.objects.filter(status=Status.PUBLISHED, condition__status=Status.PUBLISHED)
        .select_related("condition")
        .prefetch_related("sources")
        .order_by("condition__kind", "condition__position", "position", "name")
    )


def search_treatments(
    treatments: QuerySet[Treatment], query: str, language: str = "en"
) -> QuerySet[Treatment]:
    """Those of `treatments` that fit `query` (see `search.match_rows`), in English or in the published
    translations into `language`: best first, all without a query.
    """
    names, texts = ["name", "condition__name"], ["what_it_involves", "when_used", "benefits", "risks"]
    if query and language != "en":
        treatments = treatments.annotate(
            spoken_condition=translated_text("name", language, condition=OuterRef("condition")),
            **{
                f"spoken_{name}": translated_text(name, language, treatment=OuterRef("pk"))
                for name in ("name", *texts)
            },
        )
        names += ["spoken_name", "spoken_condition"]
        texts += [f"spoken_{name}" for name in texts]
    return search.match_rows(treatments, query, tuple(names), tuple(texts), language)


def published_resources() -> QuerySet[Resource]:
    """Resources that anybody may read, with their published conditions."""
    return Resource.objects.filter(status=Status.PUBLISHED).prefetch_related(
        Prefetch("conditions", published_conditions())
    )


def search_conditions(query: str = "", kind: str = "", language: str = "en") -> QuerySet[Condition]:
    """Published conditions that fit `query` (see `search.match`), best first; all in order without one."""
    conditions = published_conditions()
    if kind in Kind.values:
        conditions = conditions.filter(kind=kind)
    return search.match(conditions, query, language)


def in_language(conditions: QuerySet[Condition], language: str) -> list[Condition]:
    """The conditions with their texts in `language` where there is a published translation."""
    return in_language_rows(list(conditions), language)


def in_language_rows(conditions: list[Condition], language: str) -> list[Condition]:
    """The same for conditions that were already fetched, such as one page of them."""
    prefetch_related_objects(conditions, *_translations(language))
    localise(conditions, language)
    return conditions


def missing_slugs(slugs: Iterable[str]) -> list[str]:
    """Those of `slugs` that have no published condition, in the order given, each once."""
    wanted = list(dict.fromkeys(slugs))
    there = set(published_conditions().filter(slug__in=wanted).values_list("slug", flat=True))
    return [slug for slug in wanted if slug not in there]


def advice_by_level(condition: Condition) -> list[tuple[DangerLevel, list[Advice]]]:
    """The advice for patients and carers, most urgent level first, of a `published_condition`."""
    levels = []
    for level in DangerLevel:
        texts = [
            a for a in condition.advice.all() if a.danger_level == level and a.audience != Audience.DOCTOR
        ]
        if texts:
            # Patients first, then carers.
            levels.append((level, sorted(texts, key=lambda a: Audience.values.index(a.audience))))
    return levels


def _with_details(conditions: QuerySet[Condition], audience: str, language: str) -> QuerySet[Condition]:
    treatments = Treatment.objects.filter(status=Status.PUBLISHED)
    treatments = treatments.prefetch_related("sources", *_translations(language))
    resources = Resource.objects.filter(status=Status.PUBLISHED, audience__in=_READERS[Audience(audience)])
    if language:
        resources = resources.filter(language__in={language, language.partition("-")[0], "en"})
    return conditions.prefetch_related(
        Prefetch("treatments", treatments),
        Prefetch("resources", resources),
        Prefetch("citations", Citation.objects.select_related("source")),
        *_translations(language),
    )


def _translations(language: str) -> list[Prefetch]:
    """What to prefetch for `localise`; nothing for English, which needs no translation."""
    return [] if language in ("", "en") else [published_translations(language)]


def in_order(resources: Iterable[Resource], language: str, country: str) -> list[Resource]:
    """Those in the reader's language first, then those of the reader's country; else as curators ordered.

    With a country chosen, places that serve only another country are left out.
    """
    own = [r for r in resources if not country or r.country in ("", country)]
    spoken = language.partition("-")[0]
    return sorted(
        own, key=lambda r: (r.language.partition("-")[0] != spoken, not country or r.country != country)
    )


def _pick(advice: Iterable[Advice], audience: str) -> Advice | None:
    by_audience = {item.audience: item for item in advice}
    return by_audience.get(audience) or by_audience.get(Audience.PATIENT.value)


def _guide(
    condition: Condition,
    danger_level: str,
    audience: str,
    advice: Advice | None,
    country: str,
    language: str,
) -> ConditionGuide:
    treatments = list(condition.treatments.all())
    localise([condition, *treatments, *([advice] if advice else [])], language)
    resources = in_order(condition.resources.all(), language, country)
    return ConditionGuide(
        condition,
        danger_level,
        audience,
        advice,
        treatments,
        resources,
        _cited(condition, treatments, advice),
    )


def _cited(condition: Condition, treatments: Sequence[Treatment], advice: Advice | None) -> list[CitedSource]:
    """Every source of a guide once, with the parts it stands behind."""
    cited: dict[Source, list[str]] = {}
    for citation in condition.citations.all():
        cited.setdefault(citation.source, []).append(str(Section(citation.section).label))
    for treatment in treatments:
        for source in treatment.sources.all():
            cited.setdefault(source, []).append(treatment.name)
    for item in [advice] if advice else list(condition.advice.all()):
        for source in item.sources.all():
            label = _("What to do")
            if label not in cited.setdefault(source, []):
                cited[source].append(label)
    ordered = sorted(cited.items(), key=lambda pair: pair[0].citation)
    return [CitedSource(source, supports) for source, supports in ordered]
