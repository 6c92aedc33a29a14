"""The curators' desk."""

from typing import Any

from django.contrib import admin, messages
from django.db import models
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from resources.choices import Status
from resources.models import Advice, Citation, Condition, Resource, Source, Treatment


class ReviewDueFilter(admin.SimpleListFilter):
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


# An address typed without a scheme is taken as https.
HTTPS: dict[Any, dict[str, Any]] = {models.URLField: {"assume_scheme": "https"}}


class PublishableAdmin(admin.ModelAdmin):
    """Status actions. Rows are retired, not deleted: a deleted seed row would come back later."""

    actions = ["send_to_review", "publish", "retire"]
    formfield_overrides = HTTPS
    save_on_top = True
    list_per_page = 50

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        if obj is not None and obj.seed_key:
            return False
        return super().has_delete_permission(request, obj)

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        actions = super().get_actions(request)
        actions.pop("delete_selected", None)
        return actions

    @admin.action(description=_("Send to review"), permissions=["change"])
    def send_to_review(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        self._set(request, queryset.filter(status=Status.DRAFT), Status.IN_REVIEW)

    @admin.action(description=_("Publish"), permissions=["change"])
    def publish(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        ready = queryset
        if self.model is not Resource:
            unsourced = queryset.filter(sources=None)
            if count := unsourced.count():
                text = ngettext(
                    "%d entry has no source and stays as it is.",
                    "%d entries have no source and stay as they are.",
                    count,
                )
                self.message_user(request, text % count, messages.WARNING)
            ready = queryset.exclude(pk__in=unsourced.values("pk"))
        self._set(request, ready, Status.PUBLISHED)

    @admin.action(description=_("Retire"), permissions=["change"])
    def retire(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        self._set(request, queryset, Status.RETIRED)

    def _set(self, request: HttpRequest, queryset: QuerySet[Any], status: Status) -> None:
        keys = list(queryset.values_list("pk", flat=True).distinct())
        changed = self.model._default_manager.filter(pk__in=keys).exclude(status=status)
        count = 0
        for entry in changed:
            entry.status = status
            entry.save(update_fields=["status", "updated_at"])
            self.log_change(request, entry, [{"changed": {"fields": ["status"]}}])
            count += 1
        text = ngettext("%d entry changed.", "%d entries changed.", count) % count
        self.message_user(request, text, messages.SUCCESS)


REVIEW: Any = (_("State and review"), {"fields": [("status", "review_by"), ("reviewed_by", "reviewed_on")]})


class CitationInline(admin.TabularInline):
    model = Citation
    extra = 0
    autocomplete_fields = ["source"]


class TreatmentInline(admin.TabularInline):
    model = Treatment
    extra = 0
    fields = ["position", "kind", "name", "status"]
    show_change_link = True
    can_delete = False
    max_num = 0
    readonly_fields = ["position", "kind", "name", "status"]


class AdviceInline(admin.TabularInline):
    model = Advice
    extra = 0
    fields = ["danger_level", "audience", "headline", "status"]
    show_change_link = True
    can_delete = False
    max_num = 0
    readonly_fields = ["danger_level", "audience", "headline", "status"]


@admin.register(Condition)
class ConditionAdmin(PublishableAdmin):
    list_display = [
        "name",
        "clinical_name",
        "kind",
        "icd10",
        "status",
        "treatment_count",
        "reviewed_by",
        "review_by",
    ]
    list_filter = ["status", "kind", ReviewDueFilter]
    search_fields = ["name", "clinical_name", "slug", "icd10", "icd11", "summary"]
    inlines = [CitationInline, TreatmentInline, AdviceInline]
    fieldsets = [
        (None, {"fields": ["name", "clinical_name", "slug", "kind", "position", "aliases"]}),
        (
            _("For patients"),
            {
                "fields": [
                    "summary",
                    "what_it_is",
                    "how_confirmed",
                    "red_flags",
                    "outlook_treated",
                    "outlook_untreated",
                ],
                "description": _(
                    "Plain words, short sentences, calm and honest: reading grade 8 or lower. "
                    "An empty line starts a new paragraph; other markup is shown as it is."
                ),
            },
        ),
        (_("For doctors"), {"fields": ["clinical_note", ("icd10", "icd11")]}),
        REVIEW,
    ]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        # Models and rules name conditions by slug.
        return ["slug"] if obj else []

    def get_prepopulated_fields(self, request: HttpRequest, obj: Any = None) -> dict[str, Any]:
        return {} if obj else {"slug": ["name"]}

    def get_queryset(self, request: HttpRequest) -> QuerySet[Condition]:
        return super().get_queryset(request).annotate(treatment_total=Count("treatments"))

    @admin.display(description=_("treatments"), ordering="treatment_total")
    def treatment_count(self, condition: Any) -> int:
        return condition.treatment_total

    def view_on_site(self, obj: Condition) -> str | None:
        return obj.get_absolute_url() if obj.status == Status.PUBLISHED else None


@admin.register(Treatment)
class TreatmentAdmin(PublishableAdmin):
    list_display = ["name", "condition", "kind", "evidence", "status", "reviewed_by", "review_by"]
    list_filter = ["status", "kind", "evidence", ReviewDueFilter, "condition"]
    list_select_related = ["condition"]
    search_fields = ["name", "what_it_involves", "condition__name"]
    autocomplete_fields = ["condition", "sources"]
    fieldsets = [
        (None, {"fields": ["condition", ("kind", "position"), "name"]}),
        (
            _("For patients"),
            {"fields": ["what_it_involves", "when_used", "benefits", "risks", "provided_by"]},
        ),
        (_("What it rests on"), {"fields": ["evidence", "sources"]}),
        REVIEW,
    ]


@admin.register(Advice)
class AdviceAdmin(PublishableAdmin):
    list_display = ["subject", "danger_level", "audience", "headline", "status", "reviewed_by", "review_by"]
    list_display_links = ["headline"]
    list_filter = ["status", "danger_level", "audience", ReviewDueFilter, "condition"]
    list_select_related = ["condition"]
    search_fields = ["headline", "text", "condition__name"]
    autocomplete_fields = ["condition", "sources"]
    fieldsets = [
        (None, {"fields": ["condition", ("danger_level", "audience")]}),
        (
            _("Text"),
            {
                "fields": ["headline", "text", "sources"],
                "description": _('Say "your local emergency number", not one country\'s.'),
            },
        ),
        REVIEW,
    ]

    @admin.display(description=_("condition"), ordering="condition__name")
    def subject(self, advice: Advice) -> str:
        return advice.condition.name if advice.condition else str(_("Any condition"))


@admin.register(Resource)
class ResourceAdmin(PublishableAdmin):
    list_display = ["title", "publisher", "kind", "language", "country", "audience", "status", "checked_on"]
    list_filter = [
        "status",
        "kind",
        "language",
        "country",
        "audience",
        ("checked_on", admin.EmptyFieldListFilter),
    ]
    search_fields = ["title", "publisher", "url", "description"]
    autocomplete_fields = ["conditions"]
    fieldsets = [
        (None, {"fields": [("kind", "position"), "title", "publisher", "description", "url"]}),
        (_("For whom"), {"fields": ["conditions", "audience", ("language", "country")]}),
        (_("State"), {"fields": [("status", "checked_on")]}),
    ]


@admin.register(Source)
class SourceAdmin(admin.ModelAdmin):
    formfield_overrides = HTTPS
    list_display = ["citation", "url", "accessed_on"]
    search_fields = ["citation", "url"]
    list_filter = [("accessed_on", admin.EmptyFieldListFilter)]

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        if obj is not None and obj.seed_key:
            return False
        return super().has_delete_permission(request, obj)

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        actions = super().get_actions(request)
        actions.pop("delete_selected", None)
        return actions
