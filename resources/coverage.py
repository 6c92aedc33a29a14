"""Does the knowledge base explain everything that a model can report?

A model's label is covered when its condition is published with a description, warning signs and a treatment,
when there is advice for a patient, a child's carer and a doctor at every danger level (the condition's own,
or the general one that stands in), a resource in every language that PMI promises help in, and a translation
of names, warning signs and advice into each of them.

A model whose label lacks what a patient needs is not put into use. What only carers, doctors or readers of
another language would miss is a hole, too, but it does not hold a model back: they are shown the patient's
advice, or English.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from django.conf import settings
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from resources.choices import Audience, DangerLevel, Status
from resources.models import Advice, Condition, Resource, Translation, Treatment


@dataclass(frozen=True)
class Label:
    """One thing that a model can say: whose label it is and which condition it names."""

    model: str
    name: str
    condition: str


@dataclass(frozen=True)
class Cell:
    """One part of one label's coverage. `note` says more where it is not plain yes or no; `holds_back`: a
    hole here keeps a model from being used.
    """

    heading: str
    is_there: bool
    note: str = ""
    holds_back: bool = True


@dataclass(frozen=True)
class Row:
    """One label and all its parts."""

    label: Label
    condition: Condition | None
    cells: list[Cell] = field(default_factory=list)

    @property
    def holes(self) -> list[str]:
        """The headings of what is missing."""
        return [cell.heading for cell in self.cells if not cell.is_there]

    @property
    def grave_holes(self) -> list[str]:
        """Those that keep a model from being used."""
        return [cell.heading for cell in self.cells if not cell.is_there and cell.holds_back]


# Apps above this one say here which labels their active models have.
_providers: list[Callable[[], Sequence[Label]]] = []


def provide_labels(provider: Callable[[], Sequence[Label]]) -> None:
    """Register a function that returns the labels of the models in use."""
    if provider not in _providers:
        _providers.append(provider)


def labels_in_use() -> list[Label]:
    """The labels of every active model."""
    return [label for provider in _providers for label in provider()]


def languages() -> list[str]:
    """Languages in which every condition must have a resource."""
    return list(settings.PMI_RESOURCE_LANGUAGES)


@dataclass
class _Known:
    """What is published, as sets of keys; a condition of None stands for advice for all."""

    treated: set[str]
    advice: set[tuple[str | None, str, str]]
    resources: set[tuple[str, str]]
    # (slug, language) where name, summary and warning signs are there
    names: set[tuple[str, str]]
    # (condition, level, audience, language)
    translated_advice: set[tuple[str | None, str, str, str]]


def coverage(labels: Iterable[Label]) -> list[Row]:
    """One row per label, in the order given. The same few queries for any number of labels."""
    labels = list(labels)
    slugs = {label.condition for label in labels}
    published = Condition.objects.filter(status=Status.PUBLISHED, slug__in=slugs)
    conditions = {condition.slug: condition for condition in published}
    of_advice = ("condition__slug", "danger_level", "audience")
    translations = Translation.objects.filter(status=Status.PUBLISHED, language__in=languages())
    names = translations.filter(condition__slug__in=slugs).values_list("condition__slug", "language", "texts")
    advice = translations.filter(advice__status=Status.PUBLISHED).values_list(
        *(f"advice__{name}" for name in of_advice), "language", "texts"
    )
    known = _Known(
        treated=set(
            Treatment.objects.filter(status=Status.PUBLISHED, condition__slug__in=slugs).values_list(
                "condition__slug", flat=True
            )
        ),
        advice=set(Advice.objects.filter(status=Status.PUBLISHED).values_list(*of_advice)),
        resources=set(
            Resource.objects.filter(status=Status.PUBLISHED, conditions__slug__in=slugs).values_list(
                "conditions__slug", "language"
            )
        ),
        names={(s, code) for s, code, texts in names if all(map(texts.get, _SHORT))},
        translated_advice={
            (s, level, audience, code)
            for s, level, audience, code, texts in advice
            if texts.get("headline") and texts.get("text")
        },
    )
    return [_row(label, conditions.get(label.condition), known) for label in labels]


# What a result page shows of a condition before anything is opened.
_SHORT = ("name", "summary", "red_flags")


def uncovered(labels: Iterable[Label]) -> list[str]:
    """One line per label that would hold a model back, naming what is missing; empty when nothing does."""
    lines = []
    for row in coverage(labels):
        if row.grave_holes:
            lines.append(f"{row.label.name} ({row.label.condition or '-'}): {', '.join(row.grave_holes)}")
    return lines


def headings() -> list[str]:
    """The column headings of the coverage table."""
    levels = [str(level.label) for level in DangerLevel]
    return [
        _("Description"),
        _("Warning signs"),
        _("Treatment"),
        *levels,
        *map(language_heading, languages()),
        *map(translation_heading, _other_languages()),
    ]


def language_heading(code: str) -> str:
    """What the column of one language is called."""
    return _("Help in “%(language)s”") % {"language": code}


def translation_heading(code: str) -> str:
    """What the column of one translation is called."""
    return _("Texts in “%(language)s”") % {"language": code}


def _other_languages() -> list[str]:
    return [code for code in languages() if code != "en"]


def _row(label: Label, condition: Condition | None, known: _Known) -> Row:
    slug = label.condition
    cells = [
        Cell(_("Description"), bool(condition and condition.what_it_is and condition.summary)),
        Cell(_("Warning signs"), bool(condition and condition.red_flags)),
        Cell(_("Treatment"), condition is not None and slug in known.treated),
    ]
    cells += [_advice_cell(level, slug, known, is_there=condition is not None) for level in DangerLevel]
    for code in languages():
        there = condition is not None and (slug, code) in known.resources
        cells.append(Cell(language_heading(code), there))
    for code in _other_languages():
        cells.append(_translation_cell(code, slug, known, is_there=condition is not None))
    return Row(label, condition, cells)


def _advice_cell(level: DangerLevel, slug: str, known: _Known, *, is_there: bool) -> Cell:
    """Advice for every reader at one level; without the patient's, a model is held back."""
    heading = str(level.label)
    own = [a for a in Audience if (slug, level.value, a.value) in known.advice]
    general = [a for a in Audience if a not in own and (None, level.value, a.value) in known.advice]
    lacking = [a for a in Audience if a not in own and a not in general]
    if not is_there or Audience.PATIENT in lacking:
        return Cell(heading, False)
    if lacking:
        note = ", ".join(str(audience.label) for audience in lacking)
        return Cell(heading, False, note, holds_back=False)
    return Cell(heading, True, _("general") if general else "")


def _translation_cell(code: str, slug: str, known: _Known, *, is_there: bool) -> Cell:
    """The condition's short texts, and each advice that a reader of its result may be shown."""
    shown = set()
    for level in DangerLevel:
        for audience in Audience:
            own = (slug, level.value, audience.value)
            key = own if own in known.advice else (None, level.value, audience.value)
            if key in known.advice:
                shown.add(key)
    lacking = sum((*key, code) not in known.translated_advice for key in shown)
    notes = [] if (slug, code) in known.names else [_("names, warning signs")]
    if lacking:
        notes.append(ngettext("%(n)s advice", "%(n)s pieces of advice", lacking) % {"n": lacking})
    heading = translation_heading(code)
    return Cell(heading, is_there and not notes, ", ".join(notes), holds_back=False)
