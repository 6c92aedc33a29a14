"""Changing what a case says about itself."""

import uuid

import pytest
from django.urls import reverse

pytestmark = pytest.mark.django_db
FORM = {"kind": "brain_mri", "age_group": "adult", "title": "New name", "question": ""}


def url_of(case) -> str:
    return reverse("cases:edit", args=[case.pk])


def test_owner_changes_it(as_user, patient, case):
    client = as_user(patient)
    assert "My sore knee" in client.get(url_of(case)).text
    assert client.post(url_of(case), FORM)["Location"] == f"/cases/{case.pk}/"
    case.refresh_from_db()
    assert (case.title, case.kind, case.question) == ("New name", "brain_mri", "")


def test_name_cannot_be_emptied(as_user, patient, case):
    response = as_user(patient).post(url_of(case), {**FORM, "title": " "})
    assert response.status_code == 400
    case.refresh_from_db()
    assert case.title == "My sore knee"


def test_doctor_may_not(as_user, reader, case):
    assert as_user(reader).get(url_of(case)).status_code == 403
    assert as_user(reader).post(url_of(case), FORM).status_code == 403


def test_hidden(hidden_from_outsiders, case):
    hidden_from_outsiders(url_of(case))
    hidden_from_outsiders(url_of(case), "post")


def test_bad_id_and_wrong_method(as_user, patient, case):
    assert as_user(patient).get(f"/cases/{uuid.uuid4()}/edit/").status_code == 404
    assert as_user(patient).put(url_of(case)).status_code == 405
