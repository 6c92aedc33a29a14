"""Keeps identifiers out of the logs, whoever wrote the line."""

import logging
import re
import traceback
from types import TracebackType

_EMAIL = re.compile(r"[\w.+-]+@[\w-]+\.[\w.-]+")
_SHARED = re.compile(r"(/shared/)[\w-]+")  # the token of a share link
_QUERY = re.compile(r"(/[^\s?\"']*)\?[^\s\"']+")
# Errors of the program or of its surroundings. The messages of all others can repeat what a person wrote or
# what stands in a scan: PostgreSQL, for one, names the row that broke a rule.
_TELLING = (
    ImportError,
    AttributeError,
    NameError,
    TypeError,
    NotImplementedError,
    AssertionError,
    RecursionError,
    ConnectionError,
    TimeoutError,
)
_MOST_CAUSES = 5


def clean_line(line: str) -> str:
    """The line without mail addresses, query strings and tokens of share links."""
    return _QUERY.sub(r"\1?[...]", _SHARED.sub(r"\1[...]", _EMAIL.sub("[address]", line)))


def clean_traceback(error: BaseException) -> str:
    """Where an error came from, cause by cause: files, lines and code, but messages only of telling kinds."""
    parts: list[str] = []
    current: BaseException | None = error
    while current is not None and len(parts) < _MOST_CAUSES:
        parts.append(_one(current, current.__traceback__))
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)
    return "\nAbove it came from this:\n".join(parts)


def _one(error: BaseException, place: TracebackType | None) -> str:
    message = clean_line(str(error)) if isinstance(error, _TELLING) else "(message withheld)"
    frames = "".join(traceback.format_list(traceback.extract_tb(place)))
    return f"Traceback (most recent call last):\n{frames}{type(error).__name__}: {message}"


class WithoutIdentifiers(logging.Filter):
    """Cleans a finished log line, and the traceback below it."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Rewrite the record in place; every record passes."""
        line = record.getMessage()
        clean = clean_line(line)
        if clean != line:
            record.msg, record.args = clean, None
        if record.exc_info and (error := record.exc_info[1]) is not None:
            # Formatters write `exc_text` where there is one, and do not format the error again.
            record.exc_text = clean_traceback(error)
        if record.stack_info:
            record.stack_info = clean_line(record.stack_info)
        return True
