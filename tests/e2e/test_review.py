"""A doctor's review in a browser: draft, correction, signature, what the patient sees, the PDF, an amendment
without JavaScript, and a tab that is still open when access ends.
"""

from collections.abc import Callable

from playwright.sync_api import Page, expect

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
