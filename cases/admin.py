"""The admin's view of cases: that they exist and how large they are. No questions, no pictures, no files."""

from django.contrib import admin

from cases.models import Case, Scan
from pmi_site.admin import ReadOnlyAdmin


@admin.register(Case)
class CaseAdmin(ReadOnlyAdmin):
    """Cases without what they are about."""

    fields = ["id", "kind", "created_at"]
    list_display = ["id", "kind", "created_at"]
    list_filter = ["kind", "created_at"]


@admin.register(Scan)
class ScanAdmin(ReadOnlyAdmin):
    """Scans without pixels or files."""

    fields = ["id", "source_format", "modality", "width", "height", "slices", "byte_size", "created_at"]
    list_display = ["id", "source_format", "modality", "width", "height", "slices", "byte_size", "created_at"]
    list_filter = ["source_format", "modality", "created_at"]
