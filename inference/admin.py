"""The administrator's desk for models and readings. Medical content (findings, danger, probabilities) is not
shown.
"""

from __future__ import annotations

from django.contrib import admin

from inference import (
    operations_admin,  # noqa: F401  (each registers its desk)
    registry_admin,  # noqa: F401
    rules_admin,  # noqa: F401
)
from inference.models import VectorSpace
from pmi_site.admin import ReadOnlyAdmin


@admin.register(VectorSpace)
class VectorSpaceAdmin(ReadOnlyAdmin):
    """How far each embedding space is filled."""

    list_display = (
        *("model_version", "state", "done", "total", "failed"),
        *("scans_done", "scans_total", "scans_failed"),
        *("dims", "kept", "indexed", "finished_at"),
    )
    list_select_related = ("model_version",)
