"""How analyses, findings and model versions look over the API."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.reverse import reverse

from inference import assessing
from inference.models import Analysis, Finding, ModelVersion


class ModelVersionSerializer(serializers.ModelSerializer[ModelVersion]):
    """The public facts of a model version."""

    name = serializers.SerializerMethodField()
    labels = serializers.SerializerMethodField(
        help_text="What the model gives a probability for, with its limits."
    )
    intended_use = serializers.SerializerMethodField()
    limits = serializers.SerializerMethodField(help_text="What the model is known not to do.")
    training_data = serializers.SerializerMethodField(help_text="The public sets that the model learnt from.")
    eval_metrics = serializers.SerializerMethodField(help_text="Figures on images it never saw, by group.")

    class Meta:
        model = ModelVersion
        fields = [
            "id",
            "kind",
            "name",
            "version",
            "sha256",
            "is_active",
            "labels",
            "intended_use",
            "limits",
            "training_data",
            "eval_metrics",
            "created_at",
        ]
        read_only_fields = fields

    def get_name(self, version: ModelVersion) -> str:
        """The model's name."""
        return str(version.metadata.get("name", ""))

    def get_labels(self, version: ModelVersion) -> list[dict[str, Any]]:
        """Labels with conditions, operating points and limits."""
        return list(version.metadata.get("labels", []))

    def get_intended_use(self, version: ModelVersion) -> str:
        """What the model is for."""
        return str(version.metadata.get("intended_use", ""))

    def get_limits(self, version: ModelVersion) -> list[str]:
        """Known limits."""
        return [str(limit) for limit in version.metadata.get("limits", [])]

    def get_training_data(self, version: ModelVersion) -> list[dict[str, Any]]:
        """Sets with licence and citation."""
        return list(version.metadata.get("training_data", []))

    def get_eval_metrics(self, version: ModelVersion) -> dict[str, Any]:
        """Figures by group of scans."""
        metrics = version.metadata.get("eval_metrics", {})
        return dict(metrics) if isinstance(metrics, dict) else {}


class FindingSerializer(serializers.ModelSerializer[Finding]):
    """One condition in an analysis."""

    heatmap_url = serializers.SerializerMethodField(
        help_text="Where the model looked: NIfTI in the scan's space, 0..1; null where there is none."
    )
    heatmap_png_url = serializers.SerializerMethodField(
        help_text="The most telling slice with the heatmap on it."
    )

    class Meta:
        model = Finding
        fields = ["id", "label", "condition", "probability", "call", "rank", "heatmap_url", "heatmap_png_url"]
        read_only_fields = fields

    @extend_schema_field(serializers.URLField(allow_null=True))
    def get_heatmap_url(self, finding: Finding) -> str | None:
        """Address of the NIfTI heatmap."""
        return self._url("analysis-heatmap", finding) if finding.heatmap else None

    @extend_schema_field(serializers.URLField(allow_null=True))
    def get_heatmap_png_url(self, finding: Finding) -> str | None:
        """Address of the heatmap picture."""
        return self._url("analysis-heatmap-png", finding) if finding.heatmap_png else None

    def _url(self, name: str, finding: Finding) -> str:
        return reverse(name, args=[finding.analysis_id, finding.pk], request=self.context["request"])


class AnalysisSerializer(serializers.ModelSerializer[Analysis]):
    """One run of one model version on one scan, with its findings."""

    scan = serializers.UUIDField(source="scan_id", read_only=True)
    case = serializers.UUIDField(source="scan.case_id", read_only=True)
    model_version = serializers.UUIDField(source="model_version_id", read_only=True, allow_null=True)
    findings = FindingSerializer(many=True, read_only=True)
    probabilities = serializers.DictField(
        child=serializers.FloatField(),
        read_only=True,
        help_text="Calibrated probability of every label of the model, claimed as a finding or not.",
    )
    timings_ms = serializers.DictField(child=serializers.FloatField(), read_only=True)
    danger_reasons = serializers.SerializerMethodField(help_text="Why, in the language asked for.")
    next_step = serializers.SerializerMethodField(help_text="What to do now.")
    danger_rules = serializers.ListField(
        child=serializers.CharField(),
        read_only=True,
        help_text="Ids of the rules that fired, decisive first.",
    )

    class Meta:
        model = Analysis
        fields = [
            "id",
            "scan",
            "case",
            "status",
            "stage",
            "kind",
            "model_version",
            "reason_code",
            "reason",
            "danger",
            "danger_reasons",
            "next_step",
            "danger_rules",
            "rules_version",
            "findings",
            "probabilities",
            "key_slice",
            "key_plane",
            "slices_read",
            "timings_ms",
            "queued_at",
            "started_at",
            "finished_at",
        ]
        read_only_fields = fields

    def get_danger_reasons(self, analysis: Analysis) -> list[str]:
        """The sentences of the rules that fired."""
        return assessing.words(analysis)[0]

    def get_next_step(self, analysis: Analysis) -> str:
        """The decisive rule's advice."""
        return assessing.words(analysis)[1]


class AnalysisRequestSerializer(serializers.Serializer):
    """The scan that should be read."""

    scan = serializers.UUIDField()
