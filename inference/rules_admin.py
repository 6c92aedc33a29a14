"""The desk for danger rules: drafts, one rule at a time, a trial on all past readings, activation, history.

Levels and rules are shown, never whose readings they are: those who curate rules see no patient.
"""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from inference import assessing, danger, rule_check, rule_forms, rule_runs, rule_sets, rule_words
from inference.models import DangerRuleSet, RuleRun
from pmi_site.admin import ReadOnlyAdmin
from pmi_site.errors import UserError


@admin.register(DangerRuleSet)
class DangerRuleSetAdmin(ReadOnlyAdmin):
    """Versions of the danger rules, newest first: the list is the history."""

    list_display = ("version", "status", "note", "writer", "releaser", "activated_at")
    list_select_related = ("created_by", "activated_by")
    search_fields = ("version", "note")
    change_list_template = "admin/inference/rules/list.html"
    actions = None

    class Media:
        css = {"all": ["resources/desk.css"]}

    @admin.display(description=gettext_lazy("begun by"))
    def writer(self, row: DangerRuleSet) -> str:
        """Who began it."""
        return row.created_by.full_name if row.created_by else "-"

    @admin.display(description=gettext_lazy("put in force by"))
    def releaser(self, row: DangerRuleSet) -> str:
        """Who put it in force."""
        return row.activated_by.full_name if row.activated_by else "-"

    def get_urls(self) -> list[URLPattern]:
        views: dict[str, tuple[str, Any]] = {
            "begin/": ("begin", self.begin_view),
            "shipped/": ("shipped", self.shipped_view),
            "<uuid:rule_set_id>/rule/": ("rule", self.rule_view),
            "<uuid:rule_set_id>/sentence/": ("sentence", self.sentence_view),
            "<uuid:rule_set_id>/json/": ("json", self.json_view),
            "<uuid:rule_set_id>/note/": ("note", self.note_view),
            "<uuid:rule_set_id>/trial/": ("trial", self.trial_view),
            "<uuid:rule_set_id>/activate/": ("activate", self.activate_view),
            "<uuid:rule_set_id>/discard/": ("discard", self.discard_view),
        }
        pages = [
            path(where, self.admin_site.admin_view(view), name=f"inference_dangerrules_{name}")
            for where, (name, view) in views.items()
        ]
        return [*pages, *super().get_urls()]

    # --- the list -------------------------------------------------------------------------------------------

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        context = {
            "in_force": rule_sets.in_force(),
            "shipped_version": danger.default_rules().version,
            "may_edit": rule_sets.may_edit(request.user),
            "title": _("Danger rules"),
        }
        return super().changelist_view(request, {**context, **(extra_context or {})})

    def begin_view(self, request: HttpRequest) -> HttpResponse:
        """Begins a draft from the rules in force."""
        self._require(request, edit=True)
        if request.method != "POST":
            return HttpResponseRedirect(_list_page())
        user: Any = request.user
        row = rule_sets.begin_draft(user)
        self.log_addition(request, row, [{"added": {}}])
        self.message_user(
            request, _("A new draft. It says what the rules in force say, until you change it.")
        )
        return HttpResponseRedirect(_page(row))

    # --- one set --------------------------------------------------------------------------------------------

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """A rule set: its state, what it changes, and all of its rules."""
        self._require(request)
        row = rule_sets.get_rule_set(object_id)
        rules = _parsed(row)
        base = assessing.rules_for(row.based_on) if row.based_on else None
        names = rule_words.condition_names()
        is_draft = row.status == DangerRuleSet.Status.DRAFT
        context = {
            "rule_set": row,
            "is_draft": is_draft,
            "may_edit": is_draft and rule_sets.may_edit(request.user),
            "may_activate": is_draft and rule_sets.may_activate(request.user),
            "groups": rule_words.by_group(rules),
            "sentences": _sentences(rules),
            "problems": rule_check.problems(rules),
            "trial": rule_runs.latest(row, RuleRun.Purpose.TRIAL),
            "rejudge": rule_runs.latest(row, RuleRun.Purpose.REJUDGE),
            **_changes(base, rules, names),
        }
        return self._show(
            request, "rule_set.html", str(_("Danger rules %(v)s") % {"v": row.version}), context
        )

    def shipped_view(self, request: HttpRequest) -> HttpResponse:
        """The rules that came with this version of PMI."""
        self._require(request)
        rules = danger.default_rules()
        context = {
            "version": rules.version,
            "is_in_force": rule_sets.in_force() is None,
            "groups": rule_words.by_group(rules),
        }
        title = str(_("Danger rules %(v)s (shipped)") % {"v": rules.version})
        return self._show(request, "shipped.html", title, context)

    def rule_view(self, request: HttpRequest, rule_set_id: Any) -> HttpResponse:
        """One rule of a draft, `?id=`; a new one without an id. It can be removed here, too."""
        row = self._draft(request, rule_set_id)
        rule_id = request.GET.get("id") or None
        form = rule_forms.RuleForm(row.rules, rule_id, request.POST or None)
        if rule_id and not form.rule:
            raise Http404
        if request.method == "POST" and "_remove" in request.POST and rule_id:
            form = rule_forms.RuleForm(row.rules, rule_id)
            changed = rule_forms.without_rule(row.rules, rule_id)
            answer = self._keep(request, row, changed, form, _("The rule is gone from the draft."))
        elif request.method == "POST" and form.is_valid():
            answer = self._keep(request, row, form.changed_rules(), form, _("The rule is in the draft."))
        else:
            answer = None
        title = str(_("Rule %(rule)s") % {"rule": rule_id}) if rule_id else str(_("New rule"))
        context = {"rule_set": row, "form": form, "can_remove": bool(rule_id)}
        return answer or self._show(request, "form.html", title, context)

    def sentence_view(self, request: HttpRequest, rule_set_id: Any) -> HttpResponse:
        """One sentence of a draft, `?key=`, in every language; a new one without a key."""
        row = self._draft(request, rule_set_id)
        key = request.GET.get("key") or None
        if key and key not in row.rules["texts"]["en"]:
            raise Http404
        form = rule_forms.SentenceForm(row.rules, key, request.POST or None)
        answer = None
        if request.method == "POST" and form.is_valid():
            text = _("The sentence is in the draft.")
            answer = self._keep(request, row, form.changed_rules(), form, text)
        parts = [r["id"] for r in row.rules["rules"] if key and key in (r["because"], r["do"])]
        title = str(_("Sentence %(key)s") % {"key": key}) if key else str(_("New sentence"))
        return answer or self._show(
            request, "form.html", title, {"rule_set": row, "form": form, "used_by": parts}
        )

    def json_view(self, request: HttpRequest, rule_set_id: Any) -> HttpResponse:
        """The whole draft as JSON, for changes that only work together."""
        row = self._draft(request, rule_set_id)
        form = rule_forms.WholeForm(row.rules, request.POST or None)
        answer = None
        if request.method == "POST" and form.is_valid():
            answer = self._keep(request, row, form.changed_rules(), form, _("The draft is saved."))
        return answer or self._show(
            request, "form.html", str(_("All rules as JSON")), {"rule_set": row, "form": form}
        )

    def note_view(self, request: HttpRequest, rule_set_id: Any) -> HttpResponse:
        """What is different, and why: one text for the whole draft."""
        row = self._draft(request, rule_set_id)
        if request.method == "POST":
            user: Any = request.user
            try:
                rule_sets.save_draft(
                    row.pk, user, edit_no=_number(request), note=request.POST.get("note", "")
                )
            except UserError as error:
                self.message_user(request, error.message, messages.ERROR)
        return HttpResponseRedirect(_page(row))

    # --- trying, putting in force, throwing away -----------------------------------------------------------

    def trial_view(self, request: HttpRequest, rule_set_id: Any) -> HttpResponse:
        """What a draft would change in past readings. A trial runs in the background and writes nothing."""
        self._require(request)
        row = rule_sets.get_rule_set(rule_set_id)
        if request.method == "POST":
            if not (rule_sets.may_edit(request.user) or rule_sets.may_activate(request.user)):
                raise PermissionDenied
            user: Any = request.user
            if row.status == DangerRuleSet.Status.DRAFT:
                rule_runs.start(row, RuleRun.Purpose.TRIAL, user)
            return HttpResponseRedirect(request.path)
        trial = rule_runs.latest(row, RuleRun.Purpose.TRIAL)
        groups: list[dict[str, Any]] = []
        if trial is not None:
            groups = rule_words.run_groups(trial, assessing.rules_for(trial.compared_with), _parsed(row))
        context = {
            "rule_set": row,
            "is_draft": row.status == DangerRuleSet.Status.DRAFT,
            "trial": trial,
            "is_current": trial is not None and rule_runs.is_current(trial, row),
            "up_groups": [group for group in groups if group["is_up"]],
            "down_groups": [group for group in groups if not group["is_up"]],
            "may_start": rule_sets.may_edit(request.user) or rule_sets.may_activate(request.user),
            "may_activate": rule_sets.may_activate(request.user),
            "refresh": trial is not None and trial.is_open,
        }
        return self._show(request, "trial.html", str(_("Trial of %(v)s") % {"v": row.version}), context)

    def activate_view(self, request: HttpRequest, rule_set_id: Any) -> HttpResponse:
        """Asks once more, then puts a draft in force."""
        self._require(request)
        if not rule_sets.may_activate(request.user):
            raise PermissionDenied
        row = rule_sets.get_rule_set(rule_set_id)
        if row.status != DangerRuleSet.Status.DRAFT:
            return HttpResponseRedirect(_page(row))
        if request.method == "POST":
            user: Any = request.user
            rejudge = request.POST.get("rejudge") == "yes"
            try:
                rule_sets.activate(row.pk, user, edit_no=_number(request), rejudge=rejudge)
            except UserError as error:
                self.message_user(request, error.message, messages.ERROR)
                return HttpResponseRedirect(request.path)
            self.log_change(request, row, [{"changed": {"fields": ["status"]}}])
            self.message_user(request, _("In force. New readings follow these rules from now on."))
            return HttpResponseRedirect(_page(row))
        base = assessing.active_rules()
        context = {
            "rule_set": row,
            "in_force_version": base.version,
            "hindrances": rule_sets.activation_problems(row, request.user),
            "trial": rule_runs.latest(row, RuleRun.Purpose.TRIAL),
            **_changes(base, _parsed(row), rule_words.condition_names()),
        }
        title = str(_("Put %(v)s in force?") % {"v": row.version})
        return self._show(request, "activate.html", title, context)

    def discard_view(self, request: HttpRequest, rule_set_id: Any) -> HttpResponse:
        """Throws a draft away."""
        self._require(request)
        row = rule_sets.get_rule_set(rule_set_id)
        if request.method != "POST":
            return HttpResponseRedirect(_page(row))
        user: Any = request.user
        try:
            rule_sets.discard(row.pk, user)
        except UserError as error:
            self.message_user(request, error.message, messages.ERROR)
            return HttpResponseRedirect(_page(row))
        self.message_user(request, _("The draft is gone. The rules in force are as they were."))
        return HttpResponseRedirect(_list_page())

    # --- shared ---------------------------------------------------------------------------------------------

    def _require(self, request: HttpRequest, *, edit: bool = False) -> None:
        if not self.has_view_permission(request) or (edit and not rule_sets.may_edit(request.user)):
            raise PermissionDenied

    def _draft(self, request: HttpRequest, rule_set_id: Any) -> DangerRuleSet:
        """A draft for somebody who may change it."""
        self._require(request, edit=True)
        row = rule_sets.get_rule_set(rule_set_id)
        if row.status != DangerRuleSet.Status.DRAFT:
            raise Http404
        return row

    def _keep(
        self, request: HttpRequest, row: DangerRuleSet, rules: dict[str, Any], form: Any, text: str
    ) -> HttpResponse | None:
        """Saves the draft; None, and the reason in the form, where it cannot be used as it would be."""
        user: Any = request.user
        try:
            rule_sets.save_draft(row.pk, user, edit_no=_number(request), rules=rules)
        except ValidationError as error:
            if not form.is_bound:  # a removal: nothing was filled in
                for message in error.messages:
                    self.message_user(request, message, messages.ERROR)
                return HttpResponseRedirect(request.get_full_path())
            form.add_error(None, error.messages)
            return None
        except UserError as error:
            self.message_user(request, error.message, messages.ERROR)
            return HttpResponseRedirect(_page(row))
        self.log_change(request, row, [{"changed": {"fields": [str(form.rule_name())]}}])
        self.message_user(request, text)
        return HttpResponseRedirect(_page(row))

    def _show(self, request: HttpRequest, template: str, title: str, context: dict[str, Any]) -> HttpResponse:
        everywhere = {
            **self.admin_site.each_context(request),
            "title": title,
            "opts": self.opts,
            "media": self.media,
            "list_page": _list_page(),
        }
        status = 200 if not getattr(context.get("form"), "errors", None) else 400
        template = f"admin/inference/rules/{template}"
        return TemplateResponse(request, template, {**everywhere, **context}, status=status)


def _parsed(row: DangerRuleSet) -> danger.RuleSet:
    return danger.parse_rules({**row.rules, "version": row.version})


def _changes(before: danger.RuleSet | None, after: danger.RuleSet, names: dict[str, str]) -> dict[str, Any]:
    """For a page: how the rules and sentences of two sets differ."""
    if before is None:
        return {"rule_changes": [], "text_changes": [], "base_version": ""}
    found = [
        (
            change.rule_id,
            change.before and rule_words.shown(before, change.before, names),
            change.after and rule_words.shown(after, change.after, names),
        )
        for change in rule_sets.rule_changes(before, after)
    ]
    return {
        "rule_changes": found,
        "text_changes": rule_sets.text_changes(before, after),
        "base_version": before.version,
    }


def _sentences(rules: danger.RuleSet) -> list[tuple[str, str, str]]:
    """Key, English words and languages of every sentence."""
    return [
        (key, text, ", ".join(code for code in rules.texts if rules.texts[code].get(key)))
        for key, text in sorted(rules.texts["en"].items())
    ]


def _number(request: HttpRequest) -> int:
    value = request.POST.get("edit_no", "")
    return int(value) if value.isdecimal() and len(value) < 9 else 0


def _page(row: DangerRuleSet) -> str:
    return reverse("admin:inference_dangerruleset_change", args=[row.pk])


def _list_page() -> str:
    return reverse("admin:inference_dangerruleset_changelist")
