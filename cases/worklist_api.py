"""The worklist over REST: the same rows, filters and order as on the page, with a cursor instead of pages."""

from __future__ import annotations

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers, viewsets
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.services import log_list
from cases import worklist
from cases.levels import RANKS
from cases.models import Case
from cases.worklist_forms import FilterForm, query_of
from pmi_site.errors import UserError

MOST_ROWS = 100


class WorklistRowSerializer(serializers.Serializer[worklist.Row]):
    """One case of the worklist."""

    case = serializers.UUIDField(source="case.pk")
    title = serializers.CharField(source="case.title")
    patient = serializers.UUIDField(source="case.patient_id")
    patient_name = serializers.CharField(source="case.patient.get_full_name")
    kind = serializers.CharField(source="case.kind", help_text="As in a case.")
    level = serializers.CharField(
        help_text="Danger level; empty while nothing is read, and for you as a blind second reader."
    )
    review_state = serializers.SerializerMethodField(
        help_text="How far doctors are; empty where level is hidden."
    )
    waiting_since = serializers.DateTimeField(source="case.waiting_since")
    opened_at = serializers.DateTimeField(source="case.created_at")
    unread = serializers.BooleanField(
        help_text="A scan, an answer or a review came since you last opened it."
    )
    scan_count = serializers.IntegerField(source="case.scan_count")
    newest_scan = serializers.UUIDField(source="case.newest_scan_id", allow_null=True)

    def get_review_state(self, row: worklist.Row) -> str:
        """The state, but for a blind second reader."""
        return "" if row.is_blind else str(row.case.review_state)


class WorklistCountsSerializer(serializers.Serializer[worklist.Counts]):
    """Open cases."""

    by_level = serializers.DictField(child=serializers.IntegerField(), help_text='"" for those not read yet.')
    unread = serializers.IntegerField()


class WorklistPageSerializer(serializers.Serializer[dict[str, Any]]):
    """A page of the worklist."""

    next = serializers.URLField(allow_null=True, help_text="Where the next page is; null on the last one.")
    counts = WorklistCountsSerializer(help_text=f"{worklist.MOST_COUNTED} means that many or more.")
    results = WorklistRowSerializer(many=True)


class WorklistViewSet(viewsets.ViewSet):
    """Cases of your patients, the most dangerous first, then the longest waiting; verified doctors only."""

    @extend_schema(
        parameters=[
            OpenApiParameter("state", OpenApiTypes.STR, enum=list(worklist.STATES), default=worklist.OPEN),
            OpenApiParameter("level", OpenApiTypes.STR, enum=list(RANKS)),
            OpenApiParameter("kind", OpenApiTypes.STR, enum=list(Case.Kind.values)),
            OpenApiParameter("unread", OpenApiTypes.BOOL),
            OpenApiParameter("patient", OpenApiTypes.UUID),
            OpenApiParameter("opened_from", OpenApiTypes.DATE),
            OpenApiParameter("opened_to", OpenApiTypes.DATE),
            OpenApiParameter("q", OpenApiTypes.STR, description="Beginnings of words of name and title."),
            OpenApiParameter("cursor", OpenApiTypes.STR, description="From `next`."),
            OpenApiParameter("page_size", OpenApiTypes.INT, description=f"1 to {MOST_ROWS}."),
        ],
        responses=WorklistPageSerializer,
    )
    def list(self, request: Request) -> Response:
        """A page of the worklist. What it shows of patients is logged for them."""
        doctor = worklist.require_doctor(request.user)
        form = FilterForm(request.query_params)
        if not form.is_valid():
            name, errors = next(iter(form.errors.items()))
            raise UserError("bad_filter", f"{name}: {errors[0]}")
        wanted = form.filters()
        cursor = request.query_params.get("cursor", "")
        size = _size(request.query_params.get("page_size", ""))
        page = worklist.page(doctor, wanted, worklist.Cursor.decode(cursor) if cursor else None, size)
        log_list(doctor, "list_cases", [row.case for row in page.rows])
        address = None
        if page.next_cursor:
            query = "&".join(
                part for part in (query_of(wanted), f"page_size={size}", f"cursor={page.next_cursor}") if part
            )
            address = request.build_absolute_uri(f"{request.path}?{query}")
        body = {"next": address, "counts": worklist.counts(doctor), "results": page.rows}
        return Response(WorklistPageSerializer(body).data)


def _size(text: str) -> int:
    if not text:
        return worklist.PAGE_SIZE
    if not (text.isascii() and text.isdigit() and len(text) <= 3 and 1 <= int(text) <= MOST_ROWS):
        raise UserError("bad_page_size", f"page_size is a number from 1 to {MOST_ROWS}.")
    return int(text)
