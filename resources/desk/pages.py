"""The pages of the desk that list no entries: what waits, one revision, coverage, files in and out."""

import uuid
from datetime import timedelta
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from pmi_site.admin import ReadOnlyAdmin
from pmi_site.errors import UserError
from resources import coverage, services
from resources.choices import Status
from resources.content import ENTRIES, MEDICAL, changes
from resources.desk import preview, transfer
from resources.models import LinkCheck, Revision, RevisionState

DUE_SOON = timedelta(days=30)


class LookOnlyAdmin(ReadOnlyAdmin):
    """Lists to read; rows are made by services."""

    class Media:
        css = {"all": ["resources/desk.css"]}


class LinkCheckAdmin(LookOnlyAdmin):
    """Broken addresses first."""

    list_display = ["url", "is_ok", "problem", "failures", "checked_at", "last_ok_at"]
    list_filter = ["is_ok"]
    search_fields = ["url", "problem"]


class RevisionAdmin(LookOnlyAdmin):
    """Drafts and versions; the page of one revision is where it is read and published."""

    list_display = ["title", "content_type", "state", "author", "updated_at", "published_by"]
    list_filter = ["state", "content_type"]
    list_select_related = ["content_type", "author", "published_by"]
    search_fields = ["title"]

    def get_urls(self) -> list[URLPattern]:
        pages = [
            path("desk/", self._page(self.desk_view), name="resources_desk"),
            path("coverage/", self._page(self.coverage_view), name="resources_coverage"),
            path(
                "<uuid:revision_id>/preview/",
                self._page(self.preview_view),
                name="resources_revision_preview",
            ),
            path("export/<slug:name>.<slug:format>", self._page(self.export_view), name="resources_export"),
            path("import/", self._page(self.import_view), name="resources_import"),
        ]
        return [*pages, *super().get_urls()]

    def _page(self, view: Any) -> Any:
        return self.admin_site.admin_view(view)

    def _require(self, request: HttpRequest) -> None:
        if not self.has_view_permission(request):
            raise PermissionDenied

    def _show(self, request: HttpRequest, template: str, title: str, context: dict[str, Any]) -> HttpResponse:
        everywhere = {
            **self.admin_site.each_context(request),
            "title": title,
            "opts": self.opts,
            "media": self.media,
        }
        return TemplateResponse(request, f"admin/resources/{template}", {**everywhere, **context})

    def desk_view(self, request: HttpRequest) -> HttpResponse:
        """What waits for somebody: reviews, drafts, texts that are due, broken addresses."""
        self._require(request)
        revisions = Revision.objects.select_related("content_type", "author")
        waiting = list(revisions.filter(state=RevisionState.IN_REVIEW).order_by("updated_at")[:100])
        for revision in waiting:
            revision.is_mine = str(request.user.pk) in revision.writer_ids  # type: ignore[attr-defined]
        until = timezone.localdate() + DUE_SOON
        due: list[Any] = []
        unread = 0
        for model in MEDICAL:
            published = model._default_manager.filter(status=Status.PUBLISHED)
            unread += published.filter(reviewed_on=None).count()
            due += [
                (row, str(model._meta.verbose_name), _change_page(row))
                for row in published.filter(review_by__lte=until).order_by("review_by")[:50]
            ]
        rows = coverage.coverage(coverage.labels_in_use())
        context = {
            "waiting": waiting,
            "drafts": revisions.filter(state=RevisionState.DRAFT)[:100],
            "due": sorted(due, key=lambda item: item[0].review_by),
            "today": timezone.localdate(),
            "unread": unread,
            "broken": LinkCheck.objects.filter(is_ok=False)[:50],
            "label_count": len(rows),
            "uncovered_count": sum(bool(row.holes) for row in rows),
        }
        return self._show(request, "desk/desk.html", _("Curation desk"), context)

    def coverage_view(self, request: HttpRequest) -> HttpResponse:
        """Every label of every active model and what the knowledge base says about it."""
        self._require(request)
        rows = coverage.coverage(coverage.labels_in_use())
        headings = coverage.headings()
        context = {
            "rows": rows,
            "headings": headings,
            "column_count": len(headings) + 1,
            "hole_count": sum(len(row.holes) for row in rows),
        }
        return self._show(request, "desk/coverage.html", _("Coverage"), context)

    def preview_view(self, request: HttpRequest, revision_id: uuid.UUID) -> HttpResponse:
        """The page of the condition as a patient would see it with this revision published."""
        self._require(request)
        revision = self._revision(revision_id)
        context = preview.page_context(revision)
        if context is None:
            self.message_user(request, _("This entry belongs to no condition's page."), messages.INFO)
            return HttpResponseRedirect(_revision_page(revision))
        return TemplateResponse(request, "admin/resources/desk/preview.html", context)

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """One revision: what it changes, and what the reader of this page may do about it."""
        self._require(request)
        revision = self._revision(object_id)
        if request.method == "POST":
            return self._act(request, revision)
        model: Any = revision.content_type.model_class()
        row: Any = model._default_manager.filter(pk=revision.object_id).first()
        if row is None:
            raise Http404
        wrote = str(request.user.pk) in revision.writer_ids
        context = {
            "revision": revision,
            "entry": row,
            "entry_kind": model._meta.verbose_name,
            "change_page": _change_page(row),
            "changes": changes(model, revision.base, revision.content),
            "missing": services.missing_parts(row, revision.content) if revision.is_open else [],
            "can_preview": preview.condition_id_of(revision) is not None,
            "may_edit": services.may_edit(request.user, model),
            "may_publish": services.may_publish(request.user),
            "wrote": wrote,
        }
        return self._show(request, "desk/revision.html", str(revision.title), context)

    def _act(self, request: HttpRequest, revision: Revision) -> HttpResponse:
        act = request.POST.get("act")
        user: Any = request.user
        try:
            if act == "submit":
                services.submit(revision.pk, user)
                self.message_user(request, _("Sent to review. Somebody else can publish it now."))
            elif act == "send_back":
                services.send_back(revision.pk, user, request.POST.get("note", ""))
                self.message_user(request, _("Sent back to its writer."))
            elif act == "publish":
                version = request.POST.get("version", "")
                services.publish(revision.pk, user, version=int(version) if version.isdecimal() else 0)
                self.log_change(request, revision, [{"changed": {"fields": ["state"]}}])
                self.message_user(request, _("Published. Readers see it now."))
            elif act == "discard":
                services.discard(revision.pk, user)
                self.message_user(request, _("The draft is gone. Readers see what they saw before."))
        except UserError as error:
            self.message_user(request, error.message, messages.ERROR)
        return HttpResponseRedirect(_revision_page(revision))

    def export_view(self, request: HttpRequest, name: str, format: str) -> HttpResponse:
        """A file with every entry of one kind, drafts included."""
        self._require(request)
        if name not in transfer.COLUMNS or format not in ("csv", "json"):
            raise Http404
        body = transfer.export(name, format)
        kind = "text/csv" if format == "csv" else "application/json"
        return HttpResponse(
            body,
            content_type=f"{kind}; charset=utf-8",
            headers={"Content-Disposition": f'attachment; filename="pmi-{name}.{format}"'},
        )

    def import_view(self, request: HttpRequest) -> HttpResponse:
        """Reads a file into drafts: all of its rows, or none and a report."""
        self._require(request)
        allowed = [name for name in transfer.COLUMNS if services.may_edit(request.user, ENTRIES[name])]
        if not allowed:
            raise PermissionDenied
        writer: Any = request.user
        context: dict[str, Any] = {
            "names": [(name, ENTRIES[name]._meta.verbose_name_plural) for name in allowed],
            "columns": [
                (ENTRIES[name]._meta.verbose_name_plural, ", ".join(transfer.COLUMNS[name]))
                for name in allowed
            ],
        }
        if request.method == "POST":
            name, upload = request.POST.get("name", ""), request.FILES.get("file")
            context["chosen"] = name
            if name not in allowed or upload is None:
                context["problems"] = [
                    transfer.Problem(0, "", _("Choose what the file holds, and the file."))
                ]
            elif (upload.size or 0) > transfer.MAX_BYTES:
                context["problems"] = [transfer.Problem(0, "", _("The file is larger than 5 MB."))]
            else:
                report = transfer.read(name, upload.name or "", upload.read(), writer)
                context |= {"problems": report.problems, "report": report}
                if not report.problems:
                    text = _("%(new)d new and %(changed)d changed entries are drafts now.")
                    counts = {"new": report.created, "changed": report.changed}
                    self.message_user(request, text % counts, messages.SUCCESS)
                    return HttpResponseRedirect(reverse("admin:resources_desk"))
        return self._show(request, "desk/import.html", _("Import"), context)

    def _revision(self, revision_id: Any) -> Revision:
        try:
            key = uuid.UUID(str(revision_id))
        except ValueError:
            raise Http404 from None
        found = (
            Revision.objects.select_related("content_type", "author", "published_by").filter(pk=key).first()
        )
        if found is None:
            raise Http404
        return found


def _revision_page(revision: Revision) -> str:
    return reverse("admin:resources_revision_change", args=[revision.pk])


def _change_page(row: Any) -> str:
    return reverse(f"admin:resources_{row._meta.model_name}_change", args=[row.pk])
