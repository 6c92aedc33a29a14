"""Similar known cases in a real browser: search with a picture, compare, agree, and take that back."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from playwright.sync_api import expect

from tests.e2e import inputs
from tests.e2e.conftest import Readable
from tests.e2e.running_site import REPOSITORY, Site
from tests.e2e.visitor import Visitor

SEARCHED = 120_000
SHARED = "A scan that a doctor confirmed, shared with consent"


@pytest.fixture(scope="module")
def atlas(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight drawn films as the site's atlas; one of them may not be shown."""
    folder = tmp_path_factory.mktemp("atlas") / "chest_xray"
    folder.mkdir()
    lines = ["file,labels,group,age_group,licence,source,citation"]
    for number in range(8):
        label = "pneumonia|bacterial" if number % 2 else "no_finding"
        name, age = f"{number}.png", "child" if number < 3 else "adult"
        inputs.drawn_film(folder / name, "chest_xray", label, number)
        licence = "unclear" if number == 5 else "CC BY 4.0"
        lines.append(f"{name},{label},p{number},{age},{licence},Drawn films,Drawn for tests")
    (folder / "manifest.csv").write_text("\n".join(lines))
    environ = {**os.environ, **psutil.Process(site.pid).environ()}
    command = [sys.executable, "manage.py", "import_atlas", str(folder / "manifest.csv")]
    done = subprocess.run(command, cwd=REPOSITORY, env=environ, capture_output=True, text=True, check=False)
    assert "8 added (1 by label only)" in done.stdout or "8 known" in done.stdout, done.stdout + done.stderr
    return folder


def search(visitor: Visitor, file: Path, kind: str = "") -> None:
    """Sends a picture on the search page."""
    page = visitor.goto("/similar/")
    page.get_by_label("Picture, or all files of one series").set_input_files(file)
    if kind:
        page.get_by_label("What the picture is").select_option(label=kind)
    page.get_by_role("button", name="Search", exact=True).click()


@pytest.mark.slow
def test_a_consent_shows_a_case_and_taking_it_back_hides_it(
    visit: Callable[..., Visitor], readable: Readable, atlas: Path
) -> None:
    owner, doctor = visit().become_patient("Una Sharer"), visit().become_doctor()
    scan = owner.send(owner.open_case("chest_xray"), readable.chest)
    assert owner.wait_until_read(scan)["status"] == "succeeded"
    owner.let_read(doctor)
    doctor.goto(scan)
    panel = doctor.page.locator("#review-panel")
    # What the model found most likely is there; the doctor leaves the rest open.
    said = ["I agree", *["I am not sure"] * (panel.locator("fieldset:visible").count() - 1)]
    for finding, verdict in zip(panel.locator("fieldset:visible").all(), said, strict=True):
        finding.get_by_label(verdict).check()
    panel.get_by_role("button", name="Sign the review").click()
    expect(doctor.page.get_by_text("Your review is signed.")).to_be_visible()

    def answer(button: str) -> None:
        owner.goto("/account/consent/")
        owner.page.locator("#similar_search").get_by_role("button", name=button).click()

    searcher = visit(360).become_patient("Sam Searcher")
    search(searcher, readable.chest, "Chest X-ray")
    page = searcher.page
    expect(page.get_by_role("heading", name="The nearest known cases")).to_be_visible(timeout=SEARCHED)
    assert page.locator(".similar-hit").count() == 6
    expect(page.get_by_text(SHARED)).to_have_count(0)
    expect(page.get_by_text("is deleted")).to_be_visible()
    searcher.look("similar-found")
    assert searcher.axe() == []
    kept = [path for path in (searcher.site.var / "private").glob("searches/**/*") if path.is_file()]
    assert not kept

    # The owner agrees: the confirmed scan is found now, without anything that says whose it is.
    answer("I agree")
    first = page.locator(".similar-hit").first
    for _ in range(12):  # a worker cuts the picture; looking too often is refused
        page.reload()
        if SHARED in first.inner_text():
            break
        page.wait_for_timeout(2500)
    expect(first).to_contain_text(SHARED)
    text = page.content()
    assert owner.email not in text and "Una" not in text and scan.split("/")[-2] not in text
    picture = first.locator("img").get_attribute("src") or ""
    assert searcher.status(picture) == 200
    page.get_by_text("Narrow down").click()
    page.get_by_label("Search in").select_option(label="Scan confirmed by a doctor")
    page.get_by_role("button", name="Show", exact=True).click()
    expect(page.locator(".similar-hit")).to_have_count(1)
    searcher.look("similar-narrowed")
    page.get_by_role("link", name="Show all again").click()
    expect(page.locator(".similar-hit")).to_have_count(6)

    # A stored scan shows its neighbours with its result; one is opened side by side.
    own = searcher.send(searcher.open_case("chest_xray"), readable.chest)
    searcher.wait_until_read(own)
    searcher.goto(own)
    hit = page.locator("#similar-section .similar-hit", has_text=SHARED)
    expect(hit).to_have_count(1)
    hit.get_by_role("link").click()
    expect(page.get_by_role("heading", name="Side by side")).to_be_visible()
    panes = page.locator(".similar-pane img")
    expect(panes).to_have_count(2)
    page.wait_for_function(
        "() => [...document.querySelectorAll('.similar-pane img')].every((i) => i.naturalWidth > 0)"
    )
    page.get_by_role("button", name="Larger").click()
    moved = [panes.nth(n).evaluate("(image) => image.style.transform") for n in (0, 1)]
    assert moved[0] == moved[1] and "scale(1.25)" in moved[0]
    caption = page.locator("figcaption").nth(1).inner_text()
    assert caption.startswith("Known case: ") and "-" not in caption.split(": ")[1].split("\n")[0][:9]
    searcher.look("similar-compare")
    assert searcher.axe() == []
    compare = page.url.removeprefix(searcher.site.url)

    # The consent is taken back: gone from the page, the pictures and the comparison, at once.
    answer("Take my consent back")
    searcher.expected_statuses.add(404)
    searcher.goto(own)
    expect(page.locator("#similar-section")).to_be_visible()
    expect(page.get_by_text(SHARED)).to_have_count(0)
    assert searcher.status(picture) == 404 and searcher.status(compare) == 404
    assert not list((searcher.site.var / "private").glob(f"references/**/{picture.split('/')[2]}/*"))


@pytest.mark.slow
def test_a_part_of_a_scan(visit: Callable[..., Visitor], readable: Readable, atlas: Path) -> None:
    visitor = visit(1280).become_patient()
    scan = visitor.send(visitor.open_case("chest_xray"), readable.chest)
    visitor.wait_until_read(scan)
    page = visitor.goto(scan)
    visitor.shot("similar-result")
    page.get_by_role("link", name="Search with a part of the picture").click()
    page.wait_for_load_state("load")
    # A picture that is still on its way has no height to draw on.
    page.wait_for_function("() => document.querySelector('[data-similar-draw] img')?.naturalWidth > 0")
    box = page.locator("[data-similar-draw] img").bounding_box()
    assert box
    page.mouse.move(box["x"] + box["width"] * 0.2, box["y"] + box["height"] * 0.2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.7, box["y"] + box["height"] * 0.8, steps=4)
    page.mouse.up()
    page.get_by_role("button", name="Search", exact=True).click()
    expect(page.get_by_role("heading", name="The nearest known cases")).to_be_visible(timeout=SEARCHED)
    assert page.locator(".similar-hit").count() == 6
    expect(page.locator(".similar-box")).to_be_visible()
    visitor.look("similar-region")
    assert visitor.axe() == []


@pytest.mark.slow
def test_what_is_no_scan_is_not_searched(visit: Callable[..., Visitor], atlas: Path, tmp_path: Path) -> None:
    visitor = visit(360).become_patient()
    visitor.goto("/similar/")
    visitor.look("similar-search")
    assert visitor.axe() == []
    search(visitor, inputs.holiday_photo(tmp_path / "holiday.png"))
    expect(visitor.page.get_by_text("This was not searched.")).to_be_visible(timeout=SEARCHED)
    visitor.look("similar-refused")
    search(visitor, inputs.garbage(tmp_path / "x.png"))
    expect(visitor.page.get_by_text("This was not searched.")).to_be_visible(timeout=SEARCHED)
