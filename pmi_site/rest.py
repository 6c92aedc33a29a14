"""REST behaviour shared by all apps: pages of results, and errors that people can read."""

from typing import Any

from rest_framework import status
from rest_framework.pagination import PageNumberPagination
from rest_framework.response import Response
from rest_framework.views import exception_handler as default_handler

from pmi_site.errors import TooManyTries, UserError


class PagePagination(PageNumberPagination):
    """`?page=2&page_size=50`, at most 100 a page."""

    page_size_query_param = "page_size"
    max_page_size = 100


def exception_handler(exc: Exception, context: dict[str, Any]) -> Response | None:
    """UserError becomes 400 {"detail", "code"}, TooManyTries 429; everything else is handled as usual."""
    if isinstance(exc, UserError):
        slowed = isinstance(exc, TooManyTries)
        code = status.HTTP_429_TOO_MANY_REQUESTS if slowed else status.HTTP_400_BAD_REQUEST
        return Response({"detail": exc.message, "code": exc.code}, status=code)
    return default_handler(exc, context)
