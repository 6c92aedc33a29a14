"""From sign-up to the first page, and the way back after a forgotten password."""

import re

import pytest
from django.core import mail
from django.urls import reverse

from accounts import selectors
from accounts.models import Role, User
from tests.accounts.test_second_factor import code
from tests.factories import PASSWORD, UserFactory

pytestmark = pytest.mark.django_db

FORM = {
    "full_name": "Nia New",
    "email": "Nia@Example.org",
    "password1": PASSWORD,
    "password2": PASSWORD,
    "role": "patient",
    "agree_care": "on",
}
SIGNUP = "/accounts/signup/"


def link_in(message: str) -> str:
    found = re.search(r"http://testserver(/\S+)", message)
    assert found is not None
    return found.group(1)


def test_a_patient_signs_up_confirms_and_lands_on_the_cases(client):
    assert client.get(SIGNUP).status_code == 200
    answer = client.post(SIGNUP, FORM)
    assert answer["Location"] == reverse("account_email_verification_sent")
    page = client.get(answer["Location"])
    assert page.status_code == 200
    assert "Log in with your address and password, and we send it again." in page.text
    user = User.objects.get()
    assert (user.email, user.full_name, user.role) == ("nia@example.org", "Nia New", Role.PATIENT)
    assert not user.is_staff
    # Nothing opens before the address is confirmed.
    assert client.get(reverse("cases:list")).status_code == 302
    confirm = link_in(str(mail.outbox[0].body))
    assert "Yes, confirm" in client.get(confirm).text
    answer = client.post(confirm)
    assert answer["Location"] == reverse("cases:list")
    assert client.get(reverse("cases:list")).status_code == 200


def test_a_doctor_signs_up_and_waits(client):
    client.post(SIGNUP, {**FORM, "role": "doctor", "licence_number": " 42 ", "licence_country": "Utopia"})
    user = User.objects.get()
    assert user.role == Role.DOCTOR
    assert user.doctor_profile.licence_number == "42"
    assert not selectors.is_verified_doctor(user)
    answer = client.post(link_in(str(mail.outbox[0].body)))
    assert answer["Location"] == reverse("accounts:waiting")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"role": "doctor"}, "licence_number"),
        ({"role": "admin"}, "role"),
        ({"full_name": ""}, "full_name"),
        ({"password1": "short", "password2": "short"}, "password1"),
        ({"password2": "something else"}, "password2"),
        ({"email": "nonsense"}, "email"),
    ],
)
def test_bad_forms_name_the_field(client, change, field):
    answer = client.post(SIGNUP, {**FORM, **change})
    assert answer.status_code == 200
    assert answer.context["form"].errors[field]
    assert not User.objects.exists()


def test_a_form_that_comes_back_says_where_to_look(client):
    page = client.post(SIGNUP, {**FORM, "agree_care": ""}).text
    assert "PMI cannot work for you without this." in page
    assert re.search(
        r'role="alert"[^>]*>Something is missing or not right\. What it is stands beside the field\.<', page
    )
    assert re.search(r'<input type="checkbox" name="agree_care"[^>]* aria-invalid="true"', page)
    assert "Something is missing" not in client.get(SIGNUP).text


def test_the_name_is_filled_in_by_the_browser(client, as_user, patient):
    for page in (client.get(SIGNUP), as_user(patient).get(reverse("accounts:account"))):
        assert re.search(r'<input type="text" name="full_name"[^>]* autocomplete="name"', page.text)


def test_an_address_in_use_is_not_revealed(client):
    UserFactory.create(email="nia@example.org")
    answer = client.post(SIGNUP, FORM)
    assert answer["Location"] == reverse("account_email_verification_sent")
    assert User.objects.count() == 1
    assert "You have one already" in mail.outbox[0].body
    assert mail.outbox[0].subject == "[PMI] You already have an account"


def test_who_did_not_get_the_link_gets_another_by_logging_in(client):
    """As the page with "Check your mail" says; so does making the account again with the right address."""
    client.post(SIGNUP, {**FORM, "email": "typo@example.org"})
    mail.outbox.clear()
    answer = client.post("/accounts/login/", {"login": "typo@example.org", "password": PASSWORD})
    assert answer["Location"] == reverse("account_email_verification_sent")
    assert [message.to for message in mail.outbox] == [["typo@example.org"]]
    client.post(SIGNUP, FORM)
    assert mail.outbox[-1].to == ["nia@example.org"]


def test_log_in_and_out(client, patient):
    answer = client.post("/accounts/login/", {"login": patient.email.upper(), "password": PASSWORD})
    assert answer["Location"] == reverse("cases:list")
    assert client.get("/accounts/logout/").status_code == 200
    assert client.get(reverse("cases:list")).status_code == 200
    client.post("/accounts/logout/")
    assert client.get(reverse("cases:list")).status_code == 302


def test_a_wrong_password_does_not_open(client, patient):
    answer = client.post("/accounts/login/", {"login": patient.email, "password": "wrong"})
    assert "alert-danger" in answer.text


def test_administrators_land_in_the_admin(client, admin_user):
    answer = client.post("/accounts/login/", {"login": admin_user.email, "password": PASSWORD})
    answer = client.post(answer["Location"], {"code": code()})
    assert answer["Location"] == reverse("admin:index")


def test_a_forgotten_password(client, patient):
    assert client.get("/accounts/password/reset/").status_code == 200
    answer = client.post("/accounts/password/reset/", {"email": patient.email}, follow=True)
    assert "If there is an account" in answer.text
    link = link_in(str(mail.outbox[0].body))
    page = client.get(link, follow=True)
    form_address = page.redirect_chain[-1][0]
    answer = client.post(
        form_address, {"password1": "another long phrase", "password2": "another long phrase"}
    )
    assert answer.status_code == 302
    patient.refresh_from_db()
    assert patient.check_password("another long phrase")
    assert "used already" in client.get(link, follow=True).text


def test_an_unknown_address_gets_the_same_page(client):
    answer = client.post("/accounts/password/reset/", {"email": "nobody@example.org"}, follow=True)
    assert "If there is an account" in answer.text
    assert mail.outbox[0].subject == "[PMI] No account with this address"


@pytest.mark.parametrize("page", ["account_change_password", "account_email", "account_reauthenticate"])
def test_other_account_pages_have_our_frame(as_user, patient, page):
    answer = as_user(patient).get(reverse(page))
    assert answer.status_code == 200
    assert "site-nav" in answer.text


def test_pages_say_where_the_mail_is_on_a_machine_that_sends_none(client, settings, tmp_path):
    settings.PMI_MAIL_DIR = tmp_path
    assert str(tmp_path) in client.get(reverse("account_email_verification_sent")).text
    settings.PMI_MAIL_DIR = None
    assert "test machine" not in client.get(reverse("account_email_verification_sent")).text
