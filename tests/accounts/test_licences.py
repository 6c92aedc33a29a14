"""The queue of doctors who wait for an administrator."""

import html
from datetime import timedelta

import pytest
from allauth.mfa.models import Authenticator
from django.urls import reverse
from django.utils import timezone

from accounts import licences, second_factor, selectors, services
from accounts.models import AccessLog, DoctorProfile, Notice, User
from pmi_site.errors import UserError
from tests.accounts.test_second_factor import log_in
from tests.factories import UnverifiedDoctorFactory, UserFactory

pytestmark = pytest.mark.django_db
QUEUE = "/admin/accounts/user/licences/"
ALL = list(licences.CHECKS)


def decide(client, doctor, **data):
    return client.post(reverse("admin:accounts_licence_decide", args=[doctor.pk]), data, follow=True)


def test_oldest_first_with_what_is_known(as_user, admin_user, unverified_doctor, doctor):
    older = UnverifiedDoctorFactory.create(full_name="Ada Older")
    DoctorProfile.objects.filter(user=older).update(
        waiting_since=timezone.now() - timedelta(days=3), specialty="Radiology"
    )
    page = as_user(admin_user).get(QUEUE).text
    assert page.index("Ada Older") < page.index(unverified_doctor.full_name)
    assert doctor.full_name not in page
    for words in ("L-1", "Utopia", "Radiology", "address confirmed", "second step set up", "2 doctors wait"):
        assert words in page
    assert "another account names the same number" in page
    assert "Licences to check: 2" in as_user(admin_user).get("/admin/").text


def test_verifying_needs_every_check_and_tells_the_doctor(as_user, admin_user, unverified_doctor):
    client = as_user(admin_user)
    answer = decide(client, unverified_doctor, decision="verify", checks=ALL[:1], reason="kept words")
    assert answer.status_code == 400
    assert "tick every check" in answer.text
    assert "kept words" in answer.text
    assert not selectors.is_verified_doctor(unverified_doctor)
    assert "is verified" in decide(client, unverified_doctor, decision="verify", checks=ALL).text
    assert selectors.is_verified_doctor(unverified_doctor)
    assert DoctorProfile.objects.get(user=unverified_doctor).checks == ALL
    assert Notice.objects.get(user=unverified_doctor).kind == "licence_verified"
    assert AccessLog.objects.filter(action="verify_licence", actor_key=admin_user.log_key).exists()


def test_declined_with_a_reason_corrected_and_back_in_the_queue(as_user, admin_user, unverified_doctor):
    client = as_user(admin_user)
    assert decide(client, unverified_doctor, decision="decline", reason=" ").status_code == 400
    decide(client, unverified_doctor, decision="decline", reason="The number has a digit too many.")
    assert not licences.waiting().exists()
    assert Notice.objects.get(user=unverified_doctor).kind == "licence_declined"
    desk = as_user(unverified_doctor)
    assert "a digit too many" in desk.get(reverse("accounts:waiting")).text
    wrong = {"licence_number": "", "licence_country": "Utopia"}
    assert desk.post(reverse("accounts:waiting"), wrong).status_code == 400
    right = {"licence_number": "L-11", "licence_country": "Utopia", "specialty": "Radiology"}
    page = desk.post(reverse("accounts:waiting"), right, follow=True).text
    assert "We check your licence again" in page
    assert "a digit too many" not in page
    assert licences.waiting().get().licence_number == "L-11"
    done = set(AccessLog.objects.values_list("action", flat=True))
    assert {"decline_licence", "correct_licence"} <= done


def test_two_administrators_at_once(admin_user, unverified_doctor):
    services.verify_doctor(unverified_doctor, admin_user, ALL)
    with pytest.raises(UserError) as error:
        licences.decline(unverified_doctor, admin_user, "no")
    assert error.value.code == "decided"
    assert selectors.is_verified_doctor(unverified_doctor)


def test_only_administrators(as_user, client, patient, doctor, unverified_doctor):
    staff = UserFactory.create(is_staff=True, is_superuser=True)
    assert as_user(staff).get(QUEUE).status_code == 403
    assert decide(as_user(staff), unverified_doctor, decision="verify", checks=ALL).status_code == 403
    for user in (patient, doctor, unverified_doctor):
        assert as_user(user).get(QUEUE).status_code == 302
    assert client.get(QUEUE).status_code == 302
    assert not selectors.is_verified_doctor(unverified_doctor)


def test_bad_ids_and_wrong_methods(as_user, admin_user, patient):
    client = as_user(admin_user)
    assert decide(client, patient, decision="verify", checks=ALL).status_code == 404
    assert client.get(reverse("admin:accounts_licence_decide", args=[patient.pk])).status_code == 405
    assert client.post(QUEUE).status_code == 405


def test_a_lost_telephone(as_user, admin_user, doctor):
    client, _answer = log_in(UserFactory.create())
    assert client.get("/cases/").status_code == 200
    owner = client.session["_auth_user_id"]
    second_factor.reset(User.objects.get(pk=owner), admin_user)
    assert client.get("/cases/").status_code == 302, "signed out everywhere"
    Notice.objects.all().delete()
    data = {"action": "reset_second_factors", "_selected_action": [str(doctor.pk), str(admin_user.pk)]}
    page = as_user(admin_user).post(reverse("admin:accounts_user_changelist"), data, follow=True).text
    assert "1 account was changed" in page
    assert "Only another administrator" in page
    assert not second_factor.is_set_up(doctor)
    assert Authenticator.objects.filter(user=admin_user).exists()
    assert Notice.objects.get(user=doctor).kind == "second_factor_reset"


def test_a_verified_doctor_with_a_new_name_is_checked_anew(as_user, doctor, patient):
    client = as_user(doctor)
    assert "we check your licence again" in client.get(reverse("accounts:account")).text
    same = client.post(reverse("accounts:account"), {"full_name": doctor.full_name}, follow=True)
    assert "Your name is saved." in same.text and selectors.is_verified_doctor(doctor)
    page = client.post(reverse("accounts:account"), {"full_name": "Dr Somebody Else"}, follow=True)
    assert "We check your licence again under the new name" in page.text
    assert not selectors.is_verified_doctor(User.objects.get(pk=doctor.pk))
    assert licences.waiting().get().user.full_name == "Dr Somebody Else"
    assert AccessLog.objects.filter(action="correct_licence").exists()
    answer = as_user(patient).post(reverse("accounts:account"), {"full_name": "Nia New"}, follow=True)
    assert "Your name is saved." in answer.text and "licence" not in answer.text


def test_a_licence_corrected_since_the_page_was_drawn_is_not_verified(as_user, admin_user, unverified_doctor):
    client = as_user(admin_user)
    seen = unverified_doctor.doctor_profile.waiting_since.isoformat()
    assert f'name="waiting_since" value="{seen}"' in html.unescape(client.get(QUEUE).text)
    licences.correct(unverified_doctor, number="L-99", country="Utopia", specialty="")
    answer = decide(client, unverified_doctor, decision="verify", checks=ALL, waiting_since=seen)
    assert answer.status_code == 400 and "has corrected the licence meanwhile" in answer.text
    now = licences.waiting().get().waiting_since.isoformat()
    decide(client, unverified_doctor, decision="verify", checks=ALL, waiting_since=now)
    assert selectors.is_verified_doctor(unverified_doctor)


def test_a_declined_doctor_is_told_so_on_the_account_page(as_user, admin_user, unverified_doctor):
    client = as_user(unverified_doctor)
    assert "waiting for verification" in client.get(reverse("accounts:account")).text
    licences.decline(unverified_doctor, admin_user, "a digit too many")
    page = client.get(reverse("accounts:account")).text
    assert "could not be verified" in page and "See why" in page and "waiting for verification" not in page
