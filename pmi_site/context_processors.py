"""What every page may show."""

from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html

from pmi_site import reading


def site(request: HttpRequest) -> dict[str, Any]:
    """The version, where mail is written when it is not sent, what the reader may choose, whom they may write
    to, and of which place the times are.
    """
    return {
        "PMI_VERSION": settings.PMI_VERSION,
        "PMI_MAIL_DIR": settings.PMI_MAIL_DIR,
        "COUNTRIES": reading.COUNTRIES,
        "COUNTRY": reading.country_of(request),
        "CONTACT": _contact(),
        "TIME_ZONE_NAME": timezone.get_current_timezone_name().replace("_", " "),
    }


def _contact() -> str:
    """PMI_CONTACT as a link; empty where it is not set."""
    address = settings.PMI_CONTACT
    if not address:
        return ""
    target = address if "://" in address else f"mailto:{address}"
    return format_html('<a class="break-anywhere" href="{}">{}</a>', target, address)
