"""How analyses, findings and model versions look over the API."""

from __future__ import annotations

import functools
import uuid
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.reverse import reverse

from cases.models import Case, Review
from inference.danger import Danger
from inference.models import Analysis, Finding, ModelVersion
from inference.report_review import title
from inference.results import seen_by
from inference.standing import Rules, Standing, is_worse, words

# Values that the schema names already, of reviews and searches: as fields of their own they would get names
# of their own. "" where there is none yet, or none that the reader is told.
_BLANK = {"$ref": "#/components/schemas/BlankEnum"}
_LEVEL = {"oneOf": [{"$ref": "#/components/schemas/DangerLevelEnum"}, _BLANK]}
_KIND = {"oneOf": [{"$ref": "#/components/schemas/AnatomyEnum"}, _BLANK]}


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


class ReviewNoteSerializer(serializers.ModelSerializer[Review]):
    """A signed review in short; all of it is at `/reviews/<id>/`."""

    is_about_this = serializers.SerializerMethodField(help_text="False: it is about another reading.")
    statement = serializers.SerializerMethodField(help_text="Who confirmed or corrected, and when, in words.")

    class Meta:
        model = Review
        fields = [
            "id",
            "version",
            "reader_name",
            "signed_at",
            "danger_level",
            "is_about_this",
            "statement",
        ]
        read_only_fields = fields

    def get_is_about_this(self, review: Review) -> bool:
        """Whether the doctor looked at this reading."""
        return bool(self.context["standing"].is_reviewed)

    def get_statement(self, review: Review) -> str:
        """As the page says it."""
        return title(review)


@dataclass(frozen=True)
class _Told:
    """What one reader is told of a reading's danger."""

    standing: Standing
    is_held: bool

    @functools.cached_property
    def _felt(self) -> Danger | None:
        """What the symptoms say by themselves, where there is nothing that counts more: it waits neither for
        the reading nor for a doctor.
        """
        analysis, case = self.standing.analysis, self.standing.analysis.scan.case
        if analysis.is_finished and not self.is_held:
            return None
        says = self.standing.rules.felt(case.symptoms, case.age_group)
        # A doctor's level of an earlier reading is a floor, as it will be for this one.
        return says if says and (self.is_held or is_worse(says.level, self.standing.level)) else None

    @property
    def level(self) -> str:
        """The level that counts; "" while there is none to tell."""
        if self._felt or self.is_held:
            return self._felt.level if self._felt else ""
        return self.standing.level

    @property
    def source(self) -> str:
        """Whose level it is; "" without one."""
        if not self.level:
            return ""
        return "symptoms" if self._felt else self.standing.source

    @functools.cached_property
    def words(self) -> tuple[list[str], str]:
        """Reasons, and what to do."""
        if self._felt:
            return list(self._felt.reasons), self._felt.next_step
        if self.is_held:
            return [], _("A doctor looks at it first. If you feel ill, do not wait for it: see a doctor.")
        return words(self.standing)


class AnalysisSerializer(serializers.ModelSerializer[Analysis]):
    """One run of one model version on one scan, with its findings."""

    scan = serializers.UUIDField(source="scan_id", read_only=True)
    kind = serializers.SerializerMethodField(help_text="What the scan was read as; empty until known.")
    held_back = serializers.SerializerMethodField(
        help_text="A doctor looks at this reading first; until then you do not see what it says."
    )
    danger = serializers.SerializerMethodField(
        help_text="The level that counts: a doctor's signed one before the model's. What the symptoms say by "
        "themselves while there is no reading, or none that you see yet; empty where they say nothing."
    )
    danger_by = serializers.SerializerMethodField(
        help_text="Whose level it is: model (with the symptoms it knew), doctor, or symptoms (given since a "
        "doctor looked, or all that is known yet); empty where there is no level."
    )
    ai_danger = serializers.SerializerMethodField(help_text="The level without any doctor's review.")
    review = serializers.SerializerMethodField(
        help_text="The signed review of the scan that counts; null without one. `is_about_this` false: it is "
        "about another reading."
    )
    report_url = serializers.SerializerMethodField(
        help_text="The report as PDF; null while there is no answer, or it is held back from you."
    )
    case = serializers.UUIDField(source="scan.case_id", read_only=True)
    model_version = serializers.UUIDField(source="model_version_id", read_only=True, allow_null=True)
    findings = FindingSerializer(many=True, read_only=True)
    probabilities = serializers.DictField(
        child=serializers.FloatField(),
        read_only=True,
        help_text="Calibrated probability of every label of the model, claimed as a finding or not.",
    )
    timings_ms = serializers.DictField(child=serializers.FloatField(), read_only=True)
    reason = serializers.CharField(
        source="said_reason",
        read_only=True,
        help_text="Why there is no reading, in the language asked for; empty where there is one.",
    )
    age_group = serializers.ChoiceField(
        choices=[*Case.AgeGroup.values, ""],
        read_only=True,
        help_text="What it was read for; empty where that was not kept. The case may say otherwise by now.",
    )
    marks = serializers.DictField(
        child=serializers.ListField(child=serializers.FloatField(allow_null=True)),
        read_only=True,
        help_text="By label from which probability on it was called possible and likely; null: never.",
    )
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
            "held_back",
            "danger",
            "danger_by",
            "ai_danger",
            "review",
            "danger_reasons",
            "next_step",
            "danger_rules",
            "rules_version",
            "report_url",
            "findings",
            "probabilities",
            "key_slice",
            "key_plane",
            "slices_read",
            "age_group",
            "marks",
            "timings_ms",
            "queued_at",
            "started_at",
            "finished_at",
        ]
        read_only_fields = fields

    def get_held_back(self, analysis: Analysis) -> bool:
        """Whether a doctor looks at it first."""
        return self._of(analysis).is_held

    @extend_schema_field(_KIND)
    def get_kind(self, analysis: Analysis) -> str:
        """The kind."""
        return analysis.kind

    @extend_schema_field(_LEVEL)
    def get_danger(self, analysis: Analysis) -> str:
        """The level that counts."""
        return self._of(analysis).level

    @extend_schema_field(serializers.ChoiceField(choices=["model", "doctor", "symptoms", ""]))
    def get_danger_by(self, analysis: Analysis) -> str:
        """Whose level it is."""
        return self._of(analysis).source

    @extend_schema_field(_LEVEL)
    def get_ai_danger(self, analysis: Analysis) -> str:
        """The level without a doctor."""
        return "" if self._of(analysis).is_held else analysis.danger

    @extend_schema_field(ReviewNoteSerializer(allow_null=True))
    def get_review(self, analysis: Analysis) -> dict[str, Any] | None:
        """The review that counts."""
        standing = self._of(analysis).standing
        if standing.review is None or self._of(analysis).is_held:
            return None
        return dict(ReviewNoteSerializer(standing.review, context={"standing": standing}).data)

    @extend_schema_field(serializers.URLField(allow_null=True))
    def get_report_url(self, analysis: Analysis) -> str | None:
        """Address of the PDF."""
        if analysis.status not in Analysis.ANSWERED or self._of(analysis).is_held:
            return None
        return reverse("analysis-report", args=[analysis.pk], request=self.context["request"])

    def get_danger_reasons(self, analysis: Analysis) -> list[str]:
        """The sentences of the rules that fired, or what stands beside a doctor's level."""
        return self._of(analysis).words[0]

    def get_next_step(self, analysis: Analysis) -> str:
        """The decisive rule's advice, or what follows from the doctor's level."""
        return self._of(analysis).words[1]

    def to_representation(self, analysis: Analysis) -> dict[str, Any]:
        """Of what is held back only that it is there."""
        shown = super().to_representation(analysis)
        if self._of(analysis).is_held:
            shown.update(findings=[], probabilities={}, danger_rules=[], key_slice=None, key_plane="")
            # Heatmaps are made of suspected diseases only, so even their time would tell.
            shown.update(timings_ms={}, marks={}, started_at=None, finished_at=None)
        return shown

    @functools.cached_property
    def _told(self) -> dict[uuid.UUID, _Told]:
        return {}

    @functools.cached_property
    def _rules(self) -> Rules:
        return Rules()

    def _of(self, analysis: Analysis) -> _Told:
        """What the reader is told of a reading; worked out once."""
        if analysis.pk not in self._told:
            seen = self.context.get("seen") or seen_by(self.context["request"].user, [analysis])
            standing = Standing(analysis, seen.reviews.of(analysis.scan_id, analysis.pk), self._rules)
            self._told[analysis.pk] = _Told(standing, analysis.pk in seen.held)
        return self._told[analysis.pk]


class AnalysisRequestSerializer(serializers.Serializer):
    """The scan that should be read."""

    scan = serializers.UUIDField()
