"""Scans and their files over REST."""

import uuid

import pytest

from cases.models import Scan
from tests import factories
from tests.cases.conftest import actions, stored_files

pytestmark = pytest.mark.django_db
LIST = "/api/v1/scans/"
FILES = ["volume", "preview", "slice", "original"]


def url_of(scan, file: str = "") -> str:
    return f"{LIST}{scan.pk}/" + (f"{file}/" if file else "")


def test_list_and_filter(api_as, patient, reader, case, scan):
    other = factories.ScanFactory.create(case__patient=patient)
    factories.ScanFactory.create()
    for user in (patient, reader):
        client = api_as(user)
        assert {item["id"] for item in client.get(LIST).json()["results"]} == {str(scan.pk), str(other.pk)}
        only = client.get(LIST, {"case": case.pk}).json()["results"]
        assert [item["id"] for item in only] == [str(scan.pk)]
    assert api_as(patient).get(LIST, {"case": uuid.uuid4()}).json()["results"] == []
    refused = api_as(patient).get(LIST, {"case": "x"})
    assert (refused.status_code, refused.json()["code"]) == (400, "bad_filter")
    assert refused.json()["detail"].startswith("case ")


def test_list_of_outsiders_is_empty(api_as, case, scan, outsiders):
    for user in outsiders:
        assert api_as(user).get(LIST).json()["count"] == 0
        assert api_as(user).get(LIST, {"case": case.pk}).json()["results"] == []
    assert api_as(None).get(LIST).status_code == 401


def test_detail_links_to_files_and_names_no_path(api_as, patient, scan):
    answer = api_as(patient).get(url_of(scan)).json()
    assert answer["volume_url"] == f"http://testserver{url_of(scan, 'volume')}"
    assert (answer["width"], answer["height"], answer["slices"]) == (24, 20, 1)
    assert answer["spacing"] is None
    assert "scans/" + scan.canonical.name.split("/")[1] not in str(answer)
    assert actions(scan) == ["view_scan"]


@pytest.mark.parametrize("file", FILES)
def test_files(file, api_as, patient, reader, scan):
    for user in (patient, reader):
        response = api_as(user).get(url_of(scan, file))
        assert response.status_code == 200
        assert response["Cache-Control"] == "private, no-store"
        assert response["X-Content-Type-Options"] == "nosniff"
        assert response.getvalue()
    assert len(actions(scan)) == 2


def test_what_is_answered_about_a_person_is_kept_by_nobody(api_as, patient, case, scan):
    for path in (LIST, url_of(scan), f"/api/v1/cases/{case.pk}/scans/", f"{LIST}{uuid.uuid4()}/"):
        assert api_as(patient).get(path)["Cache-Control"] == "private, no-store", path


@pytest.mark.parametrize("file", ["", *FILES])
def test_hidden(file, api_hidden_from_outsiders, scan):
    api_hidden_from_outsiders(url_of(scan, file))
    assert actions(scan) == []


@pytest.mark.parametrize("file", ["", *FILES])
def test_bad_id_and_wrong_method(file, api_as, patient, scan):
    client = api_as(patient)
    assert client.get(url_of(Scan(pk=uuid.uuid4()), file)).status_code == 404
    assert client.get(f"{LIST}x/{file}").status_code == 404
    assert client.put(url_of(scan, file), {}).status_code == 405


@pytest.mark.parametrize("file", FILES)
def test_a_file_with_any_accept_header(file, api_as, patient, scan):
    response = api_as(patient).get(url_of(scan, file), HTTP_ACCEPT="image/png")
    assert response.status_code == 200
    response.close()


def test_bad_slice(api_as, patient, scan):
    assert api_as(patient).get(url_of(scan, "slice"), {"plane": "x"}).status_code == 400
    assert api_as(patient).get(url_of(scan, "slice"), {"index": 9}).status_code == 404


def test_owner_deletes(api_as, patient, scan, private_root, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks(execute=True):
        assert api_as(patient).delete(url_of(scan)).status_code == 204
    assert not Scan.objects.exists()
    assert stored_files(private_root) == []


def test_doctor_deletes_not(api_as, reader, scan):
    assert api_as(reader).delete(url_of(scan)).status_code == 403
    assert Scan.objects.exists()


def test_deleting_is_hidden(api_hidden_from_outsiders, scan):
    api_hidden_from_outsiders(url_of(scan), "delete")
    assert Scan.objects.exists()
