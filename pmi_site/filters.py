"""Filters in the addresses of the API: a value that means nothing is refused, never read as no filter."""

import uuid
from collections.abc import Sequence

from django.utils.translation import gettext as _
from rest_framework.request import Request

from pmi_site.errors import UserError


def choice(request: Request, name: str, allowed: Sequence[str], named: Sequence[str] | None = None) -> str:
    """A filter that takes one of `allowed`; empty where it was not sent. UserError `bad_filter` otherwise.

    `named` are those to name in the refusal, where not all are worth it.
    """
    value: str = request.query_params.get(name, "")
    if value and value not in allowed:
        words = _("%(name)s takes one of: %(values)s.")
        raise UserError("bad_filter", words % {"name": name, "values": ", ".join(named or allowed)})
    return value


def asked_id(request: Request, name: str) -> uuid.UUID | None:
    """A filter that is an id; None where it was not sent. UserError `bad_filter` for anything else."""
    value = request.query_params.get(name)
    if not value:
        return None
    try:
        return uuid.UUID(value)
    except ValueError:
        raise UserError("bad_filter", _("%(name)s has to be an id (a UUID).") % {"name": name}) from None


def page_size(request: Request, default: int, most: int, *, cap: bool = False) -> int:
    """How many rows of a list are asked for: `default` where it was not sent. UserError `bad_page_size` for
    what is no number from 1 on, and above `most`, unless such are to be answered with `most` (`cap`).
    """
    text = request.query_params.get("page_size", "")
    if not text:
        return default
    digits = text.lstrip("0") if text.isascii() and text.isdigit() else ""
    # Longer numbers than `most` are not looked at: there is no end to how long they can be.
    is_over = len(digits) > len(str(most)) or (bool(digits) and int(digits) > most)
    if not digits or (is_over and not cap):
        raise UserError("bad_page_size", _("page_size is a number from 1 to %(most)d.") % {"most": most})
    return most if is_over else int(digits)
