"""How the API reads bodies."""

import json
from collections.abc import Mapping
from io import BytesIO
from typing import Any

from django.conf import settings
from django.utils.translation import gettext as _
from rest_framework import parsers
from rest_framework.exceptions import ParseError

from pmi_site.middleware import too_large


class JSONParser(parsers.JSONParser):
    """JSON of at most DATA_UPLOAD_MAX_MEMORY_SIZE, which Django minds only where it reads the body itself."""

    def parse(
        self, stream: Any, media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        """Raises TooLarge, and ParseError for what is no JSON, is nested too deeply or is no text."""
        body = stream.read(settings.DATA_UPLOAD_MAX_MEMORY_SIZE + 1)
        if len(body) > settings.DATA_UPLOAD_MAX_MEMORY_SIZE:
            raise too_large()
        try:
            data = super().parse(BytesIO(body), media_type, parser_context)
            check_text(data)
        except RecursionError as error:
            raise ParseError(_("This JSON is nested too deeply.")) from error
        except UnicodeEncodeError as error:
            raise ParseError(_("A text in this JSON holds half of a character.")) from error
        return data


def check_text(data: Any) -> None:
    """Raises UnicodeEncodeError where a text in decoded JSON is none: half of a pair (a lone surrogate) can
    neither be stored nor be answered with.
    """
    json.dumps(data, ensure_ascii=False).encode()
