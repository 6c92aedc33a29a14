"""REST behaviour shared by all apps: pages of results, and errors that people and programs can read."""

from collections.abc import Mapping
from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import Http404
from rest_framework import exceptions
from rest_framework.pagination import PageNumberPagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.settings import api_settings
from rest_framework.views import exception_handler as default_handler

from pmi_site import error_codes, filters
from pmi_site.errors import UserError

# Ids in addresses; anything else is not found, before a database is asked.
UUID_PATTERN = "[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"


class PagePagination(PageNumberPagination):
    """`?page=2&page_size=50`, at most 100 a page."""

    page_size_query_param = "page_size"
    page_size_query_description = "Results per page, from 1 on; more than 100 gives 100."
    max_page_size = 100

    def get_page_size(self, request: Request) -> int:
        """How many are asked for. UserError `bad_page_size` for what is no number from 1 on."""
        return filters.page_size(request, self.page_size or self.max_page_size, self.max_page_size, cap=True)


def exception_handler(exc: Exception, context: dict[str, Any]) -> Response | None:
    """Every error becomes {"detail", "code"}: words for people, a word for programs.

    What is wrong with fields comes as `errors`, too, and under the fields' own names beside it, as it did
    before there was `errors`; a field that is named `detail`, `code` or `errors` is in `errors` alone.
    """
    if isinstance(exc, UserError):
        headers = {} if exc.wait is None else {"Retry-After": str(exc.wait)}
        return Response({"detail": exc.message, "code": exc.code}, status=exc.status, headers=headers)
    if isinstance(exc, Http404):
        # Without its words, which are for programmers: "Not found." is said in the language asked for.
        exc = exceptions.NotFound()
    elif isinstance(exc, PermissionDenied):
        exc = exceptions.PermissionDenied(*exc.args)
    response = default_handler(exc, context)
    if response is not None and isinstance(exc, exceptions.APIException):
        response.data = _body_of(exc)
    return response


def _body_of(exc: exceptions.APIException) -> dict[str, Any]:
    detail, codes = exc.detail, exc.get_codes()
    if not isinstance(detail, list | dict):
        return {"detail": detail, "code": codes}
    errors = _by_field(detail)
    words = []
    for name, messages in errors.items():
        said = " ".join(messages)
        words.append(said if name == api_settings.NON_FIELD_ERRORS_KEY else f"{name}: {said}")
    # One thing that is wrong with the whole may have a code of its own.
    code = codes[0] if isinstance(codes, list) and len(codes) == 1 else exc.default_code
    fields = detail if isinstance(detail, dict) else {}
    return {**fields, "detail": " ".join(words), "code": code, "errors": errors}


def _by_field(detail: Any, name: str = "") -> dict[str, list[str]]:
    """The messages by field; those of inner fields by their whole name, with dots."""
    if isinstance(detail, Mapping):
        parts = [(str(key), value) for key, value in detail.items()]
    elif isinstance(detail, list) and any(isinstance(part, list | dict) for part in detail):
        parts = [(str(number), value) for number, value in enumerate(detail)]
    else:
        messages = detail if isinstance(detail, list) else [detail]
        return {name or api_settings.NON_FIELD_ERRORS_KEY: [str(message) for message in messages]}
    found: dict[str, list[str]] = {}
    for key, value in parts:
        found.update(_by_field(value, f"{name}.{key}" if name else key))
    return found


# --- the same in the API's schema ---------------------------------------------------------------------------

_BOTH = {
    "detail": {"type": "string", "description": "For people, in the language asked for."},
    "code": {"type": "string", "description": "For programs."},
}
_ERROR = {
    "type": "object",
    "description": "Why a request was refused.",
    "properties": _BOTH,
    "required": ["detail", "code"],
}
_INVALID = {
    "type": "object",
    "description": "What is wrong with what was sent.",
    "properties": {
        **_BOTH,
        "errors": {
            "type": "object",
            "additionalProperties": {"type": "array", "items": {"type": "string"}},
            "description": "Messages by field, where fields are wrong; what belongs to no field is under "
            "`non_field_errors`. The fields stand beside it by their own names, too.",
        },
    },
    "required": ["detail", "code"],
}
_WAIT = {"Retry-After": {"schema": {"type": "integer"}, "description": "Seconds to wait, where known."}}


def document_errors(result: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
    """Add to each operation of the schema the refusals that it can answer with and does not name itself, and
    to its description what any address can answer and what the codes mean.
    """
    info = result.setdefault("info", {})
    info["description"] = f"{info.get('description', '')}\n\n{error_codes.as_text()}".strip()
    schemas = result.setdefault("components", {}).setdefault("schemas", {})
    schemas["Error"], schemas["Invalid"] = _ERROR, _INVALID
    for path, operations in result.get("paths", {}).items():
        for operation in operations.values():
            for status, answer in _refusals(path, operation).items():
                operation["responses"].setdefault(status, answer)
    return result


def _refusals(path: str, operation: dict[str, Any]) -> dict[str, dict[str, Any]]:
    security = operation.get("security", [])
    queries = {one["name"]: one["schema"] for one in operation.get("parameters", []) if one["in"] == "query"}
    # Filters that take certain words or an id; `page_size` takes a number.
    is_checked = "page_size" in queries or any("enum" in one or "format" in one for one in queries.values())
    found = {}
    if "requestBody" in operation or is_checked:
        found["400"] = _refusal("What was sent is not right.", "Invalid")
    # Also where anybody may read: a key that is not valid is not ignored.
    if any(security):
        found["401"] = _refusal("No key, or one that is not valid.")
    if security and {} not in security:
        found["403"] = _refusal("Not for this account.")
    if "page" in queries:
        found["404"] = _refusal("There is no such page.")
    if "{" in path:
        found["404"] = _refusal("Not there, or not for this account.")
    found["429"] = {**_refusal("Too often."), "headers": _WAIT}
    return found


def _refusal(description: str, schema: str = "Error") -> dict[str, Any]:
    answer = {"schema": {"$ref": f"#/components/schemas/{schema}"}}
    return {"description": description, "content": {"application/json": answer}}
