"""The symptom catalogue over REST: which answers a case takes, and how the questions are asked."""

import hashlib
import json
from typing import Any

from django.http.response import HttpResponseBase
from django.utils.cache import get_conditional_response, patch_cache_control
from django.utils.http import quote_etag
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.viewsets import GenericViewSet

from pmi_site.filters import choice
from pmi_site.rest import PagePagination
from resources.api_parts import LANGUAGE, LanguageMixin, parameter
from resources.symptoms import KINDS, Symptom, catalogue

# The words of a case: of those about whom nothing is known everything is asked.
CASE_KINDS = (*KINDS, "unsure")
AGE_GROUPS = ("child", "adult", "unknown")


class SymptomSerializer(serializers.Serializer[Symptom]):
    """A question, and what answers it takes in a case's `symptoms`."""

    code = serializers.CharField(help_text="The key in a case's `symptoms`.")
    text = serializers.SerializerMethodField(help_text="The question.")
    language = serializers.SerializerMethodField(help_text="Of the text.")
    kind = serializers.CharField(help_text="Of which pictures: brain_mri, chest_xray or knee_xray.")
    age_group = serializers.CharField(source="age", help_text="Asked of: child, adult or any.")
    type = serializers.SerializerMethodField(help_text="What it takes: boolean or number.")
    minimum = serializers.SerializerMethodField(help_text="The least number; null where none is taken.")
    maximum = serializers.SerializerMethodField(help_text="The greatest number; null where none is taken.")
    unit = serializers.CharField(help_text="Of the number; empty where it has none.")
    note = serializers.SerializerMethodField(help_text="What to bear in mind with the answer; mostly empty.")
    is_reviewed = serializers.SerializerMethodField(help_text="A clinician has read the catalogue.")

    def get_text(self, symptom: Symptom) -> str:
        """In the language asked for, else in English."""
        return symptom.texts[self.get_language(symptom)]

    def get_language(self, symptom: Symptom) -> str:
        """The language asked for, where the question has been translated."""
        language: str = self.context["view"].language
        return language if symptom.texts.get(language) else "en"

    def get_note(self, symptom: Symptom) -> str:
        """In the language of the text, else in English."""
        return symptom.notes.get(self.get_language(symptom)) or symptom.notes.get("en", "")

    def get_type(self, symptom: Symptom) -> str:
        """As JSON names it."""
        return "number" if symptom.is_number else "boolean"

    def get_minimum(self, symptom: Symptom) -> float | None:
        """Of numbers."""
        return symptom.minimum if symptom.is_number else None

    def get_maximum(self, symptom: Symptom) -> float | None:
        """Of numbers."""
        return symptom.maximum if symptom.is_number else None

    def get_is_reviewed(self, symptom: Symptom) -> bool:
        """All or none: the catalogue is read as a whole."""
        return bool(catalogue().reviewed_by)


class _OnePage(PagePagination):
    page_size = 100


class SymptomViewSet(LanguageMixin, GenericViewSet[Any]):
    """The questions about symptoms that come with a case."""

    permission_classes = [AllowAny]
    serializer_class = SymptomSerializer
    pagination_class = _OnePage

    @extend_schema(
        summary="Questions about symptoms",
        parameters=[
            parameter("kind", "Kind of the case; every question where it is not known.", CASE_KINDS),
            parameter("age_group", "Age group of the case.", AGE_GROUPS),
            LANGUAGE,
        ],
    )
    def list(self, request: Request) -> HttpResponseBase:
        """The questions for a case, or all of them."""
        kind = choice(request, "kind", CASE_KINDS)
        age_group = choice(request, "age_group", AGE_GROUPS)
        page = self.paginate_queryset(catalogue().asked(kind, age_group or "unknown"))
        rows = self.get_serializer(page, many=True).data
        self.shown_in(row["language"] for row in rows)
        answer = self.get_paginated_response(rows)
        # The catalogue comes with PMI's version: unlike the knowledge base it has no time of its own.
        etag = quote_etag(hashlib.sha256(json.dumps(answer.data, default=str).encode()).hexdigest()[:32])
        answer["ETag"] = etag
        patch_cache_control(answer, public=True, no_cache=True)
        short = get_conditional_response(request._request, etag=etag, response=answer)
        return short or answer
