"""Danger rules on the desk: a curator changes one and tries it, a second person puts it in force, and the
patient's result follows. At the end the rules are as they were.
"""

import re
import uuid
from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.e2e.conftest import Readable
from tests.e2e.test_curation import member  # noqa: F401
from tests.e2e.visitor import Visitor

LIST = "/admin/inference/dangerruleset/"


def draft_with(writer: Visitor, level: str, note: str, *, look: bool = False) -> str:
    """A draft in which chest pain has another level; returns its path. Tries it on past readings."""
    page = writer.goto("/admin/")
    page.get_by_role("link", name="Danger rules", exact=False).first.click()
    if look:
        writer.shot("rules-list")
    page.get_by_role("button", name="Begin a draft").click()
    page.get_by_text("A new draft.").wait_for()
    path = re.sub(r"^https?://[^/]+", "", page.url)
    page.locator("#note").fill(note)
    page.get_by_role("button", name="Save the note").click()
    page.locator("summary", has_text="Chest pain that does not stop").click()
    if look:
        writer.look("rules-draft")
    page.locator("details[open]").get_by_role("link", name="Change this rule").click()
    page.get_by_label("Level").select_option(level)
    if look:
        writer.look("rules-rule")
    page.get_by_role("button", name="Save in the draft").click()
    page.get_by_text("The rule is in the draft.").wait_for()
    page.get_by_role("link", name="Try it on past readings").click()
    page.get_by_role("button", name="Try it now").click()
    page.get_by_text(re.compile("past reading")).last.wait_for(timeout=60_000)
    page.locator(".rules-sum").wait_for(timeout=60_000)
    return path


def put_in_force(publisher: Visitor, path: str, *, look: bool = False) -> None:
    page = publisher.goto(path)
    page.get_by_role("link", name="Put it in force").first.click()
    if look:
        publisher.look("rules-activate")
    page.get_by_role("button", name="Yes, put it in force now").click()
    page.get_by_text("In force. New readings follow these rules from now on.").wait_for()
    for _number in range(60):
        if page.get_by_text("Finished").count():
            break
        page.wait_for_timeout(1000)
        page.reload()
    expect(page.get_by_text("Finished")).to_be_visible()


@pytest.mark.slow
def test_a_rule_changes_and_comes_back(
    member: Callable[..., Visitor],  # noqa: F811
    visit: Callable[..., Visitor],
    readable: Readable,
) -> None:
    patient = visit(360).become_patient()
    case = patient.open_case("chest_xray")
    scan = patient.send(case, readable.chest)
    patient.wait_until_read(scan)
    patient._post(f"{case}symptoms/", **{"symptom-chest_pain": "yes"})
    assert patient.analyses(scan)[0]["danger"] == "emergency"

    writer = member("Curator", "Wren Writer")
    publisher = member("Publisher", "Parker Publisher", 360)
    note = f"Only for this test {uuid.uuid4().hex[:6]}."
    path = draft_with(writer, "soon", note, look=True)
    expect(writer.page.locator(".rules-sum")).to_contain_text("would change")
    expect(writer.page.get_by_role("heading", name="Less dangerous than before")).to_be_visible()
    writer.look("rules-trial")
    assert writer.axe() == []
    # The writer cannot put it in force.
    assert writer.status(f"{path.replace('change/', '')}activate/") == 403
    put_in_force(publisher, path, look=True)
    publisher.look("rules-in-force")
    assert publisher.axe() == []
    level = patient.analyses(scan)[0]["danger"]
    assert level != "emergency", "the past reading was judged anew"
    patient.goto(scan)
    expect(patient.page.locator(".danger-banner").first).to_contain_text("chest pain that does not stop")

    back = draft_with(writer, "emergency", f"Back. {note}")
    put_in_force(publisher, back)
    assert patient.analyses(scan)[0]["danger"] == "emergency"
    writer.goto(LIST)
    writer.shot("rules-history")
