"""What somebody sees who has a share link: the PIN, then one case, read-only.

Every address here begins with the token, and nothing here leads to the addresses of signed-in people. A link
that ended, one that was taken back and one that never was get the same answer. Who has entered the PIN is
kept in the session, for `PMI_SHARE_MINUTES`; the link itself is looked at anew each time, so taking it back
works at once.

The language is chosen by `?lang=`, since the site's form would need an address to go back to, and this one is
secret. It is kept in a cookie of these pages alone, so that no link can change the language of an account.
"""

from __future__ import annotations

import functools
import logging
import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeVar

from django.conf import settings
from django.http import FileResponse, Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone, translation
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_safe
from rest_framework.throttling import AnonRateThrottle

from accounts.services import log_access
from cases import sharing
from cases.file_views import PNG, private_headers
from cases.imaging.preview import slice_png
from cases.imaging.volume import ImagingError
from cases.models import Scan
from cases.record_forms import PinForm
from cases.reviews import seen_review, seen_reviews
from cases.services import load_volume
from cases.sharing import Entry
from cases.sharing_models import ShareLink
from inference.models import Analysis
from inference.release import split
from inference.report_pages import report_response
from inference.result_page import Result
from inference.symptom_page import alarm
from pmi_site.reading import country_of

logger = logging.getLogger(__name__)
_Response = TypeVar("_Response", bound=HttpResponseBase)
_SESSION_KEY = "shared_cases"
_LANGUAGE_COOKIE = "pmi_shared_language"


class _PinNeeded(Exception):
    """The link works, but this visitor has not entered its PIN, or too long ago."""


def _behind_pin(view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
    """Slow down whoever hunts for links, and send visitors without the PIN to where it is asked for."""

    @functools.wraps(view)
    def checked(request: HttpRequest, token: str, **rest: Any) -> HttpResponseBase:
        if (first := _language(request) or _slowed(request)) is not None:
            return first
        try:
            return view(request, token, **rest)
        except _PinNeeded:
            return _sealed(redirect("inference:shared", token))

    return checked


@require_http_methods(["GET", "HEAD", "POST"])
@sensitive_post_parameters("pin")
def shared(request: HttpRequest, token: str) -> HttpResponse:
    """Ask for the PIN; after it, the scans of the case."""
    if (first := _language(request) or _slowed(request)) is not None:
        return first
    link = _link(request, token)
    if _is_in(request, link):
        return _case_page(request, link, token)
    if link.is_used_up:
        raise _miss(request)
    form = PinForm(request.POST if request.method == "POST" else None)
    status = 200
    if request.method == "POST":
        status = 400
        if form.is_valid():
            entry = sharing.try_pin(link.pk, form.cleaned_data["pin"])
            if entry is Entry.IN:
                _let_in(request, link)
                return _sealed(redirect("inference:shared", token))
            if entry is Entry.GONE:
                raise _miss(request)
            if entry is Entry.WAIT:
                status = 429
                form.add_error("pin", _("Too many wrong PINs. Wait a few minutes, then try again."))
            else:
                form.add_error(
                    "pin", _("This PIN is not right. Check it with the person who sent you the link.")
                )
    response = render(request, "inference/shared_pin.html", {"form": form}, status=status)
    # `no-referrer` would make browsers send `Origin: null` with the form, and its check would fail.
    return _sealed(response, referrer="same-origin")


@require_safe
@_behind_pin
def shared_scan(request: HttpRequest, token: str, scan_id: uuid.UUID) -> HttpResponse:
    """The result of one scan of the shared case."""
    link, scan, result = _shared_result(request, token, scan_id)
    answer = result.answer
    if answer is None:
        raise Http404("No reading to show.")
    log_access(None, "view_shared_reading", answer)
    context = {
        "case": link.case,
        "scan": scan,
        "result": result,
        "token": token,
        "many": link.case.scans.count() > 1,
    }
    return _sealed(render(request, "inference/shared_scan.html", context))


@require_safe
@_behind_pin
def shared_picture(request: HttpRequest, token: str, scan_id: uuid.UUID) -> HttpResponse:
    """The film, or the most telling slice, of a scan of the shared case."""
    _found, scan, result = _shared_result(request, token, scan_id)
    try:
        volume = load_volume(scan)
        plane = result.key_plane if scan.is_volume else "axial"
        index = result.key_slice
        picture = slice_png(volume, volume.n_slices(plane) // 2 if index is None else index, plane)
    except (OSError, ImagingError, IndexError) as error:
        logger.error("A file of scan %s is missing or broken", scan.pk)
        raise Http404("The file is missing.") from error
    log_access(None, "view_shared_picture", scan)
    return _sealed(HttpResponse(picture, content_type=PNG))


@require_safe
@_behind_pin
def shared_heatmap(
    request: HttpRequest, token: str, scan_id: uuid.UUID, finding_id: uuid.UUID
) -> HttpResponseBase:
    """Where the model looked, as a picture, for one finding that the shared result shows."""
    _found, _scan, result = _shared_result(request, token, scan_id)
    finding = next((view.finding for view in result.raised if view.finding.pk == finding_id), None)
    if finding is None or not finding.heatmap_png:
        raise Http404("No such picture.")
    try:
        handle = finding.heatmap_png.storage.open(finding.heatmap_png.name or "", "rb")
    except OSError as error:
        logger.error("A heatmap of finding %s is missing", finding.pk)
        raise Http404("The file is missing.") from error
    log_access(None, "view_shared_heatmap", finding)
    response = FileResponse(handle, content_type=PNG)
    response["Content-Type"] = PNG
    return _sealed(response)


@require_safe
@_behind_pin
def shared_report(request: HttpRequest, token: str, scan_id: uuid.UUID) -> HttpResponse:
    """The PDF report of the shown reading."""
    _found, _scan, result = _shared_result(request, token, scan_id)
    if result.answer is None:
        raise Http404("No reading to report.")
    response = report_response(request, result.answer, None)
    log_access(None, "download_shared_report", result.answer)
    return _sealed(response)


# --- in which language ---
def _language(request: HttpRequest) -> HttpResponse | None:
    """Show the page in the language that was chosen for shared pages. Where one is being chosen, the answer
    that keeps it and leads back to the page, the same for every address.
    """
    known = dict(settings.LANGUAGES)
    if request.method in ("GET", "HEAD") and (code := request.GET.get("lang")) in known:
        response = redirect(request.path)
        response.set_cookie(
            _LANGUAGE_COOKIE,
            code,
            max_age=settings.LANGUAGE_COOKIE_AGE,
            path=reverse("inference:shared", args=["-"]).removesuffix("-/"),
            httponly=True,
            samesite="Lax",
            secure=settings.SESSION_COOKIE_SECURE,
        )
        return _sealed(response)
    if (code := request.COOKIES.get(_LANGUAGE_COOKIE, "")) in known:
        translation.activate(code)
        request.LANGUAGE_CODE = code
    return None


# --- who is in ---
def _slowed(request: HttpRequest) -> HttpResponse | None:
    """The answer for an address that has asked for too many links that are not there, else None."""
    if not sharing.too_many_misses(_address(request)):
        return None
    response = render(request, "inference/shared_slow.html", status=429)
    response["Retry-After"] = "60"
    return _sealed(response)


def _address(request: HttpRequest) -> str:
    """The visitor's network address; behind proxies as the API's throttle is told to see it."""
    return str(AnonRateThrottle().get_ident(request))  # type: ignore[arg-type]


def _miss(request: HttpRequest) -> Http404:
    sharing.note_miss(_address(request))
    return Http404("No such link.")


def _link(request: HttpRequest, token: str) -> ShareLink:
    link = sharing.find(token)
    if link is None:
        raise _miss(request)
    return link


def _let_in(request: HttpRequest, link: ShareLink) -> None:
    request.session.cycle_key()
    until = timezone.now() + timedelta(minutes=settings.PMI_SHARE_MINUTES)
    request.session[_SESSION_KEY] = {
        **request.session.get(_SESSION_KEY, {}),
        str(link.pk): until.timestamp(),
    }


def _is_in(request: HttpRequest, link: ShareLink) -> bool:
    until = request.session.get(_SESSION_KEY, {}).get(str(link.pk), 0)
    return isinstance(until, int | float) and timezone.now().timestamp() < until


# --- what is shown ---
def _analyses(scan: Scan, link: ShareLink) -> tuple[list[Analysis], list[Analysis]]:
    """The readings that the patient sees themselves, nobody can share more than that; and those held back."""
    found = scan.analyses.select_related("scan", "scan__case", "model_version").prefetch_related("findings")
    return split(link.case.patient, list(found.order_by("-queued_at", "-id")))


def _shared_result(request: HttpRequest, token: str, scan_id: uuid.UUID) -> tuple[ShareLink, Scan, Result]:
    link = _link(request, token)
    if not _is_in(request, link):
        raise _PinNeeded
    scan = link.case.scans.select_related("case", "case__patient").filter(pk=scan_id).first()
    if scan is None:
        raise Http404("No such scan.")
    shown, held = _analyses(scan, link)
    result = Result(scan, shown, country=country_of(request), review=seen_review(None, scan), held=held)
    return link, scan, result


def _case_page(request: HttpRequest, link: ShareLink, token: str) -> HttpResponse:
    scans = link.case.scans.select_related("case", "case__patient").order_by("-created_at", "-id")
    rows: list[dict[str, Any]] = []
    seen = seen_reviews(None, [scan.pk for scan in scans])
    for scan in scans:
        shown, held = _analyses(scan, link)
        result = Result(scan, shown, country=country_of(request), review=seen.of(scan.pk), held=held)
        rows.append({"scan": scan, "result": result})
    readable = [row["scan"] for row in rows if row["result"].answer is not None]
    if len(rows) == 1 and readable:
        return _sealed(redirect("inference:shared_scan", token, readable[0].pk))
    # Where a reading is shown, its level has the symptoms in it.
    unread = not any(row["result"].is_read for row in rows)
    context = {"case": link.case, "rows": rows, "token": token, "alarm": alarm(link.case) if unread else None}
    return _sealed(render(request, "inference/shared_case.html", context))


def _sealed(response: _Response, *, referrer: str = "no-referrer") -> _Response:
    """Nobody on the way keeps it, finds it or learns its address."""
    response["X-Robots-Tag"] = "noindex, nofollow, noarchive"
    response["Referrer-Policy"] = referrer
    return private_headers(response)
