"""The record: a patient's own, and a patient's for a doctor who may read it."""

from __future__ import annotations

import uuid

from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from accounts.models import Role, User
from accounts.services import log_access
from cases.file_views import private_headers
from cases.record_forms import FollowUpForm
from cases.selectors import person, visible_cases
from inference import record
from pmi_site.reading import country_of

EVENTS_A_PAGE = 40


@require_safe
@login_required
def own_record(request: HttpRequest) -> HttpResponse:
    """Everything that happened, and how it goes on; patients only."""
    user = person(request.user)
    if user.role != Role.PATIENT:
        raise PermissionDenied(
            _("Only patients have a record. Open a patient's record from one of their cases.")
        )
    return _page(request, user, user)


@require_safe
@login_required
def patient_record(request: HttpRequest, patient_id: uuid.UUID) -> HttpResponse:
    """A patient's record for a doctor: the cases that the doctor may read, nothing else."""
    user = person(request.user)
    if patient_id == user.pk:
        return redirect("inference:record")
    case = visible_cases(user).filter(patient_id=patient_id).select_related("patient").first()
    if case is None:
        raise Http404("No such record.")
    return _page(request, user, case.patient)


def _page(request: HttpRequest, reader: User, patient: User) -> HttpResponse:
    log_access(reader, "view_record", patient, patient_id=patient.pk)
    shown = record.build(reader, patient.pk, country=country_of(request))
    context = {
        "record": shown,
        "patient": patient,
        "is_own": reader == patient,
        "events": Paginator(shown.events, EVENTS_A_PAGE).get_page(request.GET.get("page")),
        "form": FollowUpForm(),
    }
    return private_headers(render(request, "inference/record.html", context))
