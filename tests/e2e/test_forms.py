"""Forms on a phone: a double tap, answers that are not saved, what was forgotten, where an error is."""

from collections.abc import Callable
from datetime import timedelta

from django.utils import timezone
from playwright.sync_api import Dialog, Page, Request, expect

from tests.e2e.conftest import Readable
from tests.e2e.visitor import PASSWORD, READ_SECONDS, Visitor

UNSAVED = "Your answers are not saved yet."


def _sent(page: Page) -> list[str]:
    """The paths of the forms that the page sends from now on."""
    found: list[str] = []

    def note(request: Request) -> None:
        if request.method == "POST":
            found.append(request.url)

    page.on("request", note)
    return found


def _asked(page: Page) -> list[str]:
    """The kinds of dialogs that come up from now on; each is answered with yes."""
    found: list[str] = []

    def answer(dialog: Dialog) -> None:
        found.append(dialog.type)
        dialog.accept()

    page.on("dialog", answer)
    return found


def test_a_double_tap_sends_a_form_once(visit: Callable[..., Visitor]) -> None:
    visitor = visit(360).become_patient()
    visitor.open_case("chest_xray")
    page = visitor.goto("/record/")
    sent = _sent(page)
    page.get_by_text("Set a reminder").click()
    page.get_by_label("On which day").fill((timezone.now() + timedelta(days=30)).date().isoformat())
    page.get_by_label("What you want to be reminded of").fill("Second film of the lungs")
    page.get_by_role("button", name="Save the reminder").dblclick()
    expect(page.get_by_text("Your reminder is saved.")).to_be_in_viewport()
    assert len(sent) == 1, sent
    expect(page.get_by_role("button", name="Mark as done: Second film of the lungs")).to_have_count(1)
    page.get_by_role("button", name="Delete: Second film of the lungs").dblclick()
    expect(page.get_by_text("The reminder is deleted.")).to_be_visible()
    assert len(sent) == 2, sent


def test_the_same_form_may_be_sent_again_later(visit: Callable[..., Visitor]) -> None:
    """After the way to PMI broke, say: what was tapped once must not be shut for ever."""
    page = visit(360).become_patient().goto("/account/sharing/")
    form = "[...document.forms].find((form) => form.action.includes('/code/'))"
    page.clock.install()
    # The page stays, as it does when an answer never comes.
    page.evaluate("() => window.addEventListener('submit', (event) => event.preventDefault())")
    tries = f"() => {{ const form = {form}; form.requestSubmit(); return 'sent' in form.dataset; }}"
    assert page.evaluate(tries)
    page.clock.run_for(9_000)
    assert not page.evaluate(f"() => 'sent' in {form}.dataset")


def test_answers_that_are_not_saved_are_said_so(visit: Callable[..., Visitor], readable: Readable) -> None:
    visitor = visit(360).become_patient()
    page = visitor.goto(visitor.open_case("chest_xray"))
    notes = page.get_by_text(UNSAVED)
    expect(notes.first).to_be_hidden()
    question = page.get_by_role("group", name="Blue or grey lips or face")
    question.get_by_role("radio", name="Yes", exact=True).check()
    expect(page.get_by_role("status").filter(has_text=UNSAVED)).to_be_visible()
    # Going on to the pictures, one meets it again above the result.
    visitor.drop(readable.chest)
    page.get_by_role("link", name="See the result").wait_for(timeout=READ_SECONDS * 1000)
    expect(notes.last).to_be_visible()
    visitor.look("symptoms-not-saved")
    assert visitor.axe() == []
    # Back to what is saved, there is nothing to say.
    question.get_by_role("radio", name="No answer").check()
    expect(notes.first).to_be_hidden()
    question.get_by_role("radio", name="Yes", exact=True).check()
    dialogs = _asked(page)
    page.get_by_role("button", name="Save answers").click()
    expect(page.get_by_text("Your answers are saved.")).to_be_visible()
    assert dialogs == [], "saving is no leaving"
    expect(notes).to_have_count(0)


def test_leaving_with_answers_that_are_not_saved_asks_first(visit: Callable[..., Visitor]) -> None:
    visitor = visit(360).become_patient()
    page = visitor.goto(f"{visitor.open_case('chest_xray')}symptoms/")
    page.get_by_role("radio", name="Yes", exact=True).first.click()
    dialogs = _asked(page)
    page.get_by_role("link", name="Back to the case").click()
    expect(page.get_by_role("heading", name="Add pictures")).to_be_visible()
    assert dialogs == ["beforeunload"]


def test_a_forgotten_tick_at_sign_up_keeps_the_passwords(visit: Callable[..., Visitor]) -> None:
    visitor = visit(360)
    page = visitor.goto("/accounts/signup/")
    sent = _sent(page)
    page.get_by_label("Full name").fill("Robin Example")
    page.get_by_label("Email").fill(visitor.fresh_email())
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_label("Password (again)").fill(PASSWORD)
    make = page.get_by_role("button", name="Make my account")
    make.click()
    expect(page.get_by_label("Password", exact=True)).to_have_value(PASSWORD)
    # A doctor is asked for the licence instead, and nothing that is hidden stands in the way.
    page.get_by_role("radio", name="Doctor").check()
    make.click()
    assert sent == []
    page.get_by_label("Licence number").fill("L-1")
    page.get_by_label("Country of the licence").fill("Utopia")
    make.click()
    expect(page.get_by_role("heading", name="Check your mail")).to_be_visible()


def test_a_form_that_comes_back_begins_at_the_error(visit: Callable[..., Visitor]) -> None:
    visitor = visit(360)
    page = visitor.goto("/accounts/signup/")
    page.get_by_label("Full name").fill("Robin Example")
    page.get_by_label("Email").fill(visitor.fresh_email())
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_label("Password (again)").fill("something else")
    page.get_by_label("PMI may keep my scans and read them").check()
    page.get_by_role("button", name="Make my account").click()
    expect(page.get_by_role("alert").get_by_text("What it is stands beside the field.")).to_be_visible()
    expect(page.get_by_label("Password (again)")).to_be_focused()
    visitor.look("sign-up-error")
    assert visitor.axe() == []


def test_a_bad_reminder_comes_back_open_with_what_was_written(visit: Callable[..., Visitor]) -> None:
    visitor = visit(360).become_patient()
    visitor.open_case("chest_xray")
    page = visitor.goto("/record/")
    visitor.expected_statuses.add(400)
    page.get_by_text("Set a reminder").click()
    day = page.get_by_label("On which day")
    day.evaluate("(field) => field.removeAttribute('min')")
    day.fill("2020-01-01")
    page.get_by_label("What you want to be reminded of").fill("Second film of the lungs")
    page.get_by_role("button", name="Save the reminder").click()
    expect(day).to_be_focused()
    expect(day).to_be_in_viewport()
    expect(page.get_by_label("What you want to be reminded of")).to_have_value("Second film of the lungs")
    visitor.look("reminder-error")
