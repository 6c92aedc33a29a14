"""Every code of an error is in the register, and the register has no others."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from drf_spectacular.generators import SchemaGenerator
from rest_framework import exceptions

import pmi_site.urls  # noqa: F401  (reads in every app, with the errors that it derives)
from pmi_site import error_codes
from pmi_site.errors import UserError

ROOT = Path(settings.BASE_DIR)
APPS = ("pmi_site", "accounts", "cases", "resources", "inference")
# Codes that are worked out: of an error that is handed on, of refused files and readings (in the answer of a
# search), and of what stands against a promotion (a page of the administrators).
WORKED_OUT = {
    "error.code",
    "reading.reason_code or 'refused'",
    "refused[0].code if refused else 'no_picture'",
    "found.state",
}


def kinds_of(base: type[Any]) -> set[str]:
    """The names of an exception and of all that are derived from it."""
    return {base.__name__}.union(*(kinds_of(kind) for kind in base.__subclasses__()))


def where_said() -> Iterator[tuple[str, ast.expr | None]]:
    """(file and line, code) of every error that is made."""
    errors = kinds_of(UserError)
    for app in APPS:
        for path in sorted((ROOT / app).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if not isinstance(node, ast.Call):
                    continue
                name = getattr(node.func, "id", getattr(node.func, "attr", ""))
                given: dict[str | None, ast.expr] = {one.arg: one.value for one in node.keywords}
                place = f"{path.relative_to(ROOT)}:{node.lineno}"
                if name in errors or name == "error_answer":
                    at = 1 if name == "error_answer" else 0
                    yield place, node.args[at] if len(node.args) > at else given.get("code")
                elif "code" in given and name in kinds_of(exceptions.APIException) - {"ValidationError"}:
                    yield place, given["code"]


SAID = list(where_said())


def plain_codes() -> dict[str, str]:
    """Codes that are written out, and where."""
    return {
        code.value: place
        for place, code in SAID
        if isinstance(code, ast.Constant) and isinstance(code.value, str)
    }


def of_the_framework() -> set[str]:
    """What REST framework's own errors are called."""

    def below(kind: type[exceptions.APIException]) -> Iterator[str]:
        yield kind.default_code
        for one in kind.__subclasses__():
            yield from below(one)

    return set(below(exceptions.APIException))


def test_the_walk_finds_errors() -> None:
    assert len(SAID) > 120
    assert {"bad_filter", "too_many_files", "edit_conflict", "no_slash"} <= plain_codes().keys()


def test_each_code_is_registered() -> None:
    missing = {code: place for code, place in plain_codes().items() if code not in error_codes.MEANINGS}
    assert not missing, f"Say in pmi_site/error_codes.py what these mean: {missing}"
    assert of_the_framework() <= error_codes.OF_REQUESTS.keys()


def test_no_other_code_is_worked_out() -> None:
    for place, code in SAID:
        if not isinstance(code, ast.Constant):
            assert code is not None and ast.unparse(code) in WORKED_OUT, place


def test_nothing_registered_is_gone() -> None:
    said = plain_codes().keys() | of_the_framework() | {"no_picture"}
    assert not error_codes.MEANINGS.keys() - said


def test_each_is_registered_once_with_a_sentence() -> None:
    parts = (error_codes.OF_REQUESTS, error_codes.OF_THE_API, error_codes.OF_PAGES)
    assert sum(map(len, parts)) == len(error_codes.MEANINGS)
    for code, meaning in error_codes.MEANINGS.items():
        assert code.isidentifier() and code.islower() and meaning.endswith((".", ";")), code


@pytest.mark.parametrize("part", [error_codes.OF_REQUESTS, error_codes.OF_THE_API])
def test_the_schema_tells_programs_what_they_mean(part: dict[str, str]) -> None:
    told = SchemaGenerator(api_version="v1").get_schema(request=None, public=True)["info"]["description"]
    for code, meaning in part.items():
        assert f"- `{code}`: {meaning}" in told
    for status in (405, 406, 411, 413, 415):
        assert str(status) in told
    assert "name_taken" not in told
