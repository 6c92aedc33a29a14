"""Uploads over REST."""

import pytest
from rest_framework.test import APIClient

from accounts.services import create_token
from cases.models import Scan
from cases.storage import work_root
from pmi_site.words import words
from tests.cases.conftest import actions, garbage, png, stored_files

pytestmark = pytest.mark.django_db


def url_of(case) -> str:
    return f"/api/v1/cases/{case.pk}/scans/"


def post(client, case, files, **extra):
    return client.post(url_of(case), {"files": files}, format="multipart", **extra)


def test_one_and_many(api_as, patient, case):
    client = api_as(patient)
    response = post(client, case, [png(1)])
    assert response.status_code == 201
    assert post(client, case, [png(2), png(3)]).status_code == 201
    assert Scan.objects.count() == 3
    scan = Scan.objects.get(pk=response.json()["created"][0]["id"])
    assert actions(scan) == ["add_scan"]
    assert response.json()["created"][0]["volume_url"].endswith(f"/api/v1/scans/{scan.pk}/volume/")


def test_created_duplicates_and_refused_in_one_answer(api_as, patient, case):
    client = api_as(patient)
    known = post(client, case, [png(1)]).json()["created"][0]["id"]
    response = post(client, case, [png(1, name="again.png"), png(2), garbage()])
    answer = response.json()
    assert response.status_code == 201
    assert len(answer["created"]) == 1
    assert answer["duplicates"] == [{"scan": known, "names": ["again.png"]}]
    assert [item["name"] for item in answer["refused"]] == ["notes.dcm"]


def test_created_scans_say_which_files_they_are(api_as, patient, case):
    """A picture that is sent twice is one scan, and both of its files are told."""
    client = api_as(patient)
    files = [png(1, name="same1.png"), png(2, name="other.png"), png(1, name="same2.png")]
    answer = post(client, case, files).json()
    assert sorted(made["names"] for made in answer["created"]) == [["other.png"], ["same1.png", "same2.png"]]
    assert answer["duplicates"] == [] == answer["refused"]
    made = answer["created"][0]["id"]
    assert "names" not in client.get(f"/api/v1/scans/{made}/").json()
    assert "same1" not in str(Scan.objects.values())


def test_why_a_file_was_not_taken_is_said_in_the_language_asked_for(api_as, patient, case):
    answer = post(api_as(patient), case, [garbage()], headers={"accept-language": "es"}).json()
    assert answer["refused"][0]["message"].startswith("Este archivo contiene texto, no una imagen")


def test_notes_are_kept_without_a_language(api_as, patient, case):
    client = api_as(patient)
    made = post(client, case, [png(1)]).json()["created"][0]["id"]
    note = words("The file holds %(count)d volumes; only the first one was read.", count=3).stored()
    Scan.objects.filter(pk=made).update(notes=[note])
    scans = client.get(f"/api/v1/scans/{made}/", headers={"accept-language": "hi"})
    assert scans.json()["notes"] == ["फ़ाइल में 3 वॉल्यूम हैं; सिर्फ़ पहला पढ़ा गया।"]


def test_only_duplicates_is_200_only_garbage_is_400(api_as, patient, case, private_root):
    client = api_as(patient)
    assert post(client, case, [garbage()]).status_code == 400
    assert stored_files(private_root) == []
    post(client, case, [png()])
    assert post(client, case, [png()]).status_code == 200


def test_no_file(api_as, patient, case):
    response = api_as(patient).post(url_of(case), {}, format="multipart")
    assert (response.status_code, response.json()["code"]) == (400, "no_file")


def test_not_multipart(api_as, patient, case):
    assert api_as(patient).post(url_of(case), {"files": "x"}, format="json").status_code == 415


def test_limits(api_as, patient, case, settings, monkeypatch):
    client = api_as(patient)
    settings.PMI_MAX_UPLOAD_BYTES = 1000
    response = post(client, case, [garbage(), garbage()])
    assert (response.status_code, response.json()["code"]) == (413, "too_large")
    monkeypatch.setattr("cases.uploads.ENVELOPE_BYTES", 0)
    response = post(client, case, [garbage(), garbage()])
    assert (response.status_code, response.json()["code"]) == (413, "too_large")
    settings.PMI_MAX_UPLOAD_BYTES = 10**9
    settings.PMI_MAX_FILES = 1
    response = post(client, case, [garbage(), garbage()])
    assert (response.status_code, response.json()["code"]) == (413, "too_many_files")
    assert list(work_root().iterdir()) == []


def test_doctor_may_not(api_as, reader, case):
    assert post(api_as(reader), case, [png()]).status_code == 403
    assert not Scan.objects.exists()


def test_hidden(api_hidden_from_outsiders, case):
    api_hidden_from_outsiders(url_of(case), "post")


def test_with_a_token(patient, case):
    _token, key = create_token(patient, "test")
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {key}")
    assert post(client, case, [png()]).status_code == 201


def test_with_a_session_the_csrf_token_is_needed_and_files_still_go_to_disk(patient, case):
    client = APIClient(enforce_csrf_checks=True)
    client.force_login(patient, backend="django.contrib.auth.backends.ModelBackend")
    assert post(client, case, [png()]).status_code == 403
    client.get(f"/cases/{case.pk}/")
    token = client.cookies["csrftoken"].value
    assert post(client, case, [png()], HTTP_X_CSRFTOKEN=token).status_code == 201
    assert Scan.objects.count() == 1


def test_uploads_have_a_limit_of_their_own(api_as, patient, case, monkeypatch):
    monkeypatch.setattr("rest_framework.throttling.ScopedRateThrottle.THROTTLE_RATES", {"upload": "1/min"})
    client = api_as(patient)
    assert post(client, case, [png(1)]).status_code == 201
    assert post(client, case, [png(2)]).status_code == 429
    assert client.get(url_of(case)).status_code == 200
