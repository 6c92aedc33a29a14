"""The patient's page of who may see their cases."""

import re
import uuid

import pytest
from django.urls import reverse

from accounts import care, selectors
from accounts.models import CareInvitation, EmergencyAccess
from tests.factories import CareRelationshipFactory, CaseFactory

pytestmark = pytest.mark.django_db
PAGE = "accounts:sharing"


def test_inviting_by_email(as_user, patient, other_patient, doctor):
    client = as_user(patient)
    answer = client.post(reverse(PAGE), {"doctor_email": doctor.email}, follow=True)
    assert "Your invitation is on its way." in answer.text and doctor.email in answer.text
    assert doctor.full_name not in answer.text, "who has an account is not told"
    assert not selectors.grants_of(patient).exists()
    assert doctor.email not in as_user(other_patient).get(reverse(PAGE)).text


def test_one_case_for_some_days(as_user, patient, doctor):
    case = CaseFactory.create(patient=patient, title="Left knee")
    client = as_user(patient)
    page = client.get(reverse(PAGE), {"case": case.pk})
    assert page.text.count(f'<option value="{case.pk}" selected>Left knee</option>') == 2
    wish = {"doctor_email": doctor.email, "case_id": str(case.pk), "access_days": "30"}
    answer = client.post(reverse(PAGE), wish, follow=True)
    assert "One case: Left knee, for 30 days" in answer.text
    sent = CareInvitation.objects.get()
    assert (sent.case_id, sent.access_days) == (case.pk, 30)


@pytest.mark.parametrize(
    "wish",
    [
        {"doctor_email": "no address"},
        {"doctor_email": ""},
        {"doctor_email": "a@example.org", "access_days": "5"},
        {"doctor_email": "a@example.org", "case_id": str(uuid.uuid4())},
        {"doctor_email": "a@example.org", "case_id": "nonsense"},
    ],
)
def test_bad_input_is_an_error_at_the_field(as_user, patient, wish):
    CaseFactory.create()
    answer = as_user(patient).post(reverse(PAGE), wish)
    assert answer.status_code == 400
    assert "invalid-feedback" in answer.text
    assert not CareInvitation.objects.exists()


def test_too_many(as_user, patient, monkeypatch):
    monkeypatch.setattr(care, "MOST_WAITING", 0)
    client = as_user(patient)
    assert client.post(reverse(PAGE), {"doctor_email": "a@example.org"}).status_code == 429
    answer = client.post(reverse("accounts:new_code"))
    assert answer.status_code == 429 and "still waiting" in answer.text


def test_a_code_is_shown_once(as_user, patient):
    client = as_user(patient)
    answer = client.post(reverse("accounts:new_code"), {"access_days": "7"})
    code = answer.context["code"]
    assert answer.status_code == 200 and code in answer.text and "no-store" in answer["Cache-Control"]
    assert code not in client.get(reverse(PAGE)).text
    assert client.post(reverse("accounts:new_code"), {"access_days": "x"}).status_code == 400


def test_taking_back(as_user, patient, other_patient, client):
    sent = care.invite_by_email(patient, "typo@example.org")
    address = reverse("accounts:cancel_invitation", args=[sent.pk])
    assert "/login/" in client.post(address)["Location"]
    assert as_user(other_patient).post(address).status_code == 404
    assert as_user(patient).get(address).status_code == 405
    for _tap in range(2):
        assert "The invitation is taken back." in as_user(patient).post(address, follow=True).text
    assert as_user(other_patient).post(address).status_code == 404


def test_what_was_answered_is_not_said_to_be_taken_back(as_user, patient, doctor):
    sent = care.invite_by_email(patient, doctor.email)
    care.accept_invitation(doctor, sent.pk)
    answer = as_user(patient).post(reverse("accounts:cancel_invitation", args=[sent.pk]))
    assert answer.status_code == 404 and selectors.grants_of(patient).exists()


@pytest.mark.parametrize("scope", [{}, {"access_days": "7"}])
def test_saying_yes_to_a_doctor(as_user, patient, other_patient, doctor, scope):
    asked = care.request_access(doctor, patient.email)
    address = reverse("accounts:answer_request", args=[asked.pk])
    client = as_user(patient)
    assert doctor.full_name in client.get(reverse(PAGE)).text
    assert doctor.full_name not in as_user(other_patient).get(reverse(PAGE)).text
    assert as_user(other_patient).post(address, {"answer": "yes"}).status_code == 404
    answer = client.post(address, {"answer": "yes", **scope}, follow=True)
    assert f"{doctor.full_name} can now read what you chose." in answer.text
    assert bool(selectors.grants_of(patient).get().expires_at) is bool(scope)
    assert client.post(address, {"answer": "yes"}).status_code == 404


def test_saying_no_or_nonsense_to_a_doctor(as_user, patient, doctor):
    asked = care.request_access(doctor, patient.email)
    address = reverse("accounts:answer_request", args=[asked.pk])
    client = as_user(patient)
    answer = client.post(address, {"answer": "yes", "case_id": str(uuid.uuid4())}, follow=True)
    assert "Please choose what the doctor may see" in answer.text
    assert "You said no." in client.post(address, {"answer": "no"}, follow=True).text
    assert client.post(address, {"answer": "no"}).status_code == 404
    assert not selectors.grants_of(patient).exists()


def test_revoking(as_user, patient, other_patient, doctor, client):
    grant = CareRelationshipFactory.create(patient=patient, doctor=doctor)
    address = reverse("accounts:revoke", args=[grant.pk])
    assert client.post(address).status_code == 302
    assert as_user(patient).get(address).status_code == 405
    assert as_user(other_patient).post(address).status_code == 404
    assert as_user(doctor).post(address).status_code == 403
    assert selectors.grants_of(patient).exists()
    for _tap in range(2):
        assert "It is ended." in as_user(patient).post(address, follow=True).text
        assert not selectors.grants_of(patient).exists()
    assert as_user(other_patient).post(address).status_code == 404
    assert as_user(patient).post(reverse("accounts:revoke", args=[uuid.uuid4()])).status_code == 404


def test_an_emergency_names_whom_to_ask(as_user, patient, doctor, settings):
    grant = CareRelationshipFactory.create(patient=patient, doctor=doctor, is_emergency=True)
    EmergencyAccess.objects.create(grant=grant, reason="Unconscious, bleeding")
    settings.PMI_CONTACT = "help@example.org"
    page = as_user(patient).get(reverse(PAGE)).text
    assert re.search(r"ask the doctor or us\.\s+Write to us: <a [^>]+>help@example.org</a>", page)
    settings.PMI_CONTACT = ""
    page = as_user(patient).get(reverse(PAGE)).text
    assert "ask the doctor." in page and "or us" not in page


def test_only_patients_share(as_user, client, doctor, admin_user):
    for person in (doctor, admin_user):
        for name in (PAGE, "accounts:new_code"):
            assert as_user(person).post(reverse(name)).status_code == 403
        for name in ("accounts:cancel_invitation", "accounts:answer_request"):
            assert as_user(person).post(reverse(name, args=[uuid.uuid4()])).status_code == 403
    assert "/login/" in client.get(reverse(PAGE))["Location"]
    assert as_user(doctor).delete(reverse(PAGE)).status_code == 405


def test_a_case_leads_to_sharing_it_alone(as_user, patient):
    case = CaseFactory.create(patient=patient)
    page = as_user(patient).get(reverse("cases:detail", args=[case.pk])).text
    assert f'href="{reverse(PAGE)}?case={case.pk}#invite"' in page
