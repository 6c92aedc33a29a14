"""How cases and scans look over the API.

What a case's symptoms mean is known to the apps above; they hand it in with `use_alarms`.
"""

from collections.abc import Callable
from functools import cached_property
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.fields import empty
from rest_framework.reverse import reverse
from rest_framework.utils import html, json

from cases import selectors
from cases.levels import RANKS
from cases.models import Case, Scan
from pmi_site.parsers import check_text

AlarmOf = Callable[[Case], dict[str, Any] | None]
_alarms: list[Callable[[], AlarmOf]] = []


def use_alarms(make: Callable[[], AlarmOf]) -> None:
    """Have `make` called for each answer; what it makes says what the symptoms of a case mean by themselves:
    `AlarmSerializer`'s fields in the reader's language, or None.
    """
    _alarms[:] = [make]


class AlarmSerializer(serializers.Serializer[dict[str, Any]]):
    """What symptoms say by themselves, whatever a scan shows."""

    level = serializers.ChoiceField(choices=list(RANKS), help_text="Danger level.")
    reasons = serializers.ListField(child=serializers.CharField(), help_text="Why, most dangerous first.")
    next_step = serializers.CharField(help_text="What to do now.")


class SymptomsField(serializers.DictField):
    """Answers by code, as an object. A form, which has no objects, sends them as JSON in one field of this
    name, or each in a field of its own (`symptoms.fever=true`).
    """

    def get_value(self, dictionary: Any) -> Any:
        """What was sent; text of a form that is no JSON is left as it is, and refused as no object."""
        if not html.is_html_input(dictionary):
            return super().get_value(dictionary)
        name = str(self.field_name)
        each = html.parse_html_dict(dictionary, prefix=name)
        answers = {code: _answer(text) for code, text in each.items()}
        if name not in dictionary:
            return answers or empty
        text = dictionary[name]
        # Empty text takes all answers back.
        whole = {} if text == "" else _answer(text)
        return {**whole, **answers} if isinstance(whole, dict) else whole


def _answer(text: Any) -> Any:
    """The JSON in a field of a form, or the text where there is none."""
    try:
        read = json.loads(text)
        check_text(read)
    except (TypeError, ValueError, RecursionError):
        return text
    return read


class CaseSerializer(serializers.ModelSerializer[Case]):
    """One question about one patient."""

    title = serializers.CharField(
        max_length=120, required=False, help_text="Named after its kind and today's date when left out."
    )
    patient = serializers.UUIDField(source="patient_id", read_only=True, help_text="Whose case it is.")
    symptoms = SymptomsField(
        required=False,
        help_text="Answers by symptom code: true, false or a number. A missing code was not answered. "
        "PATCH replaces all answers. In a form: JSON in one field, or a field `symptoms.CODE` for each. "
        "Codes and what they take: /api/v1/symptoms/.",
    )
    alarm = serializers.SerializerMethodField(
        help_text="What the symptoms say by themselves, in the language asked for, before there is any "
        "reading too; null when nothing."
    )
    may_write = serializers.SerializerMethodField(help_text="Whether you may change the case and add scans.")

    class Meta:
        model = Case
        fields = [
            "id",
            "title",
            "question",
            "kind",
            "age_group",
            "symptoms",
            "alarm",
            "patient",
            "may_write",
            "created_at",
            "updated_at",
        ]
        read_only_fields = ["id", "created_at", "updated_at"]

    @extend_schema_field(AlarmSerializer(allow_null=True))
    def get_alarm(self, case: Case) -> dict[str, Any] | None:
        """Seen by whoever may see the case: it comes from what the patient answered, not from a review."""
        return next((said for alarm_of in self._alarms if (said := alarm_of(case))), None)

    @cached_property
    def _alarms(self) -> list[AlarmOf]:
        return [make() for make in _alarms]

    def get_may_write(self, case: Case) -> bool:
        """Whether the asking user may change the case."""
        return selectors.may_write(self.context["request"].user, case)


class ScanSerializer(serializers.ModelSerializer[Scan]):
    """One acquisition as stored. Files are fetched from the addresses given, with the same credentials."""

    case = serializers.UUIDField(source="case_id", read_only=True)
    spacing = serializers.ListField(
        child=serializers.FloatField(),
        min_length=3,
        max_length=3,
        allow_null=True,
        read_only=True,
        help_text="Millimetres per axis of the canonical volume; null when the file did not say.",
    )
    notes = serializers.ListField(
        source="said_notes",
        child=serializers.CharField(),
        read_only=True,
        help_text="What to know about this scan, in the language asked for.",
    )
    volume_url = serializers.SerializerMethodField(help_text="Canonical NIfTI (.nii.gz).")
    preview_url = serializers.SerializerMethodField(help_text="Small PNG.")
    original_url = serializers.SerializerMethodField(help_text="The original, de-identified.")

    class Meta:
        model = Scan
        fields = [
            "id",
            "case",
            "sha256",
            "source_format",
            "modality",
            "body_part",
            "plane",
            "description",
            "notes",
            "width",
            "height",
            "slices",
            "spacing",
            "is_colour",
            "byte_size",
            "volume_url",
            "preview_url",
            "original_url",
            "created_at",
        ]
        read_only_fields = fields

    @extend_schema_field(serializers.URLField())
    def get_volume_url(self, scan: Scan) -> str:
        """Address of the canonical volume."""
        return self._url("scan-volume", scan)

    @extend_schema_field(serializers.URLField())
    def get_preview_url(self, scan: Scan) -> str:
        """Address of the preview."""
        return self._url("scan-preview", scan)

    @extend_schema_field(serializers.URLField())
    def get_original_url(self, scan: Scan) -> str:
        """Address of the original."""
        return self._url("scan-original", scan)

    def _url(self, name: str, scan: Scan) -> str:
        return reverse(name, args=[scan.pk], request=self.context["request"])


class UploadSerializer(serializers.Serializer):
    """One or many files, each in a part named ``files``. The files of one DICOM series belong in one
    request."""

    files = serializers.ListField(child=serializers.FileField(allow_empty_file=True), allow_empty=False)


class CreatedScanSerializer(ScanSerializer):
    """A new scan in the answer to its upload."""

    names = serializers.SerializerMethodField(
        help_text="The files as you named them, for this answer only: more than one where the same was sent "
        "twice, or they make one series."
    )

    class Meta(ScanSerializer.Meta):
        fields = [*ScanSerializer.Meta.fields, "names"]
        read_only_fields = fields

    def get_names(self, scan: Scan) -> list[str]:
        """The sender's own names; nothing keeps them."""
        return list(self.context["names"][scan.pk])


class DuplicateSerializer(serializers.Serializer):
    """A picture that the case already held."""

    scan = serializers.UUIDField(source="scan.pk", help_text="The scan that is already there.")
    names = serializers.ListField(child=serializers.CharField(), help_text="The files as you named them.")


class RefusedSerializer(serializers.Serializer):
    """A file that could not be taken."""

    name = serializers.CharField(help_text="The file as you named it.")
    code = serializers.CharField(help_text="The reason, for programs.")
    message = serializers.CharField(help_text="The reason and what to do, for people.")


class UploadResultSerializer(serializers.Serializer):
    """What became of each file of an upload."""

    created = CreatedScanSerializer(many=True, source="scans")
    duplicates = DuplicateSerializer(many=True)
    refused = RefusedSerializer(many=True)


class ErrorSerializer(serializers.Serializer):
    """Why a request was refused."""

    detail = serializers.CharField()
    code = serializers.CharField()
