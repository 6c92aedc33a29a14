"""Does the knowledge base explain everything that a model can report?

A model's label is covered when its condition is published with a description, warning signs and a treatment,
when there is advice for a patient at every danger level (the condition's own, or the general one that stands
in), and a resource in every language that PMI promises help in.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from django.conf import settings
from django.utils.translation import gettext as _

from resources.choices import Audience, DangerLevel, Status
from resources.models import Advice, Condition, Resource, Treatment


@dataclass(frozen=True)
class Label:
    """One thing that a model can say: whose label it is and which condition it names."""

    model: str
    name: str
    condition: str


@dataclass(frozen=True)
class Cell:
    """One part of one label's coverage. `note` says more where it is not plain yes or no."""

    heading: str
    is_there: bool
    note: str = ""


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


def coverage(labels: Iterable[Label]) -> list[Row]:
    """One row per label, in the order given. The same few queries for any number of labels."""
    labels = list(labels)
    slugs = {label.condition for label in labels}
    published = Condition.objects.filter(status=Status.PUBLISHED, slug__in=slugs)
    conditions = {condition.slug: condition for condition in published}
    treated = set(
        Treatment.objects.filter(status=Status.PUBLISHED, condition__slug__in=slugs).values_list(
            "condition__slug", flat=True
        )
    )
    advice: set[tuple[str | None, str]] = set(
        Advice.objects.filter(status=Status.PUBLISHED, audience=Audience.PATIENT).values_list(
            "condition__slug", "danger_level"
        )
    )
    resources = set(
        Resource.objects.filter(status=Status.PUBLISHED, conditions__slug__in=slugs).values_list(
            "conditions__slug", "language"
        )
    )
    return [_row(label, conditions.get(label.condition), treated, advice, resources) for label in labels]


def uncovered(labels: Iterable[Label]) -> list[str]:
    """One line per label with a hole, naming what is missing; empty when all is covered."""
    lines = []
    for row in coverage(labels):
        if row.holes:
            lines.append(f"{row.label.name} ({row.label.condition or '-'}): {', '.join(row.holes)}")
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
    ]


def language_heading(code: str) -> str:
    """What the column of one language is called."""
    return _("Help in “%(language)s”") % {"language": code}


def _row(
    label: Label,
    condition: Condition | None,
    treated: set[str],
    advice: set[tuple[str | None, str]],
    resources: set[tuple[str, str]],
) -> Row:
    slug = label.condition
    cells = [
        Cell(_("Description"), bool(condition and condition.what_it_is and condition.summary)),
        Cell(_("Warning signs"), bool(condition and condition.red_flags)),
        Cell(_("Treatment"), condition is not None and slug in treated),
    ]
    for level in DangerLevel:
        own, general = (slug, level.value) in advice, (None, level.value) in advice
        there = condition is not None and (own or general)
        cells.append(Cell(str(level.label), there, "" if own or not there else _("general")))
    for code in languages():
        cells.append(Cell(language_heading(code), condition is not None and (slug, code) in resources))
    return Row(label, condition, cells)
