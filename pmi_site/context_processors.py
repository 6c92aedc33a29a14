"""What every page may show."""

from typing import Any

from django.conf import settings
from django.http import HttpRequest


def site(request: HttpRequest) -> dict[str, Any]:
    """The version, and where mail is written when it is not sent."""
    return {"PMI_VERSION": settings.PMI_VERSION, "PMI_MAIL_DIR": settings.PMI_MAIL_DIR}
