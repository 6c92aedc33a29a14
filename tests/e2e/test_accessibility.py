"""axe-core finds no serious problem on the main pages, and none of them scrolls sideways on a phone."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e import inputs
from tests.e2e.conftest import Readable
from tests.e2e.visitor import AXE, Visitor

PUBLIC = [
    "/",
    "/accounts/login/",
    "/accounts/signup/",
    "/accounts/password/reset/",
    "/conditions/",
    "/conditions/glioma/",
    "/conditions/knee-oa-2/",
]
SIGN_IN = [
    "/accounts/2fa/",
    "/accounts/2fa/totp/activate/",
    "/accounts/2fa/webauthn/add/",
    "/accounts/sessions/",
]
PRIVATE = ["/cases/", "/cases/new/", "/account/", "/account/sharing/", "/account/tokens/", *SIGN_IN]


def test_in_spanish_nothing_sticks_out(visit: Callable[..., Visitor]) -> None:
    """Its words are longer than English ones."""
    visitor = visit(360)
    visitor.context.add_cookies([{"name": "django_language", "value": "es", "url": visitor.site.url}])
    for path in PUBLIC:
        visitor.goto(path)
        visitor.has_no_sideways_scroll()
    visitor.become_patient()
    case_path = visitor.open_case("chest_xray")
    for path in (*PRIVATE, "/record/", "/accounts/email/", case_path, f"{case_path}share/"):
        visitor.goto(path)
        assert visitor.page.locator("html").get_attribute("lang") == "es"
        visitor.look("spanish" + path.replace("/", "-").rstrip("-"))


@pytest.mark.parametrize("width", [1280, 360])
def test_main_pages(visit: Callable[..., Visitor], readable: Readable, tmp_path: Path, width: int) -> None:
    if not AXE.is_file():
        pytest.skip("axe-core is not installed: run `make frontend`")
    visitor = visit(width)
    problems: list[str] = []

    def check(path: str) -> None:
        visitor.goto(path)
        visitor.has_no_sideways_scroll()
        problems.extend(visitor.axe())

    for path in PUBLIC:
        check(path)
    visitor.become_patient()
    for path in PRIVATE:
        check(path)
    case_path = visitor.open_case("chest_xray")
    read = visitor.send(case_path, readable.chest)
    refused = visitor.send(case_path, inputs.holiday_photo(tmp_path / "beach.png"))
    for scan_path in (read, refused):
        visitor.wait_until_read(scan_path)
    for path in (
        case_path,
        refused,
        f"{case_path}edit/",
        f"{case_path}delete/",
        f"{refused}delete/",
        "/cases/",
    ):
        check(path)
    visitor.goto(read)
    visitor.viewer()
    visitor.page.evaluate(
        "() => document.querySelectorAll('main details').forEach((part) => (part.open = true))"
    )
    visitor.has_no_sideways_scroll()
    visitor.shot("result-all-open")
    problems.extend(visitor.axe())
    visitor.expected_statuses.add(404)
    check("/there-is-no-such-page/")
    assert not problems, "\n".join(problems)
