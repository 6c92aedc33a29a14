"""Pages of similar-image search: search only, a region, side by side, pictures."""

from __future__ import annotations

import logging
import uuid
from typing import Any

from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import FileResponse, Http404, HttpRequest, HttpResponse, HttpResponseBase, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.csrf import csrf_exempt, csrf_protect
from django.views.decorators.http import require_http_methods, require_safe

from accounts.models import Role, User
from accounts.selectors import is_verified_doctor
from accounts.services import log_access
from cases import uploads
from cases.file_views import PNG, private_headers
from cases.selectors import get_scan, visible_scans
from inference import similar_page, similar_searches
from inference.models import Analysis, SimilarSearch
from inference.presenters import shown_words
from inference.registry import READABLE_KINDS
from inference.selectors import active_versions, visible_analyses
from inference.similar_selectors import Filters, get_reference, get_search
from pmi_site.errors import UserError

logger = logging.getLogger(__name__)


def _person(request: HttpRequest) -> User:
    user = request.user
    if not isinstance(user, User) or user.role == Role.ADMIN:
        raise PermissionDenied(_("An administrator's account sees no scans."))
    if user.role == Role.DOCTOR and not is_verified_doctor(user):
        raise PermissionDenied(_("Your licence is still being checked."))
    return user


# The body must not be read before the upload handler is in place; the inner view checks the token.
@csrf_exempt
@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def search(request: HttpRequest) -> HttpResponse:
    """Search with a picture that is not kept."""
    user = _person(request)
    if request.method != "POST":
        return _search_page(request)
    try:
        similar_page.count_search(user)
        uploads.check_announced_length(request.META.get("CONTENT_LENGTH"))
    except UserError as error:
        # Without what was sent: asking for it would have Django write down what was just refused.
        return _search_page(request, error=error)
    with uploads.spooling(request):
        try:
            with uploads.readable_body_errors():
                return _search(request)
        except UserError as error:
            return _search_page(request, request.POST, error)


@csrf_protect
def _search(request: HttpRequest) -> HttpResponse:
    user = _person(request)
    kind = request.POST.get("kind") or ""
    similar_page.filters_of(request.POST)
    search = similar_searches.begin(
        user,
        uploads.incoming_files(request.FILES),
        kind if kind in READABLE_KINDS else "",
        {name: request.POST[name][:80] for name in similar_page.FILTERS if request.POST.get(name)},
    )
    log_access(user, "search_similar_upload", search)
    return redirect("inference:similar_found", search.pk)


def _search_page(
    request: HttpRequest, sent: QueryDict | None = None, error: UserError | None = None
) -> HttpResponse:
    sent = sent or QueryDict()
    versions = active_versions()
    read = [versions[kind] for kind in READABLE_KINDS if kind in versions]
    try:
        chosen = similar_page.filters_of(sent)
    except UserError:
        chosen = Filters()
    may_search = similar_searches.may_search_with_pictures(_person(request))
    context = {
        "closed": "" if may_search else similar_searches.doctor_first_text(),
        "error": error.message if error else "",
        "form": similar_page.filter_form(read, chosen),
        "kinds": [(version.kind, version.get_kind_display()) for version in read],
        "kind": sent.get("kind", ""),
    }
    status = error.status if error is not None else 200
    return private_headers(render(request, "inference/similar_search.html", context, status=status))


@login_required
@require_safe
def found(request: HttpRequest, search_id: uuid.UUID) -> HttpResponse:
    """What a search with a picture found, or that a worker is still looking at it."""
    user = _person(request)
    search = get_search(user, search_id)
    if search.analysis is not None:
        scan = search.analysis.scan
        return redirect(
            f"{reverse('inference:similar_region', args=[scan.case_id, scan.pk])}?search={search.pk}"
        )
    context, status = _answer(user, search, request)
    return private_headers(render(request, "inference/similar_found.html", context, status=status))


def _answer(user: User, search: SimilarSearch, request: HttpRequest) -> tuple[dict[str, Any], int]:
    """Context and status of a page that shows a search: waiting, refused, or its hits."""
    context: dict[str, Any] = {"search": search}
    if search.state == SimilarSearch.State.DONE:
        values = request.GET if "filtered" in request.GET else search.wanted
        try:
            similar_page.count_search(user)
            context["section"] = similar_page.found(
                search, visible_scans(user), similar_page.filters_of(values)
            )
        except UserError as error:
            context["error"] = error.message
            # htmx shows nothing of an answer that failed.
            return context, 200 if request.headers.get("HX-Request") else error.status
    return context, 200


@require_safe
def wait(request: HttpRequest, search_id: uuid.UUID) -> HttpResponse:
    """For polling: 204 while nothing has changed since `seen`; the page is loaded anew at the end."""
    if not request.user.is_authenticated:
        return _refresh() if request.headers.get("HX-Request") else redirect("account_login")
    search = get_search(_person(request), search_id)
    if search.is_finished:
        return _refresh()
    if request.GET.get("seen") == search.state:
        return private_headers(HttpResponse(status=204))
    return private_headers(render(request, "inference/_similar_waiting.html", {"search": search}))


def _refresh() -> HttpResponse:
    return private_headers(HttpResponse(headers={"HX-Refresh": "true"}))


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def region(request: HttpRequest, case_id: uuid.UUID, scan_id: uuid.UUID) -> HttpResponse:
    """Draw a box on a scan; a worker searches with what is in it (`region=x,y,w,h`); `search` shows it."""
    user = _person(request)
    scan = get_scan(user, scan_id, case_id=case_id)
    analysis = visible_analyses(user).filter(scan=scan, status=Analysis.Status.SUCCEEDED).first()
    if analysis is None:
        raise Http404("This scan has no reading.")
    context: dict[str, Any] = {"scan": scan, "case": scan.case, "analysis": analysis}
    status = 200
    if request.method == "POST":
        text = request.POST.get("region", "")
        try:
            similar_page.count_search(user)
            shares = similar_page.region_of(text)
            search = similar_searches.begin_region(user, analysis, shares, {})
        except UserError as error:
            context |= {"error": error.message, "region": text}
            return private_headers(
                render(request, "inference/similar_region.html", context, status=error.status)
            )
        log_access(user, "search_similar_region", scan)
        return redirect(f"{request.path}?search={search.pk}")
    log_access(user, "view_scan", scan)
    if wanted := request.GET.get("search"):
        search = get_search(user, wanted)
        if search.analysis is None or search.analysis.scan_id != scan.pk:
            raise Http404("No such search.")
        shown, status = _answer(user, search, request)
        context |= {**shown, "region": ",".join(str(part) for part in search.region or ())}
    return private_headers(render(request, "inference/similar_region.html", context, status=status))


@login_required
@require_safe
def compare(
    request: HttpRequest, case_id: uuid.UUID, scan_id: uuid.UUID, reference_id: uuid.UUID
) -> HttpResponse:
    """A scan and a known case side by side, zoomed and moved together."""
    user = _person(request)
    scan = get_scan(user, scan_id, case_id=case_id)
    reference = get_reference(user, reference_id)
    log_access(user, "compare_similar", scan)
    log_access(user, "compare_similar", reference)
    context = {
        "scan": scan,
        "case": scan.case,
        "reference": reference,
        "shows": similar_page.sentence_start(shown_words(reference.condition)),
        "analysis": _read(user, scan),
    }
    return private_headers(render(request, "inference/similar_compare.html", context))


@login_required
@require_safe
def compare_own(
    request: HttpRequest, case_id: uuid.UUID, scan_id: uuid.UUID, other_id: uuid.UUID
) -> HttpResponse:
    """A scan and an earlier one of the same patient side by side."""
    user = _person(request)
    scan, other = get_scan(user, scan_id, case_id=case_id), get_scan(user, other_id)
    if other.case.patient_id != scan.case.patient_id:
        raise Http404("No such scan.")
    log_access(user, "compare_own", other)
    context = {
        "scan": scan,
        "case": scan.case,
        "other": other,
        "analysis": _read(user, scan),
        "other_analysis": _read(user, other),
    }
    return private_headers(render(request, "inference/similar_compare.html", context))


def _read(user: User, scan: Any) -> Analysis | None:
    return visible_analyses(user).filter(scan=scan, status=Analysis.Status.SUCCEEDED).first()


@login_required
@require_safe
def picture(request: HttpRequest, reference_id: uuid.UUID) -> HttpResponseBase:
    """The picture of a known case, where it may be shown; `heat=1` with the heatmap on it."""
    user = _person(request)
    reference = get_reference(user, reference_id)
    file = reference.heatmap if request.GET.get("heat") else reference.picture
    if not file:
        raise Http404("No such picture.")
    try:
        handle = file.storage.open(file.name or "", "rb")
    except OSError as error:
        logger.error("A picture of reference %s is missing", reference.pk)
        raise Http404("The file is missing.") from error
    log_access(user, "view_reference_picture", reference)
    return private_headers(FileResponse(handle, content_type=PNG))
