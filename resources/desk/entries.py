"""What the admin pages of all entries share: an edit is kept as a revision, never written to the row."""

from typing import Any, cast

from django import forms
from django.contrib import admin, messages
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import PermissionDenied
from django.db import models
from django.db.models import OuterRef, Q, QuerySet, Subquery
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from accounts.models import User
from pmi_site.errors import UserError
from resources import services
from resources.choices import Status
from resources.content import changes, fill
from resources.desk.forms import EntryForm
from resources.models import Revision, RevisionState
from resources.workflow_models import OPEN_STATES

# An address typed without a scheme is taken as https.
HTTPS: dict[Any, dict[str, Any]] = {models.URLField: {"assume_scheme": "https"}}


class ReviewFilter(admin.SimpleListFilter):
    """Texts by whether a clinician has read them and whether they are due."""

    title = _("review")
    parameter_name = "review"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [
            ("nobody", _("Read by no clinician")),
            ("due", _("Due for review")),
            ("done", _("Read by a clinician")),
        ]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        nobody = Q(reviewed_by="") | Q(reviewed_on=None)
        if self.value() == "nobody":
            return queryset.filter(nobody)
        if self.value() == "done":
            return queryset.exclude(nobody)
        if self.value() == "due":
            return queryset.filter(review_by__lt=timezone.localdate())
        return queryset


class DraftFilter(admin.SimpleListFilter):
    """Entries by the state of their open revision."""

    title = _("open draft")
    parameter_name = "open"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("draft", _("Draft")), ("in_review", _("In review"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(open_state=self.value()) if self.value() else queryset


class EntryAdmin(admin.ModelAdmin[Any]):
    """An entry that goes through draft, review and publication. It is retired, never deleted."""

    form = EntryForm
    formfield_overrides = HTTPS
    actions = ["send_to_review", "retire"]
    list_per_page = 50
    change_form_template = "admin/resources/entry_form.html"
    add_form_template = "admin/resources/entry_form.html"
    change_list_template = "admin/resources/entry_list.html"

    class Media:
        css = {"all": ["resources/desk.css"]}

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        kind = ContentType.objects.get_for_model(self.model)
        revisions = Revision.objects.filter(
            content_type=kind, object_id=OuterRef("pk"), state__in=OPEN_STATES
        ).values("state")[:1]
        return super().get_queryset(request).annotate(open_state=Subquery(revisions))

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        # A whole sentence does not fit the usual one-line box.
        if type(db_field) is models.CharField and not db_field.choices and (db_field.max_length or 0) >= 160:
            kwargs["widget"] = forms.Textarea(attrs={"rows": 2, "class": "desk-short"})
        return super().formfield_for_dbfield(db_field, request, **kwargs)

    @admin.display(description=_("open draft"), ordering="open_state")
    def draft(self, row: Any) -> str:
        """The state of the open revision, in words."""
        return str(RevisionState(row.open_state).label) if row.open_state else ""

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        row = super().get_object(request, object_id, from_field)
        if row is not None:
            row._revision = services.open_revision(row)
            if row._revision:
                fill(row, row._revision.content)
        return row

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        writer: Any = request.user
        obj._saved = services.save_draft(
            obj, form.content(), writer, version=form.cleaned_data.get("revision_version")
        )

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        # The links are part of the revision, too.
        return

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        context = {**(extra_context or {}), "show_save_and_add_another": False}
        try:
            if object_id and request.method == "GET":
                row = super().get_object(request, object_id)
                if row is not None:
                    context |= {"entry": row, "revision": services.open_revision(row)}
            return super().changeform_view(request, object_id, form_url, context)
        except UserError as error:
            self.message_user(request, error.message, messages.ERROR)
            return HttpResponseRedirect(request.path)

    def response_add(
        self, request: HttpRequest, obj: Any, post_url_continue: str | None = None
    ) -> HttpResponse:
        return self._to_revision(request, obj)

    def response_change(self, request: HttpRequest, obj: Any) -> HttpResponse:
        return self._to_revision(request, obj)

    def _to_revision(self, request: HttpRequest, obj: Any) -> HttpResponse:
        self.message_user(request, _("Saved as a draft. Readers do not see it yet."), messages.SUCCESS)
        if "_continue" in request.POST:
            name = f"admin:resources_{self.opts.model_name}_change"
            return HttpResponseRedirect(reverse(name, args=[obj.pk]))
        return HttpResponseRedirect(reverse("admin:resources_revision_change", args=[obj._saved.pk]))

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Every published version with what it changed, newest first."""
        row = super().get_object(request, object_id)
        if row is None:
            raise Http404
        if not self.has_view_permission(request, row):
            raise PermissionDenied
        revisions = services.revisions_of(row).select_related("author", "published_by")
        published = revisions.filter(state=RevisionState.PUBLISHED).order_by("-published_at")[:50]
        context = {
            **self.admin_site.each_context(request),
            "title": _("History of “%(entry)s”") % {"entry": row},
            "entry": row,
            "opts": self.opts,
            "versions": [(r, changes(self.model, r.base, r.content)) for r in published],
            "media": self.media,
        }
        return TemplateResponse(request, "admin/resources/entry_history.html", context)

    @admin.action(description=_("Send drafts to review"), permissions=["change"])
    def send_to_review(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        """Submits the open drafts of the chosen entries; says why where one cannot be."""
        sent, writer = 0, cast(User, request.user)
        for row in queryset:
            revision = services.open_revision(row)
            if revision is None or revision.state != RevisionState.DRAFT:
                continue
            try:
                services.submit(revision.pk, writer)
                sent += 1
            except UserError as error:
                self.message_user(request, f"{row}: {error.message}", messages.WARNING)
        text = ngettext("%d draft sent to review.", "%d drafts sent to review.", sent) % sent
        self.message_user(request, text, messages.SUCCESS if sent else messages.INFO)

    @admin.action(description=_("Take off the pages (retire)"), permissions=["publish"])
    def retire(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        """Retires the chosen published entries at once."""
        count, publisher = 0, cast(User, request.user)
        for row in queryset:
            if services.retire(row, publisher):
                self.log_change(request, row, [{"changed": {"fields": [str(_("status"))]}}])
                count += 1
        text = ngettext("%d entry retired.", "%d entries retired.", count) % count
        self.message_user(request, text, messages.SUCCESS if count else messages.INFO)

    def has_publish_permission(self, request: HttpRequest) -> bool:
        """For the actions above."""
        return services.may_publish(request.user)

    def view_on_site(self, obj: Any) -> str | None:
        condition = obj if hasattr(obj, "get_absolute_url") else getattr(obj, "condition", None)
        if condition is None or condition.status != Status.PUBLISHED:
            return None
        return condition.get_absolute_url()
