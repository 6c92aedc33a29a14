"""The patient's record in a browser: the PDF of a result, a share link for somebody without an account, the
record page with a reminder.
"""

import re
from collections.abc import Callable
from datetime import timedelta

from django.utils import timezone
from playwright.sync_api import expect

from tests.e2e.conftest import Readable
from tests.e2e.visitor import Visitor
from tests.inference import pdf


def _clear(visitor: Visitor, name: str) -> list[str]:
    """A look at the page, and its accessibility problems."""
    visitor.look(name)
    return visitor.axe()


def test_report_share_link_and_record(visit: Callable[..., Visitor], readable: Readable) -> None:
    owner = visit(360).become_patient("Olu Owner")
    case_path = owner.open_case("chest_xray")
    scan_path = owner.send(case_path, readable.chest)
    reading = owner.wait_until_read(scan_path)
    assert reading["status"] == "succeeded", reading
    problems: list[str] = []

    # The PDF says what the page says.
    page = owner.goto(scan_path)
    link = page.get_by_role("link", name="Report for your doctor (PDF)")
    answer = owner.context.request.get(str(link.get_attribute("href")))
    assert answer.ok and answer.headers["content-type"] == "application/pdf"
    said = pdf.text(answer.body())
    assert "Olu Owner" in said and "Read by AI, not yet by a doctor." in said
    sentence = page.locator(".finding p").first.inner_text()
    assert sentence in said, (sentence, said)
    assert page.locator("#danger-title").inner_text() in said
    assert {"/H1", "/Figure", "/Table"} <= {name for name, _alt in pdf.tags(answer.body())}

    # A link for somebody without an account.
    owner.goto(case_path)
    page.get_by_role("link", name="Share by link").click()
    problems += _clear(owner, "share-empty")
    page.get_by_label("Who it is for").fill("Doctor Ada")
    page.get_by_role("button", name="Make a link").click()
    address = page.locator("#share-address").inner_text().strip()
    pin = page.locator("#share-pin").inner_text().strip()
    assert re.fullmatch(r"\d{6}", pin)
    problems += _clear(owner, "share-made")

    for width in (360, 1280):
        guest = visit(width)
        theirs = guest.goto(address)
        problems += _clear(guest, "shared-pin")
        if width == 360:
            guest.expected_statuses.add(400)
            theirs.get_by_label("PIN with 6 digits").fill(f"{(int(pin) + 1) % 10**6:06d}")
            theirs.get_by_role("button", name="Open").click()
            expect(theirs.get_by_text("This PIN is not right.")).to_be_visible()
            problems += _clear(guest, "shared-pin-wrong")
        theirs.get_by_label("PIN with 6 digits").fill(f"{pin[:3]} {pin[3:]}")
        theirs.get_by_role("button", name="Open").click()
        expect(theirs.get_by_text("Olu Owner")).to_be_visible()
        assert theirs.locator(".record-figure img").count() >= 1
        for picture in theirs.locator(".record-figure img").all():
            picture.scroll_into_view_if_needed()
            expect(picture).to_have_js_property("complete", True)
            assert picture.evaluate("(image) => image.naturalWidth") > 0
        assert sentence in theirs.locator("main").inner_text()
        problems += _clear(guest, "shared-result")
        report = guest.context.request.get(
            str(theirs.get_by_role("link", name="Report (PDF)").get_attribute("href"))
        )
        assert sentence in pdf.text(report.body())
        # The link opens nothing else.
        for path in (case_path, scan_path, f"{scan_path}preview.png"):
            assert guest.status(path) == 302
    inside = theirs.url

    # The owner sees the views, takes the link back, and it is gone at once.
    owner.goto(f"{case_path}share/")
    expect(page.get_by_text("opened 2 times")).to_be_visible()
    expect(page.get_by_text("1 wrong PIN", exact=False).first).to_be_visible()
    page.get_by_role("button", name="Take back the link for Doctor Ada").click()
    expect(page.get_by_text("It opens nothing any more.")).to_be_visible()
    assert guest.status(address) == 404 and guest.status(inside) == 404
    guest.expected_statuses.add(404)
    guest.goto(inside)
    expect(theirs.get_by_role("heading", level=1)).to_be_visible()

    # The record: a reminder of one's own, the questions, the timeline.
    for width in (360, 1280):
        owner.page.set_viewport_size({"width": width, "height": 800})
        owner.width = width
        owner.goto("/record/")
        problems += _clear(owner, "record")
    owner.page.set_viewport_size({"width": 360, "height": 800})
    owner.width = 360
    # Days are longest in Spanish.
    for language in ("es", "hi"):
        owner.context.add_cookies([{"name": "django_language", "value": language, "url": owner.site.url}])
        owner.goto("/record/")
        assert page.locator("html").get_attribute("lang") == language
        problems += _clear(owner, f"record-{language}")
    owner.context.clear_cookies(name="django_language")
    owner.goto("/record/")
    page.get_by_text("Set a reminder").click()
    page.get_by_label("On which day").fill((timezone.now() + timedelta(days=30)).date().isoformat())
    page.get_by_label("What you want to be reminded of").fill("Second film of the lungs")
    page.get_by_role("button", name="Save the reminder").click()
    expect(page.get_by_text("Your reminder is saved.")).to_be_visible()
    page.get_by_role("button", name="Mark as done: Second film of the lungs").click()
    expect(page.get_by_text("It is marked as done.")).to_be_visible()
    problems += _clear(owner, "record-done")
    assert not problems, "\n".join(problems)
