"""Reads the seed files and checks every row before anything is written. Touches no database.

A seed file is YAML with any of the lists `sources`, `conditions`, `advice`, `resources` and `translations`.
Each row becomes a `SeedRow`: plain field values, plus links to other rows by their keys.
"""

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from django.core.exceptions import ValidationError
from django.db import models

from resources.choices import Audience, DangerLevel, Section, Status
from resources.models import Advice, Condition, Resource, Source, Translation, Treatment
from resources.translating import TRANSLATABLE

SEED_DIR = Path(__file__).resolve().parent / "seed"
LINE = "__line__"

# Field values a row may carry, per model; "!" marks those that must be there.
FIELDS: dict[type[models.Model], tuple[str, ...]] = {
    Source: ("citation!", "url", "accessed_on"),
    Condition: (
        "slug!",
        "name!",
        "clinical_name",
        "aliases",
        "kind!",
        "icd10",
        "icd11",
        "snomed",
        "radlex",
        "summary!",
        "what_it_is!",
        "how_confirmed!",
        "red_flags!",
        "outlook_treated!",
        "outlook_untreated",
        "clinical_note!",
        "position",
        "status",
        "reviewed_by",
        "reviewed_on",
        "review_by!",
    ),
    Treatment: (
        "kind!",
        "name!",
        "what_it_involves!",
        "when_used",
        "benefits",
        "risks",
        "provided_by",
        "evidence",
        "position",
        "status",
        "reviewed_by",
        "reviewed_on",
        "review_by!",
    ),
    Advice: (
        "danger_level!",
        "audience!",
        "headline!",
        "text!",
        "status",
        "reviewed_by",
        "reviewed_on",
        "review_by!",
    ),
    Resource: (
        "kind!",
        "title!",
        "publisher!",
        "description",
        "url!",
        "language",
        "country",
        "audience",
        "checked_on",
        "position",
        "status",
    ),
    Translation: (
        "language!",
        "texts!",
        "status",
        "reviewed_by",
        "reviewed_on",
        "review_by!",
    ),
}

# How a translation names what it translates.
TRANSLATED: dict[str, type[models.Model]] = {
    "condition": Condition,
    "treatment": Treatment,
    "advice": Advice,
}


@dataclass(frozen=True)
class Problem:
    """One thing wrong in one row. `where` is `file:line`."""

    where: str
    row: str
    message: str

    def __str__(self) -> str:
        return f"{self.where}: {self.row}: {self.message}"


class SeedInvalid(Exception):
    """The seed has problems; nothing was written."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__(f"{len(problems)} problem(s) in the seed files")
        self.problems = list(problems)


@dataclass
class SeedRow:
    """One row: `values` by field name; `condition` its condition's slug; `links` sorted keys of others."""

    model: type[models.Model]
    key: str
    values: dict[str, Any]
    where: str
    condition: str | None = None
    links: list[str] = field(default_factory=list)


class _Loader(yaml.SafeLoader):
    """Remembers each mapping's line and refuses a key given twice (YAML itself would keep the last one)."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key_node, _value in node.value:
            if key_node.value in seen and key_node.value != "<<":
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key_node.value!r} is given twice", key_node.start_mark
                )
            seen.add(key_node.value)
        mapping = super().construct_mapping(node, deep=True)
        mapping[LINE] = node.start_mark.line + 1
        return mapping


def read_seed(folder: Path = SEED_DIR) -> list[SeedRow]:
    """All rows of the seed in the order in which they must be written.

    Raises SeedInvalid with every problem found, not only the first.
    """
    return _Reader(folder).read()


class _Reader:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.problems: list[Problem] = []
        self.rows: list[SeedRow] = []

    def read(self) -> list[SeedRow]:
        files = sorted(self.folder.glob("*.yaml"))
        if not files:
            self.problems.append(Problem(self.folder.name, "-", "no seed files found"))
        for path in files:
            self._file(path)
        self._cross_check()
        if self.problems:
            raise SeedInvalid(self.problems)
        order = list(FIELDS)
        return sorted(self.rows, key=lambda row: order.index(row.model))

    def _file(self, path: Path) -> None:
        try:
            # A subclass of SafeLoader: builds plain values only.
            data = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)  # noqa: S506
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            mark = getattr(error, "problem_mark", None)
            line = mark.line + 1 if mark else 0
            self.problems.append(Problem(f"{path.name}:{line}", "-", f"cannot be read: {_short(error)}"))
            return
        if not isinstance(data, dict):
            self.problems.append(Problem(f"{path.name}:1", "-", "must be a mapping of lists"))
            return
        shared = {name: data[name] for name in ("review_by", "language") if name in data}
        readers = {
            "sources": self._source,
            "conditions": self._condition,
            "advice": self._general_advice,
            "resources": self._resource,
            "translations": self._translation,
        }
        for name, entries in data.items():
            if name in (LINE, "review_by", "language", "shared"):
                continue
            if name not in readers or not isinstance(entries, list):
                self.problems.append(Problem(f"{path.name}:1", str(name), "is not a known list"))
                continue
            for entry in entries:
                if not isinstance(entry, dict):
                    self.problems.append(Problem(f"{path.name}:1", str(name), "each entry must be a mapping"))
                    continue
                readers[name](path.name, dict(entry), shared)

    def _source(self, file: str, entry: dict[str, Any], shared: Mapping[str, Any]) -> None:
        self._add(Source, file, entry, key=str(entry.pop("key", "")))

    def _resource(self, file: str, entry: dict[str, Any], shared: Mapping[str, Any]) -> None:
        conditions = entry.pop("conditions", None)
        self._add(
            Resource, file, entry, key=str(entry.pop("key", "")), links=conditions, link_name="conditions"
        )

    def _translation(self, file: str, entry: dict[str, Any], shared: Mapping[str, Any]) -> None:
        """`{language: es, of: "condition:glioma", texts: {name: …}}`; also `treatment:<slug>/<key>` and
        `advice:<slug or any>/<level>/<audience>`. `of` may list several that share their texts; the language
        may stand once at the top of the file."""
        named = entry.pop("of", "")
        texts = entry.get("texts")
        if isinstance(texts, dict):
            texts.pop(LINE, None)
        for target in map(str, named if isinstance(named, list) else [named]):
            values = {**shared, **entry}
            key = f"{target}@{values.get('language', '')}"
            self._add(Translation, file, values, key=key, links=[target], link_name="of")

    def _general_advice(self, file: str, entry: dict[str, Any], shared: Mapping[str, Any]) -> None:
        key = f"any/{entry.get('danger_level')}/{entry.get('audience')}"
        self._add(Advice, file, {**shared, **entry}, key=key, links=entry.pop("sources", None))

    def _condition(self, file: str, entry: dict[str, Any], shared: Mapping[str, Any]) -> None:
        where = f"{file}:{entry.get(LINE, 0)}"
        slug = str(entry.get("slug", ""))
        treatments, advice = entry.pop("treatments", None), entry.pop("advice", None)
        cited = entry.pop("sources", None)
        links: list[str] = []
        if not isinstance(cited, dict):
            self.problems.append(Problem(where, slug, "sources: must name sources for each section"))
        else:
            for section, keys in cited.items():
                if section == LINE:
                    continue
                if section not in Section.values or not isinstance(keys, list) or not keys:
                    self.problems.append(
                        Problem(where, slug, f"sources: {section!r} is not a section with sources")
                    )
                    continue
                links += [f"{section}:{key}" for key in keys]
            for section in set(Section.values) - set(cited):
                self.problems.append(Problem(where, slug, f"sources: nothing stands behind {section!r}"))
        self._add(Condition, file, {**shared, **entry}, key=slug, links=links)

        if not isinstance(treatments, list) or not treatments:
            self.problems.append(
                Problem(where, slug, "treatments: at least one, or one that says none is needed")
            )
        else:
            for number, item in enumerate(treatments, start=1):
                item = dict(item)
                item.setdefault("position", number)
                key = f"{slug}/{item.pop('key', '')}"
                sources = item.pop("sources", None)
                self._add(Treatment, file, {**shared, **item}, key=key, condition=slug, links=sources)
        if not isinstance(advice, dict) or not advice:
            self.problems.append(Problem(where, slug, "advice: at least one danger level"))
            return
        for level, by_audience in advice.items():
            if level == LINE:
                continue
            if level not in DangerLevel.values or not isinstance(by_audience, dict):
                self.problems.append(Problem(where, slug, f"advice: {level!r} is not a danger level"))
                continue
            for audience in sorted(set(Audience.values) - set(by_audience)):
                self.problems.append(Problem(where, slug, f"advice: {level}: nothing for {audience!r}"))
            for audience, item in by_audience.items():
                if audience == LINE:
                    continue
                item = {**shared, **item, "danger_level": level, "audience": audience}
                sources = item.pop("sources", None)
                key = f"{slug}/{level}/{audience}"
                self._add(Advice, file, item, key=key, condition=slug, links=sources)

    def _add(
        self,
        model: type[models.Model],
        file: str,
        entry: dict[str, Any],
        *,
        key: str,
        condition: str | None = None,
        links: Any = (),
        link_name: str = "sources",
    ) -> None:
        where = f"{file}:{entry.pop(LINE, 0)}"
        entry.pop("sources", None)
        problem = lambda message: self.problems.append(Problem(where, key or "(no key)", message))  # noqa: E731
        if not key or key.endswith("/"):
            problem("has no key")
        if model is not Source and (not isinstance(links, list) or not links):
            problem(f"{link_name}: must name at least one")
            links = []
        names = [name.rstrip("!") for name in FIELDS[model]]
        for name in sorted(set(entry) - set(names)):
            problem(f"{name}: unknown field")
        for name in FIELDS[model]:
            if name.endswith("!") and entry.get(name[:-1]) in (None, "", []):
                problem(f"{name[:-1]}: is required")
        entry.setdefault("status", Status.PUBLISHED.value)
        values = {name: _value(model, name, entry.get(name)) for name in names}
        row = SeedRow(model, key, values, where, condition, sorted(set(map(str, links))))
        for name, message in _field_errors(row):
            problem(f"{name}: {message}")
        self.rows.append(row)

    def _cross_check(self) -> None:
        seen: dict[tuple[type[models.Model], str], SeedRow] = {}
        for row in self.rows:
            first = seen.setdefault((row.model, row.key), row)
            if first is not row:
                self.problems.append(Problem(row.where, row.key, f"the key is already used at {first.where}"))
        sources = {row.key for row in self.rows if row.model is Source}
        slugs = {row.key for row in self.rows if row.model is Condition}
        targets = {
            f"{name}:{row.key}"
            for row in self.rows
            for name, model in TRANSLATED.items()
            if row.model is model
        }
        for row in self.rows:
            if row.model is Translation:
                self._check_translation(row, targets)
                continue
            known, what = (slugs, "condition") if row.model is Resource else (sources, "source")
            for link in row.links:
                name = link.partition(":")[2] if row.model is Condition else link
                if name not in known:
                    self.problems.append(Problem(row.where, row.key, f"names an unknown {what}: {name!r}"))

    def _check_translation(self, row: SeedRow, targets: set[str]) -> None:
        target = row.links[0]
        if target not in targets:
            self.problems.append(Problem(row.where, row.key, f"of: names an unknown entry: {target!r}"))
            return
        texts = row.values["texts"]
        known = TRANSLATABLE[TRANSLATED[target.partition(":")[0]]]
        for name in sorted(set(texts) - set(known) if isinstance(texts, dict) else {"texts"}):
            self.problems.append(Problem(row.where, row.key, f"texts: {name!r} is not translated"))


def _value(model: type[models.Model], name: str, raw: Any) -> Any:
    """`raw` as the model stores it: texts stripped, missing ones empty, defaults filled in."""
    model_field = model._meta.get_field(name)
    if not isinstance(model_field, models.Field):
        raise TypeError(f"{name} is a relation; seed values are plain fields")
    if raw is None:
        return None if model_field.null else model_field.get_default()
    if isinstance(raw, list):
        return [str(item).strip() for item in raw]
    if isinstance(raw, dict):
        return {name: _text(value) for name, value in raw.items()}
    if isinstance(raw, dt.date | int):
        return raw
    return str(raw).strip()


def _text(raw: Any) -> Any:
    return [str(item).strip() for item in raw] if isinstance(raw, list) else str(raw).strip()


def _field_errors(row: SeedRow) -> Iterator[tuple[str, str]]:
    instance = row.model(**row.values)
    skipped = {f.name for f in row.model._meta.fields} - set(row.values)
    try:
        instance.full_clean(exclude=skipped, validate_unique=False, validate_constraints=False)
    except ValidationError as error:
        for name, messages in error.message_dict.items():
            for message in messages:
                # Missing values have been reported in the reader's own words.
                if row.values.get(name) not in (None, "", []):
                    yield name, message


def _short(error: Exception) -> str:
    return str(getattr(error, "problem", "") or error).splitlines()[0]
