"""A patient's page of who may see their cases: inviting, answering, ending."""

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_variables
from django.views.decorators.http import require_http_methods, require_POST

from accounts import care, selectors
from accounts.care_forms import InviteForm, ScopeForm
from accounts.models import CareInvitation, User
from accounts.page_users import the_patient
from pmi_site.errors import TooManyTries, UserError

_CANCELLED = CareInvitation.State.CANCELLED


@login_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def sharing(request: HttpRequest) -> HttpResponse:
    """Who may read the patient's cases, and what waits for an answer; POST invites a doctor by email.

    `?case=` chooses a case in the forms beforehand.
    """
    patient = the_patient(request)
    if request.method != "POST":
        return _page(request, patient)
    form, status = InviteForm(patient, request.POST, auto_id="invite_%s"), 400
    if form.is_valid():
        wish = form.cleaned_data
        try:
            care.invite_by_email(
                patient,
                wish["doctor_email"],
                case_id=wish["case_id"],
                access_days=wish["access_days"],
            )
        except UserError as error:
            form.add_error("doctor_email", error.message)
            status = _status(error)
        else:
            messages.success(
                request, _("Your invitation is on its way. You see here when the doctor has answered.")
            )
            return redirect("accounts:sharing")
    return _page(request, patient, status=status, invite=form)


@login_required
@never_cache
@require_POST
@sensitive_variables("code")
def new_code(request: HttpRequest) -> HttpResponse:
    """Make a code for one doctor and show it this one time."""
    patient = the_patient(request)
    form = ScopeForm(patient, request.POST, auto_id="code_%s")
    if not form.is_valid():
        return _page(request, patient, status=400, code_form=form)
    try:
        invitation, code = care.make_code(patient, **form.cleaned_data)
    except UserError as error:
        form.add_error(None, error.message)
        return _page(request, patient, status=_status(error), code_form=form)
    # No redirect: the code must not travel through a session or a cookie.
    return _page(request, patient, code=code, code_invitation=invitation)


@login_required
@require_POST
def revoke(request: HttpRequest, grant_id: UUID) -> HttpResponse:
    """End a grant at once; 404 for a grant that is not the patient's. A second tap finds it ended."""
    patient = the_patient(request)
    if not care.revoke_access(patient, grant_id) and not selectors.has_ended(patient, grant_id):
        raise Http404
    messages.success(request, _("It is ended. This doctor can no longer read what you had shared here."))
    return redirect("accounts:sharing")


@login_required
@require_POST
def cancel_invitation(request: HttpRequest, invitation_id: UUID) -> HttpResponse:
    """Take an invitation back; 404 for one that is not the patient's, was answered or is too old.

    A second tap finds it taken back.
    """
    patient = the_patient(request)
    mine = selectors.invitations_by(patient).filter(pk=invitation_id)
    if not care.cancel(patient, invitation_id) and not mine.filter(state=_CANCELLED).exists():
        raise Http404
    messages.success(request, _("The invitation is taken back. Nobody can accept it any more."))
    return redirect("accounts:sharing")


@login_required
@never_cache
@require_POST
def answer_request(request: HttpRequest, request_id: UUID) -> HttpResponse:
    """Say yes (`answer=yes`, with a scope) or no to a doctor; 404 for a request to somebody else."""
    patient = the_patient(request)
    if request.POST.get("answer") != "yes":
        if not care.decline_request(patient, request_id):
            raise Http404
        messages.success(request, _("You said no. The doctor sees nothing of yours."))
        return redirect("accounts:sharing")
    form = ScopeForm(patient, request.POST)
    if not form.is_valid():
        messages.error(request, _("Please choose what the doctor may see, and for how long."))
        return redirect("accounts:sharing")
    grant = care.accept_request(patient, request_id, **form.cleaned_data)
    if grant is None:
        raise Http404
    messages.success(
        request, _("%(name)s can now read what you chose.") % {"name": grant.doctor.get_full_name()}
    )
    return redirect("accounts:sharing")


def _page(request: HttpRequest, patient: User, status: int = 200, **extra: Any) -> HttpResponse:
    chosen = {"case_id": request.GET.get("case", "")}
    requests = [
        (asked, ScopeForm(patient, auto_id=f"request-{asked.pk}-%s"))
        for asked in selectors.requests_to(patient)
    ]
    context = {
        "invite": InviteForm(patient, initial=chosen, auto_id="invite_%s"),
        "code_form": ScopeForm(patient, initial=chosen, auto_id="code_%s"),
        "grants": selectors.grants_of(patient).filter(is_emergency=False),
        "invitations": selectors.invitations_by(patient).select_related("case", "doctor"),
        "requests": requests,
        "emergencies": selectors.emergencies_about(patient),
        "now": timezone.now(),
        **extra,
    }
    return render(request, "accounts/sharing.html", context, status=status)


def _status(error: UserError) -> int:
    return 429 if isinstance(error, TooManyTries) else 400
