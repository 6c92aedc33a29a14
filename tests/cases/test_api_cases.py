"""Cases over REST."""

import uuid

import pytest

from cases.models import Case
from tests import factories
from tests.cases.conftest import actions

pytestmark = pytest.mark.django_db
LIST = "/api/v1/cases/"


def url_of(case) -> str:
    return f"{LIST}{case.pk}/"


def test_list_of_owner_and_doctor(api_as, patient, reader, case):
    factories.CaseFactory.create()
    for user in (patient, reader):
        answer = api_as(user).get(LIST).json()
        assert answer["count"] == 1
        assert answer["results"][0]["id"] == str(case.pk)
        assert answer["results"][0]["may_write"] is (user == patient)


def test_the_list_of_one_kind_or_patient(api_as, patient, reader, case):
    other = factories.CareRelationshipFactory.create(doctor=reader).patient
    brain = factories.CaseFactory.create(patient=other, kind="brain_mri")

    def found(user, **query) -> set[str]:
        return {row["id"] for row in api_as(user).get(LIST, query).json()["results"]}

    assert found(reader) == {str(case.pk), str(brain.pk)}
    assert found(reader, kind="brain_mri") == found(reader, patient=str(other.pk)) == {str(brain.pk)}
    assert found(reader, patient=str(patient.pk)) == found(reader, kind=case.kind) == {str(case.pk)}
    assert found(reader, patient=str(patient.pk), kind="brain_mri") == set()
    assert found(reader, kind="", patient="") == found(reader)
    assert found(patient, patient=str(other.pk)) == set()


@pytest.mark.parametrize("query", [{"kind": "elbow"}, {"patient": "nobody"}])
def test_a_filter_that_means_nothing_is_refused(api_as, reader, case, query):
    answer = api_as(reader).get(LIST, query)
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_filter")


def test_list_of_outsiders_is_empty_and_anonymous_is_401(api_as, case, outsiders):
    for user in outsiders:
        assert api_as(user).get(LIST).json()["count"] == 0
    assert api_as(None).get(LIST).status_code == 401
    assert api_as(None).post(LIST, {}).status_code == 401


def test_patient_opens_a_case(api_as, patient):
    response = api_as(patient).post(LIST, {"kind": "brain_mri", "age_group": "adult"})
    assert response.status_code == 201
    case = Case.objects.get()
    assert response.json()["id"] == str(case.pk)
    assert response.json()["title"].startswith("Brain MRI, ")
    assert case.patient == patient


def test_bad_kind(api_as, patient):
    response = api_as(patient).post(LIST, {"kind": "elbow"})
    assert response.status_code == 400
    assert "kind" in response.json()


def test_doctors_and_admins_open_none(api_as, doctor, admin_user):
    for user in (doctor, admin_user):
        assert api_as(user).post(LIST, {"kind": "unsure"}).status_code == 403


def test_what_is_answered_about_a_person_is_kept_by_nobody(api_as, patient, case):
    for answer in (
        api_as(patient).get(LIST),
        api_as(patient).get(url_of(case)),
        api_as(patient).patch(url_of(case), {"title": "x"}),
        api_as(patient).post(LIST, {"kind": "elbow"}),
        api_as(None).get(LIST),
    ):
        assert answer["Cache-Control"] == "private, no-store", answer.status_code


def test_detail(api_as, patient, reader, case):
    for user in (patient, reader):
        assert api_as(user).get(url_of(case)).json()["question"] == "Is it worn out?"
    assert actions(case) == ["view_case", "view_case"]


def test_owner_changes_and_deletes(api_as, patient, other_patient, case):
    client = api_as(patient)
    answer = client.patch(url_of(case), {"title": "Renamed", "patient": str(other_patient.pk)}).json()
    assert (answer["title"], answer["patient"]) == ("Renamed", str(patient.pk))
    assert client.delete(url_of(case)).status_code == 204
    assert not Case.objects.exists()


def test_doctor_may_not(api_as, reader, case):
    assert api_as(reader).patch(url_of(case), {"title": "x"}).status_code == 403
    assert api_as(reader).delete(url_of(case)).status_code == 403
    assert api_as(reader).post(f"{url_of(case)}scans/").status_code == 403
    assert Case.objects.get().title == "My sore knee"


@pytest.mark.parametrize("method", ["get", "patch", "delete"])
def test_hidden(method, api_hidden_from_outsiders, case):
    api_hidden_from_outsiders(url_of(case), method)


@pytest.mark.parametrize("method", ["get", "post"])
def test_scans_of_a_case_are_hidden(method, api_hidden_from_outsiders, case):
    api_hidden_from_outsiders(f"{url_of(case)}scans/", method)


def test_bad_ids_and_wrong_method(api_as, patient, case):
    client = api_as(patient)
    assert client.get(f"{LIST}{uuid.uuid4()}/").status_code == 404
    assert client.get(f"{LIST}17/").status_code == 404
    assert client.put(url_of(case), {}).status_code == 405
    assert client.delete(LIST).status_code == 405


def test_scans_of_a_case(api_as, patient, reader, case, scan):
    factories.ScanFactory.create(case__patient=patient)
    for user in (patient, reader):
        assert [item["id"] for item in api_as(user).get(f"{url_of(case)}scans/").json()] == [str(scan.pk)]
