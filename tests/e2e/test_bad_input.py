"""What cannot be read is said plainly, and takes nothing else down with it."""

from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import expect

from tests.e2e import inputs
from tests.e2e.conftest import Readable
from tests.e2e.visitor import READ_SECONDS, Visitor


def test_a_holiday_photo_is_turned_down_with_a_reason(visit: Callable[..., Visitor], tmp_path: Path) -> None:
    visitor = visit().become_patient()
    page = visitor.page
    case_path = visitor.open_case("chest_xray")
    visitor.goto(case_path)
    visitor.drop(inputs.holiday_photo(tmp_path / "beach.png"))
    page.get_by_text("Could not be read").wait_for(timeout=READ_SECONDS * 1000)
    page.get_by_role("link", name="What to do now").click()
    expect(page.get_by_role("heading", name="This scan could not be read")).to_be_visible()
    reason = page.locator(".reading-reason").inner_text()
    assert len(reason) > 20
    assert page.locator("article.finding").count() == 0
    expect(page.get_by_role("link", name="Add another picture")).to_be_visible()
    visitor.look("result-refused")


def test_a_bad_file_is_named_and_the_good_one_goes_in(
    visit: Callable[..., Visitor], readable: Readable, tmp_path: Path
) -> None:
    visitor = visit().become_patient()
    page = visitor.page
    visitor.goto(visitor.open_case("chest_xray"))
    empty = tmp_path / "nothing.jpg"
    empty.write_bytes(b"")
    visitor.expected_statuses.add(400)  # a browser writes each refusal to its console
    visitor.drop(inputs.garbage(tmp_path / "broken.jpg"), readable.chest, empty)
    page.locator(".upload-row.is-done").wait_for(timeout=60_000)
    refused = page.locator(".upload-row.is-refused")
    expect(refused).to_have_count(2)
    for name in ("broken.jpg", "nothing.jpg"):
        row = refused.filter(has_text=name)
        expect(row).to_contain_text("Not taken")
    expect(page.locator("article.scan-card")).to_have_count(1)
    visitor.look("bad-and-good")


def test_the_same_file_twice_is_one_scan(visit: Callable[..., Visitor], readable: Readable) -> None:
    visitor = visit().become_patient()
    visitor.goto(visitor.open_case("chest_xray"))
    visitor.drop(readable.chest)
    visitor.page.locator(".upload-row.is-done").wait_for(timeout=60_000)
    visitor.drop(readable.chest)
    visitor.page.locator(".upload-row", has_text="already in the case").wait_for(timeout=60_000)
    expect(visitor.page.locator("article.scan-card")).to_have_count(1)
