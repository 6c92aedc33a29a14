"""Mail on a machine that cannot send any: each message becomes a file that a person can open."""

import logging
import uuid
from collections.abc import Sequence

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.mail import EmailMessage
from django.core.mail.backends.base import BaseEmailBackend
from django.utils import timezone

log = logging.getLogger(__name__)


class FolderEmailBackend(BaseEmailBackend):
    """Writes each message to settings.PMI_MAIL_DIR as plain text, newest last by name."""

    def send_messages(self, email_messages: Sequence[EmailMessage]) -> int:
        """Write the messages; returns how many."""
        folder = settings.PMI_MAIL_DIR
        if folder is None:
            raise ImproperlyConfigured("FolderEmailBackend needs PMI_MAIL_DIR.")
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
        for message in email_messages:
            path = folder / f"{timezone.now():%Y%m%d-%H%M%S-%f}-{uuid.uuid4().hex[:6]}.txt"
            head = f"To: {', '.join(message.to)}\nFrom: {message.from_email}\nSubject: {message.subject}"
            path.write_text(f"{head}\n\n{message.body}\n", encoding="utf-8")
            log.info("A mail was written to %s instead of being sent", path)
        return len(email_messages)
