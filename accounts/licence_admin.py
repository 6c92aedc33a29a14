"""The administrator's page with the doctors who wait."""

from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST

from accounts import licences
from accounts.models import Role, User
from pmi_site.errors import UserError

if TYPE_CHECKING:
    _Base = admin.ModelAdmin[User]
else:
    _Base = object


def _administrator(request: HttpRequest) -> User:
    """Whoever asks, who must be an administrator: staff with other tasks verify nobody."""
    if not isinstance(request.user, User) or request.user.role != Role.ADMIN:
        raise PermissionDenied
    return request.user


def _moment(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


class LicenceQueueMixin(_Base):
    """Adds the queue to the administration of users."""

    def get_urls(self) -> list[URLPattern]:
        """The queue, and the decision on one licence."""
        wrap = self.admin_site.admin_view
        return [
            path("licences/", wrap(require_http_methods(["GET"])(self.queue_view)), name="accounts_licences"),
            path(
                "licences/<uuid:doctor_id>/",
                wrap(require_POST(self.decide_view)),
                name="accounts_licence_decide",
            ),
            *super().get_urls(),
        ]

    def queue_view(self, request: HttpRequest) -> HttpResponse:
        """Doctors who wait, oldest first."""
        _administrator(request)
        return self._page(request, {})

    def decide_view(self, request: HttpRequest, doctor_id: UUID) -> HttpResponse:
        """POST `decision` is "verify" with `checks`, or "decline" with `reason`. What was typed is kept."""
        by = _administrator(request)
        doctor = User.objects.filter(pk=doctor_id, doctor_profile__isnull=False).first()
        if doctor is None:
            raise Http404
        typed = {"checks": request.POST.getlist("checks"), "reason": request.POST.get("reason", "")}
        try:
            if request.POST.get("decision") == "verify":
                seen = _moment(request.POST.get("waiting_since", ""))
                licences.verify(doctor, by, typed["checks"], waiting_since=seen)
                text = _("The licence of %(name)s is verified.")
            else:
                licences.decline(doctor, by, str(typed["reason"]))
                text = _("The licence of %(name)s is declined; the doctor is told.")
        except UserError as error:
            return self._page(request, {"id": doctor.pk, "error": error.message, **typed}, status=400)
        messages.success(request, text % {"name": doctor.get_full_name()})
        return redirect("admin:accounts_licences")

    def _page(self, request: HttpRequest, typed: dict[str, Any], status: int = 200) -> HttpResponse:
        queue = licences.waiting()
        context = {
            **self.admin_site.each_context(request),
            "title": _("Licences to check"),
            "opts": self.model._meta,
            "profiles": queue[: licences.MOST_SHOWN],
            "count": queue.count(),
            "checks": licences.CHECKS,
            "typed": typed,
        }
        return TemplateResponse(request, "admin/accounts/licences.html", context, status=status)
