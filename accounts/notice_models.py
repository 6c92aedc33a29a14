"""The table of notices: one line of news for one person."""

from typing import TYPE_CHECKING

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from pmi_site.models import BaseModel

if TYPE_CHECKING:
    from datetime import datetime


class Notice(BaseModel):
    """Something new for a person. Its words come from `accounts.notices.NOTICE_TEXTS` by `kind`.

    No medical detail is stored here: a kind, and the address of the page that has the details.
    """

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, related_name="notices", verbose_name=_("user")
    )
    kind = models.CharField(_("kind"), max_length=40)
    link = models.CharField(_("link"), max_length=300, blank=True)
    read_at = models.DateTimeField(_("read on"), null=True, blank=True)
    mailed_at = models.DateTimeField(_("mailed on"), null=True, blank=True, editable=False)

    class Meta:
        verbose_name = _("notice")
        verbose_name_plural = _("notices")
        ordering = ["-created_at", "-id"]
        indexes = [
            models.Index(fields=["user", "-created_at", "-id"], name="notice_newest"),
            models.Index(fields=["user"], condition=Q(read_at__isnull=True), name="notice_unread"),
        ]

    def __str__(self) -> str:
        return f"notice {self.pk}"

    @property
    def text(self) -> str:
        """The notice in the reader's language."""
        from accounts.notices import text_of

        return text_of(self.kind)

    def mark_read(self, at: "datetime | None" = None) -> None:
        """Note that the person has seen it; the first time stands."""
        now = at or timezone.now()
        Notice.objects.filter(pk=self.pk, read_at__isnull=True).update(read_at=now, updated_at=now)
