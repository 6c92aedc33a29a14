"""What every page may show."""

from typing import Any

from django.conf import settings
from django.http import HttpRequest

from pmi_site import reading


def site(request: HttpRequest) -> dict[str, Any]:
    """The version, where mail is written when it is not sent, and what the reader may choose."""
    return {
        "PMI_VERSION": settings.PMI_VERSION,
        "PMI_MAIL_DIR": settings.PMI_MAIL_DIR,
        "COUNTRIES": reading.COUNTRIES,
        "COUNTRY": reading.country_of(request),
    }
