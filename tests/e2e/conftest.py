"""A browser, the running site, people in front of it and pictures to read.

The site reads with the project's own models and real sample scans where this machine has both; otherwise with
tiny models made on the spot and drawn pictures, so that the main path is walked everywhere.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Playwright, sync_playwright

from tests.e2e import inputs
from tests.e2e.running_site import KINDS, REPOSITORY, Site, shared_site
from tests.e2e.visitor import Visitor
from tests.inference.conftest import _made_once as made_once

CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = [
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-dev-shm-usage",
    "--disable-sync",
    "--mute-audio",
    "--no-first-run",
]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this folder is a browser test."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("e2e")


@pytest.fixture(scope="session")
def chromium() -> str:
    """Path of the browser; the tests are skipped where there is none, and the summary says so."""
    chosen = os.environ.get("PMI_CHROMIUM")
    if chosen and not Path(chosen).is_file():
        pytest.fail(f"PMI_CHROMIUM names {chosen}, which is not a file")
    path = chosen or next(filter(None, map(shutil.which, CHROMIUM_NAMES)), None)
    if path is None:
        pytest.skip(
            "BROWSER TESTS NOT RUN: no Chromium found. Install Debian's package `chromium` or set "
            "PMI_CHROMIUM to its path."
        )
    return path


def _samples() -> Path | None:
    folder = Path(os.environ.get("PMI_SAMPLES") or REPOSITORY.parent / "shared" / "samples")
    return folder if folder.is_dir() else None


def make_tiny_bundles(folder: Path) -> None:
    """One small real model per kind, for drawn pictures; the tests of `inference` use the same ones."""
    from tests.inference.tiny_bundles import make_bundle

    for kind in KINDS:
        make_bundle(kind, folder / kind)


@pytest.fixture(scope="session")
def site(chromium: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The running PMI, one for all processes of this test run."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base
    bundles = Path(os.environ.get("PMI_BUNDLE_DIR") or REPOSITORY / "inference" / "bundles")
    has_models = all((bundles / kind / "configs" / "metadata.json").is_file() for kind in KINDS)
    real = has_models and _samples() is not None
    if real:
        # Converting a model takes a while and gives the same file each time: kept between runs.
        onnx = REPOSITORY / "var" / "onnx"
    else:
        bundles, onnx = made_once(shared, "tiny-bundles", make_tiny_bundles), shared / "onnx"
    with shared_site(shared / "site", bundles, onnx, real_models=real) as running:
        yield running


@dataclass(frozen=True)
class Readable:
    """One file of each kind that the site's models read to the end. `knee` may be missing."""

    chest: Path
    brain: Path
    knee: Path | None


@pytest.fixture(scope="session")
def readable(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Readable:
    """Files the site can read: real samples for real models, drawn pictures for tiny ones."""
    folder = tmp_path_factory.mktemp("readable")
    samples = _samples()
    if site.real_models and samples is not None:
        return Readable(
            chest=samples / "cxr_pa_monochrome1_jpeg2000.dcm",
            brain=samples / "mr_brain_t1_series.zip",
            knee=inputs.real_knee(folder),
        )
    return Readable(
        chest=inputs.drawn_film(folder / "chest.png", "chest_xray", "pneumonia|bacterial"),
        brain=inputs.drawn_brain(folder / "brain.nii.gz"),
        knee=inputs.drawn_film(folder / "knee.jpg", "knee_xray", "3"),
    )


# Playwright keeps an event loop running in this thread, and Django then refuses to touch the database: it
# must be gone before another module's tests begin.
@pytest.fixture(scope="module")
def playwright_driver(chromium: str) -> Iterator[Playwright]:
    """Playwright, for one module."""
    with sync_playwright() as driver:
        yield driver


@pytest.fixture(scope="module")
def launch(playwright_driver: Playwright, chromium: str) -> Iterator[Callable[..., Browser]]:
    """Starts a browser with extra flags: `launch("--disable-3d-apis")`; one per set of flags."""
    open_browsers: dict[tuple[str, ...], Browser] = {}

    def start(*extra: str) -> Browser:
        if extra not in open_browsers:
            root = ["--no-sandbox"] if os.geteuid() == 0 else []
            flags = [flag for flag in FLAGS if not (extra and "swiftshader" in flag)]
            open_browsers[extra] = playwright_driver.chromium.launch(
                executable_path=chromium, args=[*flags, *root, *extra], timeout=60_000
            )
        return open_browsers[extra]

    yield start
    for browser in open_browsers.values():
        browser.close()


@pytest.fixture
def visit(site: Site, launch: Callable[..., Browser]) -> Iterator[Callable[..., Visitor]]:
    """Opens a browser window for one person: `visit(width=360)`; `flags` for a browser of its own kind.

    When the test is over, no window may have met an error in its console: a broken script or a violation of
    the Content-Security-Policy fails the test.
    """
    visitors: list[Visitor] = []

    def open_window(width: int = 1280, *, flags: tuple[str, ...] = (), **options: Any) -> Visitor:
        visitor = Visitor(launch(*flags), site, width, **options)
        visitors.append(visitor)
        return visitor

    yield open_window
    problems = [problem for visitor in visitors for problem in visitor.close()]
    assert not problems, "\n".join(problems)
