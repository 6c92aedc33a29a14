"""What holds for every view: what none should look at is refused, and nobody keeps the API's answers."""

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.core.validators import ProhibitNullCharactersValidator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render, resolve_url
from django.template.defaultfilters import filesizeformat
from django.utils.translation import gettext as _

from pmi_site import views
from pmi_site.errors import LengthRequired, TooLarge, UserError, error_answer, is_api

# Routes that take scans as multipart: they receive to disk in `cases.uploads`, with limits of their own.
TAKE_SCANS = {"cases:upload", "inference:similar_search", "v1:case-scans", "v1:similar-list"}
# Room for the boundaries and fields around a file of DATA_UPLOAD_MAX_MEMORY_SIZE, which the curation desk
# imports.
ENVELOPE_BYTES = 1024 * 1024
# What people type into a search box: each search takes NUL out of it by itself.
SEARCHES = {"q", "search"}
_no_nul = ProhibitNullCharactersValidator()


class HealthMiddleware:
    """Answers /healthz before anything looks at the request: whoever watches over the site asks from inside,
    by an address that is none of its names and without HTTPS.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.path_info == "/healthz":
            return views.healthz(request)
        return self.get_response(request)


class LimitsMiddleware:
    """Answers 413 to a body over the limit, 411 to one of unknown length, and 400 to NUL in an address.

    Goes by what is announced: under WSGI, Django reads no more than that, and nothing without CONTENT_LENGTH.
    Stands before whatever reads the body, which CSRF protection does.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_view(self, request: HttpRequest, *view: Any) -> HttpResponse | None:
        """None lets the request through."""
        try:
            _check_length(request)
            _check_address(request)
        except UserError as error:
            return _refusal(request, error)
        return None


class ApiAnswersMiddleware:
    """Nobody on the way may keep an answer of the API, not even a refusal: most are about a person.

    But for those with an ETag, which are about nobody (the knowledge base), and where a view decides itself.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        if is_api(request) and not (response.has_header("Cache-Control") or response.has_header("ETag")):
            response["Cache-Control"] = "private, no-store"
        return response


class SignedOutMiddleware:
    """A part of a page that was asked for after the session had ended: the page is loaded anew, which leads
    to signing in. The page for that would be searched for the part, and nothing be put in its place.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        is_part = request.method == "GET" and "HX-Request" in request.headers
        if is_part and response.status_code == 302:
            where = response.get("Location", "").partition("?")[0]
            if where == resolve_url(settings.LOGIN_URL):
                return HttpResponse(headers={"HX-Refresh": "true", "Cache-Control": "private, no-store"})
        return response


def _check_length(request: HttpRequest) -> None:
    """Raises TooLarge, and LengthRequired for a body that comes in chunks."""
    is_multipart = request.content_type == "multipart/form-data"
    try:
        announced = int(request.META.get("CONTENT_LENGTH") or 0)
    except ValueError:
        announced = 0
    if not announced and "HTTP_TRANSFER_ENCODING" in request.META:
        raise LengthRequired(
            "length_required", _("Please send this again with its length announced (Content-Length).")
        )
    if is_multipart and request.resolver_match and request.resolver_match.view_name in TAKE_SCANS:
        return
    limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    if announced > limit + (ENVELOPE_BYTES if is_multipart else 0):
        raise too_large()


def _check_address(request: HttpRequest) -> None:
    """PostgreSQL's texts cannot hold NUL, so that it would be an error in whatever is asked for."""
    try:
        _no_nul(request.path_info)
        for name, values in request.GET.lists():
            for text in (name, *([] if name in SEARCHES else values)):
                _no_nul(text)
    except ValidationError as error:
        raise UserError("null_character", " ".join(error.messages)) from error


def too_large() -> TooLarge:
    """The refusal of a body over DATA_UPLOAD_MAX_MEMORY_SIZE."""
    limit = filesizeformat(settings.DATA_UPLOAD_MAX_MEMORY_SIZE)
    message = _("What you sent is larger than %(limit)s, the most we take here.")
    return TooLarge("too_large", message % {"limit": limit})


def _refusal(request: HttpRequest, error: UserError) -> HttpResponse:
    if is_api(request):
        return error_answer(error.message, error.code, error.status)
    messages.error(request, error.message)
    return render(request, "400.html", status=error.status)
