"""What the API says about the knowledge base. Codes stand beside the texts so that they fit a FHIR record."""

from typing import Any

from django.urls import reverse
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from resources.models import Advice, Citation, Condition, Resource, Source, Treatment


class SourceSerializer(serializers.ModelSerializer[Source]):
    class Meta:
        model = Source
        fields = ["citation", "url", "accessed_on"]


class TreatmentSerializer(serializers.ModelSerializer[Treatment]):
    condition: Any = serializers.SlugRelatedField(slug_field="slug", read_only=True)
    kind = serializers.CharField(help_text="For example medicine, surgery, exercise, monitoring, not_needed.")
    evidence = serializers.CharField(help_text="What a cited guideline says; empty where not checked.")
    is_reviewed = serializers.BooleanField(help_text="A clinician has read this text.", read_only=True)
    sources = SourceSerializer(many=True, read_only=True)
    language = serializers.CharField(
        source="shown_language", default="en", read_only=True, help_text="Of the name."
    )

    class Meta:
        model = Treatment
        fields = [
            "id",
            "condition",
            "kind",
            "language",
            "name",
            "what_it_involves",
            "when_used",
            "benefits",
            "risks",
            "provided_by",
            "evidence",
            "is_reviewed",
            "reviewed_on",
            "review_by",
            "sources",
        ]


class AdviceSerializer(serializers.ModelSerializer[Advice]):
    danger_level = serializers.CharField(
        help_text="emergency, urgent, soon, routine, none_found or inconclusive."
    )
    audience = serializers.CharField(help_text="patient, carer or doctor.")
    is_reviewed = serializers.BooleanField(help_text="A clinician has read this text.", read_only=True)

    class Meta:
        model = Advice
        fields = ["danger_level", "audience", "headline", "text", "is_reviewed"]


class ResourceSerializer(serializers.ModelSerializer[Resource]):
    conditions: Any = serializers.SlugRelatedField(slug_field="slug", many=True, read_only=True)
    kind = serializers.CharField(help_text="article, guideline, helpline, support_group or clinic_finder.")
    audience = serializers.CharField(help_text="everyone, patient, carer or doctor.")

    class Meta:
        model = Resource
        fields = [
            "id",
            "kind",
            "title",
            "publisher",
            "description",
            "url",
            "language",
            "country",
            "audience",
            "checked_on",
            "conditions",
        ]


class CodingSerializer(serializers.Serializer[Any]):
    """FHIR Coding."""

    system = serializers.URLField(help_text="ICD-10, ICD-11 (MMS), SNOMED CT or RadLex, as FHIR names them.")
    code = serializers.CharField()
    display = serializers.CharField(help_text="PMI's clinical name, not the code system's own wording.")


class CodeableConceptSerializer(serializers.Serializer[Any]):
    """FHIR CodeableConcept; `coding` is empty where no code is certain."""

    coding = CodingSerializer(many=True)
    text = serializers.CharField()


class ConditionSerializer(serializers.ModelSerializer[Condition]):
    """A condition as lists show it."""

    kind = serializers.CharField(help_text="brain_mri, chest_xray, knee_xray or any.")
    aliases = serializers.ListField(child=serializers.CharField())
    is_reviewed = serializers.BooleanField(help_text="A clinician has read this text.", read_only=True)
    page = serializers.SerializerMethodField(help_text="Where people read about it.")
    code = serializers.SerializerMethodField(help_text="The codes as a FHIR CodeableConcept.")
    language = serializers.CharField(
        source="shown_language", default="en", read_only=True, help_text="Of the name and summary."
    )

    class Meta:
        model = Condition
        fields = [
            "slug",
            "name",
            "clinical_name",
            "aliases",
            "kind",
            "icd10",
            "icd11",
            "snomed",
            "radlex",
            "code",
            "language",
            "summary",
            "is_reviewed",
            "reviewed_on",
            "review_by",
            "updated_at",
            "page",
        ]

    @extend_schema_field(CodeableConceptSerializer)
    def get_code(self, condition: Condition) -> dict[str, Any]:
        display = condition.clinical_name or condition.name
        coding = [{"system": c.system, "code": c.code, "display": display} for c in condition.codes]
        return {"coding": coding, "text": condition.name}

    def get_page(self, condition: Condition) -> str:
        path = reverse("resources:condition_detail", args=[condition.slug])
        request = self.context.get("request")
        return request.build_absolute_uri(path) if request else path


class ConditionResourceSerializer(serializers.ModelSerializer[Resource]):
    """A resource as a condition names it."""

    kind = serializers.CharField(help_text="article, guideline, helpline, support_group or clinic_finder.")
    audience = serializers.CharField(help_text="everyone, patient, carer or doctor.")

    class Meta:
        model = Resource
        fields = ["kind", "title", "publisher", "url", "language", "country", "audience", "checked_on"]
        read_only_fields = fields


class CitationSerializer(serializers.ModelSerializer[Citation]):
    """Where a part of a condition's text comes from."""

    section = serializers.CharField(help_text="Which part.")
    citation = serializers.CharField(source="source.citation", read_only=True)
    url = serializers.CharField(source="source.url", read_only=True)

    class Meta:
        model = Citation
        fields = ["section", "citation", "url"]
        read_only_fields = fields


class ConditionDetailSerializer(ConditionSerializer):
    """A condition with everything that hangs on it."""

    red_flags = serializers.ListField(child=serializers.CharField())
    treatments = TreatmentSerializer(many=True, read_only=True)
    advice = AdviceSerializer(many=True, read_only=True)
    resources = ConditionResourceSerializer(many=True, read_only=True)
    sources = CitationSerializer(many=True, read_only=True, source="citations")

    class Meta(ConditionSerializer.Meta):
        fields = [
            *ConditionSerializer.Meta.fields,
            "what_it_is",
            "how_confirmed",
            "red_flags",
            "outlook_treated",
            "outlook_untreated",
            "clinical_note",
            "treatments",
            "advice",
            "resources",
            "sources",
        ]
