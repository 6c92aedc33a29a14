"""A doctor's review in a browser: draft, correction, signature, what the patient sees, the PDF, an amendment
without JavaScript, and a tab that is still open when access ends.
"""

import re
from collections.abc import Callable

from playwright.sync_api import Dialog, Page, Route, expect

from tests.e2e.conftest import Readable
from tests.e2e.visitor import Visitor
from tests.inference import pdf

CONFIRMED = "Corrected and confirmed by Dr Dana Demo on"


def _clear(visitor: Visitor, name: str) -> list[str]:
    """A look at the page, and its accessibility problems."""
    visitor.look(name)
    return visitor.axe() if visitor.has_script else []


def _fill(page: Page) -> None:
    """Disagree with the first finding, agree with the others."""
    findings = page.locator("#review-panel .review-finding:visible")
    for number in range(findings.count()):
        words = "I disagree" if number == 0 else "I agree"
        findings.nth(number).get_by_label(words, exact=True).check()
    findings.first.locator("select").select_option("no-chest-finding")


def test_a_review_from_draft_to_amendment(visit: Callable[..., Visitor], readable: Readable) -> None:
    owner, doctor = visit(360).become_patient("Rita Reviewed"), visit().become_doctor()
    case_path = owner.open_case("chest_xray")
    scan_path = owner.send(case_path, readable.chest)
    reading = owner.wait_until_read(scan_path)
    assert reading["status"] == "succeeded", reading
    assert any(finding["call"] != "unlikely" for finding in reading["findings"]), reading
    problems: list[str] = []
    theirs = owner.goto(scan_path)
    expect(theirs.get_by_text("Read by AI, not yet by a doctor.")).to_be_visible()
    owner.let_read(doctor)

    # A draft is kept and shown to nobody else.
    page = doctor.goto(scan_path)
    problems += _clear(doctor, "review-panel")
    doctor.goto(scan_path)  # what axe left on the page would be carried over by the next fragment
    page.get_by_label("What you see").fill("A fold of the skin, nothing more.")
    page.get_by_role("button", name="Save as a draft").click()
    expect(page.get_by_text("Your draft is saved. Only you see it until you sign.")).to_be_visible()
    owner.goto(scan_path)
    assert "A fold of the skin" not in theirs.locator("main").inner_text()

    # What is missing for a signature is said, and nothing is lost.
    doctor.expected_statuses.add(400)
    page.get_by_role("button", name="Sign the review").click()
    expect(page.get_by_role("alert").filter(has_text="Your draft is saved. To sign")).to_be_visible()
    problems += _clear(doctor, "review-incomplete")
    doctor.goto(scan_path)
    expect(page.get_by_label("What you see")).to_have_value("A fold of the skin, nothing more.")
    _fill(page)
    page.get_by_label("Your level").select_option("routine")
    page.get_by_label("What should come next").fill("Another film if the cough stays")
    page.get_by_role("button", name="Sign the review").click()
    expect(page.get_by_text("Your review is signed. The patient sees it now.")).to_be_visible()
    expect(page.get_by_text(CONFIRMED).first).to_be_visible()
    problems += _clear(doctor, "review-signed-doctor")

    # The patient: who, when, the doctor's level; on the page, the card, the record, in the PDF and the news.
    for width in (360, 1280):
        theirs.set_viewport_size({"width": width, "height": 800})
        owner.width = width
        owner.goto(scan_path)
        expect(theirs.get_by_text(CONFIRMED).first).to_be_visible()
        expect(theirs.locator(".danger-banner.danger-routine")).to_be_visible()
        expect(theirs.get_by_text("Your doctor says: there is no hurry")).to_be_visible()
        problems += _clear(owner, "review-signed-patient")
        owner.goto(case_path)
        expect(theirs.locator(".reading-card.danger-routine")).to_be_visible()
        problems += _clear(owner, "review-case-card")
        owner.goto("/record/")
        expect(theirs.get_by_text(CONFIRMED).first).to_be_visible()
        problems += _clear(owner, "review-record")
    owner.goto(scan_path)
    link = theirs.get_by_role("link", name="Report for your doctor (PDF)").get_attribute("href")
    printed = pdf.text(owner.context.request.get(str(link)).body())
    for words in (CONFIRMED, "Your doctor says: there is no hurry", "A fold of the skin, nothing more."):
        assert words in printed, (words, printed)
    told = owner.analyses(scan_path)[0]
    assert told["danger"] == "routine" and told["danger_by"] == "doctor"

    # Amended on a phone, without JavaScript: a reason is asked for, both versions stay.
    phone = visit(360, java_script_enabled=False).become_doctor()
    small = phone.goto(f"{scan_path}review/?change=1")
    expect(small.get_by_label("What you see")).to_have_value("A fold of the skin, nothing more.")
    phone.look("review-amend")
    phone.expected_statuses.add(400)
    small.get_by_label("What you see").fill("A fold of the skin; the heart is a little large.")
    small.get_by_label("Your level").select_option("soon")
    small.get_by_role("button", name="Sign the new version").click()
    expect(small.get_by_text("Please say why you change a signed review.")).to_be_visible()
    small.get_by_label("Why you change the signed review").fill("Looked at it on a larger screen")
    small.get_by_role("button", name="Sign the new version").click()
    expect(small.get_by_text("Your review is signed.")).to_be_visible()
    owner.goto(scan_path)
    expect(theirs.locator(".danger-banner.danger-soon")).to_be_visible()
    theirs.get_by_text("Doctors' reviews of this scan: 2 versions").click()
    expect(theirs.get_by_text("Looked at it on a larger screen").last).to_be_visible()
    expect(theirs.get_by_text("replaced since")).to_be_visible()
    problems += _clear(owner, "review-versions")

    # The reading room, and the list of differing readers.
    for width in (1280, 360):
        page.set_viewport_size({"width": width, "height": 800})
        doctor.width = width
        doctor.goto(f"{scan_path}read/")
        page.locator("[data-room][data-ready=true]").wait_for(timeout=120_000)
        doctor.look("review-room")
        doctor.goto("/reviews/disagreements/")
        problems += _clear(doctor, "review-disagreements")
        doctor.goto(f"{scan_path}review/?change=1")
        problems += _clear(doctor, "review-page")

    # Access ends while the form is open: the doctor is told, and gets the words back.
    doctor.goto(f"{scan_path}review/?change=1")
    page.get_by_label("What you see").fill("Words in an open tab")
    owner.goto("/account/sharing/")
    theirs.get_by_role("button", name="Stop sharing").first.click()
    expect(theirs.get_by_text("This doctor can no longer read")).to_be_visible()
    doctor.expected_statuses.add(404)
    page.get_by_role("button", name="Save as a draft").click()
    expect(page.get_by_text("You cannot see this scan any more", exact=False)).to_be_visible()
    expect(page.locator("#review-panel textarea").first).to_have_value("Words in an open tab")
    problems += _clear(doctor, "review-gone")
    assert doctor.status(scan_path) == 404 and doctor.status(f"{scan_path}review/") == 404
    assert not problems, "\n".join(problems)


def _refusal(status: int | None) -> Callable[[Route], None]:
    """What stands in the way of a save; None for a lost connection."""

    def answer(route: Route) -> None:
        if status is None:
            route.abort()
        else:
            route.fulfill(status=status, body="<p>No.</p>", content_type="text/html")

    return answer


def test_what_a_doctor_wrote_outlasts_a_save_that_failed(
    visit: Callable[..., Visitor], readable: Readable
) -> None:
    owner, doctor = visit(360).become_patient("Una Unsaved"), visit().become_doctor()
    scan_path = owner.send(owner.open_case("chest_xray"), readable.chest)
    assert owner.wait_until_read(scan_path)["status"] == "succeeded"
    owner.let_read(doctor)
    page = doctor.page
    words = page.get_by_label("What you see")
    save = page.get_by_role("button", name="Save as a draft")
    asked: list[str] = []

    def leave(dialog: Dialog) -> None:
        asked.append(dialog.type)
        dialog.accept()

    page.on("dialog", leave)
    doctor.expected_statuses |= {403, 429, 500}
    target = re.compile(r"/review/$")
    for number, path in enumerate((scan_path, f"{scan_path}review/", f"{scan_path}read/")):
        doctor.goto(path)
        assert asked == ["beforeunload"] * number
        words.fill("Words that must stay")
        for status in (403, 429, 500, None):
            page.route(target, _refusal(status))
            with page.expect_request(target):
                save.click()
            expect(page.get_by_role("alert").get_by_text("Your review was not saved")).to_be_visible()
            expect(words).to_have_value("Words that must stay")
            page.unroute(target)
    save.click()
    expect(page.get_by_text("Your draft is saved. Only you see it until you sign.")).to_be_visible()
    expect(page.get_by_text("Your review was not saved")).to_be_hidden()

    # A reading that ends does not load the page anew under what is being written.
    doctor.goto(scan_path)
    assert len(asked) == 2
    polls: list[str] = []

    def ended(route: Route) -> None:
        polls.append(route.request.url)
        route.fulfill(status=200, headers={"HX-Refresh": "true"}, body="")

    page.route("**/reading-has-ended", ended)
    words.fill("Words written meanwhile")
    page.evaluate(
        """() => {
          const poll = document.createElement("div");
          poll.id = "reading-progress";
          poll.setAttribute("hx-get", "/reading-has-ended");
          poll.setAttribute("hx-trigger", "every 1s");
          document.querySelector("main").prepend(poll);
          htmx.process(poll);
        }"""
    )
    expect(page.get_by_text("A newer reading is there")).to_be_visible()
    page.wait_for_timeout(2500)
    assert len(polls) == 1 and len(asked) == 2
    expect(words).to_have_value("Words written meanwhile")
    with page.expect_navigation():
        save.click()
    expect(words).to_have_value("Words written meanwhile")
    assert len(asked) == 2

    # Back from a filter is a real load, which asks before it takes away what was written.
    page.evaluate(
        """() => {
          const link = document.createElement("a");
          link.setAttribute("hx-get", "?filtered=1");
          link.setAttribute("hx-push-url", "true");
          for (const name of ["hx-target", "hx-select"]) link.setAttribute(name, "#messages");
          document.querySelector("main").prepend(link);
          htmx.process(link);
          link.click();
        }"""
    )
    page.wait_for_url("**filtered=1")
    words.fill("Words before going back")
    words.press("End")
    page.evaluate("() => { window.isSamePage = true; }")
    page.go_back()
    page.wait_for_function("() => !window.isSamePage")
    assert asked == ["beforeunload"] * 3
    expect(words).to_have_value("Words written meanwhile")

    # What htmx and the browser write about it is not an error of the page.
    noise = ("Response Status Error Code", "ERR_FAILED", "htmx:")
    doctor.problems = [one for one in doctor.problems if not any(part in one for part in noise)]
