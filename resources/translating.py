"""Texts in the reader's language, English where there is no published translation."""

import hashlib
import json
from collections.abc import Iterable
from typing import Any

from django.db.models import Prefetch, Subquery
from django.db.models.fields.json import KT

from resources.choices import Status
from resources.models import Advice, Condition, Translation, Treatment

# What is translated, per model. Codes, levels, links and sources are the same in every language, and the
# note for doctors stays in English.
TRANSLATABLE: dict[type[Any], tuple[str, ...]] = {
    Condition: (
        "name",
        "aliases",
        "summary",
        "what_it_is",
        "how_confirmed",
        "red_flags",
        "outlook_treated",
        "outlook_untreated",
    ),
    Treatment: ("name", "what_it_involves", "when_used", "benefits", "risks", "provided_by"),
    Advice: ("headline", "text"),
}


def published_translations(language: str) -> Prefetch:
    """For `prefetch_related` on conditions, treatments or advice, before `localise`."""
    rows = Translation.objects.filter(status=Status.PUBLISHED, language__in=_wanted(language))
    return Prefetch("translations", rows, to_attr="published_translations")


def translated_text(name: str, language: str, **entry: Any) -> Subquery:
    """A text of an entry's published translation, null where there is none, for annotating rows: `entry` is
    the translation's relation, as in `condition=OuterRef("condition")`.
    """
    rows = Translation.objects.filter(status=Status.PUBLISHED, language__in=_wanted(language), **entry)
    # The longer code, as pt-BR, comes first.
    return Subquery(rows.order_by("-language").annotate(text=KT(f"texts__{name}")).values("text")[:1])


def localise(entries: Iterable[Any], language: str) -> None:
    """Put published translations into the entries' fields, in memory.

    Each entry gets `shown_language` (of its name or headline), `body_language` (of its longer texts) and
    `languages` (of each text, by its field).
    Reads `published_translations` where prefetched, else asks the database.
    Never save an entry after this.
    """
    wanted = _wanted(language)
    for entry in entries:
        entry.shown_language = entry.body_language = "en"
        entry.languages = dict.fromkeys(TRANSLATABLE[type(entry)], "en")
        if wanted == ["en"]:
            continue
        rows = getattr(entry, "published_translations", None)
        if rows is None:
            rows = list(entry.translations.filter(status=Status.PUBLISHED, language__in=wanted))
        by_language = {row.language: row for row in rows}
        chosen = next((by_language[code] for code in wanted if code in by_language), None)
        if chosen is None:
            continue
        for name in TRANSLATABLE[type(entry)]:
            if text := chosen.texts.get(name):
                setattr(entry, name, text)
                entry.languages[name] = chosen.language
        entry.shown_language = chosen.language
        if chosen.texts.get("what_it_is"):  # the longer texts may come later than the name
            entry.body_language = chosen.language
        if not chosen.is_reviewed:
            # A clinician's name under the English text says nothing about this one.
            entry.reviewed_by, entry.reviewed_on = "", None


def original_hash(entry: Any) -> str:
    """The hash of an English entry's translatable texts."""
    texts = {name: getattr(entry, name) for name in TRANSLATABLE[type(entry)]}
    return hashlib.sha256(json.dumps(texts, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def _wanted(language: str) -> list[str]:
    """`pt-BR` is looked for as pt-BR, then pt."""
    return list(dict.fromkeys([language, language.partition("-")[0]])) if language else ["en"]
