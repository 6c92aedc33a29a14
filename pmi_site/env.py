"""Typed readers for environment variables: a bad value stops the start with a clear sentence."""

import os
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured

_TRUE = {"1", "true", "yes", "on"}
_FALSE = {"0", "false", "no", "off"}
# A database that does not answer would otherwise hold whoever asks for minutes.
CONNECT_SECONDS = "10"


def _raw(name: str) -> str | None:
    value = os.environ.get(name, "").strip()
    return value or None


def text(name: str, default: str = "") -> str:
    """The variable's text; an unset or blank variable gives `default`."""
    return _raw(name) or default


def required(name: str, otherwise: str = "") -> str:
    """The variable's text; raises ImproperlyConfigured when it is unset or blank, and says what else would
    do.
    """
    value = _raw(name)
    if value is None:
        raise ImproperlyConfigured(" ".join(filter(None, (f"{name} must be set", otherwise))) + ".")
    return value


def flag(name: str, default: bool = False) -> bool:
    """A yes/no variable (1/0, true/false, yes/no, on/off in any case)."""
    value = _raw(name)
    if value is None:
        return default
    if value.lower() in _TRUE:
        return True
    if value.lower() in _FALSE:
        return False
    raise ImproperlyConfigured(f"{name} must be one of true/false, yes/no, on/off or 1/0, not {value!r}.")


def integer(name: str, default: int, *, minimum: int | None = None, maximum: int | None = None) -> int:
    """A whole number within the bounds given."""
    value = _raw(name)
    if value is None:
        return default
    try:
        number = int(value)
    except ValueError:
        raise ImproperlyConfigured(f"{name} must be a whole number, not {value!r}.") from None
    if minimum is not None and number < minimum:
        raise ImproperlyConfigured(f"{name} must be at least {minimum}, not {number}.")
    if maximum is not None and number > maximum:
        raise ImproperlyConfigured(f"{name} must be at most {maximum}, not {number}.")
    return number


def words(name: str, default: tuple[str, ...] = ()) -> list[str]:
    """A comma-separated list with blanks dropped."""
    value = _raw(name)
    if value is None:
        return list(default)
    return [part.strip() for part in value.split(",") if part.strip()]


def path(name: str, default: Path) -> Path:
    """An absolute path; `~` is understood."""
    value = _raw(name)
    return Path(value).expanduser().resolve() if value else default


def database(name: str) -> dict[str, Any] | None:
    """Django's DATABASES entry from `postgresql://user:password@host:port/name?option=value`, or None."""
    value = _raw(name)
    if value is None:
        return None
    url = urlsplit(value)
    if url.scheme not in {"postgres", "postgresql"}:
        raise ImproperlyConfigured(f"{name} must start with postgresql://; PMI runs on PostgreSQL only.")
    database_name = unquote(url.path.lstrip("/"))
    if not database_name:
        raise ImproperlyConfigured(f"{name} must name a database: postgresql://user:password@host:5432/pmi.")
    options = {"connect_timeout": CONNECT_SECONDS, **dict(parse_qsl(url.query))}
    try:
        port = url.port
    except ValueError:
        raise ImproperlyConfigured(f"{name} has a port that is not a number.") from None
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": database_name,
        "USER": unquote(url.username or ""),
        "PASSWORD": unquote(url.password or ""),
        "HOST": options.pop("host", "") or unquote(url.hostname or ""),
        "PORT": str(port or ""),
        "OPTIONS": options,
        "CONN_MAX_AGE": 60,
        "CONN_HEALTH_CHECKS": True,
    }
