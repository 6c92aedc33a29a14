"""The care relationship in a browser: inviting by code and by email, accepting, ending while a tab is open,
and an emergency that the patient is told of and ends.
"""

import re
from collections.abc import Callable

from playwright.sync_api import expect

from tests.e2e.conftest import Readable
from tests.e2e.visitor import Visitor

REASON = "Unconscious after a fall, I need the earlier films now."


def _both(visitor: Visitor, name: str) -> list[str]:
    """A look at the page on a phone and on a desk, and its accessibility problems."""
    problems: list[str] = []
    own = visitor.width
    for width in (360, 1280):
        visitor.page.set_viewport_size({"width": width, "height": 800})
        visitor.width = width
        visitor.look(name)
        problems += visitor.axe()
    visitor.page.set_viewport_size({"width": own, "height": 800})
    visitor.width = own
    return problems


def test_inviting_reading_ending(visit: Callable[..., Visitor], readable: Readable) -> None:
    owner, doctor = visit().become_patient("Ines Inviter"), visit().become_doctor()
    case_path = owner.open_case("chest_xray")
    scan_path = owner.send(case_path, readable.chest)
    problems: list[str] = []
    mine, theirs = owner.page, doctor.page

    # By code, for this one case.
    owner.goto(case_path)
    mine.get_by_role("link", name="Share with a doctor").click()
    problems += _both(owner, "care-sharing-empty")
    mine.locator("#code_access_days").select_option(label="for 7 days")
    mine.get_by_role("button", name="Make a code").click()
    code = mine.locator("#care-code").inner_text().strip()
    assert re.fullmatch(r"[2-9A-Z]{4}-[2-9A-Z]{4}", code)
    problems += _both(owner, "care-code")
    doctor.goto("/account/patients/")
    problems += _both(doctor, "care-patients")
    doctor.expected_statuses.add(400)
    theirs.get_by_label("Code from your patient").fill("2222-2222")
    theirs.get_by_role("button", name="Use the code").click()
    expect(theirs.get_by_text("This code does not work.")).to_be_visible()
    problems += _both(doctor, "care-wrong-code")
    theirs.get_by_label("Code from your patient").fill(code.lower())
    theirs.get_by_role("button", name="Use the code").click()
    expect(theirs.get_by_text("You can now read one case of Ines Inviter.")).to_be_visible()
    assert doctor.status(case_path) == 200
    second_case = owner.open_case("chest_xray")
    assert doctor.status(second_case) == 404

    # By email, for everything; and to an address with a slip of the pen.
    owner.goto("/account/sharing/")
    for address in ("docter@example.org", doctor.email):
        mine.get_by_label("Your doctor's email address").fill(address)
        mine.get_by_role("button", name="Send the invitation").click()
        expect(mine.get_by_text("Your invitation is on its way.")).to_be_visible()
    problems += _both(owner, "care-invited")
    mine.get_by_role("button", name="Take back the invitation to docter@example.org").click()
    expect(mine.get_by_text("The invitation is taken back.")).to_be_visible()
    doctor.goto("/account/patients/")
    problems += _both(doctor, "care-patients-invited")
    theirs.get_by_role("button", name="Accept the invitation of Ines Inviter").click()
    expect(theirs.get_by_text("You can now read the cases of Ines Inviter.")).to_be_visible()
    assert doctor.status(second_case) == 200
    problems += _both(doctor, "care-patients-full")
    owner.goto("/account/notices/")
    expect(mine.get_by_text("A doctor accepted your invitation")).to_be_visible()
    expect(mine.get_by_text("A doctor used your code")).to_be_visible()

    # Ended while the doctor's tab is open: what that tab asks for next loads it anew, and it says so.
    doctor.goto(case_path)
    expect(theirs.get_by_role("heading", level=1)).to_be_visible()
    owner.goto("/account/sharing/")
    problems += _both(owner, "care-sharing-full")
    while (stop := mine.get_by_role("button", name="Stop sharing")).count():
        left = stop.count() - 1
        stop.first.click()
        expect(mine.get_by_text("It is ended.")).to_be_visible()
        expect(stop).to_have_count(left)
    doctor.expected_statuses.add(404)
    theirs.evaluate("path => htmx.ajax('GET', path, '#messages')", f"{case_path}scans/list/")
    expect(theirs.get_by_text("does not share it with you, or not any more")).to_be_visible()
    problems += _both(doctor, "care-ended-tab")
    for path in (case_path, second_case, scan_path, f"{scan_path}preview.png"):
        assert doctor.status(path) == 404
    doctor.goto("/account/notices/")
    expect(theirs.get_by_text("A patient has stopped sharing with you.").first).to_be_visible()
    assert not problems, "\n".join(problems)


def test_asking_and_an_emergency(visit: Callable[..., Visitor], readable: Readable) -> None:
    owner, doctor = visit(360).become_patient("Emil Emergency"), visit().become_doctor()
    case_path = owner.open_case("chest_xray")
    scan_path = owner.send(case_path, readable.chest)
    problems: list[str] = []
    mine, theirs = owner.page, doctor.page

    # The doctor asks, the patient says no.
    doctor.goto("/account/patients/")
    theirs.get_by_label("Your patient's email address").fill(owner.email)
    theirs.get_by_role("button", name="Send the request").click()
    expect(theirs.get_by_text("Your request is on its way.")).to_be_visible()
    owner.goto("/account/sharing/")
    problems += _both(owner, "care-request")
    mine.get_by_role("button", name="No, Dr Dana Demo may not look").click()
    expect(mine.get_by_text("You said no.")).to_be_visible()
    assert doctor.status(case_path) == 404

    # In an emergency: a reason, a banner on every page, the patient knows.
    doctor.goto("/account/patients/")
    theirs.get_by_role("link", name="Emergency access").click()
    problems += _both(doctor, "care-emergency")
    theirs.get_by_label("The patient's email address").fill(owner.email)
    theirs.get_by_label("Why it cannot wait").fill(REASON)
    theirs.get_by_label("This is an emergency").check()
    theirs.get_by_role("button", name="Open the patient's cases").click()
    banner = theirs.get_by_role("region", name="Emergency access").filter(has_text="Emil Emergency")
    expect(banner).to_be_visible()
    owner.wait_until_read(scan_path)
    for path, name in (
        ("/account/patients/", "patients"),
        (case_path, "case"),
        (scan_path, "result"),
        (f"{scan_path}read/", "room"),
    ):
        doctor.goto(path)
        expect(banner).to_be_visible()
        problems += _both(doctor, f"care-banner-{name}")

    owner.goto("/account/notices/")
    mine.get_by_role("link", name="A doctor opened your cases in an emergency").click()
    expect(mine.get_by_text(REASON)).to_be_visible()
    problems += _both(owner, "care-emergency-told")
    mine.get_by_role("link", name="What they opened").click()
    expect(mine.get_by_text("in an emergency, without asking you first").first).to_be_visible()
    owner.look("care-emergency-log")
    owner.goto("/account/sharing/")
    mine.get_by_role("button", name="End it now: emergency access of Dr Dana Demo").click()
    expect(mine.get_by_text("It is ended.")).to_be_visible()
    problems += _both(owner, "care-emergency-ended")
    doctor.expected_statuses.add(404)
    doctor.goto(case_path)
    expect(theirs.get_by_text("does not share it with you, or not any more")).to_be_visible()
    expect(banner).to_have_count(0)
    assert not problems, "\n".join(problems)
