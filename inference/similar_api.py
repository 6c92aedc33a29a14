"""REST: search for similar known cases by a reading, a region of it, or a file that is not kept."""

from __future__ import annotations

import uuid
from typing import Any

from django.core.files.uploadedfile import UploadedFile
from django.http import Http404, HttpRequest
from django.http.response import HttpResponseBase
from django.utils.translation import gettext as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.parsers import MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse
from rest_framework.throttling import BaseThrottle, ScopedRateThrottle, UserRateThrottle

from accounts.consents import require_care
from accounts.models import Role, User
from accounts.selectors import is_verified_doctor
from accounts.services import log_access
from cases import uploads
from cases.file_views import PNG
from cases.selectors import person, visible_scans
from cases.serializers import ErrorSerializer
from inference import similar_page, similar_searches, similar_views
from inference.models import Analysis, Kind, ReferenceImage, SimilarSearch, VectorSpace
from inference.registry import READABLE_KINDS
from inference.release import released_to
from inference.selectors import get_analysis
from inference.similar_selectors import (
    MOST,
    NEAREST,
    Filters,
    Neighbour,
    Probe,
    get_search,
    neighbours,
    seen_as,
    space_to_search,
)
from pmi_site.errors import UserError
from pmi_site.parsers import JSONParser
from pmi_site.rest import UUID_PATTERN


class SimilarRequestSerializer(serializers.Serializer[Any]):
    """What to search for: the id of an `analysis` (with a `region` of it if you like), or `files`."""

    analysis = serializers.UUIDField(required=False)
    region = serializers.CharField(
        required=False, help_text="x,y,width,height as shares (0..1) of the most telling slice."
    )
    files = serializers.ListField(
        child=serializers.FileField(allow_empty_file=True),
        required=False,
        help_text="One picture, or the files of one series: searched for and not kept (multipart).",
    )
    anatomy = serializers.ChoiceField(
        READABLE_KINDS,
        required=False,
        help_text="What the files show. With an analysis it may only repeat what that is of.",
    )
    condition = serializers.SlugField(required=False)
    source = serializers.ChoiceField(  # type: ignore[assignment]
        ReferenceImage.Source.choices, required=False
    )
    age_band = serializers.ChoiceField(ReferenceImage.AgeBand.choices, required=False)
    k = serializers.IntegerField(required=False, min_value=1, max_value=MOST, default=NEAREST)

    def validate_files(self, files: list[UploadedFile]) -> list[UploadedFile]:
        """One that is empty keeps the others of its series not out."""
        if not any(one.size for one in files):
            raise serializers.ValidationError(serializers.FileField.default_error_messages["empty"])
        return files


class HitSerializer(serializers.Serializer[Any]):
    """One known case. A picture is named only where it may be shown."""

    condition = serializers.CharField()
    similarity = serializers.FloatField(help_text="Cosine similarity in the model's space.")
    similarity_words = serializers.CharField()
    source = serializers.CharField()  # type: ignore[assignment]
    age_band = serializers.CharField()
    collection = serializers.CharField()
    licence = serializers.CharField()
    citation = serializers.CharField()
    picture_url = serializers.URLField(
        allow_null=True, help_text="PNG, fetched with the same credentials; null where it may not be shown."
    )
    heatmap_url = serializers.URLField(allow_null=True, help_text="The same with the heatmap on it.")
    scan = serializers.UUIDField(allow_null=True, help_text="Only of your own earlier scans.")
    reviewed = serializers.BooleanField(
        help_text="Of an own earlier scan: a doctor has signed what it shows; `condition` is the model's."
    )


class SimilarAnswerSerializer(serializers.Serializer[Any]):
    """The nearest known cases, and the patient's own earlier scans apart."""

    kind = serializers.CharField()
    model_version = serializers.UUIDField()
    similar = HitSerializer(many=True)
    own_earlier = HitSerializer(many=True)
    vote = serializers.CharField(help_text="For doctors: why to look twice; empty if there is no reason.")
    note = serializers.CharField(
        help_text="Why nothing was found, or less than will be; empty where the known cases are complete."
    )


class SearchSerializer(serializers.Serializer[Any]):
    """A search that a worker does: poll `url` until `state` is done or failed. It is forgotten soon after."""

    id = serializers.UUIDField()
    state = serializers.ChoiceField(SimilarSearch.State.choices)
    url = serializers.CharField()
    code = serializers.CharField(
        help_text="Why it failed; empty otherwise. With `model_changed`, also once it was done: search again."
    )
    detail = serializers.CharField(help_text="The same in words.")
    answer = SimilarAnswerSerializer(allow_null=True)


class SimilarViewSet(viewsets.ViewSet):
    """Reverse image search."""

    parser_classes = [JSONParser, MultiPartParser]
    throttle_scope = "similar"
    lookup_value_regex = UUID_PATTERN

    def get_throttles(self) -> list[BaseThrottle]:
        """Searches are counted; asking how far one is, or for a picture that it found, is not."""
        if self.action in ("retrieve", "picture"):
            return [UserRateThrottle()]
        return [UserRateThrottle(), ScopedRateThrottle()]

    def perform_content_negotiation(self, request: Request, force: bool = False) -> tuple[Any, str]:
        """A picture is a picture, whatever type the client says it prefers."""
        return super().perform_content_negotiation(request, force=force or self.action == "picture")

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Prepare the disk for an upload before anything reads the body."""
        if (request.content_type or "").startswith("multipart/"):
            with uploads.spooling(request):
                return super().dispatch(request, *args, **kwargs)
        return super().dispatch(request, *args, **kwargs)

    @extend_schema(
        request=SimilarRequestSerializer,
        responses={
            200: SimilarAnswerSerializer,
            202: SearchSerializer,
            404: OpenApiResponse(ErrorSerializer, "To you there is no such reading."),
            413: ErrorSerializer,
        },
    )
    def create(self, request: Request) -> Response:
        """Search. By a reading: answered at once. By files or a region: 202 and an address to poll."""
        user = self._person(request)
        with uploads.readable_body_errors():
            uploads.check_announced_length(request.META.get("CONTENT_LENGTH"))
            asked = SimilarRequestSerializer(data=request.data)
            asked.is_valid(raise_exception=True)
        similar_page.count_search(user)
        wanted = asked.validated_data
        filters = similar_page.filters_of(wanted)
        if ("analysis" in wanted) == ("files" in request.FILES):
            raise UserError("nothing_asked", _("Send either the id of an analysis or files."))
        kept = {name: wanted[name] for name in (*similar_page.FILTERS, "k") if wanted.get(name)}
        if "analysis" not in wanted:
            incoming = uploads.incoming_files(request.FILES)
            search = similar_searches.begin(user, incoming, wanted.get("anatomy") or "", kept)
            log_access(user, "search_similar_api", search)
            return self._accepted(request, search)
        analysis = self._analysis(user, wanted)
        log_access(user, "search_similar_api", analysis)
        if wanted.get("region"):
            region = similar_page.region_of(wanted["region"])
            return self._accepted(request, similar_searches.begin_region(user, analysis, region, kept))
        return Response(self._nearest(request, analysis, filters, wanted["k"]))

    @extend_schema(responses=SearchSerializer, parameters=[OpenApiParameter("id", OpenApiTypes.UUID, "path")])
    def retrieve(self, request: Request, pk: str) -> Response:
        """How far a search is, and what it found."""
        user = self._person(request)
        search = get_search(user, pk)
        if search.analysis is not None:
            get_analysis(user, search.analysis.pk)
        if search.state != SimilarSearch.State.DONE:
            return Response(self._state(request, search, None))
        filters = similar_page.filters_of(search.wanted)
        k = int(search.wanted.get("k") or NEAREST)
        try:
            view = similar_page.found(search, visible_scans(user), filters, k)
        except UserError as error:
            # Its space is no longer searched. Programs were told to poll until it is done or failed.
            failed = {"state": SimilarSearch.State.FAILED, "code": error.code, "detail": error.message}
            return Response({**self._state(request, search, None), **failed})
        answer = self._answer(request, search.space, view) if search.space else None
        return Response(self._state(request, search, answer))

    @extend_schema(
        parameters=[
            OpenApiParameter("reference_id", OpenApiTypes.UUID, OpenApiParameter.PATH),
            OpenApiParameter("heat", OpenApiTypes.BOOL, description="With the heatmap on it."),
        ],
        responses={(200, PNG): OpenApiTypes.BINARY},
    )
    @action(detail=False, methods=["get"], url_path=f"references/(?P<reference_id>{UUID_PATTERN})/picture")
    def picture(self, request: Request, reference_id: str) -> HttpResponseBase:
        """The picture of a known case, where it may be shown."""
        # The page's own view: who may see a picture, and that it is logged, is said there and nowhere else.
        return similar_views.picture(request._request, uuid.UUID(reference_id))

    def _person(self, request: Request) -> User:
        user = person(request.user)
        if user.role == Role.ADMIN or (user.role == Role.DOCTOR and not is_verified_doctor(user)):
            self.permission_denied(request)
        return user

    def _accepted(self, request: Request, search: SimilarSearch) -> Response:
        state = self._state(request, search, None)
        headers = {"Location": state["url"], "Retry-After": "1"}
        return Response(state, status=status.HTTP_202_ACCEPTED, headers=headers)

    def _state(
        self, request: Request, search: SimilarSearch, answer: dict[str, Any] | None
    ) -> dict[str, Any]:
        return {
            "id": search.pk,
            "state": search.state,
            "url": reverse("similar-detail", args=[search.pk], request=request),
            "code": search.reason_code,
            "detail": search.reason,
            "answer": answer,
        }

    def _analysis(self, user: User, wanted: dict[str, Any]) -> Analysis:
        analysis = get_analysis(user, wanted["analysis"])
        if not released_to(user, analysis):
            raise Http404("No such analysis.")
        require_care(analysis.scan.case.patient_id, user.pk)
        if analysis.status != Analysis.Status.SUCCEEDED or analysis.model_version is None:
            raise UserError("not_read", _("This analysis has no reading to search with."))
        if wanted.get("anatomy") not in (None, analysis.kind):
            text = _("This reading is of: %(kind)s. It can be compared with such cases only.")
            raise UserError("other_anatomy", text % {"kind": Kind(analysis.kind).label})
        return analysis

    def _nearest(self, request: Request, analysis: Analysis, filters: Filters, k: int) -> dict[str, Any]:
        user, space, scan = person(request.user), space_to_search(analysis.kind), analysis.scan
        seen = seen_as(analysis, space)
        if seen is None:
            raise UserError("retired_space", similar_page.replaced_text(space))
        probe = Probe(space=space, analysis_id=seen, patient_id=scan.case.patient_id, scan_id=scan.pk)
        hits = neighbours(probe, visible_scans(user), filters, k)
        vote = ""
        if user.role == Role.DOCTOR and filters == Filters():
            vote = similar_page.vote(hits, list(analysis.findings.all()))
        return self._answer(request, space, similar_page.view_of(hits, space, vote, filters))

    def _answer(self, request: Request, space: VectorSpace, view: similar_page.Section) -> dict[str, Any]:
        return {
            "kind": space.model_version.kind,
            "model_version": space.model_version_id,
            "similar": [self._hit(request, one) for one in view.others],
            "own_earlier": [self._hit(request, one) for one in view.own],
            "vote": view.vote,
            "note": view.why or similar_page.empty_text(view),
        }

    def _hit(self, request: Request, view: similar_page.HitView) -> dict[str, Any]:
        hit = view.hit
        return {
            "condition": hit.condition,
            "similarity": round(1 - hit.distance, 4),
            "similarity_words": view.likeness,
            "source": hit.source,
            "age_band": hit.age_band,
            "collection": hit.collection,
            "licence": hit.licence,
            "citation": hit.citation,
            **_addresses(request, hit),
            "scan": hit.scan_id,
            "reviewed": hit.is_reviewed,
        }


def _addresses(request: Request, hit: Neighbour) -> dict[str, str | None]:
    if hit.scan_id is not None:
        own = reverse("scan-preview", args=[hit.scan_id], request=request)
        heat = None
        if hit.finding_id:
            heat = reverse("analysis-heatmap-png", args=[hit.analysis_id, hit.finding_id], request=request)
        return {"picture_url": own, "heatmap_url": heat}
    if not hit.showable:
        return {"picture_url": None, "heatmap_url": None}
    address = reverse("similar-picture", args=[hit.reference_id], request=request)
    return {"picture_url": address, "heatmap_url": f"{address}?heat=1" if hit.has_heatmap else None}
