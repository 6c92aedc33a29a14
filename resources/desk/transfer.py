"""Entries to and from CSV and JSON files.

A file is read to the end and every problem reported by row before anything is written; then all rows are kept
in one transaction, as drafts that go through review like any other text. Rows are matched by what names them
(a slug, a condition and a name), so that an exported file can be edited and read again.
"""

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.translation import gettext as _

from accounts.models import User
from pmi_site.errors import UserError
from resources import services
from resources.choices import Section
from resources.content import ENTRIES, content_of, field_names, fill
from resources.fields import LinesField
from resources.models import Advice, Condition, Resource, Source, Translation, Treatment
from resources.translating import TRANSLATABLE

MAX_BYTES = 5 * 1024**2
MAX_ROWS = 5000
_FORMULA = ("=", "+", "-", "@", "\t")


def _columns(model: type[Any], *links: str) -> list[str]:
    return [*field_names(model), *links]


# The texts that a translation may hold; which of them depends on what is translated.
TEXTS = list(dict.fromkeys(name for names in TRANSLATABLE.values() for name in names))
_LISTS = ("aliases", "red_flags")
CITED = [f"sources_{section.value}" for section in Section]
# Columns of each kind of file. Lists are one entry a line; sources are named by citation or address.
COLUMNS: dict[str, list[str]] = {
    "condition": _columns(Condition, *CITED),
    "treatment": _columns(Treatment, "sources"),
    "advice": _columns(Advice, "sources"),
    "resource": _columns(Resource, "conditions"),
    "translation": ["of", "language", *TEXTS, "reviewed_by", "reviewed_on", "review_by"],
}
# What tells one row from another.
NATURAL: dict[str, tuple[str, ...]] = {
    "condition": ("slug",),
    "treatment": ("condition", "name"),
    "advice": ("condition", "danger_level", "audience"),
    "resource": ("url", "language"),
    "translation": ("of", "language"),
}


@dataclass(frozen=True)
class Problem:
    """One thing wrong in one row; row 1 is the first after the headings, 0 the file itself."""

    row: int
    column: str
    message: str


@dataclass
class Report:
    problems: list[Problem] = field(default_factory=list)
    created: int = 0
    changed: int = 0
    unchanged: int = 0


def export(name: str, format: str) -> str:
    """Every entry of one kind that is not retired, as text in the given format (`csv` or `json`)."""
    model = ENTRIES[name]
    stored = _translations() if model is Translation else model._default_manager.all()
    rows = [_outward(name, row) for row in stored.exclude(status="retired")]
    if format == "json":
        return json.dumps(rows, ensure_ascii=False, indent=1)
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS[name])
    writer.writeheader()
    writer.writerows({column: _cell(value) for column, value in row.items()} for row in rows)
    return out.getvalue()


def read(name: str, filename: str, data: bytes, by: User) -> Report:
    """Take the rows of a file in as drafts of `by`: all of them, or none where the report has problems."""
    report = Report()
    try:
        rows = _parse(filename, data)
    except UserError as error:
        report.problems.append(Problem(0, "", error.message))
        return report
    reader = _TranslationReader if name == "translation" else _Reader
    plan = list(reader(name, report).plan(rows))
    if report.problems:
        return report
    try:
        with transaction.atomic():
            for number, row, content in plan:
                _keep(number, row, content, by, report)
            if report.problems:
                transaction.set_rollback(True)
    except UserError as error:
        report.problems.append(Problem(0, "", error.message))
    if report.problems:
        report.created = report.changed = 0
    return report


def _keep(number: int, row: Any, content: dict[str, Any], by: User, report: Report) -> None:
    is_new = row._state.adding
    revision = None if is_new else services.open_revision(row)
    before = {} if is_new else (revision.content if revision else content_of(row))
    if not is_new and all(before.get(key) == value for key, value in content.items()):
        report.unchanged += 1
        return
    try:
        with transaction.atomic():
            services.save_draft(row, content, by)
    except ValidationError as error:
        for column, messages in _by_column(error):
            report.problems += [Problem(number, column, message) for message in messages]
        return
    if is_new:
        report.created += 1
    else:
        report.changed += 1


def _by_column(error: ValidationError) -> Iterator[tuple[str, list[str]]]:
    if hasattr(error, "error_dict"):
        for column, messages in error.message_dict.items():
            yield "" if column == "__all__" else column, messages
    else:
        yield "", error.messages


def _parse(filename: str, data: bytes) -> list[dict[str, Any]]:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UserError("encoding", _("The file is not UTF-8 text.")) from None
    if "\x00" in text:
        raise UserError("encoding", _("The file is not plain text."))
    if filename.lower().endswith(".json") or text.lstrip()[:1] in ("[", "{"):
        try:
            rows = json.loads(text)
        except (ValueError, RecursionError):
            raise UserError("json", _("The file is not valid JSON.")) from None
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise UserError("json", _("The JSON must be a list of objects, one for each entry."))
    else:
        try:
            rows = [dict(row) for row in csv.DictReader(io.StringIO(text, newline=""), strict=True)]
        except csv.Error:
            raise UserError("csv", _("The file is not valid CSV.")) from None
    if not rows:
        raise UserError("empty", _("The file has no rows."))
    if len(rows) > MAX_ROWS:
        raise UserError("long", _("The file has more than 5000 rows."))
    return rows


class _Reader:
    """Turns rows into content and finds what is wrong with them; writes nothing."""

    def __init__(self, name: str, report: Report) -> None:
        self.name, self.report = name, report
        self.model = ENTRIES[name]
        self.conditions = {c.slug: c for c in Condition.objects.all()}
        self.sources: dict[str, Source] = {}
        for source in Source.objects.all():
            self.sources[source.citation] = source
            if source.url:
                self.sources.setdefault(source.url, source)

    def plan(self, rows: list[dict[str, Any]]) -> Iterator[tuple[int, Any, dict[str, Any]]]:
        seen: dict[tuple[str, ...], int] = {}
        for number, raw in enumerate(rows, start=1):
            before = len(self.report.problems)
            content = self._content(number, raw)
            key = tuple(str(content.get(column)) for column in NATURAL[self.name])
            missing = [c for c in NATURAL[self.name] if not content.get(c) and c != "condition"]
            for column in missing:
                self._problem(number, column, _("This is needed to tell which entry it is."))
            if not missing and key in seen:
                text = _("The same entry is already in row %(row)d.") % {"row": seen[key]}
                self._problem(number, NATURAL[self.name][-1], text)
            seen.setdefault(key, number)
            row = None if missing else self._existing(content)
            self._check_sources(number, row, content)
            if len(self.report.problems) == before:
                row = row if row is not None else self.model()
                if self._is_valid(number, row, content):
                    yield number, row, content

    def _is_valid(self, number: int, row: Any, content: dict[str, Any]) -> bool:
        current = {} if row._state.adding else content_of(row)
        candidate = self.model(pk=row.pk, status=row.status)
        candidate._state.adding = row._state.adding
        try:
            fill(candidate, {**current, **content})
            candidate.full_clean(exclude=["seed_key", "seed_hash"])
        except ValidationError as error:
            for column, messages in _by_column(error):
                for message in messages:
                    self._problem(number, column, message)
            return False
        return True

    def _content(self, number: int, raw: dict[str, Any]) -> dict[str, Any]:
        content: dict[str, Any] = {}
        citations: list[str] = []
        if None in raw:
            self._problem(number, "", _("The row has more cells than there are headings."))
        for column, value in raw.items():
            if column is None:
                continue
            if column not in COLUMNS[self.name]:
                self._problem(number, str(column)[:60], _("There is no such column."))
            elif value is None:
                continue
            elif column == "condition":
                content[column] = self._condition(number, str(value).strip())
            elif column == "conditions":
                found = [self._condition(number, slug, column) for slug in _lines(value)]
                content[column] = sorted(slug for slug in found if slug)
            elif column == "sources":
                content[column] = sorted(self._source_ids(number, column, value))
            elif column in CITED:
                section = column.removeprefix("sources_")
                citations += [f"{section}:{key}" for key in self._source_ids(number, column, value)]
            else:
                content[column] = self._plain(number, column, value)
        if any(column in raw for column in CITED):
            content["citations"] = sorted(citations)
        return content

    def _plain(self, number: int, column: str, value: Any) -> Any:
        model_field: Any = self.model._meta.get_field(column)
        if isinstance(model_field, LinesField):
            return _lines(value)
        text = _unescape(str(value)).strip().replace("\r\n", "\n")
        if text == "" and (model_field.null or model_field.get_internal_type() != "CharField"):
            return None if model_field.null else model_field.get_default()
        if model_field.get_internal_type() == "PositiveSmallIntegerField":
            if not text.isdecimal():
                self._problem(number, column, _("This must be a whole number."))
                return 0
            return int(text)
        try:
            model_field.to_python(text)
        except ValidationError as error:
            self._problem(number, column, " ".join(error.messages))
            return None
        return text

    def _condition(self, number: int, slug: str, column: str = "condition") -> str | None:
        if not slug:
            return None
        if slug not in self.conditions:
            self._problem(number, column, _("There is no condition “%(slug)s”.") % {"slug": slug[:60]})
            return None
        return str(self.conditions[slug].pk)

    def _source_ids(self, number: int, column: str, value: Any) -> list[str]:
        ids = []
        for name in _lines(value):
            if name in self.sources:
                ids.append(str(self.sources[name].pk))
            else:
                text = _("There is no source “%(name)s”. Add it first.") % {"name": name[:120]}
                self._problem(number, column, text)
        return ids

    def _check_sources(self, number: int, row: Any, content: dict[str, Any]) -> None:
        if any(p.row == number and p.column.startswith("sources") for p in self.report.problems):
            return
        current = content_of(row) if row is not None else {}
        if self.model in (Treatment, Advice) and not content.get("sources", current.get("sources")):
            self._problem(number, "sources", _("Every text needs at least one source."))
        if self.model is Condition and not content.get("citations", current.get("citations")):
            self._problem(number, CITED[0], _("Every text needs at least one source."))

    def _existing(self, content: dict[str, Any]) -> Any:
        values = {column: content.get(column) for column in NATURAL[self.name]}
        if "condition" in values:
            values["condition_id"] = values.pop("condition")
        if self.model is Resource:
            values["language"] = values["language"] or "en"
        return self.model._default_manager.filter(**values).first()

    def _problem(self, number: int, column: str, message: str) -> None:
        self.report.problems.append(Problem(number, column, str(message)))


class _TranslationReader(_Reader):
    """Rows that name what they translate: `condition:glioma`, `treatment:glioma/Operation`,
    `advice:glioma/urgent/patient` (`any` for advice for all conditions).

    A column with an empty cell takes the text away; a column that the file does not have leaves it.
    """

    def plan(self, rows: list[dict[str, Any]]) -> Iterator[tuple[int, Any, dict[str, Any]]]:
        originals = {name_of(row): row for row in _originals()}
        there = {(name_of(row.original), row.language): row for row in _translations()}
        seen: dict[tuple[str, str], int] = {}
        for number, raw in enumerate(rows, start=1):
            before = len(self.report.problems)
            if None in raw:
                self._problem(number, "", _("The row has more cells than there are headings."))
            for column in raw:
                if column is not None and column not in COLUMNS[self.name]:
                    self._problem(number, str(column)[:60], _("There is no such column."))
            key = (str(raw.get("of") or "").strip(), str(raw.get("language") or "").strip())
            original = originals.get(key[0])
            if original is None:
                text = _("There is no entry “%(name)s” to translate.") % {"name": key[0][:80]}
                self._problem(number, "of", text)
            if not key[1]:
                self._problem(number, "language", _("This is needed to tell which entry it is."))
            if key in seen:
                text = _("The same entry is already in row %(row)d.") % {"row": seen[key]}
                self._problem(number, "of", text)
            seen.setdefault(key, number)
            if len(self.report.problems) > before:
                continue
            row = there.get(key) or Translation()
            content = self._translation(number, raw, original, row)
            if len(self.report.problems) == before and self._is_valid(number, row, content):
                yield number, row, content

    def _translation(
        self, number: int, raw: dict[str, Any], original: Any, row: Translation
    ) -> dict[str, Any]:
        kind = type(original)._meta.model_name or ""
        content: dict[str, Any] = {"language": str(raw["language"]).strip()}
        content |= {name: str(original.pk) if name == kind else None for name in _KINDS}
        texts = dict(row.texts or {})
        for column in TEXTS:
            value = raw.get(column)
            if value is None:
                continue
            text: Any = _lines(value) if column in _LISTS else _unescape(str(value)).strip()
            if column not in TRANSLATABLE[type(original)]:
                if text:
                    self._problem(number, column, _("This kind of entry has no such text."))
            elif text:
                texts[column] = text.replace("\r\n", "\n") if isinstance(text, str) else text
            else:
                texts.pop(column, None)
        if not texts:
            self._problem(number, TEXTS[0], _("The translated texts."))
        content["texts"] = texts
        for column in ("reviewed_by", "reviewed_on", "review_by"):
            if raw.get(column) is not None:
                content[column] = self._plain(number, column, raw[column])
        return content


_KINDS = ("condition", "treatment", "advice")


def name_of(row: Any) -> str:
    """What a file calls an entry that can be translated."""
    if isinstance(row, Condition):
        return f"condition:{row.slug}"
    if isinstance(row, Treatment):
        return f"treatment:{row.condition.slug}/{row.name}"
    return f"advice:{row.condition.slug if row.condition else 'any'}/{row.danger_level}/{row.audience}"


def _originals() -> Iterator[Any]:
    yield from Condition.objects.all()
    yield from Treatment.objects.select_related("condition")
    yield from Advice.objects.select_related("condition")


def _translations() -> Any:
    return Translation.objects.select_related("condition", "treatment__condition", "advice__condition")


def _outward(name: str, row: Any) -> dict[str, Any]:
    """A row as a file shows it: names instead of ids."""
    content = content_of(row)
    if isinstance(row, Translation):
        known = {"of": name_of(row.original), **content, **row.texts}
        return {column: known.get(column) for column in COLUMNS[name]}
    shown = {column: content.get(column) for column in COLUMNS[name]}
    if "condition" in shown:
        shown["condition"] = row.condition.slug if row.condition else ""
    if isinstance(row, Condition):
        for column in CITED:
            section = column.removeprefix("sources_")
            shown[column] = [c.source.citation for c in row.citations.all() if c.section == section]
    elif isinstance(row, Resource):
        shown["conditions"] = [c.slug for c in row.conditions.all()]
    else:
        shown["sources"] = [s.citation for s in row.sources.all()]
    return shown


def _cell(value: Any) -> str:
    text = "\n".join(value) if isinstance(value, list) else "" if value is None else str(value)
    # A spreadsheet would run a cell that begins like a formula.
    return f"'{text}" if text.startswith(_FORMULA) else text


def _unescape(text: str) -> str:
    return text[1:] if text.startswith("'") and text[1:].startswith(_FORMULA) else text


def _lines(value: Any) -> list[str]:
    lines = value if isinstance(value, list) else _unescape(str(value)).splitlines()
    return [str(line).strip() for line in lines if str(line).strip()]
