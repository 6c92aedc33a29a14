"""What every page shows of the person's own."""

from typing import Any

from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from accounts import notices, selectors
from accounts.models import CareRelationship, Role, User


def unread_notices(request: HttpRequest) -> dict[str, Any]:
    """The number of unread notices; counted only by a page that shows it."""
    user = getattr(request, "user", None)
    return {"unread_notices": SimpleLazyObject(lambda: _count(user))}


def _count(user: object) -> int:
    return notices.unread_count(user) if isinstance(user, User) else 0


def running_emergencies(request: HttpRequest) -> dict[str, Any]:
    """A doctor's emergency accesses that run now; asked for only by a page that shows them."""
    user = getattr(request, "user", None)
    return {"running_emergencies": SimpleLazyObject(lambda: _running(user))}


def _running(user: object) -> list[CareRelationship]:
    if not isinstance(user, User) or user.role != Role.DOCTOR:
        return []
    return list(selectors.running_emergencies(user))
