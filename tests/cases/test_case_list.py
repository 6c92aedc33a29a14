"""The list of cases."""

import pytest
from django.urls import reverse

from accounts.models import AccessLog
from tests import factories
from tests.cases.conftest import actions

pytestmark = pytest.mark.django_db
URL = "/cases/"


def test_url():
    assert reverse("cases:list") == URL


def test_owner_sees_own_cases_newest_first(as_user, patient, case, scan):
    newer = factories.CaseFactory.create(patient=patient, title="A later one")
    response = as_user(patient).get(URL)
    assert response.status_code == 200
    assert list(response.context["page"]) == [newer, case]
    assert b"My sore knee" in response.content
    assert reverse("cases:scan_preview", args=[case.pk, scan.pk]) in response.text


def test_empty_list_says_what_to_do(as_user, patient):
    response = as_user(patient).get(URL)
    assert reverse("cases:new") in response.text
    assert "Open your first case" in response.text


def test_doctor_sees_shared_cases_with_names_and_no_new_button(as_user, reader, case):
    response = as_user(reader).get(URL)
    assert "My sore knee" in response.text
    assert case.patient.full_name in response.text
    assert reverse("cases:new") not in response.text


def test_what_a_doctor_is_shown_is_logged_for_the_patient_and_ones_own_is_not(as_user, patient, reader, case):
    own = factories.CaseFactory.create(patient=reader)
    assert as_user(patient).get(URL).status_code == 200
    assert actions(case) == []
    assert list(as_user(reader).get(URL).context["page"]) == [own, case]
    assert actions(case) == ["list_cases"] and actions(own) == []
    assert as_user(None).get(URL).status_code == 302
    assert AccessLog.objects.count() == 1


def test_doctor_without_patients_is_told_how_cases_arrive(as_user, doctor):
    assert "No patient has shared" in as_user(doctor).get(URL).text


def test_outsiders_do_not_see_it(as_user, outsiders):
    for outsider in outsiders:
        assert "My sore knee" not in as_user(outsider).get(URL).text


def test_anonymous_is_sent_to_sign_in(as_user):
    assert as_user(None).get(URL)["Location"].startswith("/accounts/login/")


def test_wrong_method(as_user, patient):
    assert as_user(patient).post(URL).status_code == 405


def test_pages(as_user, patient):
    factories.CaseFactory.create_batch(25, patient=patient)
    client = as_user(patient)
    assert len(client.get(URL).context["page"]) == 20
    assert len(client.get(URL, {"page": 2}).context["page"]) == 5
    assert client.get(URL, {"page": "nonsense"}).status_code == 200


def test_titles_are_escaped(as_user, patient):
    factories.CaseFactory.create(patient=patient, title="<script>alert(1)</script>")
    assert "<script>alert" not in as_user(patient).get(URL).text


def test_is_not_cached(as_user, patient):
    assert "no-store" in as_user(patient).get(URL)["Cache-Control"]
