"""Who is behind a page's request, with their real type."""

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest
from django.utils.translation import gettext as _

from accounts.models import Role, User
from accounts.selectors import is_verified_doctor


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


def the_doctor(request: HttpRequest) -> User:
    """The user, who must be a doctor whose licence is verified."""
    user = me(request)
    if not is_verified_doctor(user):
        raise PermissionDenied(_("Only doctors whose licence is verified can do this."))
    return user
