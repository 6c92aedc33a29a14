"""Start-up checks that explain a bad setting in words."""

import re
from email.utils import parseaddr
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
    if not settings.PMI_CONTACT:
        found.append(
            Warning(
                "Nobody can write to you: no page names an address.",
                hint="Set PMI_CONTACT to a mail address, or to the address of a page (https://...).",
                id="pmi.W005",
            )
        )
    elif not re.fullmatch(r"[^@\s:/]+@[^@\s:/]+|https?://\S+", settings.PMI_CONTACT):
        found.append(
            Error(
                "PMI_CONTACT is neither a mail address nor the address of a page.",
                hint="Set it to one like help@example.org or https://example.org/contact.",
                id="pmi.E004",
            )
        )
    if parseaddr(settings.DEFAULT_FROM_EMAIL)[1].endswith("@localhost"):
        found.append(
            Error(
                "Mails come from an address that nobody else knows, and most servers refuse them.",
                hint="Set PMI_MAIL_FROM, e.g. PMI <no-reply@example.org>.",
                id="pmi.E005",
            )
        )
    if settings.SECURE_SSL_REDIRECT and settings.SECURE_PROXY_SSL_HEADER is None:
        found.append(
            Warning(
                "Every page leads to itself: PMI speaks plain HTTP, and is told of no proxy with HTTPS.",
                hint="Set PMI_BEHIND_PROXY=true where a proxy sets X-Forwarded-Proto itself; "
                "else PMI_SSL_REDIRECT=false.",
                id="pmi.W004",
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
