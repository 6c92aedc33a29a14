"""The worker dies in the middle of a reading: the scan is read all the same, once."""

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress

import psutil
import pytest
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from playwright.sync_api import expect

from tests.e2e.conftest import Readable
from tests.e2e.running_site import LEASE_SECONDS, Site
from tests.e2e.visitor import READ_SECONDS, Visitor


def _family(site: Site) -> list[psutil.Process]:
    head = site.reading_worker()
    return [head, *head.children(recursive=True)]


def _kill(processes: list[psutil.Process]) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(processes, timeout=10)


def _caught_reading(visitor: Visitor, site: Site, scan_path: str) -> list[psutil.Process]:
    """Freezes the worker while it reads the scan; an empty list when it was too fast."""
    deadline = time.monotonic() + READ_SECONDS
    while time.monotonic() < deadline:
        status = visitor.analyses(scan_path)[0]["status"]
        if status == "running":
            processes = _family(site)
            for process in processes:
                with suppress(psutil.NoSuchProcess):
                    os.kill(process.pid, signal.SIGSTOP)
            if visitor.analyses(scan_path)[0]["status"] == "running":
                return processes
            _resume(processes)
        if status not in ("queued", "running"):
            return []
        time.sleep(0.15)  # 600 requests a minute are all that the API answers
    raise AssertionError("the scan was not taken up by a worker")


def _resume(processes: list[psutil.Process]) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.resume()


@pytest.mark.slow
def test_a_killed_worker_ends_in_one_reading(
    visit: Callable[..., Visitor], readable: Readable, site: Site
) -> None:
    visitor = visit().become_patient()
    page = visitor.page
    for _ in range(3):
        case_path = visitor.open_case("chest_xray")
        # A fresh worker has to load its libraries first, which leaves time to catch it.
        _kill(_family(site))
        scan_path = visitor.send(case_path, readable.chest)
        processes = _caught_reading(visitor, site, scan_path)
        if processes:
            break
    else:
        raise AssertionError("the worker was never caught reading")
    visitor.goto(scan_path)
    expect(page.locator("#reading-progress")).to_be_visible()
    _kill(processes)
    killed = timezone.now()

    # The page follows by itself: the lease runs out, another worker takes over, the result appears.
    page.locator(".danger-banner").wait_for(timeout=(LEASE_SECONDS + 60 + READ_SECONDS) * 1000)
    readings = visitor.analyses(scan_path)
    assert [reading["status"] for reading in readings] == ["succeeded"]
    started = parse_datetime(readings[0]["started_at"])
    assert started is not None and started > killed, "the second attempt is the one that counts"
    labels = [finding["label"] for finding in readings[0]["findings"]]
    assert labels and len(labels) == len(set(labels))
