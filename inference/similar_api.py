"""REST: search for similar known cases by a reading, a region of it, or a file that is not kept."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, viewsets
from rest_framework.parsers import JSONParser, MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse
from rest_framework.throttling import ScopedRateThrottle, UserRateThrottle

from accounts.models import Role
from accounts.selectors import is_verified_doctor
from accounts.services import log_access
from cases import uploads
from cases.selectors import person, visible_scans
from inference import similar_page
from inference.models import Analysis, ReferenceImage
from inference.registry import READABLE_KINDS
from inference.selectors import get_analysis
from inference.similar_selectors import MOST, NEAREST, Neighbour, Probe, neighbours
from pmi_site.errors import UserError


class SimilarRequestSerializer(serializers.Serializer[Any]):
    """What to search for: the id of an `analysis` (with a `region` of it if you like), or `files`."""

    analysis = serializers.UUIDField(required=False)
    region = serializers.CharField(
        required=False, help_text="x,y,width,height as shares (0..1) of the most telling slice."
    )
    files = serializers.FileField(required=False, help_text="Searched for and not kept (multipart).")
    anatomy = serializers.ChoiceField(READABLE_KINDS, required=False, help_text="What the files show.")
    condition = serializers.SlugField(required=False)
    source = serializers.ChoiceField(  # type: ignore[assignment]
        ReferenceImage.Source.choices, required=False
    )
    age_band = serializers.ChoiceField(ReferenceImage.AgeBand.choices, required=False)
    k = serializers.IntegerField(required=False, min_value=1, max_value=MOST, default=NEAREST)


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
    picture_url = serializers.CharField(allow_null=True)
    heatmap_url = serializers.CharField(allow_null=True)
    scan = serializers.UUIDField(allow_null=True, help_text="Only of your own earlier scans.")


class SimilarAnswerSerializer(serializers.Serializer[Any]):
    """The nearest known cases, and the patient's own earlier scans apart."""

    kind = serializers.CharField()
    model_version = serializers.UUIDField()
    similar = HitSerializer(many=True)
    own_earlier = HitSerializer(many=True)
    vote = serializers.CharField(help_text="For doctors: why to look twice; empty if there is no reason.")


class SimilarViewSet(viewsets.ViewSet):
    """Reverse image search."""

    parser_classes = [JSONParser, MultiPartParser]
    throttle_classes = [UserRateThrottle, ScopedRateThrottle]
    throttle_scope = "similar"

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Prepare the disk for an upload before anything reads the body."""
        if (request.content_type or "").startswith("multipart/"):
            with uploads.spooling(request):
                return super().dispatch(request, *args, **kwargs)
        return super().dispatch(request, *args, **kwargs)

    @extend_schema(request=SimilarRequestSerializer, responses={200: SimilarAnswerSerializer})
    def create(self, request: Request) -> Response:
        """Search. Nothing that is sent is kept."""
        user = person(request.user)
        if user.role == Role.ADMIN or (user.role == Role.DOCTOR and not is_verified_doctor(user)):
            self.permission_denied(request)
        with uploads.readable_body_errors():
            uploads.check_announced_length(request.META.get("CONTENT_LENGTH"))
            asked = SimilarRequestSerializer(data=request.data)
            asked.is_valid(raise_exception=True)
        similar_page.count_search(user)
        wanted = asked.validated_data
        probe, analysis = self._probe(request, wanted)
        log_access(user, "search_similar_api", analysis or probe.space)
        hits = neighbours(probe, visible_scans(user), similar_page.filters_of(wanted), wanted["k"])
        vote = ""
        if analysis is not None and user.role == Role.DOCTOR:
            vote = similar_page.vote(hits, list(analysis.findings.all()))
        view = similar_page.view_of(hits, probe.space, vote)
        return Response(
            {
                "kind": probe.space.model_version.kind,
                "model_version": probe.space.model_version_id,
                "similar": [self._hit(request, one) for one in view.others],
                "own_earlier": [self._hit(request, one) for one in view.own],
                "vote": view.vote,
            }
        )

    def _probe(self, request: Request, wanted: dict[str, Any]) -> tuple[Probe, Analysis | None]:
        from inference import similar_embedding

        if ("analysis" in wanted) == ("files" in request.FILES):
            raise UserError("nothing_asked", "Send either the id of an analysis or files.")
        if "analysis" not in wanted:
            incoming = uploads.incoming_files(request.FILES)
            return similar_embedding.probe_of_files(incoming, wanted.get("anatomy")), None
        analysis = get_analysis(request.user, wanted["analysis"])
        if analysis.status != Analysis.Status.SUCCEEDED or analysis.model_version is None:
            raise UserError("not_read", "This analysis has no reading to search with.")
        if wanted.get("region"):
            region = similar_page.region_of(wanted["region"])
            return similar_embedding.probe_of_region(analysis.scan, analysis, region), analysis
        space = similar_embedding.space_to_search(analysis.kind)
        if space.model_version_id != analysis.model_version_id:
            raise UserError("retired_space", "This reading is by an older model. Ask for a new one first.")
        scan = analysis.scan
        return Probe(
            space=space, analysis_id=analysis.pk, patient_id=scan.case.patient_id, scan_id=scan.pk
        ), analysis

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
        }


def _addresses(request: Request, hit: Neighbour) -> dict[str, str | None]:
    if hit.scan_id is not None:
        own = reverse("cases:scan_preview", args=[hit.case_id, hit.scan_id], request=request)
        heat = None
        if hit.finding_id:
            heat = reverse(
                "inference:heatmap_picture", args=[hit.analysis_id, hit.finding_id], request=request
            )
        return {"picture_url": own, "heatmap_url": heat}
    if not hit.showable:
        return {"picture_url": None, "heatmap_url": None}
    address = reverse("inference:similar_picture", args=[hit.reference_id], request=request)
    return {"picture_url": address, "heatmap_url": f"{address}?heat=1" if hit.has_heatmap else None}
