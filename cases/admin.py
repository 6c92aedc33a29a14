"""The admin's view of cases: that they exist and how large they are. No questions, no pictures, no files."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from cases.models import Case, Scan


class _ReadOnlyAdmin(admin.ModelAdmin):
    def has_add_permission(self, request: HttpRequest) -> bool:
        """Patients open cases, not administrators."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nothing is edited here."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Patients delete what is theirs."""
        return False


@admin.register(Case)
class CaseAdmin(_ReadOnlyAdmin):
    """Cases without what they are about."""

    fields = ["id", "kind", "created_at"]
    list_display = ["id", "kind", "created_at"]
    list_filter = ["kind", "created_at"]


@admin.register(Scan)
class ScanAdmin(_ReadOnlyAdmin):
    """Scans without pixels or files."""

    fields = ["id", "source_format", "modality", "width", "height", "slices", "byte_size", "created_at"]
    list_display = ["id", "source_format", "modality", "width", "height", "slices", "byte_size", "created_at"]
    list_filter = ["source_format", "modality", "created_at"]
