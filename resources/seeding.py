"""Writes the seed to the database without ever overwriting a curator.

Each seeded row keeps the hash of what the seed last wrote into it. A row whose content still has that
hash has not been touched since, so the new seed may replace it; any other row has been edited here and
stays as it is, however often the seed is loaded. Content is everything a curator can change: texts,
status, review marks and links.
"""

import datetime as dt
import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.contrib.contenttypes.models import ContentType
from django.db import connection, models, transaction
from django.utils import timezone
from django.utils.translation import gettext

from resources.choices import Status
from resources.content import ENTRIES, content_of
from resources.models import (
    Advice,
    Citation,
    Condition,
    Resource,
    Revision,
    RevisionState,
    Source,
    Translation,
    Treatment,
)
from resources.seed_reader import FIELDS, TRANSLATED, SeedRow
from resources.translating import original_hash
from resources.workflow_models import OPEN_STATES

# Any number: two loads at the same time wait for each other on it.
_LOCK = 7_640_021


@dataclass
class Counts:
    """What happened to the rows of one model."""

    created: int = 0
    updated: int = 0
    unchanged: int = 0
    kept: int = 0
    retired: int = 0


@dataclass
class LoadReport:
    counts: dict[str, Counts] = field(default_factory=dict)
    kept_keys: list[str] = field(default_factory=list)


def load(rows: Sequence[SeedRow]) -> LoadReport:
    """Write `rows` (from `read_seed`) in one transaction: all of them, or none."""
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
        return _Load().run(rows)


class _Load:
    def __init__(self) -> None:
        self.report = LoadReport()
        self.sources: dict[str, Source] = {}
        self.conditions: dict[str, Condition] = {}
        # Entries that somebody is writing at: replacing them now would make that draft unpublishable.
        self.being_edited = set(
            Revision.objects.filter(state__in=OPEN_STATES).values_list("object_id", flat=True)
        )

    def run(self, rows: Sequence[SeedRow]) -> LoadReport:
        for model in FIELDS:
            counts = self.report.counts[str(model._meta.verbose_name_plural)] = Counts()
            existing = {row.seed_key: row for row in _stored(model) if row.seed_key}
            wanted = [row for row in rows if row.model is model]
            for row in wanted:
                self._row(row, existing.get(row.key), counts)
            for key in existing.keys() - {row.key for row in wanted}:
                self._gone(existing[key], counts)
            if model is Source:
                self.sources = {s.seed_key: s for s in Source.objects.all() if s.seed_key}
            elif model is Condition:
                self.conditions = {c.slug: c for c in Condition.objects.all()}
        return self.report

    def _row(self, row: SeedRow, stored: Any, counts: Counts) -> None:
        new_hash = _hash(row.values, row.condition, row.links)
        if stored is not None:
            current = content_hash(stored)
            if current == new_hash:
                counts.unchanged += 1
                if stored.seed_hash != new_hash:
                    # A curator arrived at the same words: from here on it counts as untouched again.
                    type(stored).objects.filter(pk=stored.pk).update(seed_hash=new_hash)
                return
            if current != stored.seed_hash or stored.pk in self.being_edited:
                return self._keep(row, counts)
        if self._taken_by_curator(row, stored):
            return self._keep(row, counts)
        before = content_of(stored) if stored is not None and row.model in ENTRIES.values() else None
        instance = stored if stored is not None else row.model(seed_key=row.key)
        self._write(row, instance, new_hash)
        if before is not None:
            _remember(type(instance)._default_manager.get(pk=instance.pk), before)
        if stored is None:
            counts.created += 1
        else:
            counts.updated += 1

    def _keep(self, row: SeedRow, counts: Counts) -> None:
        counts.kept += 1
        self.report.kept_keys.append(row.key)

    def _taken_by_curator(self, row: SeedRow, stored: Any) -> bool:
        """Another row already holds this one's natural key: a curator made it, so it wins."""
        values = row.values
        condition = self.conditions[row.condition].pk if row.condition else None
        natural: dict[type[models.Model], dict[str, Any]] = {
            Condition: {"slug": values.get("slug")},
            Treatment: {"condition": condition, "name": values.get("name")},
            Advice: {
                "condition": condition,
                "danger_level": values.get("danger_level"),
                "audience": values.get("audience"),
            },
            Resource: {"url": values.get("url"), "language": values.get("language")},
        }
        if row.model is Translation:
            name, _colon, key = row.links[0].partition(":")
            natural[Translation] = {f"{name}__seed_key": key, "language": values.get("language")}
        if row.model not in natural:
            return False
        others = row.model._default_manager.filter(**natural[row.model])
        return others.exclude(pk=stored.pk if stored is not None else None).exists()

    def _write(self, row: SeedRow, instance: Any, new_hash: str) -> None:
        for name, value in row.values.items():
            setattr(instance, name, value)
        if row.model in (Treatment, Advice):
            instance.condition = self.conditions[row.condition] if row.condition else None
        if isinstance(instance, Translation):
            self._aim(instance, row.links[0])
        instance.seed_hash = new_hash
        instance.save()
        if isinstance(instance, Condition):
            instance.citations.all().delete()
            Citation.objects.bulk_create(
                Citation(condition=instance, section=section, source=self.sources[key])
                for section, _colon, key in (link.partition(":") for link in row.links)
            )
        elif isinstance(instance, Resource):
            instance.conditions.set([self.conditions[slug] for slug in row.links])
        elif isinstance(instance, Treatment | Advice):
            instance.sources.set([self.sources[key] for key in row.links])

    def _aim(self, translation: Translation, target: str) -> None:
        """Points a translation at the entry it translates and notes which English text that is now."""
        name, _colon, key = target.partition(":")
        original = TRANSLATED[name]._default_manager.get(seed_key=key)
        setattr(translation, name, original)
        translation.original_hash = original_hash(original)

    def _gone(self, stored: Any, counts: Counts) -> None:
        """The seed no longer has this row: take it off the pages, unless a curator has made it theirs."""
        if isinstance(stored, Source) or stored.status == Status.RETIRED:
            return
        if content_hash(stored) != stored.seed_hash:
            counts.kept += 1
            self.report.kept_keys.append(stored.seed_key)
            return
        stored.status = Status.RETIRED
        stored.seed_hash = content_hash(stored)
        stored.save(update_fields=["status", "seed_hash", "updated_at"])
        counts.retired += 1


def _remember(row: Any, before: dict[str, Any]) -> None:
    """A published row got new words from the seed: the entry's history must say so."""
    Revision.objects.create(
        content_type=ContentType.objects.get_for_model(type(row)),
        object_id=row.pk,
        title=str(row)[:240],
        state=RevisionState.PUBLISHED,
        base=before,
        content=content_of(row),
        published_at=timezone.now(),
        note=gettext("Updated from the seed files."),
    )


def content_hash(instance: Any) -> str:
    """The hash of everything in a stored row that the seed also writes."""
    model = type(instance)
    values = {name.rstrip("!"): getattr(instance, name.rstrip("!")) for name in FIELDS[model]}
    condition = None
    if isinstance(instance, Treatment | Advice):
        condition = instance.condition.slug if instance.condition else None
    return _hash(values, condition, _links(instance))


def _links(instance: Any) -> list[str]:
    if isinstance(instance, Condition):
        return [f"{c.section}:{_source_key(c.source)}" for c in instance.citations.all()]
    if isinstance(instance, Resource):
        return [condition.slug for condition in instance.conditions.all()]
    if isinstance(instance, Treatment | Advice):
        return [_source_key(source) for source in instance.sources.all()]
    if isinstance(instance, Translation) and instance.original is not None:
        name = str(instance.original._meta.model_name)
        return [f"{name}:{instance.original.seed_key or instance.original.pk}"]
    return []


def _source_key(source: Source) -> str:
    return source.seed_key or str(source.pk)


def _stored(model: type[models.Model]) -> Iterable[Any]:
    """Seeded rows with all that `content_hash` reads, in a few queries."""
    rows = model._default_manager.exclude(seed_key=None)
    if model is Condition:
        return rows.prefetch_related("citations__source")
    if model is Resource:
        return rows.prefetch_related("conditions")
    if model in (Treatment, Advice):
        return rows.select_related("condition").prefetch_related("sources")
    if model is Translation:
        return rows.select_related("condition", "treatment", "advice")
    return rows


def _hash(values: dict[str, Any], condition: str | None, links: Iterable[str]) -> str:
    def plain(value: Any) -> Any:
        return value.isoformat() if isinstance(value, dt.date) else value

    # Choices compare as their values, and a form's line ends as the file's.
    content = {
        name: plain(str(v).replace("\r\n", "\n") if isinstance(v, str) else v)
        for name, v in values.items()
        # Fields that came after the first release: a row without them must keep its hash.
        if v or name not in ("snomed", "radlex")
    }
    text = json.dumps([content, condition, sorted(links)], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()
