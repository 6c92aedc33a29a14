"""Writes about people."""

import pytest
from django.db import IntegrityError, transaction

from accounts import selectors, services
from accounts.models import AccessLog, ApiToken, Role, User
from pmi_site.errors import UserError
from tests.factories import UserFactory

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
