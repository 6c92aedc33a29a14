"""The model registry: which versions there are and how well they do, which one reads, which one is on trial.

For administrators with the permissions of model versions. Counts and ids only: nobody here sees a patient.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Count
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext as _

from accounts.models import Role
from inference import (
    bundle_places,
    explained,
    model_charts,
    model_docs,
    model_figures,
    promotion,
    shadow,
    shadow_comparison,
)
from inference.models import Kind, ModelVersion, VectorSpace
from inference.registry_tasks import measure_model
from pmi_site.admin import ReadOnlyAdmin
from pmi_site.errors import UserError

LIST = "admin:inference_modelversion_changelist"


class AdministratorsOnly(ReadOnlyAdmin):
    """For people whose role is administrator and who have the permission; being a superuser is not asked."""

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return is_administrator(request) and super().has_view_permission(request, obj)

    def has_module_permission(self, request: HttpRequest) -> bool:
        return is_administrator(request) and super().has_module_permission(request)


def is_administrator(request: HttpRequest) -> bool:
    """Whether the role of whoever asks is administrator."""
    return getattr(request.user, "role", None) == Role.ADMIN


@dataclass(frozen=True)
class Row:
    """A version in the list: what it does, and what is on disk."""

    version: ModelVersion
    state: str
    on_disk: str
    readings: int
    figures: list[model_docs.Figure]


@admin.register(ModelVersion)
class ModelVersionAdmin(AdministratorsOnly):
    """Versions come from `register_models`; here one is chosen to read or to be tried."""

    class Media:
        css = {"all": ["resources/desk.css", "inference/registry.css"]}

    def get_urls(self) -> list[URLPattern]:
        views: dict[str, Any] = {
            "promote": self.promote_view,
            "roll_back": self.roll_back_view,
            "shadow": self.shadow_view,
            "check": self.check_view,
            "compare": self.compare_view,
            "agreement": self.agreement_view,
        }
        pages = [
            path(
                f"<uuid:version_id>/{name}/", self.admin_site.admin_view(view), name=f"inference_model_{name}"
            )
            for name, view in views.items()
        ]
        return [*pages, *super().get_urls()]

    def has_change_registry_permission(self, request: HttpRequest) -> bool:
        """Choosing what reads is for whoever may change model versions."""
        return is_administrator(request) and request.user.has_perm("inference.change_modelversion")

    # --- looking --------------------------------------------------------------------------------------------

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """All versions by kind."""
        self._require(request)
        versions = ModelVersion.objects.annotate(readings=Count("analyses")).order_by("-created_at")
        kinds = []
        for kind, name in Kind.choices:
            rows = [version for version in versions if version.kind == kind]
            active = next((row for row in rows if row.is_active), None)
            before = promotion.previous_of(active) if active else None
            shown = sorted((_row(row, before) for row in rows), key=lambda row: _ORDER.index(row.state))
            kinds.append(
                {
                    "name": name,
                    "rows": shown,
                    "active": active,
                    "before": before,
                    "history": promotion.history(kind)[:6],
                }
            )
        return self._show(request, "list.html", str(_("Model registry")), {"kinds": kinds})

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """One version: state, figures, data sheet, model card, reporting table."""
        self._require(request)
        version = _get(object_id)
        active = promotion.active_of(version.kind)
        context = {
            "version": version,
            "active": active,
            "row": _row(version, promotion.previous_of(active) if active else None),
            "space": VectorSpace.objects.filter(model_version=version).first(),
            "figures": model_docs.figures(version),
            "sheet": model_docs.data_sheet(version),
            "labels": [one for one in version.metadata.get("labels", []) if isinstance(one, dict)],
            "limits": version.metadata.get("limits", []),
            "intended_use": version.metadata.get("intended_use", ""),
            "changelog": list((version.metadata.get("changelog") or {}).items()),
            "documents": [
                (_("Model card"), model_docs.document(version, "card")),
                (_("Reporting table (CLAIM, TRIPOD+AI)"), model_docs.document(version, "claim")),
            ],
            "holes": explained.holes(version),
            "may_be_shadow": version.kind != Kind.GATE and active is not None and active != version,
        }
        return self._show(request, "version.html", str(version), context)

    def compare_view(self, request: HttpRequest, version_id: uuid.UUID) -> HttpResponse:
        """A version on trial beside the active one."""
        self._require(request)
        version = _get(version_id)
        others = ModelVersion.objects.filter(kind=version.kind).exclude(pk=version.pk)
        chosen = request.GET.get("against")
        against = _get(chosen) if chosen else others.filter(is_active=True).first() or others.first()
        if against is not None and (against.kind != version.kind or against == version):
            raise Http404
        context = {
            "version": version,
            "others": others,
            "result": shadow_comparison.compare(version, against) if against else None,
            "calls": shadow_comparison.CALLS,
            "most": shadow_comparison.MOST,
        }
        return self._show(request, "compare.html", str(_("%(v)s on trial") % {"v": version}), context)

    def agreement_view(self, request: HttpRequest, version_id: uuid.UUID) -> HttpResponse:
        """A version against signed reviews and against its first weeks; measured in the background."""
        self._require(request)
        version = _get(version_id)
        if request.method == "POST":
            measure_model.delay(str(version.pk))
            self.message_user(request, _("It is measured in the background. Look again in a minute."))
            return HttpResponseRedirect(request.path)
        snapshot = model_figures.figures_of(version)
        figures = snapshot.figures if snapshot else {}
        context = {
            "version": version,
            "snapshot": snapshot,
            "figures": figures,
            "charts": model_charts.over_months(figures.get("months") or []),
            "drift": model_charts.drift_rows(figures.get("drift") or {}),
            "means_something": model_figures.MEANS_SOMETHING,
            "drift_from": model_figures.DRIFT_FROM,
            "stable": model_figures.STABLE,
        }
        return self._show(request, "agreement.html", str(_("%(v)s in use") % {"v": version}), context)

    # --- deciding -------------------------------------------------------------------------------------------

    def promote_view(self, request: HttpRequest, version_id: uuid.UUID) -> HttpResponse:
        """Asks once more, then lets a version read."""
        self._require(request, change=True)
        version = _get(version_id)
        active = promotion.active_of(version.kind)
        if request.method == "POST":
            self._do(
                request,
                version,
                "promoted",
                lambda: promotion.promote(version, _user(request), _seen(request)),
                _("%(version)s reads from now on.") % {"version": version},
            )
            return HttpResponseRedirect(_page(version))
        context = {
            "version": version,
            "active": active,
            "on_disk": promotion.check_files(version),
            "holes": explained.holes(version),
            "figures": model_docs.headline(version),
            "active_figures": model_docs.headline(active) if active else [],
            "result": shadow_comparison.compare(version, active) if active and active != version else None,
        }
        title = str(_("Let %(v)s read from now on?") % {"v": version})
        return self._show(request, "promote.html", title, context)

    def roll_back_view(self, request: HttpRequest, version_id: uuid.UUID) -> HttpResponse:
        """Lets the version before read again."""
        self._require(request, change=True)
        active = _get(version_id)
        if request.method == "POST":
            self._do(
                request,
                active,
                "rolled back",
                lambda: promotion.roll_back(active, _user(request)),
                _("The version before reads again."),
            )
        return HttpResponseRedirect(reverse(LIST))

    def shadow_view(self, request: HttpRequest, version_id: uuid.UUID) -> HttpResponse:
        """Starts or ends a trial beside the active version."""
        self._require(request, change=True)
        version = _get(version_id)
        if request.method == "POST":
            if request.POST.get("shadow") == "on":
                text = _("On trial: it reads every scan of its kind after the active version, unseen.")
                self._do(request, version, "shadow on", lambda: shadow.start(version, _user(request)), text)
            else:
                text = _("The trial has ended. What it read stays for comparison.")
                self._do(request, version, "shadow off", lambda: shadow.stop(version, _user(request)), text)
        return HttpResponseRedirect(_page(version))

    def check_view(self, request: HttpRequest, version_id: uuid.UUID) -> HttpResponse:
        """Verifies the hash of every file of a version now."""
        self._require(request)
        version = _get(version_id)
        if request.method == "POST":
            found = promotion.check_files(version)
            if found.state == "there":
                self.message_user(request, _("Every file is as it was registered."))
            else:
                self.message_user(request, f"{found.state}: {found.problem}", messages.ERROR)
        return HttpResponseRedirect(_page(version))

    # --- shared ---------------------------------------------------------------------------------------------

    def _require(self, request: HttpRequest, *, change: bool = False) -> None:
        if not self.has_view_permission(request):
            raise PermissionDenied
        if change and not self.has_change_registry_permission(request):
            raise PermissionDenied

    def _do(self, request: HttpRequest, version: ModelVersion, what: str, action: Any, text: str) -> None:
        try:
            action()
        except UserError as error:
            self.message_user(request, error.message, messages.ERROR)
            return
        self.log_change(request, version, what)
        self.message_user(request, text)

    def _show(self, request: HttpRequest, template: str, title: str, context: dict[str, Any]) -> HttpResponse:
        everywhere = {
            **self.admin_site.each_context(request),
            "title": title,
            "opts": self.opts,
            "media": self.media,
            "may_change": self.has_change_registry_permission(request),
        }
        return TemplateResponse(request, f"admin/inference/registry/{template}", {**everywhere, **context})


_ORDER = ("active", "shadow", "previous", "retired", "registered")


def _row(version: ModelVersion, before: ModelVersion | None) -> Row:
    if version.is_active:
        state = "active"
    elif version.is_shadow:
        state = "shadow"
    elif version == before:
        state = "previous"
    else:
        state = "retired" if promotion.has_read(version) else "registered"
    readings = getattr(version, "readings", None)
    return Row(
        version,
        state,
        # Whole only when its files were verified; here it is only looked whether it is there.
        "missing" if bundle_places.place_of(version) is None else version.problem.split(":")[0] or "there",
        version.analyses.count() if readings is None else int(readings),
        model_docs.headline(version),
    )


def _get(version_id: Any) -> ModelVersion:
    try:
        return ModelVersion.objects.get(pk=uuid.UUID(str(version_id)))
    except (ValueError, ModelVersion.DoesNotExist) as error:
        raise Http404("No such model version.") from error


def _seen(request: HttpRequest) -> uuid.UUID | None:
    """The version that the page showed as the active one."""
    try:
        return uuid.UUID(request.POST.get("replaces", ""))
    except ValueError:
        return None


def _user(request: HttpRequest) -> Any:
    return request.user


def _page(version: ModelVersion) -> str:
    return reverse("admin:inference_modelversion_change", args=[version.pk])
