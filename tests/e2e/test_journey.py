"""A patient's way from the first page to knowing what to do, for each kind of scan."""

from collections.abc import Callable

import numpy as np
import pytest
from playwright.sync_api import expect

from tests.e2e.conftest import Readable
from tests.e2e.visitor import PASSWORD, READ_SECONDS, Visitor, colourful


def _sign_up(visitor: Visitor) -> None:
    page = visitor.goto("/")
    visitor.look("home")
    page.get_by_role("link", name="Make an account").click()
    visitor.look("sign-up")
    page.get_by_label("Full name").fill("Robin Example")
    page.get_by_label("Email").fill(visitor.fresh_email())
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_label("Password (again)").fill(PASSWORD)
    expect(page.get_by_label("Licence number")).to_be_hidden()
    page.get_by_label("PMI may keep my scans and read them").check()
    page.get_by_role("button", name="Make my account").click()
    expect(page.get_by_role("heading", name="Check your mail")).to_be_visible()
    visitor.look("check-your-mail")
    visitor.goto(visitor.confirmation_path())
    visitor.look("confirm-address")
    page.get_by_role("button", name="Yes, confirm").click()
    page.wait_for_url("**/cases/")


def _log_out_and_in(visitor: Visitor) -> None:
    page = visitor.page
    if visitor.width < 600:
        page.get_by_role("button", name="Show the menu").click()
    page.get_by_role("button", name="Log out").click()
    visitor.goto("/accounts/login/")
    visitor.look("log-in")
    page.get_by_label("Email").fill(visitor.email)
    page.get_by_label("Password").fill(PASSWORD)
    page.locator("main").get_by_role("button", name="Log in", exact=True).click()
    page.wait_for_url("**/cases/")


def _open_case(visitor: Visitor, kind: str) -> None:
    page = visitor.page
    visitor.goto("/cases/new/")
    visitor.look("case-form")
    page.get_by_role("radio", name=kind).check()
    page.get_by_role("radio", name="An adult").check()
    page.get_by_role("button", name="Next: add pictures").click()
    expect(page.get_by_role("heading", name="Add pictures")).to_be_visible()


def _check_progress(visitor: Visitor) -> None:
    seen = visitor.seen()
    words = " ".join(seen["words"])
    assert "Sending" in words and "Checking the picture" in words and "Stored" in words, seen
    assert len(set(seen["bars"])) >= 3 and seen["bars"] == sorted(seen["bars"]), seen["bars"]
    assert "Watch it being read" in words, seen["words"]


def _check_result(visitor: Visitor) -> None:
    """Everything a result page owes its reader."""
    page = visitor.page
    banner = page.locator(".danger-banner").first
    expect(banner.get_by_text("What to do now")).to_be_visible()
    expect(page.get_by_text("Read by AI, not yet by a doctor.")).to_be_visible()
    expect(page.get_by_role("heading", name="What the model found")).to_be_visible()
    assert page.locator("article.finding").count() >= 1
    expect(page.locator("article.finding").first).to_contain_text("in 10")
    for heading in (
        "What it means, and what can be done",
        "What can be done",
        "Where to read more and get help",
        "What this reading cannot tell",
        "Which model read it, and how good it is",
    ):
        expect(page.get_by_role("heading", name=heading, exact=True).first).to_be_visible()
    expect(page.get_by_text("Read by the model")).to_be_visible()


def _check_viewer(visitor: Visitor) -> None:
    """The scan is drawn, and the heatmap comes, fades and goes."""
    page = visitor.page
    visitor.viewer()
    with_heat = visitor.pixels()
    assert with_heat.std() > 10, "the canvas is blank"
    assert colourful(with_heat) > 0.001, "no heatmap on the scan"
    toggle = page.get_by_role("switch", name="Show where the model looked")
    toggle.uncheck()
    without = visitor.pixels()
    assert without.std() > 10 and colourful(without) < colourful(with_heat) / 4
    toggle.check()
    page.wait_for_timeout(500)
    strength = page.get_by_label("Strength")
    strength.fill("15")
    faint = visitor.pixels()
    strength.fill("100")
    strong = visitor.pixels()
    away = [float(np.abs(shown - without).mean()) for shown in (faint, strong)]
    assert away[0] < away[1], "the strength of the heatmap changes nothing"


@pytest.mark.slow
@pytest.mark.parametrize("width", [1280, 360])
def test_register_upload_and_read_a_chest_film(
    visit: Callable[..., Visitor], readable: Readable, width: int
) -> None:
    visitor = visit(width)
    page = visitor.page
    _sign_up(visitor)
    visitor.look("no-cases")
    _log_out_and_in(visitor)
    _open_case(visitor, "Chest X-ray")
    visitor.look("empty-case")
    visitor.slow_upload(max(readable.chest.stat().st_size // 3, 2000))
    if width < 600:
        page.get_by_label("Choose your pictures").set_input_files(readable.chest)
    else:
        visitor.drop(readable.chest)
    visitor.wait_until_stored()
    visitor.slow_upload(0)
    visitor.look("case-being-read")
    page.get_by_role("link", name="See the result").wait_for(timeout=READ_SECONDS * 1000)
    _check_progress(visitor)
    visitor.look("case")
    visitor.open_result()
    _check_result(visitor)
    _check_viewer(visitor)
    visitor.look("result-chest")
    visitor.goto("/cases/")
    visitor.look("cases")
    visitor.goto("/conditions/")
    visitor.look("conditions")
    visitor.goto("/conditions/pneumonia/")
    visitor.look("condition")
    visitor.goto("/account/sharing/")
    visitor.look("sharing")
    visitor.goto("/account/")
    visitor.look("account")


@pytest.mark.slow
def test_a_brain_volume_can_be_leafed_through(visit: Callable[..., Visitor], readable: Readable) -> None:
    visitor = visit().become_patient()
    page = visitor.page
    visitor.goto(visitor.open_case("brain_mri"))
    visitor.drop(readable.brain)
    visitor.wait_until_stored()
    page.get_by_role("link", name="Watch it being read").click()
    page.locator(".danger-banner").wait_for(timeout=READ_SECONDS * 1000)
    _check_result(visitor)
    viewer = visitor.viewer()
    slider = page.get_by_label("Picture in the stack")
    key_slice = int(viewer.get_attribute("data-key-slice") or -1)
    assert int(slider.input_value()) == key_slice, "the viewer must open on the most telling slice"
    first = visitor.pixels()
    assert first.std() > 10
    page.get_by_role("button", name="Next picture").click()
    expect(page.locator("[data-role=position]")).to_contain_text(f"Picture {key_slice + 2} of")
    page.locator("canvas.pmi-viewer-canvas").focus()
    for _ in range(4):
        page.keyboard.press("ArrowUp")
    assert int(slider.input_value()) == key_slice + 5
    assert np.abs(visitor.pixels() - first).mean() > 0.5, "another slice must look different"
    page.get_by_role("combobox", name="View").select_option("all")
    assert visitor.pixels().std() > 10
    page.get_by_role("button", name="Reset").click()
    assert int(slider.input_value()) == key_slice
    visitor.look("result-brain")


@pytest.mark.slow
def test_a_knee_jpeg_is_graded(visit: Callable[..., Visitor], readable: Readable) -> None:
    if readable.knee is None:
        pytest.skip("no knee film here: set PMI_DATA to a folder that holds knee_xray/manifest.csv")
    visitor = visit().become_patient()
    visitor.goto(visitor.open_case("knee_xray"))
    visitor.drop(readable.knee)
    visitor.open_result()
    _check_result(visitor)
    _check_viewer(visitor)
    visitor.look("result-knee")
