"""Forms of the case pages."""

from django import forms
from django.utils.translation import gettext_lazy as _

from cases.models import Case


class CaseForm(forms.ModelForm):
    """What the pictures are, whose age group they show, and what the person wants to know."""

    class Meta:
        model = Case
        fields = ["kind", "age_group", "question", "title"]
        widgets = {
            "kind": forms.RadioSelect(),
            "age_group": forms.RadioSelect(),
            "question": forms.Textarea(attrs={"rows": 3, "class": "form-control"}),
            "title": forms.TextInput(attrs={"class": "form-control", "autocomplete": "off"}),
        }
        labels = {
            "kind": _("What kind of picture do you have?"),
            "age_group": _("Who is in the picture?"),
            "question": _("What would you like to know?"),
            "title": _("Name for this case"),
        }
        help_texts = {
            "kind": _("If you are not sure, we look at the picture and tell you what we think it is."),
            "age_group": _(
                "Bodies of children look different. This helps us judge how far to trust the reading."
            ),
            "question": _(
                "Optional. For example: “Fell on my knee two weeks ago, it still hurts on the stairs.”"
            ),
            "title": _("Optional. It helps you find the case again."),
        }

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        if self.instance._state.adding:
            # Both questions want an answer of their own; a box ticked beforehand is an answer nobody gave.
            self.initial.update(kind=None, age_group=None)
        self.fields["title"].required = bool(self.instance.title)
        if self.fields["title"].required:
            self.fields["title"].help_text = _("It helps you find the case again.")
