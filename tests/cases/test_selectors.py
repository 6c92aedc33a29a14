"""Who may read and write which case."""

import uuid

import pytest
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import PermissionDenied
from django.http import Http404

from cases import selectors
from tests import factories

pytestmark = pytest.mark.django_db


def test_owner_reads_and_writes(case, scan, patient):
    assert selectors.get_case(patient, case.pk, write=True) == case
    assert selectors.get_scan(patient, scan.pk, write=True) == scan
    assert list(selectors.visible_cases(patient)) == [case]
    assert list(selectors.visible_scans(patient)) == [scan]


def test_doctor_with_a_grant_reads_only(case, scan, reader):
    assert selectors.get_case(reader, str(case.pk)) == case
    assert selectors.get_scan(reader, str(scan.pk), case_id=case.pk) == scan
    with pytest.raises(PermissionDenied):
        selectors.get_case(reader, case.pk, write=True)
    with pytest.raises(PermissionDenied):
        selectors.get_scan(reader, scan.pk, write=True)


def test_outsiders_see_nothing(case, scan, outsiders):
    for user in [*outsiders, AnonymousUser()]:
        assert case not in selectors.visible_cases(user)
        assert scan not in selectors.visible_scans(user)
        assert case not in selectors.case_list(user)
        for write in (False, True):
            with pytest.raises(Http404):
                selectors.get_case(user, case.pk, write=write)
            with pytest.raises(Http404):
                selectors.get_scan(user, scan.pk, write=write)


def test_inactive_owner_sees_nothing(case, patient):
    patient.is_active = False
    patient.save()
    assert not selectors.visible_cases(patient).exists()


def test_owner_who_became_admin_sees_nothing(case, scan, patient):
    patient.role = "admin"
    patient.save()
    with pytest.raises(Http404):
        selectors.get_scan(patient, scan.pk)


@pytest.mark.parametrize("bad", ["", "1", "not-a-uuid", uuid.uuid4()])
def test_bad_ids_are_not_found(patient, bad):
    with pytest.raises(Http404):
        selectors.get_case(patient, bad)
    with pytest.raises(Http404):
        selectors.get_scan(patient, bad)


def test_a_scan_is_found_only_under_its_own_case(scan, patient):
    elsewhere = factories.CaseFactory.create(patient=patient)
    with pytest.raises(Http404):
        selectors.get_scan(patient, scan.pk, case_id=elsewhere.pk)


def test_case_list_counts_and_costs_one_query(case, patient, django_assert_num_queries):
    newest = [factories.ScanFactory.create(case=case) for _ in range(3)][-1]
    factories.CaseFactory.create(patient=patient)
    with django_assert_num_queries(1):
        listed = {found.pk: found for found in selectors.case_list(patient)}
        assert listed[case.pk].patient.full_name
    assert listed[case.pk].scan_count == 3
    assert listed[case.pk].newest_scan_id == newest.pk


def test_only_patients_open_cases(patient, doctor, admin_user):
    assert selectors.may_open_case(patient)
    assert not selectors.may_open_case(doctor)
    assert not selectors.may_open_case(admin_user)
    assert not selectors.may_open_case(AnonymousUser())
