"""Finding a condition by what somebody types: words, misspelt words, or a code.

Each condition has one `SearchDocument` per language: its names as three-letter pieces, which forgive typing
errors, and its texts for PostgreSQL's full-text search in the configuration of that language. Documents
follow their entries by signals; `rebuild_all` makes all of them anew.
"""

import re
import unicodedata
from collections.abc import Iterable
from typing import Any

from django.contrib.postgres.search import SearchQuery, SearchRank, SearchVector
from django.db import transaction
from django.db.models import Case, FloatField, Q, QuerySet, Value, When
from django.db.models.signals import post_save
from django.dispatch import receiver

from resources.choices import Status
from resources.models import Condition, Translation, Treatment
from resources.search_models import SearchDocument

# PostgreSQL's own configurations; `simple` folds case and nothing else.
CONFIGURATIONS = {"en": "english", "es": "spanish", "hi": "hindi"}
# Below this, two words only share a few letters. "neumonia" is 0.55 like "pneumonia".
_ALIKE = 0.4
_WORDS = 8
_CODE = re.compile(r"^[A-Za-z0-9][A-Za-z0-9.]{1,17}$")
_CODE_FIELDS = ("icd10", "icd11", "snomed", "radlex")
_TEXTS = {"A": ("name", "aliases"), "B": ("summary",), "C": ("what_it_is", "how_confirmed", "red_flags")}


def configuration(language: str) -> str:
    """The text-search configuration for a language code like `es` or `pt-BR`."""
    return CONFIGURATIONS.get(language.partition("-")[0], "simple")


def clean(query: str) -> str:
    """What was typed, without what PostgreSQL cannot take; at most eight words and 200 letters."""
    return " ".join(query.replace("\x00", " ").split()[:_WORDS])[:200]


def text_query(query: str, languages: Iterable[str]) -> Any:
    """A full-text query that fits documents of any of `languages`."""
    queries = [SearchQuery(query, config=configuration(code), search_type="websearch") for code in languages]
    joined = queries[0]
    for other in queries[1:]:
        joined = joined | other
    return joined


def match(conditions: QuerySet[Condition], query: str, language: str = "en") -> QuerySet[Condition]:
    """Those of `conditions` that fit `query`, best first; all of them when nothing was typed.

    A condition fits when a code of it starts with `query`, when its texts hold all the words, or when each
    word is nearly one of its names. Looks in `language` and in English. Takes two queries besides its own.
    """
    query = clean(query)
    if not query:
        return conditions
    languages = list(dict.fromkeys([language.partition("-")[0] or "en", "en"]))
    documents = SearchDocument.objects.filter(language__in=languages, condition__status=Status.PUBLISHED)
    scores: dict[Any, float] = {}
    wanted = text_query(query, languages)
    found = documents.filter(vector=wanted).annotate(rank=SearchRank("vector", wanted))
    for pk, rank in found.values_list("condition_id", "rank"):
        scores[pk] = max(scores.get(pk, 0.0), 1.0 + float(rank))
    words = words_of(query)
    pieces = sorted(set().union(*map(trigrams_of, words))) if words else []
    if pieces:
        for pk, names in documents.filter(trigrams__overlap=pieces).values_list("condition_id", "names"):
            alike = likeness(words, names)
            if alike >= _ALIKE:
                scores[pk] = max(scores.get(pk, 0.0), alike) + alike
    by_code = Q(pk__in=[])
    if _CODE.match(query) and any(character.isdigit() for character in query):
        for name in _CODE_FIELDS:
            by_code |= Q(**{f"{name}__istartswith": query})
    ranks = [When(pk=pk, then=Value(score)) for pk, score in scores.items()]
    fit = Case(When(by_code, then=Value(9.0)), *ranks, default=Value(0.0), output_field=FloatField())
    return (
        conditions.filter(Q(pk__in=list(scores)) | by_code)
        .annotate(fit=fit)
        .order_by("-fit", "kind", "position", "name")
    )


def match_rows(
    rows: QuerySet[Any],
    query: str,
    names: tuple[str, ...],
    texts: tuple[str, ...],
    language: str = "en",
) -> QuerySet[Any]:
    """The same for any published rows: those whose fields hold all the words, or nearly one of their `names`.

    Best first, equals in the order that `rows` had. Takes three queries besides its own; for some hundreds of
    rows, which have no documents of their own.
    """
    query = clean(query)
    if not query:
        return rows
    scores: dict[Any, float] = {}
    plain = rows.order_by()
    for code in dict.fromkeys([language.partition("-")[0] or "en", "en"]):
        config = configuration(code)
        vector: Any = SearchVector(*names, weight="A", config=config)
        vector = vector + SearchVector(*texts, weight="C", config=config)
        wanted = text_query(query, [code])
        found = plain.annotate(words=vector).filter(words=wanted).annotate(rank=SearchRank("words", wanted))
        for pk, rank in found.values_list("pk", "rank"):
            scores[pk] = max(scores.get(pk, 0.0), 1.0 + float(rank))
    words = words_of(query)
    for pk, *values in plain.values_list("pk", *names):
        alike = likeness(words, words_of(" ".join(filter(None, values)))) if words else 0.0
        if alike >= _ALIKE:
            scores[pk] = max(scores.get(pk, 0.0), alike) + alike
    ranks = [When(pk=pk, then=Value(score)) for pk, score in scores.items()]
    fit = Case(*ranks, default=Value(0.0), output_field=FloatField())
    before = rows.query.order_by or rows.model._meta.ordering
    return rows.filter(pk__in=list(scores)).annotate(fit=fit).order_by("-fit", *before)


def words_of(text: str) -> list[str]:
    """Words in lower case, Latin letters without accents (Hindi vowel signs are marks too, and stay)."""
    plain = "".join(
        mark
        for mark in unicodedata.normalize("NFD", text.lower())
        if not 0x0300 <= ord(mark) <= 0x036F  # combining accents
    )
    return [word for word in re.split(r"[\s,.;:!?()\"'/]+", unicodedata.normalize("NFC", plain)) if word]


def trigrams_of(word: str) -> set[str]:
    """The three-letter pieces of a word, with its start and end marked by spaces, as pg_trgm does."""
    padded = f"  {word} "
    return {padded[i : i + 3] for i in range(len(padded) - 2)}


def likeness(words: Iterable[str], names: Iterable[str]) -> float:
    """How well the worst of `words` fits its best one of `names`: 0 (nothing shared) to 1 (the same)."""
    pieces = [trigrams_of(name) for name in names]
    worst = 1.0
    for word in words:
        mine = trigrams_of(word)
        worst = min(worst, max((len(mine & other) / len(mine | other) for other in pieces), default=0.0))
    return worst


@transaction.atomic
def rebuild(condition: Condition) -> None:
    """Make the documents of one condition anew, in English and in every published translation."""
    condition.refresh_from_db()
    texts = {"en": {name: getattr(condition, name) for names in _TEXTS.values() for name in names}}
    extra = {
        "en": [
            condition.clinical_name,
            *condition.treatments.filter(status=Status.PUBLISHED).values_list("name", flat=True),
        ]
    }
    for row in condition.translations.filter(status=Status.PUBLISHED):
        texts[row.language] = row.texts
    condition.documents.exclude(language__in=texts).delete()
    for language, fields in texts.items():
        names = [str(fields.get("name", "")), *(fields.get("aliases") or []), condition.clinical_name]
        words = sorted(set(words_of(" ".join(names))))
        document, _new = SearchDocument.objects.update_or_create(
            condition=condition,
            language=language,
            defaults={"names": words, "trigrams": sorted(set().union(*map(trigrams_of, words)))},
        )
        weights = {w: " ".join(_flat(fields.get(n)) for n in names_) for w, names_ in _TEXTS.items()}
        weights["A"] += " " + " ".join(extra.get(language, []))
        config = configuration(language)
        vector: Any = SearchVector(Value(weights["A"]), weight="A", config=config)
        for weight in ("B", "C"):
            vector = vector + SearchVector(Value(weights[weight]), weight=weight, config=config)
        SearchDocument.objects.filter(pk=document.pk).update(vector=vector)


def rebuild_all() -> int:
    """Make every document anew; returns how many conditions there are."""
    conditions = list(Condition.objects.all())
    for condition in conditions:
        rebuild(condition)
    return len(conditions)


def _flat(value: Any) -> str:
    return " ".join(value) if isinstance(value, list) else str(value or "")


@receiver(post_save, sender=Condition, dispatch_uid="search.condition")
@receiver(post_save, sender=Translation, dispatch_uid="search.translation")
@receiver(post_save, sender=Treatment, dispatch_uid="search.treatment")
def _follow(sender: type[Any], instance: Any, raw: bool = False, **kwargs: Any) -> None:
    condition = instance if sender is Condition else instance.condition
    if condition is not None and not raw:
        rebuild(Condition.objects.get(pk=condition.pk))
