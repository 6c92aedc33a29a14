"""The other scans of the same patient and part of the body, for comparing and for the chart over time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db.models import OuterRef, Q, QuerySet, Subquery

from cases.models import Case, Scan
from cases.selectors import visible_scans
from inference.models import Analysis
from inference.registry import READABLE_KINDS

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser

    from accounts.models import User

MOST = 40  # a list to choose from; older ones are found through their cases


def with_kind(scans: QuerySet[Scan]) -> QuerySet[Scan]:
    """Scans with what their newest answer was (`answer`) and what they were read as (`read_kind`)."""
    answers = Analysis.objects.filter(scan=OuterRef("pk"), status__in=Analysis.ANSWERED).order_by(
        "-queued_at", "-id"
    )
    return scans.annotate(
        answer=Subquery(answers.values("status")[:1]), read_kind=Subquery(answers.values("kind")[:1])
    )


def kind_of(scan: Scan, analysis: Analysis | None) -> str:
    """What a scan shows as far as PMI knows: as it was read, else as its case says; empty when unknown."""
    if analysis is not None and analysis.status == Analysis.Status.SUCCEEDED and analysis.kind:
        return analysis.kind
    return scan.case.kind if scan.case.kind in READABLE_KINDS else ""


def same_anatomy(user: User | AnonymousUser, scan: Scan, kind: str) -> QuerySet[Scan]:
    """Scans of the patient of `scan` that the user may read and that show the same kind, newest first.

    `scan` itself is not among them, nor is anything that was refused as unreadable. Without a known kind
    there is nothing to compare with: a knee is no prior of a chest.
    """
    if kind not in READABLE_KINDS:
        return Scan.objects.none()
    same = Q(answer=Analysis.Status.SUCCEEDED, read_kind=kind) | Q(answer__isnull=True, case__kind=kind)
    return (
        with_kind(visible_scans(user))
        .filter(same, case__patient_id=scan.case.patient_id)
        .exclude(pk=scan.pk)
        .select_related("case")
        .order_by("-created_at", "-id")
    )


def side_is_unknown(kind: str) -> bool:
    """Whether left and right bodies' parts look alike here: the side of a knee is not stored."""
    return kind == Case.Kind.KNEE_XRAY
