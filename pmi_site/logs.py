"""Keeps identifiers out of the logs, whoever wrote the line."""

import logging
import re

_EMAIL = re.compile(r"[\w.+-]+@[\w-]+\.[\w.-]+")
_SHARED = re.compile(r"(/shared/)[\w-]+")  # the token of a share link
_QUERY = re.compile(r"(/[^\s?\"']*)\?[^\s\"']+")


class WithoutIdentifiers(logging.Filter):
    """Replaces mail addresses, query strings and tokens of share links in a finished log line."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Rewrite the record in place; every record passes."""
        line = record.getMessage()
        clean = _QUERY.sub(r"\1?[...]", _SHARED.sub(r"\1[...]", _EMAIL.sub("[address]", line)))
        if clean != line:
            record.msg, record.args = clean, None
        return True
