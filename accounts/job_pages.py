"""The pages of a person's rights: who looked, take everything away, erase the account."""

import logging
from datetime import timedelta
from uuid import UUID

from django import forms
from django.contrib import messages
from django.contrib.auth import logout
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.db.models import F
from django.http import FileResponse, Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_safe

from accounts import erasure, export, who_looked
from accounts.job_models import DataExport
from accounts.models import Role, User
from accounts.page_users import me, the_patient
from accounts.services import log_access
from pmi_site.errors import UserError
from pmi_site.misses import Misses

logger = logging.getLogger(__name__)
PAGE_SIZE = 30
MOST_TRIES = 5
TRIES_FORGOTTEN = timedelta(minutes=15)
_wrong_passwords = Misses("erase", most=MOST_TRIES, seconds=int(TRIES_FORGOTTEN.total_seconds()))


# --- who looked ---------------------------------------------------------------------------------------------


@login_required
@never_cache
@require_safe
def looked(request: HttpRequest) -> HttpResponse:
    """Who opened the patient's scans; `case` narrows it to one, `mine` adds what the patient did."""
    patient = the_patient(request)
    names = who_looked.case_names(patient)
    chosen = _case_of(request, names)
    mine_too = request.GET.get("mine") == "1"
    rows = who_looked.visits(patient, case_id=chosen, mine_too=mine_too)
    page = Paginator(rows, PAGE_SIZE).get_page(request.GET.get("page"))
    context = {
        "page": page,
        "visits": who_looked.in_words(patient, list(page)),
        "cases": sorted(names.items(), key=lambda item: item[1].lower()),
        "chosen": chosen,
        "mine_too": mine_too,
    }
    return render(request, "accounts/who_looked.html", context)


def _case_of(request: HttpRequest, names: dict[UUID, str]) -> UUID | None:
    asked = request.GET.get("case")
    if not asked:
        return None
    try:
        case_id = UUID(asked)
    except ValueError as error:
        raise Http404("No such case.") from error
    if case_id not in names:
        raise Http404("No such case.")
    return case_id


# --- take everything away -----------------------------------------------------------------------------------


@login_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def exports(request: HttpRequest) -> HttpResponse:
    """The person's exports; POST has a new one made.

    The part of the page that asks by itself (htmx) is told 204 while nothing has changed since the state
    named by `seen`.
    """
    user = me(request)
    if request.method == "POST":
        export.request_export(user)
        return redirect("accounts:exports")
    made = list(export.exports_of(user)[:10])
    newest = made[0] if made else None
    seen = _seen(newest)
    if seen and request.GET.get("seen") == seen and request.headers.get("HX-Request"):
        return HttpResponse(status=204)
    template = "accounts/_export.html" if request.headers.get("HX-Request") else "accounts/exports.html"
    return render(request, template, {"newest": newest, "earlier": made[1:], "seen": seen})


def _seen(newest: DataExport | None) -> str:
    """What is shown of an export that is being made, in ten steps: a screen reader says each change aloud."""
    if newest is None or not newest.is_unfinished:
        return ""
    return f"{newest.state}-{10 * newest.done // max(newest.total, 1)}"


@login_required
@never_cache
@require_safe
def download(request: HttpRequest, export_id: UUID) -> HttpResponseBase:
    """The file of an export; 404 for one that is not the person's, not ready or removed."""
    user = me(request)
    made = DataExport.objects.filter(pk=export_id, user=user).first()
    if made is None or not made.can_be_fetched:
        raise Http404("No such export.")
    try:
        handle = made.archive.storage.open(made.archive.name or "", "rb")
    except OSError as error:
        logger.error("The file of export %s is missing", made.pk)
        raise Http404("The file is missing.") from error
    log_access(user, "download_export", made, patient_id=user.pk)
    DataExport.objects.filter(pk=made.pk).update(downloads=F("downloads") + 1)
    name = f"pmi-{made.as_of or made.created_at:%Y-%m-%d}.zip"
    response = FileResponse(handle, as_attachment=True, filename=name, content_type="application/zip")
    response["Cache-Control"] = "private, no-store"
    response["X-Content-Type-Options"] = "nosniff"
    return response


# --- erase the account --------------------------------------------------------------------------------------


class EraseForm(forms.Form):
    """The password once more, and a plain yes."""

    password = forms.CharField(
        label=gettext_lazy("Your password"),
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}),
    )
    sure = forms.BooleanField(label=gettext_lazy("I understand that nothing can be brought back."))


@login_required
@never_cache
@sensitive_post_parameters("password")
@require_http_methods(["GET", "HEAD", "POST"])
def erase(request: HttpRequest) -> HttpResponse:
    """Explain, ask for the password, then shut the account and have it erased."""
    user = me(request)
    form = EraseForm(request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid() and _password_fits(user, form):
        try:
            erasure.request_erasure(user)
        except UserError as error:
            form.add_error(None, error.message)
        else:
            logout(request)
            return redirect("accounts:erased")
    context = {"form": form, "is_doctor": user.role == Role.DOCTOR, "is_admin": user.role == Role.ADMIN}
    return render(request, "accounts/erase.html", context, status=400 if form.errors else 200)


def _password_fits(user: User, form: EraseForm) -> bool:
    if _wrong_passwords.too_many(str(user.pk)):
        form.add_error("password", _("Too many wrong passwords. Please wait a quarter of an hour."))
        return False
    if user.check_password(form.cleaned_data["password"]):
        return True
    _wrong_passwords.note(str(user.pk))
    form.add_error("password", _("This is not your password."))
    return False


@never_cache
@require_safe
def erased(request: HttpRequest) -> HttpResponse:
    """Where a person lands whose account is being erased; says nothing about anybody."""
    if isinstance(request.user, User):
        messages.info(request, _("You are logged in, so this account is not being erased."))
        return redirect("accounts:account")
    return render(request, "accounts/erased.html")
