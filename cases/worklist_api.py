"""The worklist over REST: the same rows, filters and order as on the page, with a cursor instead of pages."""

from __future__ import annotations

from typing import Any

from drf_spectacular.helpers import forced_singular_serializer
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.services import log_list
from cases import worklist
from cases.levels import RANKS
from cases.models import Case
from cases.selectors import get_case
from cases.serializers import ErrorSerializer
from cases.worklist_forms import FilterForm, query_of
from pmi_site.errors import UserError
from pmi_site.filters import page_size
from pmi_site.rest import UUID_PATTERN

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
        help_text="A scan, an answer or a review came since you last opened it or marked it as seen."
    )
    scan_count = serializers.IntegerField(source="case.scan_count")
    newest_scan = serializers.UUIDField(source="case.newest_scan_id", allow_null=True)

    def get_review_state(self, row: worklist.Row) -> str:
        """The state, but for a blind second reader."""
        return "" if row.is_blind else str(row.case.review_state)


class WorklistCountsSerializer(serializers.Serializer[worklist.Counts]):
    """Open cases."""

    by_level = serializers.DictField(
        child=serializers.IntegerField(),
        help_text='"" for those not read yet, and for those that you are to read as a blind second reader.',
    )
    unread = serializers.IntegerField()


class WorklistPageSerializer(serializers.Serializer[dict[str, Any]]):
    """A page of the worklist."""

    next = serializers.URLField(allow_null=True, help_text="Where the next page is; null on the last one.")
    counts = WorklistCountsSerializer(help_text=f"{worklist.MOST_COUNTED} means that many or more.")
    results = WorklistRowSerializer(many=True)


class WorklistViewSet(viewsets.ViewSet):
    """Cases of your patients, the most dangerous first, then the longest waiting; verified doctors only.

    As a blind second reader you find a case among those not read yet, as long as you have not signed.
    """

    lookup_url_kwarg = "case_id"
    lookup_value_regex = UUID_PATTERN

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
        # One page as an object, where a `list` is taken for an array.
        responses={200: forced_singular_serializer(WorklistPageSerializer), 400: ErrorSerializer},
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
        size = page_size(request, worklist.PAGE_SIZE, MOST_ROWS)
        page = worklist.page(doctor, wanted, worklist.Cursor.decode(cursor) if cursor else None, size)
        log_list(doctor, "list_cases", [row.case for row in page.rows])
        address = None
        if page.next_cursor:
            query = "&".join(
                part
                for part in (query_of(wanted, yes="true"), f"page_size={size}", f"cursor={page.next_cursor}")
                if part
            )
            address = request.build_absolute_uri(f"{request.path}?{query}")
        body = {"next": address, "counts": worklist.counts(doctor), "results": page.rows}
        return Response(WorklistPageSerializer(body).data)

    @extend_schema(
        parameters=[OpenApiParameter("case_id", OpenApiTypes.UUID, OpenApiParameter.PATH)],
        request=None,
        responses={204: None, 404: OpenApiResponse(ErrorSerializer, "To you there is no such case.")},
    )
    @action(detail=True, methods=["post"])
    def seen(self, request: Request, case_id: str) -> Response:
        """Mark a case as seen, as opening its page does: it is `unread` again with the next news."""
        # First whether there is such a case: to whom there is none, it is not said who may.
        case = get_case(request.user, case_id)
        worklist.mark_seen(worklist.require_doctor(request.user), case)
        return Response(status=status.HTTP_204_NO_CONTENT)
