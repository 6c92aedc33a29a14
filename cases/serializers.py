"""How cases and scans look over the API."""

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.reverse import reverse

from cases import selectors
from cases.models import Case, Scan


class CaseSerializer(serializers.ModelSerializer[Case]):
    """One question about one patient."""

    title = serializers.CharField(
        max_length=120, required=False, help_text="Named after its kind and today's date when left out."
    )
    patient = serializers.UUIDField(source="patient_id", read_only=True, help_text="Whose case it is.")
    symptoms = serializers.DictField(
        required=False,
        help_text="Answers by symptom code: true, false or a number. A missing code was not answered. "
        "PATCH replaces all answers.",
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
            "patient",
            "may_write",
            "created_at",
            "updated_at",
        ]
        read_only_fields = ["id", "created_at", "updated_at"]

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

    created = ScanSerializer(many=True, source="scans")
    duplicates = DuplicateSerializer(many=True)
    refused = RefusedSerializer(many=True)


class ErrorSerializer(serializers.Serializer):
    """Why a request was refused."""

    detail = serializers.CharField()
    code = serializers.CharField()
