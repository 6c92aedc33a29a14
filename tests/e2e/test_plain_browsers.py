"""Without WebGL, without JavaScript, without a mouse: the main path still works."""

from collections.abc import Callable

from playwright.sync_api import expect

from tests.e2e.conftest import Readable
from tests.e2e.running_site import Site
from tests.e2e.visitor import PASSWORD, READ_SECONDS, Visitor


def test_without_webgl_still_pictures_are_shown(visit: Callable[..., Visitor], readable: Readable) -> None:
    visitor = visit(flags=("--disable-gpu", "--disable-3d-apis")).become_patient()
    page = visitor.page
    scan_path = visitor.send(visitor.open_case("chest_xray"), readable.chest)
    visitor.wait_until_read(scan_path)
    visitor.goto(scan_path)
    expect(page.get_by_text("it lacks WebGL 2")).to_be_visible()
    stills = page.locator(".pmi-viewer-still img")
    expect(stills).to_have_count(2)
    for number in range(2):
        assert stills.nth(number).evaluate("(image) => image.decode().then(() => image.naturalWidth)") > 50
    expect(page.locator("canvas.pmi-viewer-canvas")).to_be_hidden()
    visitor.look("result-without-webgl")


def test_without_javascript_a_scan_goes_in_and_is_read(
    visit: Callable[..., Visitor], readable: Readable
) -> None:
    visitor = visit(java_script_enabled=False).become_patient()
    page = visitor.page
    visitor.goto("/cases/")
    page.get_by_role("link", name="Open your first case").click()
    page.get_by_role("radio", name="Chest X-ray").check()
    page.get_by_role("radio", name="An adult").check()
    page.get_by_role("button", name="Next: add pictures").click()
    page.locator("#upload-files").set_input_files(readable.chest)
    page.get_by_role("button", name="Send the chosen files").click()
    expect(page.get_by_text("1 scan is stored.")).to_be_visible()
    scan_path = page.locator(".reading-card a").first.get_attribute("href")
    assert scan_path
    visitor.wait_until_read(scan_path, seconds=READ_SECONDS)
    visitor.goto(scan_path)
    for text in ("What to do now", "What the model found", "What this reading cannot tell"):
        expect(page.get_by_role("heading", name=text)).to_be_visible()
    expect(page.locator(".pmi-viewer-still img").first).to_be_visible()
    expect(page.locator("[data-control=heat]")).to_be_hidden()
    visitor.shot("result-without-javascript")


def test_without_javascript_a_phone_has_a_menu(visit: Callable[..., Visitor]) -> None:
    visitor = visit(360, java_script_enabled=False).become_patient()
    page = visitor.goto("/")
    menu = page.get_by_role("navigation", name="Main")
    expect(menu.get_by_role("link", name="My record")).to_be_visible()
    expect(menu.get_by_role("button", name="Show the menu")).to_be_hidden()
    menu.get_by_role("button", name="Log out").click()
    expect(page.get_by_role("navigation", name="Main").get_by_role("link", name="Log in")).to_be_visible()
    visitor.shot("menu-without-javascript")


def _tab_to(visitor: Visitor, selector: str, limit: int = 60) -> None:
    """Presses Tab until the element has the focus, and checks that one can see where the focus is."""
    page = visitor.page
    for _ in range(limit):
        page.keyboard.press("Tab")
        if page.evaluate("(selector) => document.activeElement.matches(selector)", selector):
            return
    raise AssertionError(f"{selector} cannot be reached with the Tab key on {page.url}")


def test_by_keyboard_alone(visit: Callable[..., Visitor], readable: Readable, site: Site) -> None:
    visitor = visit().become_patient()
    page = visitor.page
    visitor.context.clear_cookies()
    # Listening from the start: a chooser that opens before the listener counts is lost.
    page.on("filechooser", lambda chooser: chooser.set_files(readable.chest))
    visitor.goto("/accounts/login/")
    _tab_to(visitor, "#id_login")
    page.keyboard.type(visitor.email)
    _tab_to(visitor, "#id_password")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url("**/cases/")
    _tab_to(visitor, "main a[href='/cases/new/']")
    page.keyboard.press("Enter")
    page.wait_for_url("**/cases/new/")
    _tab_to(visitor, "input[name=kind]")
    page.keyboard.press("Space")
    while not page.evaluate("() => document.activeElement.value === 'chest_xray'"):
        page.keyboard.press("ArrowDown")
    _tab_to(visitor, "input[name=age_group]")
    page.keyboard.press("Space")
    _tab_to(visitor, "main form button[type=submit]")
    page.keyboard.press("Enter")
    page.locator("#drop-zone").wait_for()
    _tab_to(visitor, "#upload-files")
    page.keyboard.press("Enter")
    page.get_by_role("link", name="See the result").wait_for(timeout=READ_SECONDS * 1000)
    _tab_to(visitor, ".reading-card a")
    page.keyboard.press("Enter")
    page.locator(".danger-banner").wait_for()
    visitor.viewer()
    _tab_to(visitor, "[data-control=heat]")
    toggle = page.locator("[data-control=heat]")
    expect(toggle).to_be_checked()
    page.keyboard.press("Space")
    expect(toggle).not_to_be_checked()
    page.locator("canvas.pmi-viewer-canvas").focus()
    page.keyboard.press("h")
    expect(toggle).to_be_checked()
