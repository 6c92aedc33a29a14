"""A doctor's page of patients: who shares, who invites, asking, codes, giving back, emergencies."""

from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts import care, emergency, selectors
from accounts.care_forms import AskForm, CodeForm, EmergencyForm
from accounts.models import CareRelationship, Role, User
from accounts.page_users import me, the_doctor
from pmi_site.errors import TooManyTries, UserError


@login_required
@never_cache
@require_safe
def patients(request: HttpRequest) -> HttpResponse:
    """The patients who share with this doctor, and what waits for an answer."""
    user = me(request)
    if user.role == Role.DOCTOR and not selectors.is_verified_doctor(user):
        return redirect("accounts:waiting")
    return _page(request, the_doctor(request))


@login_required
@never_cache
@require_POST
@sensitive_post_parameters("code")
def use_code(request: HttpRequest) -> HttpResponse:
    """Use a patient's code."""
    doctor, form, status = the_doctor(request), CodeForm(request.POST, auto_id="code_%s"), 400
    if form.is_valid():
        try:
            grant = care.use_code(doctor, form.cleaned_data["code"])
        except UserError as error:
            form.add_error("code", error.message)
            status = _status(error)
        else:
            return _welcome(request, grant)
    return _page(request, doctor, status=status, code_form=form)


@login_required
@never_cache
@require_POST
def ask(request: HttpRequest) -> HttpResponse:
    """Ask a patient for access."""
    doctor, form, status = the_doctor(request), AskForm(request.POST, auto_id="ask_%s"), 400
    if form.is_valid():
        try:
            care.request_access(doctor, form.cleaned_data["patient_email"])
        except UserError as error:
            form.add_error("patient_email", error.message)
            status = _status(error)
        else:
            messages.success(
                request, _("Your request is on its way. You see here when the patient has answered.")
            )
            return redirect("accounts:patients")
    return _page(request, doctor, status=status, ask_form=form)


@login_required
@never_cache
@require_POST
def answer_invitation(request: HttpRequest, received_id: UUID) -> HttpResponse:
    """Accept (`answer=yes`) or decline a patient's invitation; 404 for one that is not for this doctor."""
    doctor = the_doctor(request)
    if request.POST.get("answer") != "yes":
        if not care.decline_invitation(doctor, received_id):
            raise Http404
        messages.success(request, _("You have declined. The patient is told."))
        return redirect("accounts:patients")
    grant = care.accept_invitation(doctor, received_id)
    if grant is None:
        raise Http404
    return _welcome(request, grant)


@login_required
@require_POST
def cancel_request(request: HttpRequest, sent_id: UUID) -> HttpResponse:
    """Take a request back; 404 for one that is not the doctor's or does not wait any more."""
    if not care.cancel(the_doctor(request), sent_id):
        raise Http404
    messages.success(request, _("The request is taken back."))
    return redirect("accounts:patients")


@login_required
@require_POST
def give_back(request: HttpRequest, held_id: UUID) -> HttpResponse:
    """Give access back; 404 for a grant that the doctor does not hold."""
    if not care.give_back(the_doctor(request), held_id):
        raise Http404
    messages.success(request, _("You have given the access back. The patient is told."))
    return redirect("accounts:patients")


@login_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def emergency_access(request: HttpRequest) -> HttpResponse:
    """Break the glass: a patient's cases without their yes, with a reason, for some hours."""
    doctor = the_doctor(request)
    form, status = EmergencyForm(request.POST if request.method == "POST" else None), 200
    if request.method == "POST":
        status = 400
        if form.is_valid():
            try:
                grant = emergency.open_access(
                    doctor, form.cleaned_data["patient_email"], form.cleaned_data["reason"]
                )
            except UserError as error:
                form.add_error(None, error.message)
                status = _status(error)
            else:
                return _welcome(request, grant)
    context = {"form": form, "hours": settings.PMI_EMERGENCY_HOURS}
    return render(request, "accounts/emergency.html", context, status=status)


def _welcome(request: HttpRequest, grant: CareRelationship) -> HttpResponse:
    text = _("You can now read the cases of %(name)s.")
    if grant.case_id is not None:
        text = _("You can now read one case of %(name)s.")
    messages.success(request, text % {"name": grant.patient.get_full_name()})
    return redirect("accounts:patients")


def _page(request: HttpRequest, doctor: User, status: int = 200, **extra: Any) -> HttpResponse:
    context = {
        "grants": selectors.patients_of(doctor).order_by("-is_emergency", "patient__full_name", "granted_at"),
        "received": selectors.invitations_to(doctor),
        "sent": selectors.invitations_by(doctor),
        "code_form": CodeForm(auto_id="code_%s"),
        "ask_form": AskForm(auto_id="ask_%s"),
        **extra,
    }
    return render(request, "accounts/patients.html", context, status=status)


def _status(error: UserError) -> int:
    return 429 if isinstance(error, TooManyTries) else 400
