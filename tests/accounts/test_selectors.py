"""Who may see whom."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import AnonymousUser
from django.utils import timezone

from accounts import selectors
from accounts.models import Role
from tests.factories import CareRelationshipFactory

pytestmark = pytest.mark.django_db


def seen_by(user) -> set:
    return set(selectors.visible_patient_ids(user))


def test_a_patient_sees_only_themselves(patient, other_patient):
    assert seen_by(patient) == {patient.pk}


def test_a_verified_doctor_sees_patients_whose_grant_holds(patient, other_patient, doctor):
    CareRelationshipFactory.create(patient=patient, doctor=doctor)
    assert seen_by(doctor) == {doctor.pk, patient.pk}
    assert seen_by(patient) == {patient.pk}
    assert [grant.patient for grant in selectors.patients_of(doctor)] == [patient]


@pytest.mark.parametrize(
    ("field", "days", "holds"),
    [("revoked_at", -1, False), ("expires_at", -1, False), ("expires_at", 1, True)],
)
def test_a_grant_that_ended_shows_nothing(patient, doctor, field, days, holds):
    moment = timezone.now() + timedelta(days=days)
    CareRelationshipFactory.create(patient=patient, doctor=doctor, **{field: moment})
    assert (patient.pk in seen_by(doctor)) is holds
    assert selectors.grants_of(patient).exists() is holds


def test_an_unverified_doctor_sees_no_patient_even_with_a_grant(patient, unverified_doctor):
    CareRelationshipFactory.create(patient=patient, doctor=unverified_doctor)
    assert seen_by(unverified_doctor) == {unverified_doctor.pk}
    assert not selectors.patients_of(unverified_doctor)


def test_a_patient_with_somebodys_grant_is_still_a_patient(patient, other_patient):
    CareRelationshipFactory.create(patient=patient, doctor=other_patient)
    assert seen_by(other_patient) == {other_patient.pk}


def test_administrators_strangers_and_closed_accounts_see_nobody(admin_user, patient):
    patient.is_active = False
    patient.save()
    assert seen_by(admin_user) == seen_by(AnonymousUser()) == seen_by(patient) == set()


def test_a_verified_doctor_is_active_has_the_role_and_a_checked_licence(
    doctor, unverified_doctor, patient, admin_user
):
    assert selectors.is_verified_doctor(doctor)
    for user in (unverified_doctor, patient, admin_user, AnonymousUser()):
        assert not selectors.is_verified_doctor(user)
    doctor.is_active = False
    assert not selectors.is_verified_doctor(doctor)
    doctor.is_active, doctor.role = True, Role.PATIENT
    assert not selectors.is_verified_doctor(doctor)
