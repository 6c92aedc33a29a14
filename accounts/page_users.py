"""Who is behind a page's request, with their real type."""

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest

from accounts.models import Role, User


def me(request: HttpRequest) -> User:
    """The user behind `login_required`."""
    if not isinstance(request.user, User):
        raise PermissionDenied
    return request.user


def the_patient(request: HttpRequest) -> User:
    """The user, who must be a patient: only patients have something to share."""
    user = me(request)
    if user.role != Role.PATIENT:
        raise PermissionDenied
    return user
