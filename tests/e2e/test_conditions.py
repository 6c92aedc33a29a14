"""The knowledge base without an account: finding, languages, one page, and what nobody has reviewed."""

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.e2e.visitor import Visitor


def find(visitor: Visitor, words: str) -> None:
    visitor.page.get_by_role("searchbox").fill(words)
    visitor.page.get_by_role("searchbox").press("Enter")
    visitor.page.wait_for_url("**q=**")


def choose(visitor: Visitor, language: str, country: str = "") -> None:
    visitor.page.locator("#reading-language").select_option(language)
    visitor.page.locator("#reading-country").select_option(country)
    visitor.page.locator(".reading-choice button").click()
    expect(visitor.page.locator("html")).to_have_attribute("lang", language)


@pytest.mark.parametrize("width", [1280, 360])
def test_find_and_read(visit: Callable[..., Visitor], width: int) -> None:
    visitor = visit(width)
    page = visitor.goto("/conditions/")
    visitor.look("conditions-list")
    assert visitor.axe() == []
    results = page.locator(".list-group-item")
    assert results.count() >= 15

    for words, name in (
        ("neumonia", "Pneumonia"),
        ("menigioma", "Meningioma"),
        ("J18.9", "Pneumonia"),
        ("C71", "Glioma"),
        ("233604007", "Pneumonia"),
    ):
        find(visitor, words)
        expect(results.first).to_contain_text(name)
    visitor.look("conditions-found")
    find(visitor, "xyzzyq")
    expect(page.get_by_role("heading", name="Nothing fits")).to_be_visible()
    visitor.look("conditions-nothing")
    page.get_by_role("link", name="Show all").click()
    page.get_by_role("link", name="Meningioma").first.click()
    page.wait_for_url("**/conditions/meningioma/")
    expect(page.get_by_role("heading", level=1)).to_have_text("Meningioma")
    # The page says that nobody has reviewed it, and shows codes, sources and help.
    expect(page.get_by_text("No clinician has reviewed this text yet.").first).to_be_visible()
    expect(page.get_by_text("D32.0").first).to_be_attached()
    expect(page.get_by_text("Cancer Research UK").first).to_be_attached()
    visitor.look("condition-meningioma")
    assert visitor.axe() == []


@pytest.mark.parametrize(
    ("language", "search", "name", "note"),
    [
        ("es", "neumonia", "Neumonía", "Ningún"),
        ("hi", "निमोनिया", "निमोनिया", "किसी"),
    ],
)
@pytest.mark.parametrize("width", [1280, 360])
def test_in_another_language(
    visit: Callable[..., Visitor], width: int, language: str, search: str, name: str, note: str
) -> None:
    visitor = visit(width)
    page = visitor.goto("/conditions/")
    choose(visitor, language, "IN" if language == "hi" else "ES")
    find(visitor, search)
    expect(page.locator(".list-group-item").first).to_contain_text(name)
    visitor.look(f"conditions-found-{language}")
    page.locator(".list-group-item").first.click()
    page.wait_for_url("**/conditions/**")
    expect(page.get_by_role("heading", level=1)).to_have_text(name)
    expect(page.locator("[role=note]").first).to_contain_text(note)
    visitor.look(f"condition-pneumonia-{language}")
    assert visitor.axe() == []
    # The choice stays, and can be taken back.
    visitor.goto("/")
    expect(page.locator("html")).to_have_attribute("lang", language)
    visitor.look(f"home-{language}")
    choose(visitor, "en")
    expect(page.get_by_role("heading", level=1)).to_contain_text("A second look")
