"""Cases, scans and their files over REST. Access is decided by the selectors, as on the pages."""

from typing import Any

from django.core.exceptions import BadRequest
from django.db.models import QuerySet
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import (
    OpenApiParameter,
    PolymorphicProxySerializer,
    extend_schema,
    extend_schema_view,
)
from rest_framework import mixins, status, viewsets
from rest_framework.decorators import action
from rest_framework.exceptions import ParseError
from rest_framework.parsers import MultiPartParser
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import DefaultRouter
from rest_framework.serializers import BaseSerializer
from rest_framework.throttling import BaseThrottle, ScopedRateThrottle

from accounts.services import log_access, log_list
from cases import file_views, selectors, services, uploads
from cases.imaging.volume import PLANES
from cases.models import Case, Scan
from cases.selectors import person
from cases.serializers import (
    CaseSerializer,
    ErrorSerializer,
    ScanSerializer,
    UploadResultSerializer,
    UploadSerializer,
)
from cases.worklist_api import WorklistViewSet
from pmi_site.filters import asked_id, choice
from pmi_site.rest import UUID_PATTERN


def register(router: DefaultRouter) -> None:
    """Add the collections of this app to the API."""
    router.register("cases", CaseViewSet, basename="case")
    router.register("scans", ScanViewSet, basename="scan")
    router.register("worklist", WorklistViewSet, basename="worklist")


@extend_schema_view(
    list=extend_schema(
        parameters=[
            OpenApiParameter("kind", OpenApiTypes.STR, enum=Case.Kind.values),
            OpenApiParameter("patient", OpenApiTypes.UUID, description="Of this patient only."),
        ]
    )
)
class CaseViewSet(
    mixins.ListModelMixin,
    mixins.CreateModelMixin,
    mixins.RetrieveModelMixin,
    mixins.UpdateModelMixin,
    mixins.DestroyModelMixin,
    viewsets.GenericViewSet[Case],
):
    """Cases that you own or that a patient shared with you. Only the patient changes them."""

    serializer_class = CaseSerializer
    queryset = Case.objects.none()
    lookup_value_regex = UUID_PATTERN
    http_method_names = ["get", "post", "patch", "delete", "head", "options"]
    throttle_scope = "upload"

    def get_queryset(self) -> QuerySet[Case]:
        """The cases that the user may read, newest first, of one kind or patient when asked so."""
        if getattr(self, "swagger_fake_view", False):
            return Case.objects.none()
        filters = {
            "kind": choice(self.request, "kind", Case.Kind.values),
            "patient": asked_id(self.request, "patient"),
        }
        wanted = {field: value for field, value in filters.items() if value}
        return selectors.visible_cases(self.request.user).filter(**wanted).order_by("-created_at", "-id")

    def get_object(self) -> Case:
        """The case of the address, if the user may do this to it."""
        writes = self.request.method not in SAFE_METHODS
        return selectors.get_case(self.request.user, self.kwargs["pk"], write=writes)

    def get_throttles(self) -> list[BaseThrottle]:
        """Uploads have a limit of their own on top."""
        throttles: list[BaseThrottle] = list(super().get_throttles())
        if self.action == "add_scans":
            throttles.append(ScopedRateThrottle())
        return throttles

    def paginate_queryset(self, queryset: Any) -> Any:
        """One page of the list; what it shows of other people is logged."""
        page = super().paginate_queryset(queryset)
        log_list(person(self.request.user), "list_cases", page or [])
        return page

    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """One case."""
        case = self.get_object()
        log_access(person(request.user), "view_case", case)
        return Response(self.get_serializer(case).data)

    def perform_create(self, serializer: BaseSerializer[Case]) -> None:
        """Open the case for the asking patient."""
        serializer.instance = services.open_case(person(self.request.user), **serializer.validated_data)

    def perform_update(self, serializer: BaseSerializer[Case]) -> None:
        """Change the case through the service."""
        case = serializer.instance
        if isinstance(case, Case):
            serializer.instance = services.update_case(
                case, person(self.request.user), **serializer.validated_data
            )

    def perform_destroy(self, instance: Case) -> None:
        """Delete the case with everything in it."""
        log_access(person(self.request.user), "delete_case", instance)
        services.delete_case(instance, person(self.request.user))

    @extend_schema(responses=ScanSerializer(many=True))
    @action(detail=True, methods=["get"], url_path="scans", pagination_class=None)
    def scans(self, request: Request, pk: str) -> Response:
        """The scans of a case, oldest first."""
        case = self.get_object()
        log_access(person(request.user), "list_scans", case)
        scans = ScanSerializer(case.scans.all(), many=True, context=self.get_serializer_context())
        return Response(scans.data)

    @extend_schema(
        request={"multipart/form-data": UploadSerializer},
        responses={
            201: UploadResultSerializer,
            200: UploadResultSerializer,
            # What became of each file, where there were files; else why there is nothing to say of any.
            400: PolymorphicProxySerializer(
                component_name="UploadRefused",
                serializers=[UploadResultSerializer, ErrorSerializer],
                resource_type_field_name=None,
            ),
            413: ErrorSerializer,
        },
    )
    @scans.mapping.post
    def add_scans(self, request: Request, pk: str) -> Response:
        """Add scans: one or many parts named ``files`` (images, DICOM files, a zip of them, NIfTI).

        201: at least one scan was stored. 200: the case held all of it already. 400: nothing could be taken.
        Every file that is not stored is listed with the reason; it never keeps the others out.
        """
        case = self.get_object()
        with uploads.readable_body_errors():
            incoming = uploads.incoming_files(request.FILES)
        result = services.add_scans(case, person(request.user), incoming)
        for scan in result.scans:
            log_access(person(request.user), "add_scan", scan)
        code: int = status.HTTP_201_CREATED if result.scans else status.HTTP_200_OK
        if result.nothing_went_in:
            code = status.HTTP_400_BAD_REQUEST
        context = {**self.get_serializer_context(), "names": result.names}
        return Response(UploadResultSerializer(result, context=context).data, status=code)

    def get_parsers(self) -> list[Any]:
        """Uploads are multipart; everything else is what the site takes."""
        if getattr(self, "action_map", None) and self._is_upload(getattr(self, "request", None)):
            return [MultiPartParser()]
        return super().get_parsers()

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Prepare the disk for an upload before anything (a session's CSRF check) can read the body."""
        if not self._is_upload(request):
            return super().dispatch(request, *args, **kwargs)
        with uploads.spooling(request):
            return super().dispatch(request, *args, **kwargs)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Refuse an upload by its announced length, and put errors of its body into words."""
        if self.action == "add_scans":
            uploads.check_announced_length(request.META.get("CONTENT_LENGTH"))
        with uploads.readable_body_errors():
            super().initial(request, *args, **kwargs)

    def _is_upload(self, request: HttpRequest | Request | None) -> bool:
        method = (request.method or "").lower() if request is not None else ""
        return method == "post" and self.action_map.get("post") == "add_scans"


_FILE_ACTIONS = ("volume", "preview", "slice", "original")
_ORIGINAL = {(200, media_type): OpenApiTypes.BINARY for media_type in file_views.ORIGINAL_TYPES}


@extend_schema_view(
    list=extend_schema(
        parameters=[OpenApiParameter("case", OpenApiTypes.UUID, description="Of this case only.")],
        responses={200: ScanSerializer(many=True), 400: ErrorSerializer},
    )
)
class ScanViewSet(
    mixins.ListModelMixin,
    mixins.RetrieveModelMixin,
    mixins.DestroyModelMixin,
    viewsets.GenericViewSet[Scan],
):
    """Scans of the cases that you may read. They are added through their case."""

    serializer_class = ScanSerializer
    queryset = Scan.objects.none()
    lookup_value_regex = UUID_PATTERN

    def get_queryset(self) -> QuerySet[Scan]:
        """The scans that the user may read, newest first, of one case when asked so."""
        if getattr(self, "swagger_fake_view", False):
            return Scan.objects.none()
        scans = (
            selectors.visible_scans(self.request.user).select_related("case").order_by("-created_at", "-id")
        )
        case_id = asked_id(self.request, "case")
        return scans.filter(case=case_id) if case_id else scans

    def get_object(self) -> Scan:
        """The scan of the address, if the user may do this to it."""
        writes = self.request.method not in SAFE_METHODS
        return selectors.get_scan(self.request.user, self.kwargs["pk"], write=writes)

    def perform_content_negotiation(self, request: Request, force: bool = False) -> tuple[Any, str]:
        """A file is what it is, whatever type the client says it prefers."""
        return super().perform_content_negotiation(request, force=force or self.action in _FILE_ACTIONS)

    def paginate_queryset(self, queryset: Any) -> Any:
        """One page of the list; what it shows of other people is logged."""
        page = super().paginate_queryset(queryset)
        log_list(person(self.request.user), "list_scans", page or [])
        return page

    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """One scan."""
        scan = self.get_object()
        log_access(person(request.user), "view_scan", scan)
        return Response(self.get_serializer(scan).data)

    def perform_destroy(self, instance: Scan) -> None:
        """Delete the scan with its readings and files."""
        log_access(person(self.request.user), "delete_scan", instance)
        services.delete_scan(instance, person(self.request.user))

    @extend_schema(responses={(200, file_views.NIFTI): OpenApiTypes.BINARY})
    @action(detail=True, methods=["get"])
    def volume(self, request: Request, pk: str) -> HttpResponseBase:
        """The canonical volume as NIfTI (.nii.gz)."""
        return file_views.volume_response(request.user, self.get_object())

    @extend_schema(responses={(200, file_views.PNG): OpenApiTypes.BINARY})
    @action(detail=True, methods=["get"])
    def preview(self, request: Request, pk: str) -> HttpResponseBase:
        """A small picture: the film, or the middle slice."""
        return file_views.preview_response(request.user, self.get_object())

    @extend_schema(
        parameters=[
            OpenApiParameter(
                "plane", OpenApiTypes.STR, enum=list(PLANES), description="As acquired by default."
            ),
            OpenApiParameter(
                "index", OpenApiTypes.INT, description="Counted from 0; the middle one by default."
            ),
        ],
        responses={(200, file_views.PNG): OpenApiTypes.BINARY},
    )
    @action(detail=True, methods=["get"])
    def slice(self, request: Request, pk: str) -> HttpResponseBase:
        """One slice as PNG, in display orientation."""
        try:
            return file_views.slice_response(request._request, request.user, self.get_object())
        except BadRequest as error:
            raise ParseError(str(error)) from error

    @extend_schema(responses=_ORIGINAL)
    @action(detail=True, methods=["get"])
    def original(self, request: Request, pk: str) -> HttpResponseBase:
        """The original as stored: de-identified; a zip when it was a series of files."""
        return file_views.original_response(request.user, self.get_object())
