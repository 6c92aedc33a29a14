"""Symptoms: a warning sign raises the level, also before and without a finding, and the page says why."""

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.e2e.conftest import Readable
from tests.e2e.visitor import Visitor

LADDER = ("emergency", "urgent", "soon", "routine", "none_found", "inconclusive")


def answer(visitor: Visitor, question: str, choice: str) -> None:
    """Answers one question of the open checklist and saves."""
    group = visitor.page.get_by_role("group", name=question)
    group.get_by_role("radio", name=choice, exact=True).check()
    visitor.page.get_by_role("button", name="Save answers").click()
    expect(visitor.page.get_by_text("Your answers are saved.")).to_be_visible()


@pytest.mark.parametrize("width", [1280, 360])
def test_a_sign_before_any_scan(visit: Callable[..., Visitor], width: int) -> None:
    visitor = visit(width).become_patient()
    page = visitor.goto(visitor.open_case("brain_mri"))
    expect(page.get_by_role("heading", name="Symptoms")).to_be_visible()
    visitor.look("symptoms-questions")
    answer(visitor, "Sudden weakness or numbness, or trouble speaking", "Yes")
    alert = page.locator(".danger-emergency")
    expect(alert).to_contain_text("Call your local emergency number now")
    expect(alert).to_contain_text("That can be a stroke")
    visitor.look("symptoms-emergency")
    assert visitor.axe() == []
    page.get_by_role("link", name="Change the answers").click()
    visitor.look("symptoms-page")
    answer(visitor, "Sudden weakness or numbness, or trouble speaking", "No")
    expect(page.locator(".danger-emergency")).to_have_count(0)
    expect(page.get_by_text("No symptom was answered with yes.")).to_be_visible()


@pytest.mark.slow
def test_a_sign_raises_the_level_of_a_reading(visit: Callable[..., Visitor], readable: Readable) -> None:
    visitor = visit(360).become_patient()
    case = visitor.open_case("chest_xray")
    scan = visitor.send(case, readable.chest)
    before = visitor.wait_until_read(scan)["danger"]
    assert before != "emergency", "a model alone never says so"
    page = visitor.goto(f"{case}symptoms/")
    answer(visitor, "Blue or grey lips or face", "Yes")
    visitor.goto(scan)
    banner = page.locator(".danger-banner").first
    expect(banner).to_contain_text("Emergency")
    expect(banner).to_contain_text("Call your local emergency number now")
    expect(banner).to_contain_text(
        "You said: blue or grey lips or face. That is a sign of too little oxygen."
    )
    visitor.look("result-with-symptom")
    after = visitor.analyses(scan)[0]
    assert after["danger"] == "emergency" and "blue or grey lips" in after["danger_reasons"][0]
    assert LADDER.index(after["danger"]) < LADDER.index(before)

    # The explanation speaks the reader's language, and the case is judged back when the answer changes.
    page.get_by_label("Language").select_option("hi")
    page.get_by_role("button", name="Apply").click()
    expect(page.locator(".danger-banner").first).to_contain_text("आपने बताया: होंठ या चेहरा नीला या धूसर होना।")
    visitor.look("result-with-symptom-hi")
    page.get_by_label("(Language)").select_option("en")
    page.get_by_role("button", name="लागू करें").click()
    visitor.goto(f"{case}symptoms/")
    answer(visitor, "Blue or grey lips or face", "No")
    assert visitor.analyses(scan)[0]["danger"] == before
