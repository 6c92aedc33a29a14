"""Operations: queues, workers, times, failures and storage on one page, and the list of all readings.

States, reason codes and times, no findings: nobody here sees what a reading says.
"""

from __future__ import annotations

import uuid
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from inference import operations, services
from inference.models import Analysis
from inference.registry_admin import AdministratorsOnly, is_administrator
from inference.registry_tasks import measure_storage
from pmi_site.errors import UserError

PAGE = "admin:inference_operations"


@admin.register(Analysis)
class AnalysisAdmin(AdministratorsOnly):
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

    class Media:
        css = {"all": ["resources/desk.css", "inference/registry.css"]}

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        return [
            path("operations/", wrap(self.operations_view), name="inference_operations"),
            path("operations/storage/", wrap(self.storage_view), name="inference_measure_storage"),
            path("<uuid:analysis_id>/again/", wrap(self.again_view), name="inference_try_again"),
            *super().get_urls(),
        ]

    def operations_view(self, request: HttpRequest) -> HttpResponse:
        """How the site runs now."""
        self._require(request)
        readings = operations.readings()
        context = {
            **self.admin_site.each_context(request),
            "title": str(_("Operations")),
            "opts": self.opts,
            "media": self.media,
            "may_retry": self.has_retry_permission(request),
            "queues": operations.queue_depths(),
            "workers": operations.kept(operations.WORKERS),
            "readings": readings,
            "states": [(name, readings.states[value]) for value, name in Analysis.Status.choices],
            "latencies": operations.latencies(),
            "failures": operations.failures(),
            "most_failures": operations.FAILURES_SHOWN,
            "tries": operations.TRIES_A_DAY,
            "storage": operations.kept(operations.STORAGE),
        }
        return TemplateResponse(request, "admin/inference/operations/page.html", context)

    def storage_view(self, request: HttpRequest) -> HttpResponse:
        """Has the storage measured anew, in the background."""
        self._require(request)
        if request.method == "POST":
            measure_storage.delay()
            self.message_user(request, _("It is measured in the background. Look again in a minute."))
        return HttpResponseRedirect(reverse(PAGE))

    def again_view(self, request: HttpRequest, analysis_id: uuid.UUID) -> HttpResponse:
        """Has a failed scan read again."""
        self._require(request)
        if not self.has_retry_permission(request):
            raise PermissionDenied
        analysis = Analysis.objects.select_related("scan__case").filter(pk=analysis_id).first()
        if analysis is None:
            raise Http404("No such analysis.")
        if request.method == "POST":
            user: Any = request.user
            try:
                operations.try_again(analysis, user)
            except UserError as error:
                self.message_user(request, error.message, messages.ERROR)
            else:
                self.log_change(request, analysis, "read again")
                self.message_user(request, _("It will be read again."))
        return HttpResponseRedirect(reverse(PAGE))

    def _require(self, request: HttpRequest) -> None:
        if not self.has_view_permission(request):
            raise PermissionDenied

    @admin.display(description=gettext_lazy("took"))
    def took(self, analysis: Analysis) -> str:
        """Seconds from start to end."""
        if analysis.started_at is None or analysis.finished_at is None:
            return "-"
        return f"{(analysis.finished_at - analysis.started_at).total_seconds():.1f} s"

    @admin.action(
        description=gettext_lazy("Read the scans of failed or refused analyses again"), permissions=["retry"]
    )
    def retry(self, request: HttpRequest, queryset: QuerySet[Analysis]) -> None:
        """Asks for a new reading of what failed or was refused; others are left alone."""
        again = queryset.filter(status__in=[Analysis.Status.FAILED, Analysis.Status.REJECTED])
        count = services.retry(list(again))
        text = ngettext("%(count)d scan will be read again.", "%(count)d scans will be read again.", count)
        self.message_user(request, text % {"count": count})

    def has_retry_permission(self, request: HttpRequest) -> bool:
        """Asking again is for whoever may change analyses."""
        return is_administrator(request) and request.user.has_perm("inference.change_analysis")
