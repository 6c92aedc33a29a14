"""Pages of the site itself: home, health and errors."""

from django.db import connection
from django.http import HttpRequest, HttpResponse, HttpResponsePermanentRedirect, JsonResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.urls import resolve
from django.utils.translation import gettext as _
from django.views import defaults
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST, require_safe
from django.views.i18n import set_language

from pmi_site import reading
from pmi_site.errors import error_answer, is_api


@require_safe
def home(request: HttpRequest) -> HttpResponse:
    """What PMI does, and what it does not."""
    return render(request, "pmi_site/home.html")


@never_cache
@require_safe
def healthz(request: HttpRequest) -> JsonResponse:
    """200 {"status": "ok"} while the database answers, else 503. Says nothing else to strangers."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except Exception:  # whatever went wrong, the answer to a stranger is the same
        return JsonResponse({"status": "unavailable"}, status=503)
    return JsonResponse({"status": "ok"})


@require_POST
def set_reading(request: HttpRequest) -> HttpResponseBase:
    """Choose the language (`language`) and, where given, the country (`country`, two letters or empty).

    Both are kept in cookies, so that they work without an account; the language goes with the account, too
    (`accounts.middleware.LanguageMiddleware`). Goes back to `next`, on this site only.
    """
    response = set_language(request)
    country = request.POST.get("country")
    if country is not None:
        reading.remember_country(response, country)
    return response


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Nothing here, or not for this person, or not any more.

    A part of a page that asks by itself (htmx) has the whole page loaded anew: somebody who was shut out
    while it was open is told so, nothing stays on the screen, and nothing goes on asking.
    """
    if is_api(request):
        return _nothing_here()
    response = defaults.page_not_found(request, exception)
    if request.headers.get("HX-Request"):
        response["HX-Refresh"] = "true"
    return response


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """A form that was open too long, or cookies that are off."""
    if is_api(request):
        return error_answer(_("This form was open too long"), "csrf_failed", 403)
    return render(request, "403_csrf.html", status=403)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """What no view was asked about: a host that is not ours, a body of too many fields."""
    if is_api(request):
        return error_answer(_("We could not read this request"), "bad_request", 400)
    return defaults.bad_request(request, exception)


def server_error(request: HttpRequest) -> HttpResponse:
    """Something broke; whatever it is, nothing of it is told, and nothing else is asked."""
    if is_api(request):
        words = _("Something went wrong on our side. Please try again in a few minutes.")
        return error_answer(words, "server_error", 500)
    return defaults.server_error(request)


@csrf_exempt
def no_such_address(request: HttpRequest, address: str) -> HttpResponse:
    """Whatever is asked for in the API and is not there.

    Who reads and forgot the slash at the end is sent on. Who writes is told: clients repeat a redirected POST
    as GET and would take the list that they get for success. This is a view of its own, and not left to
    Django's way of adding slashes, so that it is the same on a developer's machine.
    """
    path = request.path_info
    if path.endswith("/") or resolve(f"{path}/").func is no_such_address:
        return _nothing_here()
    if request.method in ("GET", "HEAD", "OPTIONS"):
        return HttpResponsePermanentRedirect(request.get_full_path(force_append_slash=True))
    words = _("This address ends with a slash (/). Nothing was saved: send it again to the whole address.")
    return error_answer(words, "no_slash", 404)


def _nothing_here() -> JsonResponse:
    return error_answer(_("Not found."), "not_found", 404)
