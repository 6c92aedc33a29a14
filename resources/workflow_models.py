"""What the curation desk keeps beside the texts themselves: revisions and the state of web addresses.

A published row is what readers see. An edit never touches it: it goes into the row's one open `Revision`,
and reaches the row when somebody other than its writers publishes that revision. Published revisions stay
for good; they are the history.

    save        submit              publish (another person)
  ──────► draft ──────► in_review ──────────────────────────► published
            ▲   ◄──────    │  save again, or send back
            └──────────────┘
          draft, in_review ──► discarded
"""

from typing import Any

from django.conf import settings
from django.contrib.contenttypes.fields import GenericForeignKey
from django.contrib.contenttypes.models import ContentType
from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from pmi_site.models import BaseModel


class RevisionState(models.TextChoices):
    DRAFT = "draft", _("Draft")
    IN_REVIEW = "in_review", _("In review")
    PUBLISHED = "published", _("Published")
    DISCARDED = "discarded", _("Discarded")


OPEN_STATES = [RevisionState.DRAFT, RevisionState.IN_REVIEW]


class Revision(BaseModel):
    """One version of one entry: its whole content, who wrote it and who published it."""

    content_type = models.ForeignKey(ContentType, on_delete=models.PROTECT, related_name="+")
    object_id = models.UUIDField(_("entry"))
    entry = GenericForeignKey("content_type", "object_id")
    title = models.CharField(_("title"), max_length=240)
    state = models.CharField(
        _("state"), max_length=10, choices=RevisionState, default=RevisionState.DRAFT, db_index=True
    )
    version = models.PositiveIntegerField(_("saved so often"), default=1)
    content = models.JSONField(_("content"), encoder=DjangoJSONEncoder)
    # What readers saw when this revision was begun; a first version has none.
    base = models.JSONField(_("begun from"), encoder=DjangoJSONEncoder, null=True, blank=True)
    # Of a translation: the words that its writer had before them.
    original_hash = models.CharField(
        _("hash of the original"), max_length=64, blank=True, default="", editable=False
    )
    author = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    # Ids of everybody who saved this text: kept apart from the accounts, so that an erased account does
    # not let its owner's co-writer publish.
    writer_ids: Any = models.JSONField(_("written by"), default=list)
    published_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    published_at = models.DateTimeField(_("published at"), null=True, blank=True)
    note = models.TextField(_("note"), blank=True)

    class Meta:
        ordering = ["-updated_at"]
        verbose_name = _("revision")
        verbose_name_plural = _("revisions")
        permissions = [("publish_revision", "Can publish and retire what others wrote")]
        indexes = [models.Index(fields=["content_type", "object_id"], name="revision_of_entry")]
        constraints = [
            models.UniqueConstraint(
                fields=["content_type", "object_id"],
                condition=Q(state__in=["draft", "in_review"]),
                name="one_open_revision_each",
            )
        ]

    def __str__(self) -> str:
        return self.title

    @property
    def is_open(self) -> bool:
        """Still to be published or discarded."""
        return self.state in OPEN_STATES


class LinkCheck(BaseModel):
    """What happened when an address of a source or resource was last opened by machine."""

    url = models.URLField(_("address"), max_length=400, unique=True)
    checked_at = models.DateTimeField(_("tried at"))
    is_ok = models.BooleanField(_("works"))
    http_status = models.PositiveSmallIntegerField(_("answer"), null=True, blank=True)
    problem = models.CharField(_("problem"), max_length=200, blank=True)
    failures = models.PositiveIntegerField(_("failed in a row"), default=0)
    last_ok_at = models.DateTimeField(_("last worked at"), null=True, blank=True)

    class Meta:
        ordering = ["is_ok", "-failures", "url"]
        verbose_name = _("address check")
        verbose_name_plural = _("address checks")

    def __str__(self) -> str:
        return self.url
