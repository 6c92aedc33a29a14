"""The administrator's desk for people."""

import pytest
from django.urls import reverse

from accounts import selectors, services
from accounts.models import AccessLog, User
from tests.factories import CareRelationshipFactory

pytestmark = pytest.mark.django_db
LIST = "admin:accounts_user_changelist"


def test_strangers_and_patients_stay_out(client, as_user, patient, doctor):
    assert client.get(reverse(LIST)).status_code == 302
    for user in (patient, doctor):
        assert as_user(user).get(reverse(LIST)).status_code == 302


def test_licences_are_verified_in_their_queue_only(as_user, admin_user, unverified_doctor, patient):
    client = as_user(admin_user)
    page = client.get(reverse(LIST) + "?licence=waiting")
    assert unverified_doctor.email in page.text
    assert patient.email not in page.text
    assert "verify_licences" not in page.text
    data = {"action": "verify_licences", "_selected_action": [str(unverified_doctor.pk)]}
    client.post(reverse(LIST), data, follow=True)
    assert not selectors.is_verified_doctor(unverified_doctor)


def test_the_action_withdraws_verifications(as_user, admin_user, doctor, patient):
    client = as_user(admin_user)
    data = {"action": "withdraw_licences", "_selected_action": [str(doctor.pk), str(patient.pk)]}
    answer = client.post(reverse(LIST), data, follow=True)
    assert "1 licence was changed" in answer.text
    assert "no verified licence" in answer.text
    assert not selectors.is_verified_doctor(doctor)
    assert not patient.notices.exists()


@pytest.mark.parametrize("path", ["password/", ""])
def test_a_password_that_an_administrator_sets_ends_the_tokens(as_user, admin_user, patient, path):
    services.create_token(patient, "phone")
    client = as_user(admin_user)
    if path:
        new = "another quite long phrase"
        address = reverse("admin:auth_user_password_change", args=[patient.pk])
        client.post(address, {"password1": new, "password2": new, "usable_password": "true"})
        assert User.objects.get(pk=patient.pk).check_password(new)
    else:
        patient.full_name = "Another Name"
        patient.save()
    assert patient.api_tokens.exists() == (not path)


def test_a_user_can_be_added_and_opened(as_user, admin_user, doctor):
    client = as_user(admin_user)
    data = {"email": "A@Example.org", "full_name": "A", "role": "patient", "usable_password": "true"}
    data |= {"password1": "a long enough phrase", "password2": "a long enough phrase"}
    prefix = "doctor_profile"
    data |= {f"{prefix}-TOTAL_FORMS": "0", f"{prefix}-INITIAL_FORMS": "0"}
    answer = client.post(reverse("admin:accounts_user_add"), data)
    assert answer.status_code == 302, answer.context["errors"]
    assert User.objects.filter(email="a@example.org").exists()
    assert client.get(reverse("admin:accounts_user_change", args=[doctor.pk])).status_code == 200


def test_log_and_grants_are_read_only(as_user, admin_user, patient):
    services.log_access(patient, "view_case", patient)
    CareRelationshipFactory.create(patient=patient)
    client = as_user(admin_user)
    for model in ("accesslog", "carerelationship"):
        assert client.get(reverse(f"admin:accounts_{model}_changelist")).status_code == 200
        assert client.get(reverse(f"admin:accounts_{model}_add")).status_code == 403
    entry = AccessLog.objects.get()
    assert client.post(reverse("admin:accounts_accesslog_delete", args=[entry.pk])).status_code == 403
