"""The second step of signing in: who needs it, what is shut without it, and what it is made of."""

import re
import time
from typing import Any

import pytest
from allauth.mfa.adapter import get_adapter
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value
from django.test import Client
from django.urls import reverse

from accounts import second_factor
from accounts.middleware import is_open
from accounts.models import Role
from tests.factories import (
    PASSWORD,
    TOTP_SECRET,
    AdminFactory,
    DoctorFactory,
    UnverifiedDoctorFactory,
    UserFactory,
)
from tests.test_access_matrix import World, address_in, walked_routes

pytestmark = pytest.mark.django_db
SET_UP = "/accounts/2fa/"


def code(secret: str = TOTP_SECRET, step: int = 0) -> str:
    """What the app shows now, or `step` periods later."""
    return format_hotp_value(hotp_value(secret, int(time.time()) // 30 + step))


def log_in(user, **more) -> tuple[Client, Any]:
    client = Client(**more)
    answer = client.post(reverse("account_login"), {"login": user.email, "password": PASSWORD})
    return client, answer


def unproven(user) -> Client:
    """A browser with a session that began without the second step."""
    client = Client()
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    session = client.session
    session.pop("account_authentication_methods", None)
    session.save()
    return client


class TestWho:
    def test_doctors_administrators_and_staff(self):
        people = [DoctorFactory, UnverifiedDoctorFactory, AdminFactory]
        assert all(second_factor.is_required(factory.create()) for factory in people)
        assert second_factor.is_required(UserFactory.create(is_staff=True))
        assert not second_factor.is_required(UserFactory.create())

    def test_recovery_codes_alone_are_none(self, patient):
        Authenticator.objects.create(user=patient, type="recovery_codes", data={})
        assert not second_factor.is_set_up(patient)


class TestGate:
    @pytest.mark.parametrize("factory", [DoctorFactory, UnverifiedDoctorFactory, AdminFactory])
    def test_every_address_that_is_not_public_is_shut(self, settings, factory):
        """Also one that somebody adds tomorrow."""
        world = World(settings)
        client = unproven(factory.create(second_factor=False))
        shut, open_doors = 0, []
        for name, entry in walked_routes():
            address = address_in(world, name, entry)
            if address is None or any(name.startswith(start) for start in OPEN_NAMES):
                continue
            for method in ("get", "post"):
                answer = getattr(client, method)(address)
                away = answer.status_code == 302 and answer["Location"].startswith(SET_UP)
                refused = answer.status_code == 403 and b"second_factor_required" in answer.content
                shut += 1
                if not away and not refused and answer.status_code != 405:
                    open_doors.append(f"{method} {name}: {answer.status_code}")
        assert shut > 150
        assert not open_doors, "\n".join(open_doors)

    def test_a_session_older_than_the_second_step_takes_it_first(self, doctor):
        client = unproven(doctor)
        answer = client.get("/cases/")
        assert answer["Location"] == "/accounts/2fa/reauthenticate/?next=%2Fcases%2F"
        answer = client.post("/accounts/2fa/reauthenticate/", {"code": code(), "next": "/cases/"})
        assert answer["Location"] == "/cases/"
        assert client.get("/cases/").status_code == 200

    def test_the_password_again_is_no_second_step(self, doctor):
        client = unproven(doctor)
        client.post(reverse("account_reauthenticate"), {"password": PASSWORD})
        assert client.get("/cases/").status_code == 302

    @pytest.mark.parametrize(
        "page", ["", "webauthn/add/", "recovery-codes/", "recovery-codes/generate/", "totp/deactivate/"]
    )
    def test_nor_does_it_open_the_pages_about_the_second_step(self, doctor, page):
        client = unproven(doctor)
        client.post(reverse("account_reauthenticate"), {"password": PASSWORD})
        answer = client.get(f"{SET_UP}{page}")
        assert answer["Location"].startswith("/accounts/2fa/reauthenticate/")

    def test_patients_come_in_without(self, as_user, patient):
        assert as_user(patient).get("/cases/").status_code == 200

    def test_a_fragment_leaves_the_page(self, doctor):
        answer = unproven(doctor).get("/cases/", headers={"HX-Request": "true"})
        assert answer.headers["HX-Redirect"] == "/accounts/2fa/reauthenticate/"

    def test_a_new_role_counts_at_once(self, as_user, patient):
        client = as_user(patient)
        patient.role = Role.DOCTOR
        patient.save()
        assert client.get("/cases/")["Location"] == SET_UP

    def test_pages_that_do_not_exist_have_no_route(self):
        assert not is_open(None)


OPEN_NAMES = (
    "home", "healthz", "set_language", "account_", "mfa_", "usersessions_", "accounts:begin",
    "accounts:erased", "admin_login", "admin:login", "admin:logout", "admin:jsi18n", "resources:",
    "v1:condition-", "v1:resource-", "v1:treatment-", "v1:symptom-", "v1:no-such-address",
    "v1:docs", "v1:schema", "v1:token", "inference:shared",
)  # fmt: skip


class TestSignIn:
    def test_password_then_code(self, doctor):
        client, answer = log_in(doctor)
        assert answer["Location"] == "/accounts/2fa/authenticate/"
        assert client.get("/cases/").status_code == 302
        page = client.get(answer["Location"])
        assert "Second step" in page.text
        answer = client.post(answer["Location"], {"code": code()})
        assert answer["Location"] == reverse("cases:worklist")
        assert client.get("/cases/").status_code == 200

    @pytest.mark.parametrize("wrong", ["000000", "", "12345678", "x" * 40])
    def test_a_wrong_code_opens_nothing(self, doctor, wrong):
        client, answer = log_in(doctor)
        page = client.post(answer["Location"], {"code": wrong})
        assert page.status_code == 200
        assert "invalid-feedback" in page.text
        assert client.get("/cases/").status_code == 302

    def test_a_code_counts_once_for_as_long_as_it_lives(self, doctor):
        used = code(step=1)
        for expected in (302, 200):
            client, answer = log_in(doctor)
            assert client.post(answer["Location"], {"code": used}).status_code == expected

    def test_a_used_code_is_refused_after_allauth_forgot_it(self, doctor):
        from django.core.cache import cache

        used = code()
        client, answer = log_in(doctor)
        assert client.post(answer["Location"], {"code": used}).status_code == 302
        cache.delete(f"allauth.mfa.totp.used?user={doctor.pk}&code={used}")
        client, answer = log_in(doctor)
        assert client.post(answer["Location"], {"code": used[:3] + " " + used[3:]}).status_code == 200

    def test_a_fresh_doctor_sets_it_up_and_gets_recovery_codes(self, monkeypatch):
        # Inside the test's own transaction nothing is committed before the session is saved.
        monkeypatch.setattr(
            "allauth.mfa.totp.internal.flows.transaction.on_commit", lambda hook, **how: hook()
        )
        doctor = UnverifiedDoctorFactory.create(second_factor=False)
        client, answer = log_in(doctor)
        answer = client.get(answer["Location"])
        assert answer["Location"] == SET_UP
        assert "One more thing" in client.get(SET_UP).text
        page = client.get("/accounts/2fa/totp/activate/")
        assert page.status_code == 200, "no second question for the password right after sign-in"
        secret = re.search(r'id="totp-secret">(\w+)<', page.text).group(1)
        assert "data:image/svg+xml;base64," in page.text
        answer = client.post("/accounts/2fa/totp/activate/", {"code": code(secret)}, follow=True)
        codes = re.findall(r"<code[^>]*>(\d{8})</code>", answer.text)
        assert len(codes) == 10
        assert client.get(reverse("accounts:begin"), follow=True).redirect_chain[-1][0] == "/account/waiting/"
        other, answer = log_in(doctor)
        assert other.post(answer["Location"], {"code": codes[0]}).status_code == 302
        again, answer = log_in(doctor)
        assert again.post(answer["Location"], {"code": codes[0]}).status_code == 200

    def test_the_first_second_step_ends_sessions_of_the_password_alone(self, monkeypatch, patient):
        monkeypatch.setattr(
            "allauth.mfa.totp.internal.flows.transaction.on_commit", lambda hook, **how: hook()
        )
        (elsewhere, _answer), (client, _answer) = log_in(patient), log_in(patient)
        page = client.get("/accounts/2fa/totp/activate/")
        secret = re.search(r'id="totp-secret">(\w+)<', page.text).group(1)
        client.post("/accounts/2fa/totp/activate/", {"code": code(secret)})
        assert elsewhere.get("/cases/").status_code == 302
        assert client.get("/cases/").status_code == 200

    def test_later_it_asks_again_who_one_is(self, as_user, doctor, patient):
        for user in (doctor, patient):
            answer = as_user(user).get("/accounts/2fa/webauthn/add/")
            assert answer["Location"].startswith("/accounts/reauthenticate/")


class TestKeeping:
    def test_secrets_lie_encrypted(self, doctor):
        stored = Authenticator.objects.get(user=doctor).data["secret"]
        assert TOTP_SECRET not in stored
        assert get_adapter().decrypt(stored) == TOTP_SECRET

    def test_an_older_key_still_opens_them(self, settings):
        stored = get_adapter().encrypt("abc")
        settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "n" * 50, [settings.SECRET_KEY]
        assert get_adapter().decrypt(stored) == "abc"

    def test_who_needs_one_keeps_one(self, as_user, doctor, patient):
        for user, left in ((doctor, 1), (UserFactory.create(second_factor=True), 0)):
            client = as_user(user)
            client.post(reverse("account_reauthenticate"), {"password": PASSWORD})
            client.post("/accounts/2fa/totp/deactivate/")
            assert Authenticator.objects.filter(user=user, type="totp").count() == left

    def test_the_admin_shows_no_secrets(self, as_user, admin_user):
        for address in ("/admin/mfa/authenticator/", "/admin/usersessions/usersession/"):
            assert as_user(admin_user).get(address).status_code == 404


class TestAdminsDoor:
    def test_strangers_go_to_the_sites_own_sign_in(self, client):
        answer = client.get("/admin/login/?next=/admin/accounts/user/")
        assert answer["Location"] == "/accounts/login/?next=%2Fadmin%2Faccounts%2Fuser%2F"
        assert client.get("/admin/", follow=True).redirect_chain[-1][0].startswith("/accounts/login/")

    def test_a_password_sent_to_the_admins_form_opens_nothing(self, client, admin_user):
        client.post("/admin/login/", {"username": admin_user.email, "password": PASSWORD})
        assert "_auth_user_id" not in client.session

    def test_others_are_told_no_and_staff_go_on(self, as_user, patient, admin_user):
        assert as_user(patient).get("/admin/login/").status_code == 403
        assert as_user(admin_user).get("/admin/login/")["Location"] == "/admin/"
        away = as_user(admin_user).get("/admin/login/?next=https://elsewhere.example/")
        assert away["Location"] == "/admin/"


class TestTokens:
    def ask(self, user, **data):
        data = {"email": user.email, "password": PASSWORD, **data}
        return Client().post(reverse("v1:token"), data, content_type="application/json")

    def test_a_doctor_gives_the_code_too(self, doctor):
        assert self.ask(doctor).json()["code"] == "code_required"
        assert self.ask(doctor, code="000000").json()["code"] == "bad_code"
        now = code()
        answer = self.ask(doctor, code=now)
        assert answer.status_code == 201
        assert self.ask(doctor, code=now).json()["code"] == "bad_code"
        header = {"Authorization": f"Token {answer.json()['token']}"}
        assert Client().get("/api/v1/cases/", headers=header).status_code == 200

    def test_without_a_second_step_no_token_and_an_old_one_is_shut(self, patient):
        token = self.ask(patient).json()["token"]
        header = {"Authorization": f"Token {token}"}
        assert Client().get("/api/v1/cases/", headers=header).status_code == 200
        patient.role = Role.DOCTOR
        patient.save()
        assert Client().get("/api/v1/cases/", headers=header).status_code == 401
        assert self.ask(patient).json()["code"] == "second_factor_missing"

    def test_a_session_without_it_gets_403_in_json(self):
        answer = unproven(DoctorFactory.create(second_factor=False)).get("/api/v1/cases/")
        assert answer.status_code == 403
        assert answer.json()["code"] == "second_factor_required"
