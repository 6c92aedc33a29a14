"""Start-up checks that explain a bad setting in words."""

import re
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register


@register(Tags.security, deploy=True)
def check_production(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """What a public site must not run with."""
    found: list[CheckMessage] = []
    if settings.PMI_EMBEDDED_DATABASE:
        found.append(
            Warning(
                "The embedded PostgreSQL is in use.",
                hint="Set DATABASE_URL to a server that is backed up.",
                id="pmi.W001",
            )
        )
    if settings.PMI_EMBEDDED_BROKER:
        found.append(
            Warning(
                "The embedded Valkey is in use.", hint="Set BROKER_URL (redis:// or amqp://).", id="pmi.W002"
            )
        )
    if not re.fullmatch(r"https?://\w[\w.-]*(:\d+)?", settings.PMI_PUBLIC_URL):
        found.append(
            Error(
                "Links in mails would lead nowhere.",
                hint="Set PMI_PUBLIC_URL to the site's address, e.g. https://pmi.example.org.",
                id="pmi.E003",
            )
        )
    if settings.PMI_MAIL_DIR is not None:
        found.append(Error("Mail is written to a folder and reaches nobody.", id="pmi.E001"))
    return found


@register(Tags.files)
def check_private_root(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Scans must not lie where static files are served from."""
    if settings.PMI_PRIVATE_ROOT.is_relative_to(settings.STATIC_ROOT):
        return [
            Error(
                "PMI_PRIVATE_ROOT lies inside STATIC_ROOT: every scan would be public.",
                hint="Move PMI_PRIVATE_ROOT out of the static folder.",
                id="pmi.E002",
            )
        ]
    return []
