"""The case pages: list, open, look at, change, delete, and the upload."""

import uuid
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt, csrf_protect
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts.consents import care_is_withdrawn, require_care
from accounts.services import log_access, log_list
from cases import selectors, services, uploads, worklist
from cases.forms import CaseForm
from cases.models import Case
from cases.selectors import person
from cases.uploads import UploadTooLarge
from pmi_site.errors import UserError

PAGE_SIZE = 20


@require_safe
@never_cache
@login_required
def case_list(request: HttpRequest) -> HttpResponse:
    """The cases that the user may read, newest first."""
    page = Paginator(selectors.case_list(request.user), PAGE_SIZE).get_page(request.GET.get("page"))
    log_list(person(request.user), "list_cases", page)
    context = {"page": page, "may_open": selectors.may_open_case(request.user)}
    return render(request, "cases/case_list.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@login_required
def case_new(request: HttpRequest) -> HttpResponse:
    """Open a case; patients only."""
    if not selectors.may_open_case(request.user):
        raise PermissionDenied(
            _("Only patients open cases. Doctors see the cases of patients who shared them.")
        )
    form = CaseForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        case = services.open_case(person(request.user), **form.cleaned_data)
        return redirect("cases:detail", case.pk)
    return render(request, "cases/case_form.html", {"form": form}, status=400 if form.errors else 200)


@require_safe
@never_cache
@login_required
def case_detail(request: HttpRequest, case_id: uuid.UUID) -> HttpResponse:
    """One case: its question, the place to drop files, its scans."""
    case = selectors.get_case(request.user, case_id)
    log_access(person(request.user), "view_case", case)
    worklist.mark_seen(request.user, case)
    return _case_page(request, case)


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@login_required
def case_edit(request: HttpRequest, case_id: uuid.UUID) -> HttpResponse:
    """Change what the case says about itself."""
    case = selectors.get_case(request.user, case_id, write=True)
    form = CaseForm(request.POST or None, instance=case)
    if request.method == "POST" and form.is_valid():
        services.update_case(case, person(request.user), **form.cleaned_data)
        messages.success(request, _("Your changes are saved."))
        return redirect("cases:detail", case.pk)
    context = {"form": form, "case": case}
    return render(request, "cases/case_form.html", context, status=400 if form.errors else 200)


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@login_required
def case_delete(request: HttpRequest, case_id: uuid.UUID) -> HttpResponse:
    """Ask, then delete the case with everything in it."""
    case = selectors.get_case(request.user, case_id, write=True)
    if request.method == "POST":
        log_access(person(request.user), "delete_case", case)
        services.delete_case(case, person(request.user))
        messages.success(request, _("The case and everything in it are deleted."))
        return redirect("cases:list")
    return render(request, "cases/case_confirm_delete.html", {"case": case, "scan_count": case.scans.count()})


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@login_required
def scan_delete(request: HttpRequest, case_id: uuid.UUID, scan_id: uuid.UUID) -> HttpResponse:
    """Ask, then delete one scan with its readings."""
    scan = selectors.get_scan(request.user, scan_id, case_id=case_id, write=True)
    if request.method == "POST":
        log_access(person(request.user), "delete_scan", scan)
        services.delete_scan(scan, person(request.user))
        messages.success(request, _("The scan and its reading are deleted."))
        return redirect("cases:detail", case_id)
    return render(request, "cases/scan_confirm_delete.html", {"case": scan.case, "scan": scan})


@require_safe
@never_cache
@login_required
def scan_list(request: HttpRequest, case_id: uuid.UUID) -> HttpResponse:
    """The scans of a case as a fragment, asked for after each upload."""
    case = selectors.get_case(request.user, case_id)
    log_access(person(request.user), "list_scans", case)
    return render(request, "cases/_scans.html", _case_context(request, case))


# The CSRF token of a plain form travels in the body. Who may write, and how long the body may be, is decided
# before the body is read; then it is read to disk, and only then the token is checked (by `_take_upload`).
@csrf_exempt
@require_POST
@never_cache
def upload_scans(request: HttpRequest, case_id: uuid.UUID) -> HttpResponse:
    """Take one or many files into a case. Answers a page, or JSON to a script that asks for it."""
    if not request.user.is_authenticated:
        if _wants_json(request):
            detail = _("You have been signed out. Sign in again, then send the file again.")
            return JsonResponse({"detail": detail, "code": "signed_out"}, status=401)
        return redirect_to_login(reverse("cases:detail", args=[case_id]))
    case = selectors.get_case(request.user, case_id, write=True)
    try:
        require_care(case.patient_id)
        uploads.check_announced_length(request.META.get("CONTENT_LENGTH"))
        with uploads.spooling(request), uploads.readable_body_errors():
            return _take_upload(request, case)
    except UserError as error:
        status = 413 if isinstance(error, UploadTooLarge) else 400
        if _wants_json(request):
            return JsonResponse({"detail": error.message, "code": error.code}, status=status)
        return _case_page(request, case, status=status, upload_error=error.message)


@csrf_protect
def _take_upload(request: HttpRequest, case: Case) -> HttpResponse:
    result = services.add_scans(case, person(request.user), uploads.incoming_files(request.FILES))
    for scan in result.scans:
        log_access(person(request.user), "add_scan", scan)
    status = 400 if result.nothing_went_in else 200
    if _wants_json(request):
        return JsonResponse(_as_json(result), status=status)
    if result.scans and not result.refused and not result.duplicates:
        count = len(result.scans)
        text = ngettext("%(count)d scan is stored.", "%(count)d scans are stored.", count)
        messages.success(request, text % {"count": count})
        return redirect("cases:detail", case.pk)
    return _case_page(request, case, status=status, result=result)


def _as_json(result: services.AddResult) -> dict[str, Any]:
    return {
        "created": [{"id": str(scan.pk), "description": scan.shown_description} for scan in result.scans],
        "duplicates": [{"id": str(item.scan.pk), "names": item.names} for item in result.duplicates],
        "refused": [
            {"name": item.name, "code": item.code, "message": item.message} for item in result.refused
        ],
    }


def _case_page(request: HttpRequest, case: Case, status: int = 200, **extra: Any) -> HttpResponse:
    return render(request, "cases/case_detail.html", {**_case_context(request, case), **extra}, status=status)


def _case_context(request: HttpRequest, case: Case) -> dict[str, Any]:
    return {
        "case": case,
        "scans": case.scans.order_by("-created_at", "-id").prefetch_related(*selectors.READING_RELATIONS),
        "may_write": selectors.may_write(request.user, case),
        "care_withdrawn": care_is_withdrawn(case.patient_id),
        "limits": uploads.limits_for_page(),
    }


def _wants_json(request: HttpRequest) -> bool:
    return "application/json" in request.headers.get("Accept", "")
