"""Conditional requests: a client that has the newest answer already gets 304 and no body."""

import hashlib
from typing import Any

from django.db.models import Max
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.cache import get_conditional_response, patch_cache_control
from django.utils.http import http_date, quote_etag
from rest_framework.response import Response

from resources.models import Advice, Condition, Resource, Source, Translation, Treatment

_TEXTS: tuple[Any, ...] = (Condition, Treatment, Advice, Resource, Source, Translation)


def last_change() -> int | None:
    """When anything in the knowledge base last changed (seconds since 1970); one query; None when empty."""
    newest = [model.objects.order_by().values(one=Max("updated_at")) for model in _TEXTS]
    # An aggregate without a group: one row a table.
    rows = newest[0].union(*newest[1:], all=True)
    days = [row["one"] for row in rows if row["one"] is not None]
    return int(max(days).timestamp()) if days else None


class ConditionalMixin:
    """For read-only view sets: ETag of the very answer, Last-Modified of the whole knowledge base."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        response: HttpResponseBase = super().dispatch(request, *args, **kwargs)  # type: ignore[misc]
        if not isinstance(response, Response) or request.method not in ("GET", "HEAD"):
            return response
        if response.status_code != 200:
            return response
        response.render()
        etag = quote_etag(hashlib.sha256(response.content).hexdigest()[:32])
        modified = last_change()
        response["ETag"] = etag
        if modified is not None:
            response["Last-Modified"] = http_date(modified)
        patch_cache_control(response, public=True, no_cache=True)
        conditional = get_conditional_response(request, etag=etag, last_modified=modified, response=response)
        return conditional or response
