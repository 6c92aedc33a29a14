"""The worklist of a doctor: its rows, named views of it, and what of each case the doctor has seen."""

from django.conf import settings
from django.contrib.postgres.indexes import GinIndex
from django.contrib.postgres.search import SearchVectorField
from django.db import models
from django.utils.translation import gettext_lazy as _

from pmi_site.models import BaseModel


class WorklistView(BaseModel):
    """Filters that a doctor saved under a name."""

    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="worklist_views"
    )
    name = models.CharField(_("name"), max_length=60)
    query = models.CharField(
        max_length=400, blank=True, help_text=_("the filters as they stand in the address")
    )

    class Meta:
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["owner", "name"], name="worklist_view_name_once")]

    def __str__(self) -> str:
        """Name it by id: the name may hold a patient's."""
        return f"worklist view {self.pk}"


class CaseSeen(models.Model):
    """Up to which moment a doctor has seen what is new about a case: its `news_at` when they opened it."""

    doctor = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    case = models.ForeignKey("cases.Case", on_delete=models.CASCADE, related_name="seen_by")
    seen_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["doctor", "case"], name="case_seen_once")]

    def __str__(self) -> str:
        """Name it by id."""
        return f"seen {self.case_id}"


class WorklistEntry(models.Model):
    """One case on the worklist of one doctor, with what that list is sorted and filtered by.

    Triggers of the database write these rows (migrations `cases.0006` and `0007`) with every change of a
    case, a grant or a patient's name, whatever code made it; nothing else does, but for `unread`, which goes
    when the doctor opens the case. An entry says where to look and how many there are, so that a list of
    100,000 cases is read from an index of that doctor's own, a page at a time. Who may read a case is not
    decided here: whatever shows something of a case asks `accounts.selectors.case_access` as well.
    """

    doctor = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.CASCADE,
        related_name="+",
        db_constraint=False,
        db_index=False,
    )
    case = models.ForeignKey(
        "cases.Case", on_delete=models.CASCADE, related_name="worklist_entries", db_constraint=False
    )
    danger_rank = models.PositiveSmallIntegerField()
    waiting_since = models.DateTimeField()
    review_state = models.CharField(max_length=12)  # as in Case
    is_open = models.BooleanField(help_text=_("not reviewed yet, or the readers disagree"))
    kind = models.CharField(max_length=16)
    opened_at = models.DateTimeField(help_text=_("when the patient opened the case"))
    news_at = models.DateTimeField()
    unread = models.BooleanField()
    until = models.DateTimeField(null=True, help_text=_("when the last grant ends; empty: open-ended"))
    words = SearchVectorField(help_text=_("patient's name and title, folded, for searching by word starts"))

    class Meta:
        constraints = [models.UniqueConstraint(fields=["doctor", "case"], name="worklist_entry_once")]
        indexes = [
            # `until` goes along, so that counting reads nothing but the index.
            models.Index(
                fields=["doctor", "is_open", "danger_rank", "waiting_since", "case"],
                include=["until"],
                name="worklist_open",
            ),
            models.Index(fields=["doctor", "danger_rank", "waiting_since", "case"], name="worklist_all"),
            models.Index(
                fields=["doctor", "review_state", "danger_rank", "waiting_since", "case"],
                name="worklist_state",
            ),
            models.Index(
                fields=["doctor", "kind", "danger_rank", "waiting_since", "case"],
                condition=models.Q(is_open=True),
                name="worklist_kind",
            ),
            models.Index(
                fields=["doctor", "danger_rank", "waiting_since", "case"],
                condition=models.Q(unread=True),
                name="worklist_unread",
            ),
            models.Index(
                fields=["doctor", "danger_rank", "waiting_since", "case"],
                condition=models.Q(is_open=True, unread=True),
                include=["until"],
                name="worklist_open_unread",
            ),
            models.Index(fields=["doctor", "opened_at"], name="worklist_opened"),
            models.Index(fields=["doctor", "news_at"], name="worklist_news"),
            GinIndex(fields=["words"], name="worklist_words", fastupdate=False),
        ]

    def __str__(self) -> str:
        """Name it by id."""
        return f"worklist entry {self.pk}"
