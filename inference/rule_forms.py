"""Forms for one rule, one sentence and a whole set. They change data; `rule_sets` checks and keeps it."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from typing import Any

from django import forms
from django.conf import settings
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from inference import danger, rule_words

LANGUAGES = [code for code, _name in settings.LANGUAGES]
_KEY = r"^[a-z0-9][a-z0-9_.-]{2,59}$"


def _sentences(texts: Mapping[str, Mapping[str, str]]) -> list[tuple[str, str]]:
    return [(key, f"{key}: {sentence}") for key, sentence in sorted(texts["en"].items())]


class RuleForm(forms.Form):
    """One rule: when it fires, the level it means, and its two sentences."""

    condition = forms.ChoiceField(label=gettext_lazy("Finding"), required=False)
    call = forms.ChoiceField(
        label=gettext_lazy("How sure the reading is"),
        required=False,
        choices=[("", "-"), *rule_words.CALLS.items()],
    )
    symptoms = forms.MultipleChoiceField(
        label=gettext_lazy("Warning signs"),
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text=gettext_lazy("All that are ticked must be reported together."),
    )
    age = forms.ChoiceField(
        label=gettext_lazy("Age"), choices=[(age, rule_words.AGES[age]) for age in danger.AGES]
    )
    level = forms.ChoiceField(
        label=gettext_lazy("Level"),
        choices=[(level, level) for level in danger.LADDER],
        help_text=gettext_lazy("The most dangerous rule that fires decides."),
    )
    because = forms.ChoiceField(label=gettext_lazy("Sentence: why"))
    do = forms.ChoiceField(label=gettext_lazy("Sentence: what to do now"))

    def __init__(self, raw: Mapping[str, Any], rule_id: str | None, data: Any = None) -> None:
        self.raw, self.rule_id = raw, rule_id
        self.rule: dict[str, Any] = next((r for r in raw["rules"] if r["id"] == rule_id), {})
        super().__init__(data, initial={"age": "any", **self.rule})
        names = rule_words.condition_names()
        self._set("condition", [("", _("None: warning signs alone")), *names.items()])
        self._set("symptoms", rule_words.symptom_choices())
        self._set("level", [(level, rule_words.level_name(level)) for level in danger.LADDER])
        self._set("because", _sentences(raw["texts"]))
        self._set("do", _sentences(raw["texts"]))

    def _set(self, name: str, choices: Any) -> None:
        field: Any = self.fields[name]
        field.choices = choices

    def clean(self) -> dict[str, Any]:
        """Asks for a finding with its call, or warning signs."""
        cleaned: dict[str, Any] = super().clean() or {}
        if bool(cleaned.get("condition")) != bool(cleaned.get("call")):
            self.add_error("call", _("A finding and how sure the reading is belong together."))
        elif not cleaned.get("condition") and not cleaned.get("symptoms"):
            raise forms.ValidationError(_("Choose a finding, or at least one warning sign."))
        return cleaned

    def rule_name(self) -> str:
        """What the log says was changed."""
        return self.rule_id or _("New rule")

    def changed_rules(self) -> dict[str, Any]:
        """The whole set as data, with this rule in it."""
        values = {name: value for name, value in self.cleaned_data.items() if value}
        raw = copy.deepcopy(dict(self.raw))
        if self.rule_id is None:
            raw["rules"].append({"id": self._new_id(values), **values})
        else:
            raw["rules"] = [
                {"id": rule["id"], **values} if rule["id"] == self.rule_id else rule for rule in raw["rules"]
            ]
        return raw

    def _new_id(self, values: Mapping[str, Any]) -> str:
        """A name from what the rule is about; the name is what messages call it by."""
        finding = f"{values['condition']}.{values['call']}" if values.get("condition") else ""
        felt = "symptom." + "+".join(values["symptoms"]) if values.get("symptoms") else ""
        age = values["age"] if values["age"] != "any" else ""
        name = ".".join(part for part in (felt, finding, age) if part)
        taken = {rule["id"] for rule in self.raw["rules"]}
        free, number = name, 2
        while free in taken:
            free, number = f"{name}-{number}", number + 1
        return free


def without_rule(raw: Mapping[str, Any], rule_id: str) -> dict[str, Any]:
    """The set as data without one rule."""
    return {**raw, "rules": [rule for rule in raw["rules"] if rule["id"] != rule_id]}


class SentenceForm(forms.Form):
    """One sentence in every language; only English is required."""

    def __init__(self, raw: Mapping[str, Any], key: str | None, data: Any = None) -> None:
        self.raw, self.key = raw, key
        super().__init__(data)
        if key is None:
            self.fields["key"] = forms.RegexField(
                _KEY,
                label=_("Short name"),
                help_text=_("Small letters, digits and dots, like symptom.drowsy. Readers never see it."),
            )
        for code, name in settings.LANGUAGES:
            self.fields[code] = forms.CharField(
                label=name,
                required=code == "en",
                max_length=600,
                initial=raw["texts"].get(code, {}).get(key or "", ""),
                widget=forms.Textarea(attrs={"rows": 3, "lang": code}),
            )

    def clean_key(self) -> str:
        """Refuses a name that is taken."""
        key = str(self.cleaned_data["key"])
        if key in self.raw["texts"]["en"]:
            raise forms.ValidationError(_("There is a sentence with this name already."))
        return key

    def rule_name(self) -> str:
        """What the log says was changed."""
        return self.key or _("New sentence")

    def changed_rules(self) -> dict[str, Any]:
        """The whole set as data, with this sentence in it."""
        raw = copy.deepcopy(dict(self.raw))
        key = self.key or self.cleaned_data["key"]
        for code in LANGUAGES:
            part = raw["texts"].setdefault(code, {})
            if text := self.cleaned_data[code].strip():
                part[key] = text
            else:
                part.pop(key, None)
        return raw


class WholeForm(forms.Form):
    """The whole set as JSON, for changes that only work together."""

    rules = forms.CharField(
        label=gettext_lazy("All rules as JSON"),
        widget=forms.Textarea(attrs={"rows": 30, "spellcheck": "false", "class": "rules-json"}),
    )

    def __init__(self, raw: Mapping[str, Any], data: Any = None) -> None:
        super().__init__(data, initial={"rules": json.dumps(raw, indent=1, ensure_ascii=False)})

    def clean_rules(self) -> dict[str, Any]:
        """Data, or where the JSON is wrong."""
        try:
            raw = json.loads(self.cleaned_data["rules"])
        except json.JSONDecodeError as error:
            place = {"line": error.lineno, "column": error.colno, "problem": error.msg}
            raise forms.ValidationError(
                _("This is no JSON: line %(line)s, column %(column)s: %(problem)s.") % place
            ) from error
        if not isinstance(raw, dict):
            raise forms.ValidationError(_("A rule set is an object with rules and texts."))
        return raw

    def rule_name(self) -> str:
        """What the log says was changed."""
        return _("All rules as JSON")

    def changed_rules(self) -> dict[str, Any]:
        """The whole set as data."""
        found: dict[str, Any] = self.cleaned_data["rules"]
        return found
