"""Deleting a case: asked first, then everything goes, files too."""

import uuid

import pytest
from django.urls import reverse

from cases.models import Case, Scan
from tests import factories
from tests.cases.conftest import actions, stored_files

pytestmark = pytest.mark.django_db


def url_of(case) -> str:
    return reverse("cases:delete", args=[case.pk])


def test_asks_first(as_user, patient, case, scan):
    response = as_user(patient).get(url_of(case))
    assert "cannot be undone" in response.text
    assert Case.objects.filter(pk=case.pk).exists()


def test_owner_deletes_case_and_files(
    as_user, patient, case, scan, private_root, django_capture_on_commit_callbacks
):
    kept = factories.ScanFactory.create()
    with django_capture_on_commit_callbacks(execute=True):
        response = as_user(patient).post(url_of(case))
    assert response["Location"] == "/cases/"
    assert not Case.objects.filter(pk=case.pk).exists()
    assert list(Scan.objects.all()) == [kept]
    assert stored_files(private_root) == sorted([kept.original.name, kept.canonical.name, kept.preview.name])
    assert actions(case) == ["delete_case"]


def test_files_stay_until_the_deletion_is_committed(as_user, patient, case, scan, private_root):
    as_user(patient).post(url_of(case))
    assert len(stored_files(private_root)) == 3


def test_doctor_may_not(as_user, reader, case):
    assert as_user(reader).get(url_of(case)).status_code == 403
    assert as_user(reader).post(url_of(case)).status_code == 403
    assert Case.objects.filter(pk=case.pk).exists()


def test_hidden(hidden_from_outsiders, case):
    hidden_from_outsiders(url_of(case), "post")
    assert Case.objects.filter(pk=case.pk).exists()


def test_bad_id_and_wrong_method(as_user, patient, case):
    assert as_user(patient).post(f"/cases/{uuid.uuid4()}/delete/").status_code == 404
    assert as_user(patient).delete(url_of(case)).status_code == 405


def test_deleting_the_patient_takes_the_files_too(
    case, scan, private_root, django_capture_on_commit_callbacks
):
    with django_capture_on_commit_callbacks(execute=True):
        case.patient.delete()
    assert stored_files(private_root) == []
