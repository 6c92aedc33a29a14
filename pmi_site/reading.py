"""In which language, and for which country, somebody reads."""

import re

from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.translation import gettext_lazy as _

COUNTRY_COOKIE = "pmi_country"
_YEAR = 365 * 24 * 3600

# What readers can choose from; empty is "anywhere". Choosing one hides what serves other countries only.
COUNTRIES = [
    ("", _("Anywhere")),
    ("ES", _("Spain")),
    ("GB", _("United Kingdom")),
    ("IN", _("India")),
    ("MX", _("Mexico")),
    ("US", _("United States")),
]


def country_of(request: HttpRequest) -> str:
    """The country that the reader chose (two capital letters), or "" for anywhere."""
    country = request.COOKIES.get(COUNTRY_COOKIE, "")
    return country if re.fullmatch(r"[A-Z]{2}", country) else ""


def remember_country(response: HttpResponseBase, country: str) -> None:
    """Keep a known country in a cookie, or forget it when it is empty; anything else changes nothing."""
    if not country:
        response.delete_cookie(COUNTRY_COOKIE, samesite="Lax")
    elif country in dict(COUNTRIES):
        response.set_cookie(
            COUNTRY_COOKIE,
            country,
            max_age=_YEAR,
            httponly=True,
            samesite="Lax",
            secure=settings.SESSION_COOKIE_SECURE,
        )
