"""The knowledge base in the REST API: read-only, for everyone."""

from typing import Any

from django.db.models import Q, QuerySet, prefetch_related_objects
from django.http import Http404
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import BaseRouter
from rest_framework.viewsets import ReadOnlyModelViewSet

from pmi_site.filters import choice
from resources import search, selectors
from resources.api_parts import LANGUAGE, LanguageMixin, coded, parameter
from resources.choices import Kind, ResourceAudience, ResourceKind, Status, TreatmentKind
from resources.coding import SYSTEMS
from resources.conditional import ConditionalMixin
from resources.models import COUNTRY as COUNTRY_CODE
from resources.models import LANGUAGE as LANGUAGE_CODE
from resources.models import Condition, Resource, Treatment
from resources.serializers import (
    ConditionDetailSerializer,
    ConditionSerializer,
    ResourceSerializer,
    TreatmentSerializer,
)
from resources.symptom_api import SymptomViewSet
from resources.translating import localise, published_translations


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
    return choice(request, "status", Status.values, named=["published"]) in ("", "published")


_SEARCH = parameter(
    "search",
    "Words, also misspelt, in English or the language asked for; best match first. Conditions are found by "
    "their codes, too.",
)
_STATUS = parameter("status", "Only published entries are ever given.", ["published"])
_CONDITION = parameter("condition", "Slug of a condition.")


@extend_schema_view(
    list=extend_schema(
        summary="Published conditions",
        parameters=[
            _SEARCH,
            parameter("kind", "Which scan.", Kind.values),
            parameter("code", "A code of any system, or FHIR's form: system|code."),
            LANGUAGE,
            _STATUS,
        ],
    ),
    retrieve=extend_schema(
        summary="One condition with treatments, advice, resources and sources",
        responses=ConditionDetailSerializer,
        parameters=[LANGUAGE],
    ),
)
class ConditionViewSet(LanguageMixin, ConditionalMixin, ReadOnlyModelViewSet[Condition]):
    """Conditions, published ones only."""

    permission_classes = [AllowAny]
    serializer_class = ConditionSerializer
    lookup_field = "slug"
    lookup_value_regex = "[-a-zA-Z0-9_]+"
    queryset = Condition.objects.none()

    def get_queryset(self) -> QuerySet[Condition]:
        query = self.request.query_params
        conditions = selectors.search_conditions(query.get("search", ""), language=self.language)
        if kind := choice(self.request, "kind", Kind.values):
            conditions = conditions.filter(kind=kind)
        if code := query.get("code"):
            conditions = conditions.filter(_has_code(code))
        return conditions if _published_only(self.request) else conditions.none()

    def paginate_queryset(self, queryset: Any) -> Any:
        page: list[Any] = selectors.in_language_rows(super().paginate_queryset(queryset) or [], self.language)
        self.shown_in(condition.shown_language for condition in page)
        return page

    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        condition: Any = selectors.published_condition(str(kwargs["slug"]), self.language)
        if condition is None:
            raise Http404  # drafts and unknown slugs answer alike
        self.shown_in([condition.shown_language])
        return Response(ConditionDetailSerializer(condition, context=self.get_serializer_context()).data)


@extend_schema_view(
    list=extend_schema(
        summary="Published treatments",
        parameters=[
            _SEARCH,
            _CONDITION,
            parameter("kind", "Kind of treatment.", TreatmentKind.values),
            LANGUAGE,
        ],
    ),
    retrieve=extend_schema(summary="One treatment", parameters=[LANGUAGE]),
)
class TreatmentViewSet(LanguageMixin, ConditionalMixin, ReadOnlyModelViewSet[Treatment]):
    """Treatments of published conditions."""

    permission_classes = [AllowAny]
    serializer_class = TreatmentSerializer
    queryset = Treatment.objects.none()

    def get_queryset(self) -> QuerySet[Treatment]:
        treatments = selectors.published_treatments()
        if slug := self.request.query_params.get("condition"):
            treatments = treatments.filter(condition__slug=slug)
        if kind := choice(self.request, "kind", TreatmentKind.values):
            treatments = treatments.filter(kind=kind)
        return selectors.search_treatments(treatments, _query(self.request), self.language)

    def paginate_queryset(self, queryset: Any) -> Any:
        return self._translated(super().paginate_queryset(queryset) or [])

    def get_object(self) -> Treatment:
        return self._translated([super().get_object()])[0]

    def _translated(self, treatments: list[Any]) -> list[Any]:
        if self.language != "en":
            prefetch_related_objects(treatments, published_translations(self.language))
        localise(treatments, self.language)
        self.shown_in(treatment.shown_language for treatment in treatments)
        return treatments


@extend_schema_view(
    list=extend_schema(
        summary="Published resources",
        parameters=[
            _SEARCH,
            _CONDITION,
            parameter("kind", "Kind of resource.", ResourceKind.values),
            parameter("language", "Those in this language, a code like en. Without it those in any."),
            parameter("country", "Country code, like GB."),
            parameter("audience", "For whom.", ResourceAudience.values),
        ],
    ),
    retrieve=extend_schema(summary="One resource"),
)
class ResourceViewSet(LanguageMixin, ConditionalMixin, ReadOnlyModelViewSet[Resource]):
    """Pages, guidelines, helplines and groups elsewhere, described in the language that they are in."""

    permission_classes = [AllowAny]
    serializer_class = ResourceSerializer
    queryset = Resource.objects.none()

    def get_queryset(self) -> QuerySet[Resource]:
        resources = selectors.published_resources()
        if slug := self.request.query_params.get("condition"):
            resources = resources.filter(conditions__in=selectors.published_conditions().filter(slug=slug))
        language = coded(self.request, "language", LANGUAGE_CODE)
        filters = {
            "kind": choice(self.request, "kind", ResourceKind.values),
            "language": language,
            "country": coded(self.request, "country", COUNTRY_CODE),
            "audience": choice(self.request, "audience", ResourceAudience.values),
        }
        resources = resources.filter(**{name: value for name, value in filters.items() if value})
        names, texts = ("title", "publisher"), ("description",)
        spoken = language or self.language
        return search.match_rows(resources.distinct(), _query(self.request), names, texts, spoken)

    def paginate_queryset(self, queryset: Any) -> Any:
        page = super().paginate_queryset(queryset) or []
        self.shown_in(resource.language for resource in page)
        return page

    def get_object(self) -> Resource:
        resource = super().get_object()
        self.shown_in([resource.language])
        return resource


def register(router: BaseRouter) -> None:
    """Put this app's view sets under /api/v1/."""
    router.register("conditions", ConditionViewSet, basename="condition")
    router.register("treatments", TreatmentViewSet, basename="treatment")
    router.register("resources", ResourceViewSet, basename="resource")
    router.register("symptoms", SymptomViewSet, basename="symptom")
