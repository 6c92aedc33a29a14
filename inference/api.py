"""REST: analyses with their findings and heatmaps, asking for a reading, and the model versions' public
facts.
"""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet, prefetch_related_objects
from django.http import FileResponse, Http404
from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema, extend_schema_view
from rest_framework import mixins, status, viewsets
from rest_framework.decorators import action
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import DefaultRouter

from accounts.consents import require_care
from accounts.services import log_access, log_list
from cases.file_views import NIFTI, PNG, private_headers
from cases.selectors import get_scan, person
from cases.serializers import ErrorSerializer, use_alarms
from inference import selectors, services
from inference.models import Analysis, Kind, ModelVersion
from inference.report_pages import PDF, report_of
from inference.results import seen_by
from inference.review_api import ReviewViewSet
from inference.serializers import AnalysisRequestSerializer, AnalysisSerializer, ModelVersionSerializer
from inference.similar_api import SimilarViewSet
from inference.symptom_page import alarms
from pmi_site.filters import asked_id, choice
from pmi_site.rest import UUID_PATTERN

_FINDING = f"findings/(?P<finding_id>{UUID_PATTERN})"
_FINDING_ID = OpenApiParameter("finding_id", OpenApiTypes.UUID, OpenApiParameter.PATH)


def register(router: DefaultRouter) -> None:
    """Add the collections of this app to the API, and to its cases what their symptoms say."""
    use_alarms(alarms)
    router.register("analyses", AnalysisViewSet, basename="analysis")
    router.register("reviews", ReviewViewSet, basename="review")
    router.register("similar", SimilarViewSet, basename="similar")
    router.register("model-versions", ModelVersionViewSet, basename="model-version")


@extend_schema_view(
    list=extend_schema(
        parameters=[
            OpenApiParameter("scan", OpenApiTypes.UUID, description="Of this scan only."),
            OpenApiParameter("case", OpenApiTypes.UUID, description="Of this case only."),
            OpenApiParameter("status", OpenApiTypes.STR, enum=Analysis.Status.values),
        ],
        responses={200: AnalysisSerializer(many=True), 400: ErrorSerializer},
    )
)
class AnalysisViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[Analysis]):
    """Readings of the scans that you own or that a patient shared with you, newest first.

    Where the site shows patients a reading only after a doctor has looked, `held_back` is true until then,
    and nothing of what the reading says is given.
    """

    serializer_class = AnalysisSerializer
    queryset = Analysis.objects.none()
    lookup_value_regex = UUID_PATTERN

    def get_queryset(self) -> QuerySet[Analysis]:
        """The analyses that the user may read."""
        if getattr(self, "swagger_fake_view", False):
            return Analysis.objects.none()
        filters = {
            "scan_id": asked_id(self.request, "scan"),
            "scan__case_id": asked_id(self.request, "case"),
            "status": choice(self.request, "status", Analysis.Status.values),
        }
        wanted = {field: value for field, value in filters.items() if value}
        return selectors.known_analyses(self.request.user).filter(**wanted)

    def get_object(self) -> Analysis:
        """The analysis of the address, if the user may do this to it."""
        writes = self.request.method not in SAFE_METHODS
        return selectors.get_analysis(self.request.user, self.kwargs["pk"], write=writes, held=True)

    def perform_content_negotiation(self, request: Request, force: bool = False) -> tuple[Any, str]:
        """A file is what it is, whatever type the client says it prefers."""
        return super().perform_content_negotiation(
            request, force=force or self.action in ("heatmap", "heatmap_png", "report")
        )

    def paginate_queryset(self, queryset: Any) -> Any:
        """One page of the list; what it shows of other people is logged."""
        page = super().paginate_queryset(queryset)
        log_list(person(self.request.user), "list_analyses", page or [])
        self.seen = seen_by(self.request.user, page or [])
        reviewed = [one for one in page or [] if self.seen.reviews.of(one.scan_id)]
        prefetch_related_objects(reviewed, "assessments")
        return page

    def get_serializer_context(self) -> dict[str, Any]:
        """With what the reader sees of the readings that are listed."""
        return {**super().get_serializer_context(), "seen": getattr(self, "seen", None)}

    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """One analysis; poll it while its status is queued or running."""
        analysis = self.get_object()
        log_access(person(request.user), "view_reading", analysis)
        return Response(self.get_serializer(analysis).data)

    @extend_schema(
        request=AnalysisRequestSerializer,
        responses={
            202: AnalysisSerializer,
            404: OpenApiResponse(ErrorSerializer, "To you there is no such scan."),
        },
    )
    def create(self, request: Request) -> Response:
        """Ask for a scan to be read. The analysis under way, or the active model's answer, is returned if
        there is one.
        """
        wanted = AnalysisRequestSerializer(data=request.data)
        wanted.is_valid(raise_exception=True)
        scan = get_scan(request.user, wanted.validated_data["scan"], write=True)
        require_care(scan.case.patient_id)
        return self._accepted(services.request_analysis(scan.pk))

    @extend_schema(
        request=None,
        responses={
            202: AnalysisSerializer,
            400: OpenApiResponse(ErrorSerializer, "The consent to keep and read scans was taken back."),
        },
    )
    @action(detail=True, methods=["post"])
    def reread(self, request: Request, pk: str) -> Response:
        """Ask for a new reading of the same scan; this one stays."""
        analysis = self.get_object()
        require_care(analysis.scan.case.patient_id)
        return self._accepted(services.request_analysis(analysis.scan_id, reread=True))

    @extend_schema(parameters=[_FINDING_ID], responses={(200, NIFTI): OpenApiTypes.BINARY})
    @action(detail=True, methods=["get"], url_path=f"{_FINDING}/heatmap", url_name="heatmap")
    def heatmap(self, request: Request, pk: str, finding_id: str) -> HttpResponseBase:
        """Where the model looked, as NIfTI (.nii.gz) in the scan's own space, values 0..1."""
        return self._file(pk, finding_id, "heatmap", NIFTI)

    @extend_schema(parameters=[_FINDING_ID], responses={(200, PNG): OpenApiTypes.BINARY})
    @action(detail=True, methods=["get"], url_path=f"{_FINDING}/heatmap-png", url_name="heatmap-png")
    def heatmap_png(self, request: Request, pk: str, finding_id: str) -> HttpResponseBase:
        """The most telling slice with the heatmap laid over it."""
        return self._file(pk, finding_id, "heatmap_png", PNG)

    @extend_schema(responses={(200, PDF): OpenApiTypes.BINARY})
    @action(detail=True, methods=["get"])
    def report(self, request: Request, pk: str) -> HttpResponseBase:
        """The report of a finished reading as PDF, in the language asked for. 404 while there is none, and
        while the reading is held back from you.
        """
        return report_of(request._request, request.user, pk)

    def _accepted(self, analysis: Analysis | None) -> Response:
        if analysis is None:
            raise Http404("The scan is gone.")
        fresh = selectors.get_analysis(self.request.user, analysis.pk, held=True)
        return Response(self.get_serializer(fresh).data, status=status.HTTP_202_ACCEPTED)

    def _file(self, analysis_id: str, finding_id: str, field: str, content_type: str) -> HttpResponseBase:
        finding = selectors.get_finding(self.request.user, analysis_id, finding_id)
        stored = getattr(finding, field)
        if not stored:
            raise Http404("This finding has no heatmap.")
        try:
            handle = stored.storage.open(stored.name, "rb")
        except OSError as error:
            raise Http404("The file is missing.") from error
        log_access(person(self.request.user), "view_heatmap", finding)
        response = FileResponse(handle, content_type=content_type)
        response["Content-Type"] = content_type
        return private_headers(response)


@extend_schema_view(
    list=extend_schema(
        parameters=[OpenApiParameter("kind", OpenApiTypes.STR, enum=Kind.values)],
        responses={200: ModelVersionSerializer(many=True), 400: ErrorSerializer},
    )
)
class ModelVersionViewSet(
    mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[ModelVersion]
):
    """Which models read scans here: what they are for, how well they did on whom, and what they cannot do."""

    serializer_class = ModelVersionSerializer
    queryset = ModelVersion.objects.none()
    lookup_value_regex = UUID_PATTERN

    def get_queryset(self) -> QuerySet[ModelVersion]:
        """All registered versions, the active ones first; they hold nothing about anybody."""
        versions = ModelVersion.objects.order_by("-is_active", "kind", "-created_at")
        kind = choice(self.request, "kind", Kind.values)
        return versions.filter(kind=kind) if kind else versions
