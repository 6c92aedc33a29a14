"""The care relationship over REST."""

import uuid

import pytest
from django.urls import reverse

from accounts import care, emergency
from accounts.models import CareInvitation, CareRelationship
from tests.factories import CareRelationshipFactory, CaseFactory, DoctorFactory

pytestmark = pytest.mark.django_db
GRANTS, INVITATIONS, EMERGENCIES = "v1:care-grant-list", "v1:care-invitation-list", "v1:care-emergency-list"
REASON = "Unconscious after a fall, I need the earlier head scans."


def answer_of(invitation):
    return reverse("v1:care-invitation-answer", args=[invitation["id"]])


def test_from_an_invitation_to_the_end(api_as, patient, doctor):
    case = CaseFactory.create(patient=patient)
    wish = {"way": "email", "email": doctor.email, "case": str(case.pk), "access_days": 7}
    made = api_as(patient).post(reverse(INVITATIONS), wish)
    assert made.status_code == 201 and made.data["state"] == "open" and made.data["from"] is None
    assert "doctor" not in made.data and "code" not in made.data
    got = api_as(doctor).get(reverse(INVITATIONS)).data["results"]
    assert [row["from"] for row in got] == [patient.full_name]
    yes = api_as(doctor).post(answer_of(got[0]), {"answer": "yes"})
    assert yes.status_code == 200 and yes.data["case"] == case.pk and yes.data["expires_at"]
    held = api_as(doctor).get(reverse(GRANTS)).data["results"]
    assert held == api_as(patient).get(reverse(GRANTS)).data["results"]
    name, own = patient.full_name, api_as(doctor).get(reverse("v1:case-detail", args=[case.pk])).json()
    assert held[0]["patient"] == {"id": str(patient.pk), "full_name": name, "email": patient.email}
    assert held[0]["patient"]["id"] == own["patient"] and held[0]["doctor"]["id"] == str(doctor.pk)
    one = reverse("v1:care-grant-detail", args=[held[0]["id"]])
    assert api_as(DoctorFactory.create()).delete(one).status_code == 404
    assert api_as(patient).delete(one).status_code == 204
    assert api_as(patient).delete(one).status_code == 404
    assert api_as(doctor).get(reverse("v1:case-detail", args=[case.pk])).status_code == 404


def test_codes(api_as, patient, other_patient, doctor):
    made = api_as(patient).post(reverse(INVITATIONS), {"way": "code"})
    assert made.status_code == 201 and len(made.data["code"]) == 9
    assert "code" not in api_as(patient).get(reverse(INVITATIONS)).data["results"][0]
    address = reverse("v1:care-invitation-code")
    assert api_as(other_patient).post(address, {"code": made.data["code"]}).status_code == 403
    wrong = api_as(doctor).post(address, {"code": "2222-2222"})
    assert wrong.status_code == 400 and wrong.data["code"] == "bad_code"
    assert api_as(doctor).post(address, {"code": made.data["code"]}).status_code == 200
    for _n in range(9):
        api_as(doctor).post(address, {"code": "2222-2222"})
    slowed = api_as(doctor).post(address, {"code": "2222-2222"})
    assert slowed.status_code == 429 and slowed.data["code"] == "too_many_codes"


def test_a_request(api_as, patient, doctor):
    case = CaseFactory.create(patient=patient)
    wish = {"way": "request", "email": patient.email}
    assert api_as(doctor).post(reverse(INVITATIONS), wish).status_code == 201
    got = api_as(patient).get(reverse(INVITATIONS)).data["results"]
    assert [row["from"] for row in got] == [doctor.full_name]
    foreign = {"answer": "yes", "case": str(CaseFactory.create().pk)}
    assert api_as(patient).post(answer_of(got[0]), foreign).data["code"] == "no_such_case"
    assert api_as(doctor).post(answer_of(got[0]), {"answer": "yes"}).status_code == 404
    yes = api_as(patient).post(answer_of(got[0]), {"answer": "yes", "case": str(case.pk), "access_days": 1})
    assert yes.status_code == 200 and yes.data["case"] == case.pk
    no = care.request_access(DoctorFactory.create(), patient.email)
    assert api_as(patient).post(answer_of({"id": no.pk}), {"answer": "no"}).status_code == 204
    assert api_as(patient).post(answer_of({"id": no.pk}), {"answer": "no"}).status_code == 404


def test_a_yes_whose_answer_was_lost_is_answered_again(api_as, patient, other_patient, doctor):
    case = CaseFactory.create(patient=patient)
    sent = care.invite_by_email(patient, doctor.email, case_id=case.pk)
    asked = care.request_access(doctor, patient.email)
    wish = {"answer": "yes", "access_days": 3}
    for person, other, invitation, yes in (
        (doctor, DoctorFactory.create(), sent, {"answer": "yes"}),
        (patient, other_patient, asked, wish),
    ):
        address = answer_of({"id": invitation.pk})
        first = api_as(person).post(address, yes)
        again = api_as(person).post(address, yes)
        assert first.status_code == again.status_code == 200 and first.json() == again.json()
        assert api_as(other).post(address, yes).status_code == 404
        assert api_as(person).post(address, {"answer": "no"}).status_code == 404
    assert CareRelationship.objects.count() == 2
    # What the patient opens is not what they opened.
    assert api_as(patient).post(answer_of({"id": asked.pk}), {"answer": "yes"}).status_code == 404
    assert api_as(patient).post(answer_of({"id": sent.pk}), wish).status_code == 404
    assert api_as(doctor).post(answer_of({"id": asked.pk}), {"answer": "yes"}).status_code == 404


def test_a_yes_does_not_open_again_what_was_ended(api_as, patient, doctor):
    sent, asked = care.invite_by_email(patient, doctor.email), care.request_access(doctor, patient.email)
    assert api_as(doctor).post(answer_of({"id": sent.pk}), {"answer": "yes"}).status_code == 200
    grant = api_as(patient).post(answer_of({"id": asked.pk}), {"answer": "yes"}).json()["id"]
    assert api_as(patient).delete(reverse("v1:care-grant-detail", args=[grant])).status_code == 204
    for person, invitation in ((doctor, sent), (patient, asked)):
        answer = api_as(person).post(answer_of({"id": invitation.pk}), {"answer": "yes"})
        assert answer.status_code == 404
    assert not CareRelationship.objects.active().exists()


def test_an_invitation_shows_no_account_behind_an_address(api_as, patient, doctor):
    invited = api_as(patient).post(reverse(INVITATIONS), {"way": "email", "email": doctor.email})
    asked = api_as(doctor).post(reverse(INVITATIONS), {"way": "request", "email": patient.email})
    for mine, other, made in ((patient, doctor, invited), (doctor, patient, asked)):
        for shown in (made, api_as(mine).get(reverse(INVITATIONS))):
            assert str(other.pk) not in shown.content.decode()


def test_taking_back(api_as, patient, other_patient):
    sent = care.invite_by_email(patient, "typo@example.org")
    one = reverse("v1:care-invitation-detail", args=[sent.pk])
    assert api_as(other_patient).delete(one).status_code == 404
    assert api_as(patient).delete(one).status_code == 204
    assert api_as(patient).delete(one).status_code == 404
    assert api_as(patient).get(reverse(INVITATIONS)).data["results"][0]["state"] == "cancelled"


@pytest.mark.parametrize(
    "wish",
    [
        {},
        {"way": "email"},
        {"way": "pigeon"},
        {"way": "email", "email": "x"},
        {"way": "code", "access_days": 0},
    ],
)
def test_bad_wishes(api_as, patient, wish):
    assert api_as(patient).post(reverse(INVITATIONS), wish).status_code == 400
    assert not CareInvitation.objects.exists()


def test_who_may_ask(api_as, patient, doctor, unverified_doctor, admin_user):
    by_email, ask = {"way": "email", "email": "a@example.org"}, {"way": "request", "email": "a@example.org"}
    for person, wish in (
        (doctor, by_email),
        (admin_user, by_email),
        (patient, ask),
        (unverified_doctor, ask),
        (admin_user, ask),
    ):
        assert api_as(person).post(reverse(INVITATIONS), wish).status_code == 403
    for name in (GRANTS, INVITATIONS, EMERGENCIES):
        assert api_as(None).get(reverse(name)).status_code == 401
        assert api_as(admin_user).get(reverse(name)).data["count"] == 0
        assert api_as(unverified_doctor).get(reverse(name)).data["count"] == 0


def test_an_emergency(api_as, patient, other_patient, doctor):
    wish = {"email": patient.email, "reason": REASON}
    assert api_as(other_patient).post(reverse(EMERGENCIES), wish).status_code == 403
    assert api_as(doctor).post(reverse(EMERGENCIES), {**wish, "reason": "urgent"}).status_code == 400
    unknown = api_as(doctor).post(reverse(EMERGENCIES), {**wish, "email": "nobody@example.org"})
    assert unknown.status_code == 400 and unknown.data["code"] == "no_such_patient"
    made = api_as(doctor).post(reverse(EMERGENCIES), wish)
    assert made.status_code == 201 and made.data["is_emergency"] and made.data["reason"] == REASON
    for person in (patient, doctor):
        assert [row["id"] for row in api_as(person).get(reverse(EMERGENCIES)).data["results"]] == [
            made.data["id"]
        ]
    one = reverse("v1:care-grant-detail", args=[made.data["id"]])
    assert api_as(patient).delete(one).status_code == 204
    assert api_as(doctor).get(reverse(EMERGENCIES)).data["count"] == 0
    shown = api_as(patient).get(reverse(EMERGENCIES)).data["results"][0]
    assert shown["ended_at"] and shown["reason"] == REASON


def test_lists_cost_the_same_however_long(api_as, doctor, django_assert_max_num_queries):
    for _n in range(6):
        grant = CareRelationshipFactory.create(doctor=doctor)
        care.invite_by_email(grant.patient, doctor.email)
    emergency.open_access(doctor, CaseFactory.create().patient.email, REASON)
    for name in (GRANTS, INVITATIONS, EMERGENCIES):
        with django_assert_max_num_queries(7):
            assert api_as(doctor).get(reverse(name)).data["count"]


def test_bad_ids(api_as, patient):
    assert api_as(patient).delete(reverse("v1:care-grant-detail", args=[uuid.uuid4()])).status_code == 404
    assert api_as(patient).delete("/api/v1/care/grants/nonsense/").status_code == 404
    assert api_as(patient).put(reverse(GRANTS)).status_code == 405
