"""The upload of the case page: plain form and script, good files, bad files, limits."""

import uuid

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from cases.models import Scan
from cases.storage import work_root
from tests.cases.conftest import actions, garbage, png, stored_files

pytestmark = pytest.mark.django_db
JSON = {"Accept": "application/json"}


def url_of(case) -> str:
    return reverse("cases:upload", args=[case.pk])


def test_plain_form_stores_and_returns_to_the_case(as_user, patient, case):
    response = as_user(patient).post(url_of(case), {"files": [png()]}, follow=True)
    assert response.redirect_chain[0][0] == f"/cases/{case.pk}/"
    assert "1 scan is stored" in response.text
    scan = Scan.objects.get()
    assert (scan.case, scan.uploaded_by) == (case, patient)
    assert actions(scan) == ["add_scan"]


def test_script_gets_json(as_user, patient, case):
    response = as_user(patient).post(url_of(case), {"files": [png()]}, headers=JSON)
    assert response.status_code == 200
    answer = response.json()
    assert [item["id"] for item in answer["created"]] == [str(Scan.objects.get().pk)]
    assert (answer["duplicates"], answer["refused"]) == ([], [])


def test_garbage_and_a_good_file_together(as_user, patient, case, private_root):
    response = as_user(patient).post(url_of(case), {"files": [garbage(), png(name="knee.png")]})
    assert response.status_code == 200
    assert "notes.dcm" in response.text
    assert "1 file was not taken" in response.text
    assert Scan.objects.count() == 1
    assert len(stored_files(private_root)) == 3
    assert list(work_root().iterdir()) == []


def test_only_garbage_is_an_error_that_names_the_file(as_user, patient, case, private_root):
    response = as_user(patient).post(url_of(case), {"files": [garbage("a.dcm"), garbage("b.jpg")]})
    assert response.status_code == 400
    assert "a.dcm" in response.text
    assert "b.jpg" in response.text
    assert not Scan.objects.exists()
    assert stored_files(private_root) == []
    answer = as_user(patient).post(url_of(case), {"files": [garbage("a.dcm")]}, headers=JSON)
    assert answer.status_code == 400
    assert answer.json()["refused"][0]["name"] == "a.dcm"
    assert answer.json()["refused"][0]["message"]


def test_empty_file_is_named(as_user, patient, case):
    response = as_user(patient).post(
        url_of(case), {"files": [SimpleUploadedFile("nothing.jpg", b""), png()]}, headers=JSON
    )
    assert [item["name"] for item in response.json()["refused"]] == ["nothing.jpg"]
    assert Scan.objects.count() == 1


def test_same_picture_twice(as_user, patient, case):
    client = as_user(patient)
    client.post(url_of(case), {"files": [png()]})
    response = client.post(url_of(case), {"files": [png()]})
    assert response.status_code == 200
    assert "Already in this case" in response.text
    assert Scan.objects.count() == 1


def test_no_file(as_user, patient, case):
    response = as_user(patient).post(url_of(case), {})
    assert response.status_code == 400
    assert "No file arrived" in response.text
    assert as_user(patient).post(url_of(case), {}, headers=JSON).json()["code"] == "no_file"


def test_names_are_escaped(as_user, patient, case):
    response = as_user(patient).post(url_of(case), {"files": [garbage("<img src=x>.dcm")]})
    assert "<img src=x>" not in response.text


def test_announced_length_over_the_limit_is_refused_unread(as_user, patient, case, settings, monkeypatch):
    settings.PMI_MAX_UPLOAD_BYTES = 1000
    monkeypatch.setattr("cases.uploads.ENVELOPE_BYTES", 0)
    monkeypatch.setattr("cases.uploads.spooling", None)  # would fail if it were reached
    response = as_user(patient).post(url_of(case), {"files": [garbage(), garbage()]})
    assert response.status_code == 413
    assert "larger than" in response.text
    answer = as_user(patient).post(url_of(case), {"files": [garbage(), garbage()]}, headers=JSON)
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")


def test_more_bytes_than_the_limit_stop_while_they_arrive(as_user, patient, case, settings):
    settings.PMI_MAX_UPLOAD_BYTES = 1000
    response = as_user(patient).post(url_of(case), {"files": [garbage(), garbage()]}, headers=JSON)
    assert (response.status_code, response.json()["code"]) == (413, "too_large")
    assert list(work_root().iterdir()) == []
    assert not Scan.objects.exists()


def test_too_many_files(as_user, patient, case, settings):
    settings.PMI_MAX_FILES = 2
    files = [png(shade) for shade in (1, 2, 3)]
    response = as_user(patient).post(url_of(case), {"files": files}, headers=JSON)
    assert (response.status_code, response.json()["code"]) == (413, "too_many_files")
    settings.PMI_MAX_FILES = 5000
    settings.DATA_UPLOAD_MAX_NUMBER_FILES = 2
    response = as_user(patient).post(url_of(case), {"files": [png(s) for s in (1, 2, 3)]}, headers=JSON)
    assert (response.status_code, response.json()["code"]) == (413, "too_many_files")


def test_broken_body(as_user, patient, case):
    response = as_user(patient).post(
        url_of(case), b"--nothing", content_type="multipart/form-data", headers=JSON
    )
    assert (response.status_code, response.json()["code"]) == (400, "upload_broken")


def test_doctor_may_not_and_nothing_is_read(as_user, reader, case):
    assert as_user(reader).post(url_of(case), {"files": [png()]}).status_code == 403
    assert not Scan.objects.exists()


def test_hidden(hidden_from_outsiders, case):
    hidden_from_outsiders(url_of(case), "post")


def test_signed_out_script_is_told(as_user, case):
    response = as_user(None).post(url_of(case), {"files": [png()]}, headers=JSON)
    assert (response.status_code, response.json()["code"]) == (401, "signed_out")


def test_unknown_case_and_wrong_method(as_user, patient, case):
    assert as_user(patient).post(f"/cases/{uuid.uuid4()}/scans/", {"files": [png()]}).status_code == 404
    assert as_user(patient).get(url_of(case)).status_code == 405


def test_needs_the_csrf_token_in_form_or_header(patient, case):
    client = Client(enforce_csrf_checks=True)
    client.force_login(patient, backend="django.contrib.auth.backends.ModelBackend")
    assert client.post(url_of(case), {"files": [png()]}).status_code == 403
    assert not Scan.objects.exists()
    client.get(f"/cases/{case.pk}/")
    token = client.cookies["csrftoken"].value
    assert client.post(url_of(case), {"csrfmiddlewaretoken": token, "files": [png()]}).status_code == 302
    response = client.post(url_of(case), {"files": [png(7)]}, headers={**JSON, "X-CSRFToken": token})
    assert response.status_code == 200
    assert Scan.objects.count() == 2
