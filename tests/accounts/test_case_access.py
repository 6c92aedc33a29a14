"""The one rule of who reads a case: whole-patient grants, grants for one case, their ends."""

from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction
from django.urls import reverse
from django.utils import timezone

from accounts import selectors
from accounts.models import CareRelationship, User
from cases import worklist, worklist_upkeep
from cases.selectors import visible_cases, visible_scans
from cases.worklist import Filters
from tests.factories import CareRelationshipFactory, CaseFactory, ScanFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def two(patient):
    """A patient's two cases, with a scan each."""
    return [ScanFactory.create(case__patient=patient).case for _number in range(2)]


def seen(user):
    """Ids of the visible cases; scans must agree."""
    found = set(visible_cases(user).values_list("pk", flat=True))
    assert {scan.case_id for scan in visible_scans(user)} == found
    return found


def test_a_grant_for_one_case_opens_that_one_only(patient, doctor, two, as_user):
    CareRelationshipFactory.create(patient=patient, doctor=doctor, case=two[0])
    assert seen(doctor) == {two[0].pk}
    assert patient.pk not in set(selectors.visible_patient_ids(doctor))
    client = as_user(doctor)
    assert client.get(reverse("cases:detail", args=[two[0].pk])).status_code == 200
    assert client.get(reverse("cases:detail", args=[two[1].pk])).status_code == 404


def test_a_grant_for_all_cases_opens_later_ones_too(patient, doctor, two, other_patient):
    CareRelationshipFactory.create(patient=patient, doctor=doctor)
    ScanFactory.create(case__patient=other_patient)
    assert seen(doctor) == {case.pk for case in two}
    later = ScanFactory.create(case__patient=patient).case
    assert later.pk in seen(doctor)


@pytest.mark.parametrize("end", ["revoked_at", "expires_at"])
@pytest.mark.parametrize("whole", [True, False])
def test_the_end_of_a_grant_works_at_once(patient, doctor, two, end, whole):
    grant = CareRelationshipFactory.create(patient=patient, doctor=doctor, case=None if whole else two[0])
    assert two[0].pk in seen(doctor)
    CareRelationship.objects.filter(pk=grant.pk).update(**{end: timezone.now() - timedelta(seconds=1)})
    assert seen(doctor) == set()


@pytest.mark.parametrize("whole", [True, False])
def test_a_grant_sleeps_while_the_patients_account_is_closed(patient, doctor, two, whole):
    CareRelationshipFactory.create(patient=patient, doctor=doctor, case=None if whole else two[0])
    before = seen(doctor)
    User.objects.filter(pk=patient.pk).update(is_active=False)
    assert seen(doctor) == set() and set(selectors.visible_patient_ids(doctor)) == {doctor.pk}
    assert worklist.page(doctor, Filters()).rows == []
    worklist_upkeep.mend_entries()
    assert worklist.counts(doctor).by_level[""] == 0
    User.objects.filter(pk=patient.pk).update(is_active=True)
    assert seen(doctor) == before
    worklist_upkeep.mend_entries()
    assert {row.case.pk for row in worklist.page(doctor, Filters()).rows} == before


def test_a_doctor_reads_their_own_cases_too(patient, doctor, two):
    own = ScanFactory.create(case__patient=doctor).case
    assert seen(doctor) == {own.pk}
    CareRelationshipFactory.create(patient=patient, doctor=doctor, case=two[1])
    assert seen(doctor) == {own.pk, two[1].pk}


def test_nobody_else_reads_through_a_grant(patient, unverified_doctor, other_patient, admin_user, two):
    for person in (unverified_doctor, other_patient, admin_user):
        CareRelationshipFactory.create(patient=patient, doctor=person)
        assert seen(person) == set()


def test_a_grant_for_somebody_elses_case_opens_nothing(patient, other_patient, doctor):
    foreign = CaseFactory.create(patient=other_patient)
    CareRelationshipFactory.create(patient=patient, doctor=doctor, case=foreign)
    assert seen(doctor) == set()


def test_one_open_grant_for_each_scope(patient, doctor, two):
    CareRelationshipFactory.create(patient=patient, doctor=doctor)
    CareRelationshipFactory.create(patient=patient, doctor=doctor, case=two[0])
    CareRelationshipFactory.create(patient=patient, doctor=doctor, is_emergency=True)
    for extra in ({}, {"case": two[0]}, {"is_emergency": True}):
        with pytest.raises(IntegrityError), transaction.atomic():
            CareRelationshipFactory.create(patient=patient, doctor=doctor, **extra)
