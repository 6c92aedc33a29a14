"""REST behaviour shared by all apps: pages of results, and errors that people can read."""

from typing import Any

from rest_framework.pagination import PageNumberPagination
from rest_framework.response import Response
from rest_framework.views import exception_handler as default_handler

from pmi_site.errors import UserError


class PagePagination(PageNumberPagination):
    """`?page=2&page_size=50`, at most 100 a page."""

    page_size_query_param = "page_size"
    max_page_size = 100


def exception_handler(exc: Exception, context: dict[str, Any]) -> Response | None:
    """UserError becomes {"detail", "code"} with the status of its class; everything else is as usual."""
    if isinstance(exc, UserError):
        return Response({"detail": exc.message, "code": exc.code}, status=exc.status)
    return default_handler(exc, context)
