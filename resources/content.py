"""An entry's content as plain JSON: taken from a row, put back on one, compared word by word."""

import datetime as dt
import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from django.db import models

from resources.models import Advice, Citation, Condition, Resource, Source, Translation, Treatment

# What curators edit through the workflow, by the name used in addresses and files.
ENTRIES: dict[str, type[Any]] = {
    "condition": Condition,
    "treatment": Treatment,
    "advice": Advice,
    "resource": Resource,
    "translation": Translation,
}
MEDICAL = (Condition, Treatment, Advice, Translation)
_NOT_CONTENT = {"id", "created_at", "updated_at", "status", "seed_key", "seed_hash", "original_hash"}
# Parts that say who has read a text, not what it says.
REVIEW_MARKS = ("reviewed_by", "reviewed_on", "review_by")


def field_names(model: type[Any]) -> list[str]:
    """The plain fields that make up an entry's content; relations are named without `_id`."""
    return [field.name for field in model._meta.concrete_fields if field.name not in _NOT_CONTENT]


def content_of(row: Any) -> dict[str, Any]:
    """The content of a stored row: field values, and the links as sorted ids."""
    content = {name: _plain(row, name) for name in field_names(type(row))}
    return {**content, **links_of(row)}


def links_of(row: Any) -> dict[str, Any]:
    """`citations` ("section:source id") of a condition, `sources` or `conditions` of the others."""
    if isinstance(row, Condition):
        return {"citations": sorted(f"{c.section}:{c.source_id}" for c in row.citations.all())}
    if isinstance(row, Resource):
        return {"conditions": sorted(str(c.pk) for c in row.conditions.all())}
    if isinstance(row, Treatment | Advice):
        return {"sources": sorted(str(s.pk) for s in row.sources.all())}
    return {}


def fill(row: Any, content: Mapping[str, Any]) -> Any:
    """Put the plain fields of `content` on `row`, without saving it; returns the row."""
    for name in field_names(type(row)):
        if name in content:
            field = type(row)._meta.get_field(name)
            value = content[name]
            setattr(row, field.attname, field.to_python(value) if value is not None else None)
    return row


def write_links(row: Any, content: Mapping[str, Any]) -> None:
    """Make a saved row's links those of `content`. Links to rows that are gone are left out."""
    if isinstance(row, Condition):
        pairs = [key.partition(":")[::2] for key in content.get("citations", [])]
        there = {
            str(pk) for pk in Source.objects.filter(pk__in=[p[1] for p in pairs]).values_list("pk", flat=True)
        }
        row.citations.all().delete()
        Citation.objects.bulk_create(
            Citation(condition=row, section=section, source_id=source)
            for section, source in pairs
            if source in there
        )
    elif isinstance(row, Resource):
        row.conditions.set(Condition.objects.filter(pk__in=content.get("conditions", [])))
    elif isinstance(row, Treatment | Advice):
        row.sources.set(Source.objects.filter(pk__in=content.get("sources", [])))


def texts_differ(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    """Something that a clinician would have to read again has changed."""
    skip = {*REVIEW_MARKS, "position"}
    names = (set(before) | set(after)) - skip
    return any(before.get(name) != after.get(name) for name in names)


@dataclass(frozen=True)
class Change:
    """One field of two versions. `parts` are (kind, text): kind is "same", "added" or "removed"."""

    label: str
    parts: list[tuple[str, str]]


def changes(model: type[Any], before: Mapping[str, Any] | None, after: Mapping[str, Any]) -> list[Change]:
    """What differs between two contents, field by field, in the model's order; `None` is an empty one."""
    before = before or {}
    found = []
    for name in [*field_names(model), "citations", "sources", "conditions"]:
        old, new = before.get(name), after.get(name)
        if (old or None) == (new or None):
            continue
        found.append(Change(_label(model, name), words(_shown(model, name, old), _shown(model, name, new))))
    return found


def words(old: str, new: str) -> list[tuple[str, str]]:
    """The two texts woven together, word by word."""
    one, two = (re.findall(r"\s+|[^\s]+", text) for text in (old, new))
    parts: list[tuple[str, str]] = []
    for tag, a, b, c, d in difflib.SequenceMatcher(None, one, two, autojunk=False).get_opcodes():
        if tag == "equal":
            parts.append(("same", "".join(one[a:b])))
            continue
        if a < b:
            parts.append(("removed", "".join(one[a:b])))
        if c < d:
            parts.append(("added", "".join(two[c:d])))
    return parts


def _plain(row: Any, name: str) -> Any:
    value = row._meta.get_field(name).value_from_object(row)
    if isinstance(value, dt.date):
        return value.isoformat()
    if isinstance(value, list | dict | int) or value is None:
        return value
    return str(value).replace("\r\n", "\n")


def _label(model: type[Any], name: str) -> str:
    if name == "citations":
        name = "sources"
    return str(model._meta.get_field(name).verbose_name).capitalize()


def _shown(model: type[Any], name: str, value: Any) -> str:
    """A value as a curator reads it."""
    if value in (None, "", []):
        return ""
    if name == "citations":
        sources = _titles(Source, [key.partition(":")[2] for key in value])
        return "\n".join(
            f"{key.partition(':')[0]}: {sources.get(key.partition(':')[2], '?')}" for key in value
        )
    if name in ("sources", "conditions"):
        titles = _titles(Source if name == "sources" else Condition, value)
        return "\n".join(sorted(titles.get(key, "?") for key in value))
    field = model._meta.get_field(name)
    if isinstance(field, models.ForeignKey):
        return _titles(field.related_model, [value]).get(str(value), "?")
    if field.choices:
        return str(dict(field.flatchoices).get(value, value))
    if isinstance(value, list):
        return "\n".join(value)
    if isinstance(value, dict):
        return "\n".join(f"{key}: {_join(text)}" for key, text in value.items())
    return str(value)


def _join(text: Any) -> str:
    return "; ".join(text) if isinstance(text, list) else str(text)


def _titles(model: Any, keys: Iterable[str]) -> dict[str, str]:
    return {str(pk): str(row) for pk, row in model._default_manager.in_bulk(list(keys)).items()}
