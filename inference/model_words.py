"""How good a model is, in words, from the `eval_metrics` and `training_data` of its bundle's metadata. Pure.

`eval_metrics` maps a part of the test images ("all", "age_group: child", "source: ...") to figures. A figure
is a number, or `{"value": number, "ci95": [low, high]}`. What there are no words for is left out, never shown
bare.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from inference.presenters import Text, plane_words, shown_words

_OFTEN_ASKED = ("all", "age_group")  # whose result is this about; other parts are for those who dig
_VOLUMES = "simulated volumes"
# Films of adults from one hospital: how it does where hospital and disease do not go together.
_ONE_HOSPITAL = "source: NIH ChestX-ray14"
_FEW = 100  # of so few, "more than 99 of 100" says more than was seen
_PARTS: dict[str, Text] = {
    "all": gettext_lazy("All test scans"),
    "age_group: child": gettext_lazy("Children's scans"),
    "age_group: adult": gettext_lazy("Adults' scans"),
    _VOLUMES: gettext_lazy("Scans of many slices, put together from single test pictures"),
    "source: synthetic": gettext_lazy("Drawn patterns that are no scans"),
}
# The words of those who read scans; `presenters.plane_words` has those of everybody else.
PLANES: dict[str, Text] = {
    "axial": gettext_lazy("axial"),
    "coronal": gettext_lazy("coronal"),
    "sagittal": gettext_lazy("sagittal"),
}


@dataclass(frozen=True)
class Measured:
    """What was measured on one part of the test images: its name, its size, and one sentence a figure.

    `lang` is "en" where there are no words for the part, so that it has the name that the bundle gives it.
    """

    name: str
    size: str
    sentences: tuple[str, ...]
    is_detail: bool = False
    lang: str = ""


def measured(metadata: Mapping[str, Any], *, is_volume: bool = False) -> list[Measured]:
    """What was measured, one entry for each part of the test images that has a figure in words. Of a reading
    of many slices (`is_volume`) single pictures are a detail, where there are figures for volumes.
    """
    parts = metadata.get("eval_metrics")
    if not isinstance(parts, Mapping):
        return []
    labels = metadata.get("labels")
    conditions = {
        str(label["name"]): str(label.get("condition") or label["name"])
        for label in (labels if isinstance(labels, list) else [])
        if isinstance(label, Mapping) and label.get("name") and label.get("claimed", True)
    }
    asked = {_VOLUMES} if is_volume and _VOLUMES in parts else {*_OFTEN_ASKED, _ONE_HOSPITAL}
    found = [
        _part(str(name), figures, conditions, asked, easier=_ONE_HOSPITAL in parts)
        for name, figures in parts.items()
        if isinstance(figures, Mapping)
    ]
    return [part for part in found if part.sentences]


def _part(
    name: str, figures: Mapping[str, Any], conditions: Mapping[str, str], asked: set[str], *, easier: bool
) -> Measured:
    images = _count(figures.get("images"))
    sentences = [
        sentence
        for key, words in _FIGURES.items()
        if (sentence := _sentence(figures.get(key), words, images if key == "accuracy" else 0)) is not None
    ]
    per_label = figures.get("per_label")
    for label, own in per_label.items() if isinstance(per_label, Mapping) else ():
        if label in conditions and isinstance(own, Mapping):
            sentence = _label_sentence(own, shown_words(conditions[label]), exclusive="accuracy" in figures)
            sentences += [sentence] if sentence else []
    if easier and name in ("all", "age_group: adult") and sentences:
        sentences.append(
            _(
                "Many of the adults with pneumonia in this test had COVID-19, and their films come from "
                "other hospitals than the healthy ones. That makes it easier than it is within one hospital: "
                "see the scans from NIH."
            )
        )
    column = name.partition(":")[0].strip()
    shown, lang = _name(name)
    return Measured(shown, _size(name, figures), tuple(sentences), not {column, name} & asked, lang)


def _label_sentence(own: Mapping[str, Any], shown: str, *, exclusive: bool) -> str | None:
    # Where one answer is chosen, how often the right one was chosen says most; where each finding stands
    # alone, how well scans with it are told from scans without it.
    if exclusive:
        images = _count(own.get("images"))
        if images == 0:  # there was none to name
            return None
        return _sentence(own.get("recall"), lambda share: _recall(shown, share), images or 0)
    return _sentence(own.get("auc"), lambda share: _ranking(shown, share))


def _recall(shown: str, share: str) -> str:
    return _("Of test scans that show %(condition)s, it named %(share)s.") % {
        "condition": shown,
        "share": share,
    }


def _ranking(shown: str, share: str) -> str:
    return _(
        "Given two scans, one that shows %(condition)s and one that does not, it scored the right one higher "
        "in %(share)s tries."
    ) % {"condition": shown, "share": share}


_FIGURES: dict[str, Callable[[str], str]] = {
    "accuracy": lambda share: _("It gave the right answer for %(share)s scans.") % {"share": share},
    "tumour_type_accuracy": lambda share: (
        _("Asked only which kind a tumour is, it named the right one for %(share)s scans.") % {"share": share}
    ),
    "auc_grade_2_or_more": lambda share: _ranking(_("clear wear of the joint (grade 2 or more)"), share),
    "bacterial_against_viral_auc": lambda share: (
        _("It told pneumonia by bacteria from pneumonia by a virus in %(share)s pairs.") % {"share": share}
    ),
}


def _sentence(figure: object, words: Callable[[str], str], of: int | None = 0) -> str | None:
    """A figure in words; `of` is how many it is a share of, where it is counted."""
    value, low, high = _value(figure)
    if value is None:
        return None
    if value in (0, 1) and of and of <= _FEW:
        count = {"n": of}
        return words(_("all %(n)s") % count if value else _("none of %(n)s") % count)
    sentence = words(_share(value))
    if low is None or high is None or not low < high:
        return sentence
    # A test on other patients of the same kind would mostly land in here.
    between = {"low": _percent(low), "high": _percent(high)}
    return sentence + " " + _("(Chance in the test aside: between %(low)s and %(high)s.)") % between


def _value(figure: object) -> tuple[float | None, float | None, float | None]:
    """A figure as (value, low, high); None for what is missing or no share between 0 and 1."""
    low = high = None
    if isinstance(figure, Mapping):
        interval = figure.get("ci95")
        if isinstance(interval, list | tuple) and len(interval) == 2:
            low, high = _number(interval[0]), _number(interval[1])
        figure = figure.get("value")
    return _number(figure), low, high


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value) if 0 <= value <= 1 else None


def _percent(value: float) -> int:
    return math.floor(value * 100 + 0.5 + 1e-9)


def _share(value: float) -> str:
    """A measured share as counted tries out of 100, never all or none of them."""
    if value > 0.99:
        return _("more than 99 of 100")
    if value < 0.01:
        return _("fewer than 1 of 100")
    return _("%(n)s of 100") % {"n": _percent(value)}


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _size(name: str, figures: Mapping[str, Any]) -> str:
    images, groups = _count(figures.get("images")), _count(figures.get("groups"))
    if images is None or images < 1:
        return ""
    if name == _VOLUMES:
        words = ngettext("%(n)s scan", "%(n)s scans", images) % {"n": f"{images:,}"}
    else:
        words = ngettext("%(n)s picture", "%(n)s pictures", images) % {"n": f"{images:,}"}
    if groups is not None and 0 < groups < images:
        words = _("%(pictures)s of about %(n)s people") % {"pictures": words, "n": f"{groups:,}"}
    return words


def _name(part: str) -> tuple[str, str]:
    """A part of the test in words, and the language of these where it is not the reader's."""
    column, _colon, value = (piece.strip() for piece in part.partition(":"))
    if words := _PARTS.get(f"{column}: {value}" if value else column):
        return str(words), ""
    if column == "plane" and plane_words(value):
        return plane_words(value), ""
    if column == "source" and value:
        return _("Scans from: %(name)s") % {"name": value.replace("_", " ")}, ""
    return part.replace("_", " "), "en"


def plane_name(plane: str) -> str:
    """The name of a plane for doctors; an unknown one as it is."""
    return str(PLANES.get(plane, plane))


def data_sets(training_data: object) -> list[str]:
    """The collections that a model learnt from, by name and licence."""
    names: list[str] = []
    for entry in training_data if isinstance(training_data, Iterable) else ():
        if isinstance(entry, Mapping) and entry.get("name"):
            licence = str(entry.get("licence") or "")
            names.append(f"{entry['name']} ({licence})" if licence else str(entry["name"]))
    return names
