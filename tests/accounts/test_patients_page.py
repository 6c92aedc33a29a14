"""The doctor's page of patients."""

import uuid

import pytest
from django.urls import reverse

from accounts import care, selectors
from tests.factories import CareRelationshipFactory, CaseFactory, DoctorFactory

pytestmark = pytest.mark.django_db
PAGE = "accounts:patients"


def test_lists_patients_with_scope(as_user, patient, other_patient, doctor):
    case = CaseFactory.create(patient=patient, title="Left knee")
    CareRelationshipFactory.create(patient=patient, doctor=doctor, case=case)
    CareRelationshipFactory.create(patient=other_patient, doctor=doctor)
    page = as_user(doctor).get(reverse(PAGE)).text
    assert patient.full_name in page and "Left knee" in page and other_patient.full_name in page
    assert "open the record" not in page, "a patient without cases has no record yet"
    CaseFactory.create(patient=other_patient)
    page = as_user(doctor).get(reverse(PAGE)).text
    assert reverse("inference:patient_record", args=[other_patient.pk]) in page
    assert patient.full_name not in as_user(DoctorFactory.create()).get(reverse(PAGE)).text


def test_an_invitation_says_who_but_not_which_case(as_user, patient, doctor):
    case = CaseFactory.create(patient=patient, title="Left knee")
    sent = care.invite_by_email(patient, doctor.email, case_id=case.pk)
    client, address = as_user(doctor), reverse("accounts:answer_invitation", args=[sent.pk])
    page = client.get(reverse(PAGE)).text
    assert patient.full_name in page and "Left knee" not in page
    assert as_user(DoctorFactory.create()).post(address, {"answer": "yes"}).status_code == 404
    answer = client.post(address, {"answer": "yes"}, follow=True)
    assert "You can now read one case of" in answer.text and "Left knee" in answer.text
    assert client.post(address, {"answer": "yes"}).status_code == 404


def test_declining(as_user, patient, doctor):
    sent = care.invite_by_email(patient, doctor.email)
    client, address = as_user(doctor), reverse("accounts:answer_invitation", args=[sent.pk])
    assert "You have declined." in client.post(address, {"answer": "no"}, follow=True).text
    assert client.post(address).status_code == 404


def test_a_code(as_user, patient, doctor):
    _invitation, code = care.make_code(patient)
    client, address = as_user(doctor), reverse("accounts:use_code")
    wrong = client.post(address, {"code": "2222-2222"})
    assert wrong.status_code == 400 and "This code does not work." in wrong.text and "2222-2222" in wrong.text
    assert client.post(address, {"code": ""}).status_code == 400
    assert patient.full_name in client.post(address, {"code": code}, follow=True).text
    for _n in range(10):
        client.post(address, {"code": "2222-2222"})
    assert client.post(address, {"code": "2222-2222"}).status_code == 429


def test_asking_and_taking_back(as_user, patient, doctor):
    client = as_user(doctor)
    answer = client.post(reverse("accounts:ask_patient"), {"patient_email": patient.email}, follow=True)
    assert "Your request is on its way." in answer.text
    assert patient.full_name not in answer.text, "who has an account is not told"
    for email in (patient.email, "no address", ""):
        again = client.post(reverse("accounts:ask_patient"), {"patient_email": email})
        assert again.status_code == 400 and "invalid-feedback" in again.text
    address = reverse("accounts:cancel_request", args=[selectors.requests_to(patient).get().pk])
    assert as_user(DoctorFactory.create()).post(address).status_code == 404
    assert client.post(address).status_code == 302
    assert not selectors.requests_to(patient).exists()
    assert client.post(address).status_code == 404


def test_giving_back(as_user, patient, doctor):
    grant = CareRelationshipFactory.create(patient=patient, doctor=doctor)
    address = reverse("accounts:give_back", args=[grant.pk])
    assert as_user(DoctorFactory.create()).post(address).status_code == 404
    assert as_user(patient).post(address).status_code == 403
    assert as_user(doctor).get(address).status_code == 405
    assert "given the access back" in as_user(doctor).post(address, follow=True).text
    assert not selectors.patients_of(doctor).exists()
    assert as_user(doctor).post(address).status_code == 404


def test_others(as_user, client, patient, unverified_doctor, admin_user):
    assert "/login/" in client.get(reverse(PAGE))["Location"]
    assert as_user(unverified_doctor).get(reverse(PAGE))["Location"] == reverse("accounts:waiting")
    for person in (patient, admin_user):
        assert as_user(person).get(reverse(PAGE)).status_code == 403
    for person in (patient, admin_user, unverified_doctor):
        for name in ("use_code", "ask_patient"):
            assert as_user(person).post(reverse(f"accounts:{name}")).status_code == 403
        for name in ("answer_invitation", "cancel_request", "give_back"):
            assert as_user(person).post(reverse(f"accounts:{name}", args=[uuid.uuid4()])).status_code == 403
    assert as_user(patient).delete(reverse(PAGE)).status_code == 405


@pytest.mark.parametrize("headers", [{}, {"HX-Request": "true"}])
def test_a_tab_that_is_open_when_access_ends(as_user, patient, doctor, headers):
    """The page is gone, and a part of it that asks by itself loads the whole page anew."""
    case = CaseFactory.create(patient=patient)
    grant = CareRelationshipFactory.create(patient=patient, doctor=doctor, case=case)
    client, address = as_user(doctor), reverse("cases:scan_list", args=[case.pk])
    assert client.get(address, headers=headers).status_code == 200
    care.revoke_access(patient, grant.pk)
    answer = client.get(address, headers=headers)
    assert answer.status_code == 404 and "does not share it with you, or not any more" in answer.text
    assert answer.get("HX-Refresh") == ("true" if headers else None)
