"""The review of a scan by a doctor: draft, signature, amendment, the second reader, differing readers.

The form is part of the result page and of the reading room, sent by htmx; without JavaScript it has a page of
its own. Whatever stands against a review, what the doctor wrote comes back to them.
"""

from __future__ import annotations

import uuid
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts.models import User
from accounts.selectors import is_verified_doctor
from accounts.services import log_access, log_list
from cases import reviews, second_reader
from cases.file_views import private_headers
from cases.models import Scan
from cases.reviews import CONFLICTS, disagreements_of, may_review, reviews_for
from cases.selectors import get_scan, person
from inference.report_review import versions
from inference.results import result_of
from inference.review_desk import Desk, desk_for, form_as_sent, in_words
from inference.review_forms import LONGEST
from inference.review_truth import level_to_keep
from pmi_site.errors import UserError
from pmi_site.reading import country_of

_PAGE = 20


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def review(request: HttpRequest, case_id: uuid.UUID, scan_id: uuid.UUID) -> HttpResponse:
    """The form, and what is sent with it: `action` save, sign or discard."""
    if not request.user.is_authenticated:
        if request.method == "POST":
            return _not_kept(request, 401)
        return login_required(review)(request, case_id, scan_id)
    user = person(request.user)
    try:
        scan = get_scan(user, scan_id, case_id=case_id)
        if not may_review(user, scan):
            raise PermissionDenied(_("Only a verified doctor who cares for this patient can review a scan."))
        if request.method == "POST":
            return _take(request, user, scan)
    except Http404:
        # The same for a scan that never was: what comes back is only what this person sent.
        if request.method == "POST":
            return _not_kept(request, 404)
        raise
    log_access(user, "open_review", scan)
    desk = _desk(request, user, scan, change="change" in request.GET)
    if desk is None:
        messages.info(request, _("This scan has no finished reading yet, so there is nothing to review."))
        return redirect("inference:scan_result", case_id, scan_id)
    return _page(request, desk)


def _take(request: HttpRequest, user: User, scan: Scan) -> HttpResponse:
    desk = _desk(request, user, scan)
    if desk is None:
        raise Http404("Nothing to review.")
    action = request.POST.get("action", "save")
    if action == "discard":
        if reviews.discard_draft(user, scan, desk.seat):
            messages.success(request, _("Your draft is thrown away."))
        return _go(request, scan)
    form = form_as_sent(desk, request.POST)
    if not form.is_valid():
        return _refused(
            request, user, scan, _("Please look at the marked fields. Nothing is saved yet."), 400
        )
    try:
        if action == "sign":
            given = form.given()
            reviews.sign(user, scan, given, level_if_kept=level_to_keep(desk.answer.danger, given.verdicts))
            messages.success(request, _("Your review is signed. The patient sees it now."))
            return _go(request, scan)
        reviews.save_draft(user, scan, form.given())
    except UserError as error:
        return _refused(request, user, scan, error.message, 409 if error.code in CONFLICTS else 400)
    done = _("Your draft is saved. Only you see it until you sign.")
    if _is_htmx(request) and (fresh := _desk(request, user, scan, done=done)) is not None:
        return _page(request, fresh)
    messages.success(request, done)
    return redirect("inference:review", scan.case_id, scan.pk)


@require_POST
@login_required
def ask_second_reader(request: HttpRequest, case_id: uuid.UUID, scan_id: uuid.UUID) -> HttpResponse:
    """Ask a doctor to read the scan without seeing the first review; `doctor` may be oneself."""
    user = person(request.user)
    scan = get_scan(user, scan_id, case_id=case_id)
    if not may_review(user, scan):
        raise PermissionDenied(_("Only a verified doctor who cares for this patient can review a scan."))
    try:
        draft = second_reader.ask(user, scan, request.POST.get("doctor", ""))
    except UserError as error:
        messages.error(request, error.message)
        return redirect("inference:scan_result", case_id, scan_id)
    if draft.reader_id == user.pk:
        return redirect("inference:review", case_id, scan_id)
    asked = _("%(name)s is asked to read this scan, and does not see your review before signing.")
    messages.success(request, asked % {"name": draft.reader_name})
    return redirect("inference:scan_result", case_id, scan_id)


@require_safe
@never_cache
@login_required
def disagreement_list(request: HttpRequest) -> HttpResponse:
    """The scans of one's patients on which two readers differ."""
    user = person(request.user)
    if not is_verified_doctor(user):
        raise PermissionDenied(_("This list is for doctors whose licence we have checked."))
    page = Paginator(second_reader.in_disagreement(user), _PAGE).get_page(request.GET.get("page"))
    log_list(user, "list_disagreements", [scan.case for scan in page])
    differing = disagreements_of([scan.pk for scan in page])
    rows = [(scan, in_words(differing.get(scan.pk, []))) for scan in page]
    return private_headers(render(request, "inference/disagreements.html", {"page": page, "rows": rows}))


# --- answers ---
def _desk(request: HttpRequest, user: User, scan: Scan, **how: Any) -> Desk | None:
    result = result_of(user, scan, for_doctor=True, country=country_of(request))
    return desk_for(user, scan, result, **how)


def _page(request: HttpRequest, desk: Desk, status: int = 200) -> HttpResponse:
    """The form: the panel alone for htmx, else a page around it."""
    template = "inference/_review_panel.html" if _is_htmx(request) else "inference/review.html"
    context = {
        "desk": desk,
        "result": desk.result,
        "scan": desk.scan,
        "case": desk.scan.case,
        "may_write": False,
        "in_room": request.headers.get("HX-Current-URL", "").partition("?")[0].endswith("/read/"),
        "versions": versions(reviews_for(desk.user, desk.scan)),
    }
    return private_headers(render(request, template, context, status=status))


def _refused(request: HttpRequest, user: User, scan: Scan, problem: str, status: int) -> HttpResponse:
    """The form again, with what was sent, beside what is stored now."""
    desk = _desk(request, user, scan, data=request.POST, problem=problem)
    if desk is None:
        raise Http404("Nothing to review any more.")
    return _page(request, desk, status)


def _not_kept(request: HttpRequest, status: int) -> HttpResponse:
    """Access has ended, or the session: nothing could be saved, and the doctor gets their words back."""
    names = {"comment": _("What you see"), "follow_up": _("What should come next")}
    names["amend_reason"] = _("Why you change the signed review")
    sent = [(words, request.POST.get(f"review-{name}", "")[: LONGEST[name]]) for name, words in names.items()]
    context = {
        "sent": [(words, text) for words, text in sent if text.strip()],
        "is_signed_out": status == 401,
    }
    template = "inference/_review_gone.html" if _is_htmx(request) else "inference/review_gone.html"
    return private_headers(render(request, template, context, status=status))


def _go(request: HttpRequest, scan: Scan) -> HttpResponse:
    """To the result, which shows what counts now."""
    address = reverse("inference:scan_result", args=[scan.case_id, scan.pk])
    if _is_htmx(request):
        return private_headers(HttpResponse(headers={"HX-Redirect": address}))
    return redirect(address)


def _is_htmx(request: HttpRequest) -> bool:
    return bool(request.headers.get("HX-Request"))
