"""Every read of analyses, findings and model versions. Who may see a scan may see its readings, but for those
that `release` holds back from its patient; nobody else knows of them.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from django.core.exceptions import PermissionDenied
from django.db.models import Prefetch, QuerySet
from django.http import Http404
from django.utils.translation import gettext as _

from cases.selectors import may_write, visible_scans
from inference import release
from inference.models import Analysis, Finding, ModelVersion

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser

    from accounts.models import User


def visible_analyses(user: User | AnonymousUser) -> QuerySet[Analysis]:
    """The analyses that the user may read, newest first, with scan, case, model version and findings."""
    return known_analyses(user).filter(release.shown_to(user))


def known_analyses(user: User | AnonymousUser) -> QuerySet[Analysis]:
    """The same with those that are held back: that they exist may be said, what they say may not."""
    return (
        Analysis.objects.filter(scan__in=visible_scans(user))
        .select_related("scan", "scan__case", "model_version", "model_version__space")
        .prefetch_related(Prefetch("findings", queryset=Finding.objects.order_by("rank")))
        .order_by("-queued_at", "-id")
    )


def get_analysis(
    user: User | AnonymousUser, analysis_id: uuid.UUID | str, *, write: bool = False, held: bool = False
) -> Analysis:
    """One analysis; `held` finds one, too, that is held back from the user, who must not learn what it says.

    Raises Http404 when the user may not know of it, it does not exist, or the id is none; PermissionDenied
    when `write` is asked by somebody who may only read.
    """
    try:
        found = known_analyses(user) if held else visible_analyses(user)
        analysis = found.get(pk=as_uuid(analysis_id))
    except Analysis.DoesNotExist as error:
        raise Http404("No such analysis.") from error
    if write and not may_write(user, analysis.scan.case):
        raise PermissionDenied(
            _("You can look at this scan, but only the patient can ask for a new reading.")
        )
    return analysis


def get_finding(
    user: User | AnonymousUser, analysis_id: uuid.UUID | str, finding_id: uuid.UUID | str
) -> Finding:
    """One finding of an analysis the user may read. Raises Http404 as `get_analysis` does."""
    try:
        return (
            Finding.objects.filter(
                release.shown_to(user, "analysis__"), analysis__scan__in=visible_scans(user)
            )
            .select_related("analysis", "analysis__scan")
            .get(pk=as_uuid(finding_id), analysis_id=as_uuid(analysis_id))
        )
    except Finding.DoesNotExist as error:
        raise Http404("No such finding.") from error


def latest_analysis(user: User | AnonymousUser, scan_id: uuid.UUID | str) -> Analysis | None:
    """The newest analysis of a scan the user may read, or None."""
    return visible_analyses(user).filter(scan_id=as_uuid(scan_id)).first()


def active_versions() -> dict[str, ModelVersion]:
    """The model versions that read now, by kind."""
    return {version.kind: version for version in ModelVersion.objects.filter(is_active=True)}


def as_uuid(value: uuid.UUID | str) -> uuid.UUID:
    """An id from an address. Raises Http404 when it is none."""
    if isinstance(value, uuid.UUID):
        return value
    try:
        return uuid.UUID(str(value))
    except ValueError as error:
        raise Http404("No such object.") from error
