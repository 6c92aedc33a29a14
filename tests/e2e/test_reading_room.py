"""The reading room in a real browser: scroll, heatmap, invert, measure, a prior that moves along."""

import io
import re
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, Route, expect

from cases import intake
from cases.imaging.volume import CanonicalVolume
from tests.e2e.conftest import Readable
from tests.e2e.visitor import Visitor, colourful
from tests.samples import generate

READY = 120_000


def reduced_brain(source: Path, folder: Path, *, factor: float = 1.0, without: int = 0) -> Path:
    """A smaller copy of a brain: a machine without a graphics card draws it in time. `without` leaves out the
    first slices; `factor` changes the grey values, so that it is another scan.
    """
    with tempfile.TemporaryDirectory() as work:
        found, refused = intake.prepare([intake.IncomingFile(source.name, source)], Path(work))
    assert found, refused
    volume: CanonicalVolume = found[0].volume
    step = 2 if volume.data.shape[0] > 200 else 1
    thick = 3 if volume.data.shape[2] > 100 else 1
    data = np.ascontiguousarray(
        (volume.data[::step, ::step, ::thick][:, :, without:] * factor).astype(np.int16)
    )
    small = replace(volume, data=data, affine=volume.affine @ np.diag([step, step, thick, 1.0]), window=None)
    path = folder / f"brain-{factor}-{without}.nii.gz"
    small.to_nifti().to_filename(path)
    return path


def pane(page: Page, number: int, what: str) -> str:
    """A fact that the pane tells about itself."""
    return page.locator(f"[data-room-pane='{number}']").get_attribute(f"data-{what}") or ""


def open_room(visitor: Visitor, scan_path: str, query: str = "") -> Page:
    visitor.goto(f"{scan_path}read/{query}")
    visitor.page.locator("[data-room][data-ready=true]").wait_for(timeout=READY)
    visitor.page.locator("[data-room-pane='1'][data-ready=true]").wait_for(timeout=READY)
    return visitor.page


def picture(page: Page, number: int = 1) -> np.ndarray:
    """What a pane shows, (rows, columns, 3)."""
    page.wait_for_timeout(400)
    shown = page.locator(f"[data-room-pane='{number}'] canvas").screenshot(timeout=READY)
    return np.asarray(Image.open(io.BytesIO(shown)).convert("RGB")).astype(int)


def shot(visitor: Visitor, name: str) -> None:
    visitor.has_no_sideways_scroll()
    visitor.shot(name)


def test_a_volume_and_its_prior(visit: Callable[..., Visitor], readable: Readable, tmp_path: Path) -> None:
    visitor = visit().become_patient("Robin Example-With-A-Long-Name")
    now = reduced_brain(readable.brain, tmp_path)
    before = reduced_brain(readable.brain, tmp_path, factor=0.9, without=4)
    earlier = visitor.send(visitor.open_case("brain_mri"), before)
    scan_path = visitor.send(visitor.open_case("brain_mri"), now)
    for path in (earlier, scan_path):
        assert visitor.wait_until_read(path)["status"] == "succeeded"

    page = open_room(visitor, scan_path)
    expect(page.get_by_role("heading", name="Robin Example-With-A-Long-Name")).to_be_visible()
    expect(page.locator(".room-facts")).to_contain_text("Scan added")
    shot(visitor, "room-volume")

    # Scrolling: keys, wheel and slider.
    start = int(pane(page, 1, "slice"))
    page.keyboard.press("ArrowUp")
    assert int(pane(page, 1, "slice")) == start + 1
    page.locator("[data-room-pane='1'] canvas").hover()
    page.mouse.wheel(0, 90)
    page.wait_for_function(
        "(start) => Number(document.querySelector(\"[data-room-pane='1']\").dataset.slice) < start", arg=start
    )
    page.keyboard.press("Home")
    assert pane(page, 1, "slice") == "0"
    page.keyboard.press("k")
    assert int(pane(page, 1, "slice")) == start

    # Grey values.
    plain = picture(page)
    page.keyboard.press("i")
    expect(page.get_by_role("button", name="Invert")).to_have_attribute("aria-pressed", "true")
    assert pane(page, 1, "window").endswith("true")
    assert picture(page).mean() > plain.mean() + 40
    page.keyboard.press("i")
    page.get_by_label("Preset").select_option("bright")
    assert pane(page, 1, "window") and picture(page).mean() < plain.mean()
    page.keyboard.press("0")

    # The heatmap, where the reading has one.
    if page.locator("[data-do=heat]").count():
        assert colourful(picture(page)) < 0.01
        page.keyboard.press("h")
        page.locator("[data-room-pane='1'][data-heat]:not([data-heat=''])").wait_for(timeout=READY)
        assert colourful(picture(page)) > 0.01
        page.keyboard.press("h")
        page.locator("[data-room-pane='1'][data-heat='']").wait_for(timeout=READY)

    # A distance in millimetres: the file tells its spacing.
    box = page.locator("[data-room-pane='1'] canvas").bounding_box()
    assert box
    page.keyboard.press("d")
    page.mouse.move(box["x"] + box["width"] * 0.45, box["y"] + box["height"] * 0.5)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.55, box["y"] + box["height"] * 0.5, steps=4)
    page.mouse.up()
    assert page.locator(".room-measure text").text_content() == page.locator("[data-role=say]").text_content()
    assert (page.locator("[data-role=say]").text_content() or "").endswith(" mm")
    page.keyboard.press("Delete")
    expect(page.locator(".room-measure")).to_have_count(0)

    # The same by keys alone.
    page.locator("[data-room-pane='1'] canvas").focus()
    for key in ("Enter", "Enter", *["ArrowRight"] * 5, "Enter"):
        page.keyboard.press(key)
    assert re.fullmatch(r"[\d.]+ mm", page.locator(".room-measure text").text_content() or "")
    page.keyboard.press("Shift+Delete")
    # A distance stays on the slice that it was begun on: on another one a new one begins.
    said = page.locator("[data-role=say]").text_content()
    for key in ("Enter", "Enter", *["ArrowRight"] * 5, "PageDown", *["ArrowRight"] * 5, "Enter"):
        page.keyboard.press(key)
    assert page.locator("[data-role=say]").text_content() == said
    page.keyboard.press("Shift+Delete")
    page.keyboard.press("s")
    expect(page.locator(".room-measure")).to_have_count(0)

    # Side by side.
    page.get_by_role("button", name="Side by side").click()
    page.locator("[data-room-pane='2'][data-ready=true]").wait_for(timeout=READY)
    expect(page.locator("[data-room-pane='2'] [data-label=what]")).to_contain_text("Earlier scan")
    assert "prior=" in page.url
    here, there = int(pane(page, 1, "slice")), int(pane(page, 2, "slice"))
    page.locator("[data-room-pane='1'] canvas").focus()
    for _ in range(3):
        page.keyboard.press("ArrowUp")
    assert (int(pane(page, 1, "slice")), int(pane(page, 2, "slice"))) == (here + 3, there + 3)
    page.keyboard.press("+")
    assert pane(page, 1, "zoom") == pane(page, 2, "zoom") != "1.000"
    page.keyboard.press("i")
    assert pane(page, 2, "window").endswith("true")
    shot(visitor, "room-side-by-side")
    page.get_by_role("checkbox", name="scroll").uncheck()
    page.keyboard.press("ArrowUp")
    assert (int(pane(page, 1, "slice")), int(pane(page, 2, "slice"))) == (here + 4, there + 3)

    page.locator("select[data-do=view]").select_option("all")
    shot(visitor, "room-three-planes")
    page.keyboard.press("?")
    expect(page.get_by_role("heading", name="Keys and mouse")).to_be_visible()
    page.keyboard.press("Escape")
    assert visitor.axe() == []


def test_the_scan_chosen_last_is_the_one_shown(
    visit: Callable[..., Visitor], readable: Readable, tmp_path: Path
) -> None:
    visitor = visit().become_patient()
    page = visitor.page
    older, newer, now = (
        visitor.send(visitor.open_case("brain_mri"), reduced_brain(readable.brain, tmp_path, **how))
        for how in ({"factor": 0.8, "without": 2}, {"factor": 0.9, "without": 4}, {})
    )
    id_of = {path: path.split("/")[-2] for path in (older, newer)}
    second = page.locator("[data-room-pane='2']")
    stage, still = second.locator(".room-stage"), second.locator(".room-still")

    def choose(path: str) -> None:
        page.locator("select[data-do=prior]").select_option(id_of[path])

    def is_ready() -> None:
        page.locator("[data-room-pane='2'][data-ready=true]").wait_for(timeout=READY)

    # The first choice arrives after the second one: it is not laid over it.
    open_room(visitor, now)
    late: list[Route] = []
    page.route(f"**{newer}display.nii.gz", lambda route: late.append(route))
    with page.expect_request(f"**{newer}display.nii.gz"):
        page.get_by_role("button", name="Side by side").click()
    choose(older)
    is_ready()
    shown = picture(page, 2)
    with page.expect_response(f"**{newer}display.nii.gz"):
        late.pop().continue_()
    page.wait_for_timeout(1500)
    assert np.abs(picture(page, 2) - shown).mean() < 0.1

    # Nor does its failure take the other one away.
    visitor.expected_statuses.add(500)
    with page.expect_request(f"**{newer}display.nii.gz"):
        choose(newer)
    choose(older)
    is_ready()
    late.pop().fulfill(status=500)
    page.wait_for_timeout(500)
    expect(stage).to_be_visible()
    expect(still).to_be_hidden()

    # A scan that cannot be opened is shown by its own still picture.
    page.unroute(f"**{newer}display.nii.gz")
    page.route(f"**{older}display.nii.gz", lambda route: route.fulfill(status=500))
    choose(newer)
    is_ready()
    choose(older)
    expect(second.get_by_text("could not open this scan")).to_be_visible()
    expect(still.locator("img")).to_have_attribute("src", re.compile(id_of[older]))
    page.unroute(f"**{older}display.nii.gz")

    # A large one is asked for first, and the one before is gone.
    def enlarge(route: Route) -> None:
        answer = route.fetch()
        said = re.sub(rf'("id": "{id_of[older]}".*?"bytes": )\d+', r"\g<1>99000000", answer.text(), count=1)
        route.fulfill(response=answer, body=said)

    page.route(re.compile(r"/read/\?"), enlarge)
    open_room(visitor, now, f"?prior={id_of[newer]}")
    is_ready()
    choose(older)
    large = second.get_by_role("button", name="Open the whole scan (large)")
    expect(large).to_be_visible()
    expect(stage).to_be_hidden()
    expect(still.locator("img")).to_have_attribute("src", re.compile(id_of[older]))
    assert pane(page, 2, "ready") == ""
    large.click()
    is_ready()
    expect(still).to_be_hidden()


@pytest.mark.parametrize("width", [360, 1280])
def test_a_film(visit: Callable[..., Visitor], readable: Readable, width: int) -> None:
    visitor = visit(width).become_patient()
    scan_path = visitor.send(visitor.open_case("chest_xray"), readable.chest)
    visitor.wait_until_read(scan_path)
    visitor.goto(scan_path)
    visitor.page.get_by_role("link", name="Open the large viewer").click()
    page = visitor.page
    page.locator("[data-room-pane='1'][data-ready=true]").wait_for(timeout=READY)
    page.get_by_role("checkbox", name="Heatmap").check()
    page.locator("[data-room-pane='1'][data-heat]:not([data-heat=''])").wait_for(timeout=READY)
    page.locator("canvas").first.scroll_into_view_if_needed()
    assert colourful(picture(page)) > 0.01
    before = picture(page)
    page.get_by_role("button", name="Mirror").click()
    expect(page.locator("[data-label=mirrored]").first).to_contain_text("MIRRORED")
    assert (
        np.abs(picture(page)[:, ::-1] - before)[60:-60].mean() < np.abs(picture(page) - before)[60:-60].mean()
    )
    shot(visitor, "room-film")
    assert visitor.axe() == []


def test_letters_stand_only_where_the_file_says_how_the_patient_lay(
    visit: Callable[..., Visitor], tmp_path: Path
) -> None:
    visitor = visit().become_patient()
    data = np.kron(generate.head(), np.ones((4, 4, 2))).astype(np.int16)
    shown = []
    for code in (1, 0):
        # Without a code the axes are taken as the format's own default has them, and so are these.
        image = nib.Nifti1Image(data, np.diag([-1.0, 1.0, 2.0, 1.0]))
        image.header.set_xyzt_units("mm")
        image.set_sform(image.affine, code=code)
        image.set_qform(image.affine, code=code)
        image.to_filename(tmp_path / f"head-{code}.nii.gz")
        scan_path = visitor.send(visitor.open_case("brain_mri"), tmp_path / f"head-{code}.nii.gz")
        shown.append(picture(open_room(visitor, scan_path)))
    lettered, plain = shown
    assert (lettered - plain > 60).any() and not (plain - lettered > 60).any()


def test_without_webgl_the_servers_slices_are_shown(
    visit: Callable[..., Visitor], readable: Readable, tmp_path: Path
) -> None:
    visitor = visit(flags=("--disable-gpu", "--disable-3d-apis")).become_patient()
    page = visitor.page
    scan_path = visitor.send(visitor.open_case("brain_mri"), reduced_brain(readable.brain, tmp_path))
    visitor.goto(f"{scan_path}read/")
    expect(page.get_by_text("it lacks WebGL 2")).to_be_visible()
    image = page.locator("[data-room-pane='1'] .room-still img")
    assert image.evaluate("(image) => image.decode().then(() => image.naturalWidth)") > 50
    with page.expect_response(lambda response: "index=7" in response.url) as answer:
        page.locator("[data-still-slider]").first.fill("7")
    assert answer.value.status == 200
    page.locator("select[name=plane]").select_option("coronal")
    page.get_by_role("button", name="Show").click()
    assert "plane=coronal" in (image.get_attribute("src") or "")
    shot(visitor, "room-without-webgl")
