"""The record: a patient's own, with reminders they set, and a patient's for a doctor who may read it."""

from __future__ import annotations

import uuid
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_safe

from accounts.models import Role, User
from accounts.services import log_access
from cases import followups
from cases.file_views import private_headers
from cases.record_forms import FollowUpForm
from cases.selectors import get_case, person, visible_cases
from inference import record
from pmi_site.errors import UserError
from pmi_site.reading import country_of

EVENTS_A_PAGE = 40
# Where in the form a refusal belongs.
_FIELDS = {"bad_date": "due_on", "no_text": "text"}


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def own_record(request: HttpRequest) -> HttpResponse:
    """Everything that happened, and how it goes on; POST sets a reminder. Patients only."""
    user = person(request.user)
    if user.role != Role.PATIENT:
        raise PermissionDenied(
            _("Only patients have a record. Open a patient's record from one of their cases.")
        )
    if request.method == "POST":
        return _add_follow_up(request, user)
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


def _add_follow_up(request: HttpRequest, user: User) -> HttpResponse:
    """Set a reminder in the case named by `case`; what is wrong is said at the form, which keeps its text."""
    case = get_case(user, request.POST.get("case", ""), write=True)
    form = FollowUpForm(request.POST)
    if form.is_valid():
        try:
            followups.add(case, user, **form.cleaned_data)
        except UserError as error:
            form.add_error(_FIELDS.get(error.code), error.message)
        else:
            messages.success(request, _("Your reminder is saved."))
            return redirect("inference:record")
    return _page(request, user, user, status=400, form=form, chosen=case)


def _page(
    request: HttpRequest, reader: User, patient: User, *, status: int = 200, **extra: Any
) -> HttpResponse:
    log_access(reader, "view_record", patient, patient_id=patient.pk)
    shown = record.build(reader, patient.pk, country=country_of(request))
    context = {
        "record": shown,
        "patient": patient,
        "is_own": reader == patient,
        "events": Paginator(shown.events, EVENTS_A_PAGE).get_page(request.GET.get("page")),
        "form": FollowUpForm(),
        **extra,
    }
    return private_headers(render(request, "inference/record.html", context, status=status))
