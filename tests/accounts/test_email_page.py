"""Changing the email address: adding one, confirming it, choosing it, removing the old one."""

import re

import pytest
from allauth.account.models import EmailAddress
from django.core import mail
from django.urls import reverse

pytestmark = pytest.mark.django_db
PAGE = "/accounts/email/"
NEW = "new@example.org"


def test_from_one_address_to_another(as_user, patient):
    client, old = as_user(patient), patient.email
    page = client.get(PAGE).text
    assert old in page and "in use now" in page and "Remove" not in page
    page = client.post(PAGE, {"email": NEW, "action_add": ""}, follow=True).text
    assert "not confirmed yet" in page and "Use this address" not in page
    client.post(PAGE, {"email": NEW, "action_send": ""})
    assert {tuple(message.to) for message in mail.outbox} == {(NEW,)}
    link = re.search(r"http://testserver(/\S+)", str(mail.outbox[-1].body))
    client.post(link.group(1))
    page = client.get(PAGE).text
    assert "not confirmed yet" not in page and re.search(r'name="action_primary">Use this address<', page)
    client.post(PAGE, {"email": NEW, "action_primary": ""})
    patient.refresh_from_db()
    assert patient.email == NEW
    client.post(PAGE, {"email": old, "action_remove": ""})
    assert [address.email for address in EmailAddress.objects.filter(user=patient)] == [NEW]


def test_a_wrong_address_is_explained_at_the_field(as_user, patient):
    page = as_user(patient).post(PAGE, {"email": "nonsense", "action_add": ""}).text
    assert "invalid-feedback" in page and 'aria-invalid="true"' in page
    assert EmailAddress.objects.filter(user=patient).count() == 1


def test_the_account_leads_to_it_and_others_log_in_first(as_user, patient):
    assert reverse("account_email") in as_user(patient).get(reverse("accounts:account")).text
    assert "/login/" in as_user(None).get(PAGE)["Location"]
