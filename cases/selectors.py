"""Every read of cases and scans, and the only place where access to them is decided.

| who                                                   | cases and scans            |
|-------------------------------------------------------|----------------------------|
| the patient who owns the case                         | read and write             |
| verified doctor with an active grant (all, this case) | read                       |
| admin role, everybody else, anonymous                 | nothing: it does not exist |

The rule itself is `accounts.selectors.case_access`.
"""

import uuid
from typing import TYPE_CHECKING

from django.core.exceptions import PermissionDenied
from django.db.models import Count, OuterRef, QuerySet, Subquery
from django.http import Http404
from django.utils.translation import gettext as _

from accounts.models import Role
from accounts.selectors import case_access
from cases.models import Case, Review, Scan

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser

    from accounts.models import User


# What a page with many scans has to fetch beforehand for the readings that other apps show on it. Names
# only: the relation of readings is declared by their app.
READING_RELATIONS = ("analyses", "reviews__analysis")


def visible_cases(user: "User | AnonymousUser") -> QuerySet[Case]:
    """Return the cases the user may read."""
    if not user.is_authenticated or not user.is_active or user.role == Role.ADMIN:
        return Case.objects.none()
    return Case.objects.filter(case_access(user))


def visible_scans(user: "User | AnonymousUser") -> QuerySet[Scan]:
    """Return the scans the user may read."""
    if not user.is_authenticated or not user.is_active or user.role == Role.ADMIN:
        return Scan.objects.none()
    return Scan.objects.filter(case_access(user, "case__"))


def case_list(user: "User | AnonymousUser") -> QuerySet[Case]:
    """Return the readable cases, newest first, with ``scan_count`` and ``newest_scan_id``, in one query."""
    newest = Scan.objects.filter(case=OuterRef("pk")).order_by("-created_at", "-id")
    return (
        visible_cases(user)
        .select_related("patient")
        .annotate(scan_count=Count("scans"), newest_scan_id=Subquery(newest.values("pk")[:1]))
        .order_by("-created_at", "-id")
    )


def person(user: "User | AnonymousUser") -> "User":
    """Return a signed-in user as what they are; raises PermissionDenied for anonymous ones."""
    if not user.is_authenticated:
        raise PermissionDenied(_("Please sign in."))
    return user


def may_open_case(user: "User | AnonymousUser") -> bool:
    """Whether the user may open cases: patients only, for themselves."""
    return bool(user.is_authenticated and user.is_active and user.role == Role.PATIENT)


def may_write(user: "User | AnonymousUser", case: Case) -> bool:
    """Whether the user may change the case, add scans to it or delete it: only its patient."""
    return bool(user.is_authenticated and case.patient_id == user.pk)


def get_case(user: "User | AnonymousUser", case_id: uuid.UUID | str, *, write: bool = False) -> Case:
    """Return one case.

    Raises Http404 when the user may not know of it (or it does not exist, or the id is not one), and
    PermissionDenied when ``write`` is asked by somebody who may only read.
    """
    try:
        case = visible_cases(user).select_related("patient").get(pk=_as_uuid(case_id))
    except Case.DoesNotExist as error:
        raise Http404("No such case.") from error
    if write and not may_write(user, case):
        raise PermissionDenied(_("You can look at this case, but only the patient can change it."))
    return case


def get_scan(
    user: "User | AnonymousUser",
    scan_id: uuid.UUID | str,
    *,
    case_id: uuid.UUID | str | None = None,
    write: bool = False,
) -> Scan:
    """Return one scan with its case (of the case ``case_id`` when given). Raises as ``get_case`` does."""
    scans = visible_scans(user).select_related("case", "case__patient")
    if case_id is not None:
        scans = scans.filter(case_id=_as_uuid(case_id))
    try:
        scan = scans.get(pk=_as_uuid(scan_id))
    except Scan.DoesNotExist as error:
        raise Http404("No such scan.") from error
    if write and not may_write(user, scan.case):
        raise PermissionDenied(_("You can look at this scan, but only the patient can change it."))
    return scan


def blind_readings(user: "User | AnonymousUser") -> QuerySet[Review]:
    """The blind second readings that the doctor has begun and not signed."""
    return Review.objects.filter(
        reader=user.pk, seat=Review.Seat.SECOND, status=Review.Status.DRAFT, previous__isnull=True
    )


def _as_uuid(value: uuid.UUID | str) -> uuid.UUID:
    if isinstance(value, uuid.UUID):
        return value
    try:
        return uuid.UUID(str(value))
    except ValueError as error:
        raise Http404("No such object.") from error
