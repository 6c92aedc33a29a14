"""The doctor's worklist in a browser: order, keys, marks for news, filters, saved views, live news."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import Locator, Page, expect

from tests.e2e.conftest import Readable
from tests.e2e.visitor import Visitor

LIST = "/worklist/?state=all&q=wanda+worklist"
ORDER = ["Emergency", "Urgent", "See a doctor soon", "No answer", "No hurry", "Nothing found", "Not read yet"]


def _look_for_news(page: Page) -> None:
    """The page asks by itself every 20 s, and at once when it comes into sight again."""
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")


def _row(page: Page, case_path: str) -> Locator:
    return page.locator(f"#case-{case_path.rstrip('/').split('/')[-1]}")


def test_a_doctor_works_through_the_list(visit: Callable[..., Visitor], readable: Readable) -> None:
    owner, doctor = visit(360).become_patient("Wanda Worklist"), visit().become_doctor()
    chest, brain, empty = (owner.open_case(kind) for kind in ("chest_xray", "brain_mri", "knee_xray"))
    paths = {chest: owner.send(chest, readable.chest), brain: owner.send(brain, readable.brain)}
    for path in paths.values():
        owner.wait_until_read(path)
    owner.let_read(doctor)
    problems: list[str] = []

    # By danger, the unread one last; each row says that there is news.
    page = doctor.goto(LIST)
    rows = page.locator(".worklist-row")
    expect(rows).to_have_count(3)
    levels = [text.strip() for text in page.locator(".worklist-row .danger-badge").all_inner_texts()]
    assert [ORDER.index(level) for level in levels] == sorted(ORDER.index(level) for level in levels)
    assert levels[-1] == "Not read yet"
    expect(page.locator(".worklist-row.is-unread")).to_have_count(3)
    doctor.look("worklist")
    problems += doctor.axe()

    # j, k, ? and Enter.
    links = page.locator(".worklist-open")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()
    doctor.shot("worklist-keys")
    problems += doctor.axe()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    page.keyboard.press("j")
    expect(links.nth(0)).to_be_focused()
    page.keyboard.press("j")
    expect(links.nth(1)).to_be_focused()
    page.keyboard.press("k")
    expect(links.nth(0)).to_be_focused()
    opened = str(links.nth(0).get_attribute("href"))
    assert opened in paths.values()
    page.keyboard.press("Enter")
    page.wait_for_url(f"**{opened}")
    expect(page.locator(".danger-banner")).to_be_visible()
    doctor.goto(LIST)
    expect(page.locator(".worklist-row.is-unread")).to_have_count(2)
    expect(rows.nth(0)).not_to_contain_text("New")

    # A filter, kept as a view.
    page.get_by_label("Show", exact=True).select_option(label="Not read yet")
    page.get_by_role("button", name="Show", exact=True).click()
    expect(rows).to_have_count(1)
    page.get_by_text("Save this view").click()
    page.get_by_label("Name of the view").fill("Wanda, not read")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Wanda, not read")
    expect(rows).to_have_count(1)
    page.get_by_role("link", name="Change views").click()
    page.get_by_label("New name for Wanda, not read").fill("Wanda, unread scans")
    page.get_by_role("button", name="Rename").click()
    expect(page.get_by_text("The view has its new name.")).to_be_visible()
    doctor.look("worklist-views")
    problems += doctor.axe()
    page.get_by_role("link", name="Wanda, unread scans", exact=True).click()
    expect(rows).to_have_count(1)

    # A new scan is told on the open page, which keeps its place until it is asked for.
    doctor.goto(LIST)
    page.keyboard.press("j")
    expect(links.nth(0)).to_be_focused()
    owner.wait_until_read(owner.send(empty, readable.knee or readable.chest))
    _look_for_news(page)
    expect(page.get_by_text("has news")).to_be_visible()
    expect(links.nth(0)).to_be_focused()
    expect(_row(page, empty)).to_contain_text("Not read yet")
    doctor.shot("worklist-news")
    page.get_by_role("link", name="Show the list anew").click()
    expect(_row(page, empty)).not_to_contain_text("Not read yet")

    # On a phone it is cards.
    phone = visit(360).become_doctor()
    phone.goto(LIST)
    expect(phone.page.locator(".worklist-row")).to_have_count(3)
    phone.look("worklist")
    problems += phone.axe()

    # Access that ends is told on the open page; so is that somebody was signed out.
    owner.goto("/account/sharing/")
    owner.page.get_by_role("button", name="Stop sharing").click()
    _look_for_news(page)
    expect(page.get_by_text("no longer shared with you").first).to_be_visible()
    expect(page.get_by_text("Wanda Worklist")).to_have_count(0)
    doctor.shot("worklist-gone")
    doctor.context.clear_cookies()
    _look_for_news(page)
    expect(page.get_by_text("You have been signed out.")).to_be_visible()
    assert not problems, "\n".join(problems)


def test_the_worklist_without_scripts(visit: Callable[..., Visitor]) -> None:
    doctor = visit(java_script_enabled=False).become_doctor()
    page = doctor.goto("/worklist/?state=all")
    expect(page.get_by_role("heading", level=1, name="Worklist")).to_be_visible()
    expect(page.get_by_role("button", name="Keys")).to_be_hidden()
    page.get_by_label("Patient or title").fill("nobody at all")
    page.get_by_role("button", name="Show", exact=True).click()
    expect(page.get_by_text("No case fits")).to_be_visible()
    doctor.look("worklist-plain")
