"""Forms that show the draft of an entry where there is one, and hand its content to the services."""

from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.admin.widgets import AutocompleteSelectMultiple
from django.utils.translation import gettext_lazy as _

from resources import services
from resources.choices import Section
from resources.content import _plain, field_names
from resources.fields import LinesFormField
from resources.models import Condition, Source, Translation
from resources.translating import TRANSLATABLE


class EntryForm(forms.ModelForm[Any]):
    """Any entry. The instance has been filled from its open revision, if any, by the admin."""

    revision_version = forms.IntegerField(required=False, widget=forms.HiddenInput, label="")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        revision = getattr(self.instance, "_revision", None)
        self.initial["revision_version"] = revision.version if revision else None
        if revision:
            for name in ("sources", "conditions"):
                if name in self.fields:
                    self.initial[name] = revision.content.get(name, [])

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if not self.instance._state.adding:
            current = services.open_revision(self.instance)
            started_from = cleaned.get("revision_version")
            if (current.version if current else None) != started_from:
                raise forms.ValidationError(
                    _("Somebody has saved this text since you opened it. Copy your words and open it again."),
                    code="stale",
                )
        return cleaned

    def content(self) -> dict[str, Any]:
        """What the writer entered, as the services take it."""
        names = [name for name in field_names(type(self.instance)) if name in self.cleaned_data]
        content = {name: _plain(self.instance, name) for name in names}
        for name in ("sources", "conditions"):
            if name in self.cleaned_data:
                content[name] = sorted(str(row.pk) for row in self.cleaned_data[name])
        return content


def _cited(section: Section) -> forms.ModelMultipleChoiceField:
    return forms.ModelMultipleChoiceField(
        Source.objects.all(),
        required=False,
        label=section.label,
        widget=AutocompleteSelectMultiple(Condition._meta.get_field("sources"), admin.site),
    )


class ConditionForm(EntryForm):
    """A condition, with the sources of each part of its text."""

    sources_what_it_is = _cited(Section.WHAT_IT_IS)
    sources_how_confirmed = _cited(Section.HOW_CONFIRMED)
    sources_red_flags = _cited(Section.RED_FLAGS)
    sources_outlook = _cited(Section.OUTLOOK)
    sources_clinical_note = _cited(Section.CLINICAL_NOTE)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        revision = getattr(self.instance, "_revision", None)
        if revision:
            keys = revision.content.get("citations", [])
        elif self.instance._state.adding:
            keys = []
        else:
            keys = [f"{c.section}:{c.source_id}" for c in self.instance.citations.all()]
        for section in Section:
            self.initial[f"sources_{section.value}"] = [
                key.partition(":")[2] for key in keys if key.startswith(f"{section.value}:")
            ]

    def content(self) -> dict[str, Any]:
        keys = [
            f"{section.value}:{source.pk}"
            for section in Section
            for source in self.cleaned_data.get(f"sources_{section.value}", [])
        ]
        return {**super().content(), "citations": sorted(keys)}


class TranslationForm(EntryForm):
    """The texts of a translation; subclasses made by `translation_form` have a field for each."""

    def content(self) -> dict[str, Any]:
        texts = {
            name.removeprefix("text_"): value
            for name, value in self.cleaned_data.items()
            if name.startswith("text_") and value
        }
        return {**super().content(), "texts": texts} if not self.instance._state.adding else super().content()

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean()
        if self.instance._state.adding:
            chosen = [n for n in ("condition", "treatment", "advice") if cleaned.get(n)]
            if len(chosen) != 1:
                raise forms.ValidationError(_("Choose one condition, one treatment or one advice."))
        return cleaned


def translation_form(translation: Translation | None) -> type[TranslationForm]:
    """A form with one field per translatable text, the English words under each."""
    original = translation.original if translation else None
    if translation is None or original is None:
        return TranslationForm
    fields: dict[str, Any] = {}
    for name in TRANSLATABLE[type(original)]:
        model_field: Any = type(original)._meta.get_field(name)
        english = getattr(original, name)
        is_list = isinstance(english, list)
        options = {
            "label": str(model_field.verbose_name).capitalize(),
            "required": False,
            "initial": translation.texts.get(name, [] if is_list else ""),
            "help_text": _("English: %(text)s") % {"text": " | ".join(english) if is_list else english},
        }
        long = not model_field.max_length or model_field.max_length > 150
        if is_list:
            fields[f"text_{name}"] = LinesFormField(**options)
        else:
            widget = forms.Textarea(attrs={"rows": 6 if long else 2, "lang": translation.language})
            fields[f"text_{name}"] = forms.CharField(
                widget=widget, max_length=model_field.max_length, **options
            )
    return type("TranslationTextForm", (TranslationForm,), fields)
