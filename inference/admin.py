"""The administrator's desk for models and readings. Medical content (findings, danger, probabilities) is not
shown.
"""

from __future__ import annotations

import json
from typing import Any

from django.contrib import admin, messages
from django.db.models import Count, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from accounts.admin import ReadOnlyAdmin
from inference import (
    rules_admin,  # noqa: F401  (registers the danger rules)
    services,
)
from inference.models import Analysis, ModelVersion, VectorSpace
from pmi_site.errors import UserError


@admin.register(ModelVersion)
class ModelVersionAdmin(ReadOnlyAdmin):
    """Versions with their figures. They come from `register_models`; here one is chosen to read."""

    list_display = ("kind", "version", "is_active", "headline", "readings", "created_at")
    list_filter = ("kind", "is_active")
    fields = (
        "kind",
        "version",
        "is_active",
        "bundle",
        "sha256",
        "intended_use",
        "figures",
        "limits",
        "created_at",
    )
    readonly_fields = fields
    actions = ("activate",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[ModelVersion]:
        return super().get_queryset(request).annotate(reading_count=Count("analyses"))

    @admin.display(description=_("readings"), ordering="reading_count")
    def readings(self, version: Any) -> int:
        """How many analyses this version made."""
        return int(version.reading_count)

    @admin.display(description=_("figures"))
    def headline(self, version: ModelVersion) -> str:
        """The single numbers of the overall figures."""
        overall = (version.metadata.get("eval_metrics") or {}).get("all") or {}
        shown = []
        for name, value in overall.items():
            number = value.get("value") if isinstance(value, dict) else value
            if isinstance(number, int | float):
                shown.append(f"{name.replace('_', ' ')} {number:g}")
        return ", ".join(shown[:5]) or "-"

    @admin.display(description=_("all figures"))
    def figures(self, version: ModelVersion) -> str:
        """All that was measured, as the bundle says it."""
        return format_html("<pre>{}</pre>", json.dumps(version.metadata.get("eval_metrics", {}), indent=1))

    @admin.display(description=_("intended use"))
    def intended_use(self, version: ModelVersion) -> str:
        """What the model is for."""
        return str(version.metadata.get("intended_use", ""))

    @admin.display(description=_("limits"))
    def limits(self, version: ModelVersion) -> str:
        """What it is known not to do."""
        return "; ".join(str(limit) for limit in version.metadata.get("limits", []))

    @admin.action(description=_("Let the chosen version read its kind from now on"), permissions=["activate"])
    def activate(self, request: HttpRequest, queryset: QuerySet[ModelVersion]) -> None:
        """Activates one version of each kind that was chosen."""
        versions = list(queryset.order_by("kind"))
        if len({version.kind for version in versions}) != len(versions):
            self.message_user(request, _("Choose one version of each kind."), messages.ERROR)
            return
        for version in versions:
            try:
                services.activate(version)
            except UserError as error:
                self.message_user(request, error.message, messages.ERROR)
                continue
            self.log_change(request, version, "activated")
            self.message_user(request, _("%(version)s reads from now on.") % {"version": version})

    def has_activate_permission(self, request: HttpRequest) -> bool:
        """Choosing what reads is for whoever may change model versions."""
        return request.user.has_perm("inference.change_modelversion")


@admin.register(Analysis)
class AnalysisAdmin(ReadOnlyAdmin):
    """The queue and what is failing: states, reasons and times, no findings."""

    list_display = (
        "id",
        "status",
        "stage",
        "kind",
        "reason_code",
        "attempt",
        "model_version",
        "queued_at",
        "took",
    )
    list_filter = ("status", "reason_code", "kind", "model_version")
    list_select_related = ("model_version",)
    date_hierarchy = "queued_at"
    search_fields = ("=id", "=scan__id")
    show_full_result_count = False
    fields = (
        "id",
        "scan_id",
        "status",
        "stage",
        "kind",
        "model_version",
        "attempt",
        "reason_code",
        "timings_ms",
        "slices_read",
        "queued_at",
        "dispatched_at",
        "started_at",
        "lease_expires_at",
        "finished_at",
    )
    readonly_fields = fields
    actions = ("retry",)

    @admin.display(description=_("took"))
    def took(self, analysis: Analysis) -> str:
        """Seconds from start to end."""
        if analysis.started_at is None or analysis.finished_at is None:
            return "-"
        return f"{(analysis.finished_at - analysis.started_at).total_seconds():.1f} s"

    @admin.action(description=_("Read the scans of failed or refused analyses again"), permissions=["retry"])
    def retry(self, request: HttpRequest, queryset: QuerySet[Analysis]) -> None:
        """Asks for a new reading of what failed or was refused; others are left alone."""
        again = queryset.filter(status__in=[Analysis.Status.FAILED, Analysis.Status.REJECTED])
        count = services.retry(list(again))
        text = ngettext("%(count)d scan will be read again.", "%(count)d scans will be read again.", count)
        self.message_user(request, text % {"count": count})

    def has_retry_permission(self, request: HttpRequest) -> bool:
        """Asking again is for whoever may change analyses."""
        return request.user.has_perm("inference.change_analysis")


@admin.register(VectorSpace)
class VectorSpaceAdmin(ReadOnlyAdmin):
    """How far each embedding space is filled."""

    list_display = (
        *("model_version", "state", "done", "total", "failed"),
        *("dims", "kept", "indexed", "finished_at"),
    )
    list_select_related = ("model_version",)
