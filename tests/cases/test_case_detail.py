"""The page of one case."""

import uuid

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from tests import factories
from tests.cases.conftest import actions

pytestmark = pytest.mark.django_db


def url_of(case) -> str:
    return reverse("cases:detail", args=[case.pk])


def test_owner_sees_scans_and_the_drop_zone(as_user, patient, case, scan):
    page = as_user(patient).get(url_of(case)).text
    assert "My sore knee" in page
    assert "Is it worn out?" in page
    assert 'id="upload-form"' in page
    assert reverse("cases:scan_preview", args=[case.pk, scan.pk]) in page
    assert actions(case) == ["view_case"]


def test_doctor_reads_without_ways_to_change(as_user, reader, case, scan):
    page = as_user(reader).get(url_of(case)).text
    assert "My sore knee" in page
    assert case.patient.full_name in page
    assert 'id="upload-form"' not in page
    assert reverse("cases:scan_delete", args=[case.pk, scan.pk]) not in page
    assert reverse("cases:delete", args=[case.pk]) not in page


def test_hidden(hidden_from_outsiders, case):
    hidden_from_outsiders(url_of(case))
    assert actions(case) == []


def test_unknown_and_bad_ids(as_user, patient):
    client = as_user(patient)
    assert client.get(f"/cases/{uuid.uuid4()}/").status_code == 404
    assert client.get("/cases/17/").status_code == 404


def test_wrong_method(as_user, patient, case):
    assert as_user(patient).post(url_of(case)).status_code == 405


def test_page_has_no_inline_script_or_style(as_user, patient, case, scan):
    page = as_user(patient).get(url_of(case)).text
    assert " style=" not in page
    assert "<style" not in page
    assert " onclick=" not in page


def test_fragment_of_scans(as_user, patient, reader, case, scan):
    url = reverse("cases:scan_list", args=[case.pk])
    for user in (patient, reader):
        page = as_user(user).get(url).text
        assert f'id="scan-{scan.pk}"' in page
        assert "<html" not in page
    assert as_user(patient).post(url).status_code == 405


def test_fragment_is_hidden(hidden_from_outsiders, case):
    hidden_from_outsiders(reverse("cases:scan_list", args=[case.pk]))


def test_more_scans_cost_no_more_queries(as_user, patient, case, scan, django_assert_max_num_queries):
    client = as_user(patient)
    client.get(url_of(case))
    with CaptureQueriesContext(connection) as few:
        client.get(url_of(case))
    factories.ScanFactory.create_batch(5, case=case)
    with django_assert_max_num_queries(len(few)):
        client.get(url_of(case))
