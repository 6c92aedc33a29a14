"""The knowledge base in the REST API: read-only, for everyone."""

from typing import Any

from django.conf import settings
from django.db.models import Q, QuerySet
from django.http import Http404
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import BaseRouter
from rest_framework.viewsets import ReadOnlyModelViewSet

from resources import search, selectors
from resources.choices import Kind, ResourceAudience, ResourceKind, TreatmentKind
from resources.coding import SYSTEMS
from resources.conditional import ConditionalMixin
from resources.models import Condition, Resource, Treatment
from resources.serializers import (
    ConditionDetailSerializer,
    ConditionSerializer,
    ResourceSerializer,
    TreatmentSerializer,
)


def _parameter(name: str, description: str, values: list[str] | None = None) -> OpenApiParameter:
    return OpenApiParameter(name, str, description=description, enum=values)


def _query(request: Request) -> str:
    return request.query_params.get("search", "")


def _has_code(token: str) -> Q:
    """`token` is a code, or `system|code` as FHIR searches write it."""
    system, bar, code = token.rpartition("|")
    wanted = Q(pk__in=[])
    for name, _name, uri in SYSTEMS:
        if not bar or system == uri:
            wanted |= Q(**{f"{name}__iexact": code})
    return wanted if code else Q(pk__in=[])


def _published_only(request: Request) -> bool:
    """Nothing but published entries is ever given out; asking for others finds nothing."""
    return request.query_params.get("status", "published") == "published"


_SEARCH = _parameter(
    "search", "Words, also misspelt; best match first. Conditions are found by their codes, too."
)
_LANGUAGE = _parameter("language", "Language of the texts; English where not translated.", ["en", "es", "hi"])
_STATUS = _parameter("status", "Only published entries are ever given.", ["published"])
_CONDITION = _parameter("condition", "Slug of a condition.")


@extend_schema_view(
    list=extend_schema(
        summary="Published conditions",
        parameters=[
            _SEARCH,
            _parameter("kind", "Which scan.", Kind.values),
            _parameter("code", "A code of any system, or FHIR's form: system|code."),
            _LANGUAGE,
            _STATUS,
        ],
    ),
    retrieve=extend_schema(
        summary="One condition with treatments, advice, resources and sources",
        responses=ConditionDetailSerializer,
        parameters=[_LANGUAGE],
    ),
)
class ConditionViewSet(ConditionalMixin, ReadOnlyModelViewSet[Condition]):
    """Conditions, published ones only."""

    permission_classes = [AllowAny]
    serializer_class = ConditionSerializer
    lookup_field = "slug"
    lookup_value_regex = "[-a-zA-Z0-9_]+"
    queryset = Condition.objects.none()

    def get_queryset(self) -> QuerySet[Condition]:
        query = self.request.query_params
        conditions = selectors.search_conditions(query.get("search", ""), language=self.language)
        if kind := query.get("kind"):
            conditions = conditions.filter(kind=kind)
        if code := query.get("code"):
            conditions = conditions.filter(_has_code(code))
        return conditions if _published_only(self.request) else conditions.none()

    @property
    def language(self) -> str:
        """The language asked for by `?language=`; English otherwise."""
        language = self.request.query_params.get("language", "en")
        return language if language in dict(settings.LANGUAGES) else "en"

    def paginate_queryset(self, queryset: Any) -> Any:
        page = super().paginate_queryset(queryset)
        return selectors.in_language_rows(page, self.language) if page is not None else None

    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        condition = selectors.published_condition(str(kwargs["slug"]), self.language)
        if condition is None:
            raise Http404  # drafts and unknown slugs answer alike
        return Response(ConditionDetailSerializer(condition, context=self.get_serializer_context()).data)


@extend_schema_view(
    list=extend_schema(
        summary="Published treatments",
        parameters=[_SEARCH, _CONDITION, _parameter("kind", "Kind of treatment.", TreatmentKind.values)],
    ),
    retrieve=extend_schema(summary="One treatment"),
)
class TreatmentViewSet(ConditionalMixin, ReadOnlyModelViewSet[Treatment]):
    """Treatments of published conditions."""

    permission_classes = [AllowAny]
    serializer_class = TreatmentSerializer
    queryset = Treatment.objects.none()

    def get_queryset(self) -> QuerySet[Treatment]:
        treatments = selectors.published_treatments()
        if slug := self.request.query_params.get("condition"):
            treatments = treatments.filter(condition__slug=slug)
        if kind := self.request.query_params.get("kind"):
            treatments = treatments.filter(kind=kind)
        names, texts = ("name", "condition__name"), ("what_it_involves", "when_used", "benefits", "risks")
        return search.match_rows(treatments, _query(self.request), names, texts)


@extend_schema_view(
    list=extend_schema(
        summary="Published resources",
        parameters=[
            _SEARCH,
            _CONDITION,
            _parameter("kind", "Kind of resource.", ResourceKind.values),
            _parameter("language", "Language code, like en."),
            _parameter("country", "Country code, like GB."),
            _parameter("audience", "For whom.", ResourceAudience.values),
        ],
    ),
    retrieve=extend_schema(summary="One resource"),
)
class ResourceViewSet(ConditionalMixin, ReadOnlyModelViewSet[Resource]):
    """Pages, guidelines, helplines and groups elsewhere."""

    permission_classes = [AllowAny]
    serializer_class = ResourceSerializer
    queryset = Resource.objects.none()

    def get_queryset(self) -> QuerySet[Resource]:
        resources = selectors.published_resources()
        if slug := self.request.query_params.get("condition"):
            resources = resources.filter(conditions__in=selectors.published_conditions().filter(slug=slug))
        for name in ("kind", "language", "country", "audience"):
            if value := self.request.query_params.get(name):
                resources = resources.filter(**{name: value})
        language = self.request.query_params.get("language", "en")
        names, texts = ("title", "publisher"), ("description",)
        return search.match_rows(resources.distinct(), _query(self.request), names, texts, language)


def register(router: BaseRouter) -> None:
    """Put this app's view sets under /api/v1/."""
    router.register("conditions", ConditionViewSet, basename="condition")
    router.register("treatments", TreatmentViewSet, basename="treatment")
    router.register("resources", ResourceViewSet, basename="resource")
