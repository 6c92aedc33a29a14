"""Pages of the site itself: home, health and errors."""

from django.db import connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe
from django.views.defaults import page_not_found
from django.views.i18n import set_language

from pmi_site import reading


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

    Both are kept in cookies, so that they work without an account. Goes back to `next`, on this site only.
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
    response = page_not_found(request, exception)
    if request.headers.get("HX-Request"):
        response["HX-Refresh"] = "true"
    return response


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """A form that was open too long, or cookies that are off."""
    return render(request, "403_csrf.html", status=403)
