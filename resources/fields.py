"""A list of short texts, edited as one line each."""

from typing import Any

from django import forms
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.utils.translation import gettext_lazy as _


class LinesFormField(forms.CharField):
    """A text area; every line that is not empty is one entry."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("widget", forms.Textarea(attrs={"rows": 6}))
        super().__init__(**kwargs)

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(value) if isinstance(value, list) else value

    def to_python(self, value: Any) -> list[str]:  # type: ignore[override]
        return [line.strip() for line in str(value or "").splitlines() if line.strip()]

    def has_changed(self, initial: Any, data: Any) -> bool:
        return (initial or []) != self.to_python(data)


class LinesField(ArrayField):
    """A PostgreSQL text array whose form is a text area with one entry a line."""

    def __init__(self, base_field: Any = None, size: int | None = None, **kwargs: Any) -> None:
        kwargs.setdefault("default", list)
        super().__init__(base_field or models.TextField(), size=size, **kwargs)

    def formfield(self, **kwargs: Any) -> Any:
        return LinesFormField(
            label=str(self.verbose_name).capitalize(),
            help_text=self.help_text or _("One entry a line."),
            required=not self.blank,
        )
