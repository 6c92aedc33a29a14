"""The curators' desk: which entries there are and what their pages show."""

from typing import Any

from django.contrib import admin
from django.db.models import Count, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from resources.desk.entries import HTTPS, DraftFilter, EntryAdmin, ReviewFilter
from resources.desk.forms import ConditionForm, translation_form
from resources.desk.pages import LinkCheckAdmin, RevisionAdmin
from resources.models import Advice, Condition, LinkCheck, Resource, Revision, Source, Translation, Treatment

REVIEW: Any = (
    _("Review"),
    {
        "fields": ["review_by", ("reviewed_by", "reviewed_on")],
        "description": _(
            "Fill in “reviewed by” only if a clinician has read this text as it stands. "
            "If the words change later, the mark is taken away."
        ),
    },
)
PLAIN_WORDS = _(
    "Plain words, short sentences, calm and honest: reading grade 8 or lower. An empty line starts a new "
    "paragraph. HTML is taken out."
)


@admin.register(Condition)
class ConditionAdmin(EntryAdmin):
    form = ConditionForm
    list_display = ["name", "kind", "icd10", "status", "draft", "treatment_count", "reviewed_by", "review_by"]
    list_filter = ["status", DraftFilter, "kind", ReviewFilter]
    search_fields = ["name", "clinical_name", "slug", "aliases", "icd10", "icd11", "snomed"]
    fieldsets = [
        (
            None,
            {"fields": ["revision_version", "name", "clinical_name", "slug", "kind", "position", "aliases"]},
        ),
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
                "description": PLAIN_WORDS,
            },
        ),
        (_("For doctors"), {"fields": ["clinical_note", ("icd10", "icd11"), ("snomed", "radlex")]}),
        (
            _("Sources of each part"),
            {
                "fields": [
                    "sources_what_it_is",
                    "sources_how_confirmed",
                    "sources_red_flags",
                    "sources_outlook",
                    "sources_clinical_note",
                ],
                "description": _("Every part that has text needs at least one."),
            },
        ),
        REVIEW,
    ]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        # Models and rules name conditions by slug.
        return ["slug"] if obj else []

    def get_prepopulated_fields(self, request: HttpRequest, obj: Any = None) -> dict[str, Any]:
        return {} if obj else {"slug": ["name"]}

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        fieldsets = super().get_fieldsets(request, obj)
        # A page to read only shows stored fields; the sources stand on the page of the text itself.
        return fieldsets if self._may_write(request, obj) else [fieldsets[i] for i in (0, 1, 2, 4)]

    def _may_write(self, request: HttpRequest, obj: Any) -> bool:
        return self.has_change_permission(request, obj) or (obj is None and self.has_add_permission(request))

    def get_queryset(self, request: HttpRequest) -> QuerySet[Condition]:
        return super().get_queryset(request).annotate(treatment_total=Count("treatments"))

    @admin.display(description=_("treatments"), ordering="treatment_total")
    def treatment_count(self, condition: Any) -> int:
        """How many treatments hang on the condition, in any state."""
        return int(condition.treatment_total)


@admin.register(Treatment)
class TreatmentAdmin(EntryAdmin):
    list_display = ["name", "condition", "kind", "evidence", "status", "draft", "reviewed_by", "review_by"]
    list_filter = ["status", DraftFilter, "kind", "evidence", ReviewFilter, "condition"]
    list_select_related = ["condition"]
    search_fields = ["name", "what_it_involves", "condition__name"]
    autocomplete_fields = ["condition", "sources"]
    fieldsets = [
        (None, {"fields": ["revision_version", "condition", ("kind", "position"), "name"]}),
        (
            _("For patients"),
            {
                "fields": ["what_it_involves", "when_used", "benefits", "risks", "provided_by"],
                "description": PLAIN_WORDS,
            },
        ),
        (_("What it rests on"), {"fields": ["evidence", "sources"]}),
        REVIEW,
    ]


@admin.register(Advice)
class AdviceAdmin(EntryAdmin):
    list_display = ["headline", "subject", "danger_level", "audience", "status", "draft", "review_by"]
    list_filter = ["status", DraftFilter, "danger_level", "audience", ReviewFilter, "condition"]
    list_select_related = ["condition"]
    search_fields = ["headline", "text", "condition__name"]
    autocomplete_fields = ["condition", "sources"]
    fieldsets = [
        (None, {"fields": ["revision_version", "condition", ("danger_level", "audience")]}),
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
        """The condition's name, or that it is for all."""
        return advice.condition.name if advice.condition else str(_("Any condition"))


@admin.register(Translation)
class TranslationAdmin(EntryAdmin):
    list_display = ["__str__", "language", "status", "draft", "is_outdated", "reviewed_by", "review_by"]
    list_filter = ["language", "status", DraftFilter, ReviewFilter]
    list_select_related = ["condition", "treatment", "advice__condition"]
    search_fields = ["condition__name", "treatment__name", "advice__headline"]
    autocomplete_fields = ["condition", "treatment", "advice"]

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        if obj is None:
            what = ["condition", "treatment", "advice", "language"]
            note = _("Choose one thing to translate, and the language. The texts come on the next page.")
            return [(None, {"fields": ["revision_version", *what], "description": note}), REVIEW]
        if not self.has_change_permission(request, obj):
            return [(None, {"fields": ["language", "texts"]}), REVIEW]
        names = [n for n in translation_form(obj).base_fields if n.startswith("text_")]
        return [(str(obj), {"fields": ["revision_version", *names], "description": PLAIN_WORDS}), REVIEW]

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        kwargs.setdefault("form", translation_form(obj))
        return super().get_form(request, obj, change, **kwargs)

    @admin.display(description=_("English changed since"), boolean=True)
    def is_outdated(self, translation: Translation) -> bool:
        """The English words are no longer those that were translated."""
        return translation.is_stale


@admin.register(Resource)
class ResourceAdmin(EntryAdmin):
    list_display = ["title", "publisher", "kind", "language", "country", "audience", "status", "draft"]
    list_filter = [
        "status",
        DraftFilter,
        "kind",
        "language",
        "country",
        "audience",
        ("checked_on", admin.EmptyFieldListFilter),
    ]
    search_fields = ["title", "publisher", "url", "description"]
    autocomplete_fields = ["conditions"]
    fieldsets = [
        (
            None,
            {
                "fields": [
                    "revision_version",
                    ("kind", "position"),
                    "title",
                    "publisher",
                    "description",
                    "url",
                ]
            },
        ),
        (_("For whom"), {"fields": ["conditions", "audience", ("language", "country")]}),
        (_("State"), {"fields": ["checked_on"]}),
    ]


@admin.register(Source)
class SourceAdmin(admin.ModelAdmin[Source]):
    formfield_overrides = HTTPS
    list_display = ["citation", "url", "accessed_on"]
    search_fields = ["citation", "url"]
    list_filter = [("accessed_on", admin.EmptyFieldListFilter)]

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        # What a text rested on once stays in its history.
        return False


admin.site.register(Revision, RevisionAdmin)
admin.site.register(LinkCheck, LinkCheckAdmin)
