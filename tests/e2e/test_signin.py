"""Signing in as a doctor: second step, licence checked from the queue, a passkey, sessions, and locked out.

Passkeys work at `localhost` only, so this walk goes there; the browser's virtual authenticator stands for a
device with a fingerprint.
"""

import re
from collections.abc import Callable

from playwright.sync_api import expect

from tests.e2e.running_site import Site
from tests.e2e.test_curation import shell
from tests.e2e.visitor import PASSWORD, Visitor

ADMIN = """
from allauth.account.models import EmailAddress
from accounts.models import User
user = User.objects.create_superuser({email!r}, {password!r}, full_name="Ana Admin")
EmailAddress.objects.create(user=user, email=user.email, verified=True, primary=True)
"""


def at_localhost(visit: Callable[..., Visitor], site: Site, width: int) -> Visitor:
    return visit(width, base_url=site.url.replace("127.0.0.1", "localhost"))


def with_fingerprint(visitor: Visitor) -> None:
    """A device that holds passkeys and says yes to every question."""
    session = visitor.context.new_cdp_session(visitor.page)
    session.send("WebAuthn.enable")
    options = {
        "protocol": "ctap2",
        "transport": "internal",
        "hasResidentKey": True,
        "hasUserVerification": True,
        "isUserVerified": True,
        "automaticPresenceSimulation": True,
    }
    session.send("WebAuthn.addVirtualAuthenticator", {"options": options})


def test_a_doctors_way_in(visit: Callable[..., Visitor], site: Site) -> None:
    doctor = at_localhost(visit, site, 360)
    page = doctor.page
    email = doctor.fresh_email()
    doctor._post(
        "/accounts/signup/",
        full_name="Dr Sina Signer",
        email=email,
        password1=PASSWORD,
        password2=PASSWORD,
        role="doctor",
        licence_number="S-77",
        licence_country="Utopia",
    )
    doctor._post(doctor.confirmation_path())
    # Nothing opens before the second step.
    doctor.goto("/cases/")
    expect(page.get_by_text("One more thing before you start.")).to_be_visible()
    doctor.look("second-step")
    assert not doctor.axe()
    assert doctor.status("/api/v1/cases/") == 403
    page.get_by_role("link", name="Set up an app").click()
    page.get_by_text("No camera? Type this key").click()
    secret = page.locator("#totp-secret").inner_text()
    site.keep_totp_secret(email, secret)
    expect(page.locator("img[alt^='Picture for the app']")).to_have_js_property("complete", True)
    assert page.locator("img[alt^='Picture for the app']").evaluate("(image) => image.naturalWidth") > 0
    doctor.look("second-step-app")
    assert not doctor.axe()
    page.get_by_label("Authenticator code").fill(site.next_code(email))
    page.get_by_role("button", name="Turn it on").click()
    expect(page.locator("#recovery-codes li")).to_have_count(10)
    doctor.look("recovery-codes")
    assert not doctor.axe()
    page.get_by_role("link", name="I have kept them. Go on").click()
    expect(page.get_by_role("heading", name="We are checking your licence")).to_be_visible()
    doctor.look("licence-waiting")

    _verified_from_the_queue(visit, site)
    doctor.goto("/account/notices/")
    expect(page.get_by_text("Your licence is verified.")).to_be_visible()

    # A passkey, and in with it alone.
    with_fingerprint(doctor)
    doctor.goto("/accounts/2fa/webauthn/add/")
    expect(page.get_by_role("heading", name=re.compile("Add a passkey|Please confirm"))).to_be_visible()
    if page.get_by_role("button", name="Confirm").count():
        page.get_by_label("Code").fill(site.next_code(email))
        page.get_by_role("button", name="Confirm").click()
    doctor.look("passkey-add")
    assert not doctor.axe()
    page.get_by_role("button", name="Add the passkey").click()
    expect(page.get_by_text("The passkey is added.")).to_be_visible()
    doctor.goto("/accounts/2fa/webauthn/")
    expect(page.get_by_text("opens the account without a password")).to_be_visible()
    doctor.look("passkeys")
    doctor._post("/accounts/logout/")
    doctor.goto("/accounts/login/")
    doctor.look("login-with-passkey")
    page.get_by_role("button", name="Log in with a passkey").click()
    expect(page.get_by_role("heading", name="Worklist")).to_be_visible()

    # With code elsewhere; two sessions, one signs the other out.
    other = visit(1280)
    other.email = email
    second = other.goto("/accounts/login/")
    second.get_by_label("Email").fill(email)
    second.get_by_label("Password").fill(PASSWORD)
    second.get_by_role("button", name="Log in", exact=True).click()
    expect(second.get_by_role("heading", name="Second step")).to_be_visible()
    other.look("second-step-code")
    assert not other.axe()
    second.get_by_label("Code").fill(site.next_code(email))
    second.get_by_role("button", name="Log in", exact=True).click()
    expect(second.get_by_role("heading", name="Worklist")).to_be_visible()
    doctor.goto("/accounts/sessions/")
    expect(page.get_by_text("last seen")).to_have_count(2)
    doctor.look("sessions")
    assert not doctor.axe()
    page.get_by_role("button", name=re.compile("^Sign out ?:")).click()
    expect(page.get_by_text("That device is signed out.")).to_be_visible()
    other.goto("/cases/")
    expect(second.get_by_role("heading", name="Log in")).to_be_visible()


def _verified_from_the_queue(visit: Callable[..., Visitor], site: Site) -> None:
    admin = visit(1280)
    address = admin.fresh_email()
    shell(site, ADMIN.format(email=address, password=PASSWORD))
    admin.log_in(address, PASSWORD)
    page = admin.goto("/admin/")
    page.get_by_role("link", name=re.compile("Licences to check: ")).click()
    waiting = page.get_by_role("form", name="Dr Sina Signer")
    expect(waiting.get_by_text("S-77")).to_be_visible()
    admin.shot("licence-queue")
    assert not admin.axe()
    for box in waiting.get_by_role("checkbox").all():
        box.check()
    waiting.get_by_role("button", name="Verify").click()
    expect(page.get_by_text("The licence of Dr Sina Signer is verified.")).to_be_visible()


def test_wrong_codes_are_shut_out_with_clear_words(visit: Callable[..., Visitor]) -> None:
    patient = visit().become_patient("Lou Locked")
    patient.set_up_second_step()
    patient._post("/accounts/logout/")
    page = patient.goto("/accounts/login/")
    page.get_by_label("Email").fill(patient.email)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in", exact=True).click()
    for words in ["This code is not right"] * 5 + ["Too many wrong tries."]:
        page.get_by_label("Code").fill("000000")
        page.get_by_role("button", name="Log in", exact=True).click()
        expect(page.get_by_text(words)).to_be_visible()
    patient.look("locked-out")
    assert patient.status("/cases/") == 302
