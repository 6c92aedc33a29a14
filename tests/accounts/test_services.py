"""Writes about people."""

from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts import selectors, services
from accounts.models import AccessLog, ApiToken, CareRelationship, Role, User
from pmi_site.errors import UserError
from tests.factories import CareRelationshipFactory, UserFactory

pytestmark = pytest.mark.django_db


def test_addresses_are_one_person_whatever_their_case():
    first = User.objects.create_user("  Some.One@Example.ORG ", "x", full_name="S")
    assert first.email == "some.one@example.org"
    assert User.objects.get_by_natural_key("SOME.one@example.org") == first
    with pytest.raises(IntegrityError), transaction.atomic():
        User.objects.create_user("SOME.ONE@example.org", "x")
    with pytest.raises(IntegrityError), transaction.atomic():
        User.objects.filter(pk=first.pk).update(email="Some.One@example.org")


def test_a_user_needs_an_address():
    with pytest.raises(ValueError, match="email"):
        User.objects.create_user("", "x")


def test_granting_access_is_idempotent_and_logged(patient, doctor):
    first = services.grant_access(patient, f" {doctor.email.upper()} ")
    assert services.grant_access(patient, doctor.email) == first
    assert CareRelationship.objects.count() == 1
    logged = AccessLog.objects.get()
    assert (logged.actor, logged.action, logged.object_type, logged.object_id) == (
        patient,
        "grant_access",
        "user",
        doctor.log_key,
    )


def test_an_expired_grant_can_be_given_again(patient, doctor):
    CareRelationshipFactory.create(
        patient=patient, doctor=doctor, expires_at=timezone.now() - timedelta(days=1)
    )
    services.grant_access(patient, doctor.email)
    assert patient.pk in set(selectors.visible_patient_ids(doctor))


def test_the_answer_is_the_same_for_unknown_unverified_and_not_a_doctor(
    patient, other_patient, unverified_doctor, doctor
):
    doctor.is_active = False
    doctor.save()
    answers = set()
    for email in (
        "nobody@example.org",
        other_patient.email,
        unverified_doctor.email,
        doctor.email,
        patient.email,
    ):
        with pytest.raises(UserError) as caught:
            services.grant_access(patient, email)
        answers.add((caught.value.code, caught.value.message))
    assert len(answers) == 1
    assert not CareRelationship.objects.exists()


def test_an_administrator_has_nothing_to_share(admin_user, doctor):
    with pytest.raises(UserError, match="administrator"):
        services.grant_access(admin_user, doctor.email)


def test_a_doctor_cannot_grant_access_to_themselves(doctor):
    with pytest.raises(UserError):
        services.grant_access(doctor, doctor.email)


def test_revoking_ends_access_at_once_and_only_ones_own(patient, other_patient, doctor):
    grant = services.grant_access(patient, doctor.email)
    assert not services.revoke_access(other_patient, grant.pk)
    assert patient.pk in set(selectors.visible_patient_ids(doctor))
    assert services.revoke_access(patient, grant.pk)
    assert patient.pk not in set(selectors.visible_patient_ids(doctor))
    assert not services.revoke_access(patient, grant.pk)


def test_only_an_administrator_verifies_and_the_first_verification_stands(
    unverified_doctor, admin_user, patient
):
    for nobody in (patient, unverified_doctor):
        with pytest.raises(UserError):
            services.verify_doctor(unverified_doctor, nobody)
    assert not selectors.is_verified_doctor(unverified_doctor)
    services.verify_doctor(unverified_doctor, admin_user)
    profile = User.objects.get(pk=unverified_doctor.pk).doctor_profile
    second = UserFactory.create(role=Role.ADMIN)
    services.verify_doctor(unverified_doctor, second)
    profile.refresh_from_db()
    assert profile.verified_by == admin_user
    assert selectors.is_verified_doctor(unverified_doctor)
    services.withdraw_verification(unverified_doctor, admin_user)
    assert not selectors.is_verified_doctor(unverified_doctor)
    with pytest.raises(UserError):
        services.withdraw_verification(unverified_doctor, patient)


def test_somebody_without_a_licence_cannot_be_verified(patient, admin_user):
    with pytest.raises(UserError, match="licence"):
        services.verify_doctor(patient, admin_user)


def test_a_new_licence_number_must_be_checked_again(doctor):
    services.set_up_doctor(doctor, licence_number="other", licence_country="Utopia")
    assert not selectors.is_verified_doctor(doctor)


def test_a_token_is_stored_as_a_digest_only(patient):
    token, key = services.create_token(patient, "n" * 80)
    assert len(token.name) == 60
    row = ApiToken.objects.filter(pk=token.pk).values().get()
    assert key not in str(row)
    assert ApiToken.digest_of(key) == row["digest"]


def test_tokens_are_limited_and_deleted_by_their_owner_alone(patient, other_patient, monkeypatch):
    monkeypatch.setattr(services, "MAX_TOKENS", 1)
    token, _key = services.create_token(patient, "one")
    with pytest.raises(UserError):
        services.create_token(patient, "two")
    assert not services.delete_token(other_patient, token.pk)
    assert services.delete_token(patient, token.pk)
    assert not ApiToken.objects.exists()


def test_the_access_log_can_only_grow(patient):
    services.log_access(patient, "view_case", patient)
    entry = AccessLog.objects.get()
    entry.action = "other"
    with pytest.raises(TypeError):
        entry.save()
    with pytest.raises(TypeError):
        entry.delete()
    patient.delete()
    assert AccessLog.objects.get().actor is None
