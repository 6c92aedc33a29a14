"""What the view sets of this app share: the language of an answer, and filters that take certain words."""

from collections.abc import Iterable, Sequence
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.translation import get_language, get_supported_language_variant
from drf_spectacular.utils import OpenApiParameter
from rest_framework.request import Request
from rest_framework.views import APIView

from pmi_site.errors import UserError


def parameter(name: str, description: str, values: Sequence[str] | None = None) -> OpenApiParameter:
    """A parameter of an address, for the schema."""
    return OpenApiParameter(name, str, description=description, enum=values)


LANGUAGE = parameter(
    "language",
    "Language of the texts, English where not translated. Without it the one that Accept-Language asks for.",
    ["en", "es", "hi"],
)


class LanguageMixin(APIView):
    """For read-only view sets with texts: which language is asked for, and which the answer is labelled with.

    A view notes with `shown_in` what it answers in: a text that is not translated is not called Spanish
    because Spanish was asked for.
    """

    _shown_in: Sequence[str] = ()

    @property
    def language(self) -> str:
        """The language asked for by `?language=` (English where PMI does not have it), else the reader's."""
        asked = self.request.query_params.get("language")
        if not asked:
            return get_language() or "en"
        try:
            return get_supported_language_variant(asked)
        except (LookupError, ValueError):
            return "en"

    def shown_in(self, languages: Iterable[str]) -> None:
        """The languages of the texts in the answer; without texts it is in the one asked for."""
        first = self.language
        self._shown_in = sorted(set(languages), key=lambda code: (code != first, code)) or [first]

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Labels the answer, and also the short one: it renews the label of the one that is kept."""
        response = super().dispatch(request, *args, **kwargs)
        if response.status_code in (200, 304) and self._shown_in:
            response["Content-Language"] = ", ".join(self._shown_in)
        return response


def coded(request: Request, name: str, form: RegexValidator) -> str:
    """A filter that takes a code of a certain form; empty where it was not sent. UserError `bad_filter`."""
    value: str = request.query_params.get(name, "")
    try:
        if value:
            form(value)
    except ValidationError as error:
        raise UserError("bad_filter", " ".join(error.messages)) from error
    return value
