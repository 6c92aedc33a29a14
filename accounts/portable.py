"""What taking one's data away and erasing it mean, app by app.

Accounts lies below the other apps and cannot import them, so each app says in its `apps.py` what belongs to
a person beyond the rows that hang on their account: `register_exporter` for files to take away,
`register_eraser` for what a cascade of the database does not remove, `keep` for a reference that outlives an
account on purpose.
`accounts.ownership` finds everything else by itself, and a test fails for a new table that nobody thought of.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.utils import timezone

if TYPE_CHECKING:
    from accounts.models import User

Exporter = Callable[["User", Path], None]
Limit = Callable[["User", Any], Any]


@dataclass(frozen=True)
class Eraser:
    """`erase` removes, safe to run twice; `leftovers` names what is still there; `folders` are the private
    folders that belong to the person, whether or not a row names a file in them."""

    erase: Callable[[UUID], None]
    leftovers: Callable[[UUID], list[str]]
    folders: Callable[[UUID], Iterable[str]]


exporters: dict[str, Exporter] = {}
erasers: dict[str, Eraser] = {}
kept: dict[str, str] = {}
kept_ids: set[str] = set()
limits: dict[str, Limit] = {}
left_out: set[str] = set()
_as_of: ContextVar[datetime | None] = ContextVar("as_of", default=None)
_tick: ContextVar[Callable[[int, int], None] | None] = ContextVar("tick", default=None)


def register_exporter(name: str, function: Exporter) -> None:
    """Have `function(user, folder)` write a person's files into a folder of its own when they take all away.

    It leaves out what came to be after `as_of()`, calls `progress` as it goes, and does without files that
    are deleted meanwhile.
    """
    exporters[name] = function


def _nothing(user_id: UUID) -> list[str]:
    return []


def register_eraser(
    name: str,
    erase: Callable[[UUID], None],
    leftovers: Callable[[UUID], list[str]] = _nothing,
    folders: Callable[[UUID], Iterable[str]] = _nothing,
) -> None:
    """Have `erase(user_id)` run before the account's row goes. Upper apps come first."""
    erasers[name] = Eraser(erase, leftovers, folders)


def keep(field: str, reason: str) -> None:
    """Declare that a reference ("cases.Scan.uploaded_by") stays, emptied or as a number that names nobody."""
    kept[field] = reason


def keep_ids(field: str, reason: str) -> None:
    """Declare that the ids of accounts stay in a column ("resources.Revision.writer_ids") after these are
    erased: numbers that name nobody any more.
    """
    keep(field, reason)
    kept_ids.add(field)


def limit_export(model: str, limit: Limit) -> None:
    """Leave rows of a table ("cases.Review") out of an export: `limit(user, rows)` returns the rest."""
    limits[model] = limit


def leave_out(field: str) -> None:
    """Leave one column ("cases.Case.danger") out of exports."""
    left_out.add(field)


def as_of() -> datetime:
    """The moment that the export being made shows."""
    return _as_of.get() or timezone.now()


def progress(done: int, total: int) -> None:
    """Tell how far an exporter is; also tells that its worker lives."""
    tick = _tick.get()
    if tick is not None:
        tick(done, total)


@contextmanager
def exporting(moment: datetime, tick: Callable[[int, int], None]) -> Iterator[None]:
    """Set what `as_of` and `progress` mean for the exporters that run inside."""
    first, second = _as_of.set(moment), _tick.set(tick)
    try:
        yield
    finally:
        _as_of.reset(first)
        _tick.reset(second)
