"""Deleting one scan."""

import uuid

import pytest
from django.urls import reverse

from cases.models import Case, Scan
from tests import factories
from tests.cases.conftest import actions, stored_files

pytestmark = pytest.mark.django_db


def url_of(scan) -> str:
    return reverse("cases:scan_delete", args=[scan.case_id, scan.pk])


def test_asks_first(as_user, patient, scan):
    assert "cannot be undone" in as_user(patient).get(url_of(scan)).text
    assert Scan.objects.exists()


def test_owner_deletes_one_scan_and_its_files(
    as_user, patient, case, scan, private_root, django_capture_on_commit_callbacks
):
    kept = factories.ScanFactory.create(case=case)
    with django_capture_on_commit_callbacks(execute=True):
        response = as_user(patient).post(url_of(scan))
    assert response["Location"] == f"/cases/{case.pk}/"
    assert list(Scan.objects.all()) == [kept]
    assert Case.objects.filter(pk=case.pk).exists()
    assert len(stored_files(private_root)) == 3
    assert actions(scan) == ["delete_scan"]


def test_doctor_may_not(as_user, reader, scan):
    assert as_user(reader).post(url_of(scan)).status_code == 403
    assert Scan.objects.exists()


def test_hidden(hidden_from_outsiders, scan):
    hidden_from_outsiders(url_of(scan), "post")
    assert Scan.objects.exists()


def test_only_under_its_own_case_bad_id_wrong_method(as_user, patient, case, scan):
    client = as_user(patient)
    other = factories.CaseFactory.create(patient=patient)
    assert client.post(reverse("cases:scan_delete", args=[other.pk, scan.pk])).status_code == 404
    assert client.post(reverse("cases:scan_delete", args=[case.pk, uuid.uuid4()])).status_code == 404
    assert client.put(url_of(scan)).status_code == 405
    assert Scan.objects.exists()
