"""What every page shows of the person's own."""

from typing import Any

from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from accounts import notices
from accounts.models import User


def unread_notices(request: HttpRequest) -> dict[str, Any]:
    """The number of unread notices; counted only by a page that shows it."""
    user = getattr(request, "user", None)
    return {"unread_notices": SimpleLazyObject(lambda: _count(user))}


def _count(user: object) -> int:
    return notices.unread_count(user) if isinstance(user, User) else 0
