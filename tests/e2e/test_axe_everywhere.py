"""axe-core finds no serious problem on any page that an address without an id leads to, whoever looks."""

from collections.abc import Callable, Iterator

import pytest
from django.urls import NoReverseMatch, reverse

from tests.e2e.running_site import Site
from tests.e2e.test_curation import shell
from tests.e2e.test_signin import ADMIN
from tests.e2e.visitor import AXE, PASSWORD, Visitor
from tests.test_access_matrix import walked_routes

# Django's own lists, forms and logs of a table; PMI's pages in the admin have other names.
_DJANGOS = (
    "_changelist",
    "_add",
    "_autocomplete",
    "admin:password_change",
    "admin:password_change_done",
    "admin:view_on_site",
)


def addresses() -> Iterator[str]:
    """Every address of a page that needs no id, PMI's own pages of the admin among them."""
    for name, entry in walked_routes():
        if entry.pattern.converters or name.startswith("v1:") or name.endswith(_DJANGOS):
            continue
        try:
            yield reverse(name)
        except NoReverseMatch:
            continue


def _admin(visitor: Visitor, site: Site) -> Visitor:
    address = visitor.fresh_email()
    shell(site, ADMIN.format(email=address, password=PASSWORD))
    return visitor.log_in(address, PASSWORD)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("role", "width"), [("anybody", 360), ("patient", 360), ("doctor", 1280), ("admin", 1280)]
)
def test_every_page(visit: Callable[..., Visitor], site: Site, role: str, width: int) -> None:
    if not AXE.is_file():
        pytest.skip("axe-core is not installed: run `make frontend`")
    visitor = visit(width)
    if role == "patient":
        visitor.become_patient()
    elif role == "doctor":
        visitor.become_doctor()
    elif role == "admin":
        _admin(visitor, site)
    problems: list[str] = []
    looked = 0
    for path in sorted(set(addresses())):
        answer = visitor.context.request.get(path, max_redirects=0)
        # Files, what this person may not see, and fragments that are put into a page are no pages.
        is_text = "text/html" in answer.headers.get("content-type", "")
        if answer.status != 200 or not is_text or "<html" not in answer.text():
            continue
        visitor.goto(path)
        if not path.startswith("/admin/"):
            visitor.has_no_sideways_scroll()
        problems += visitor.axe()
        looked += 1
    assert looked > 5
    assert not problems, "\n".join(problems)
