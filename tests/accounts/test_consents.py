"""Consents: four purposes, versioned words, and what taking one back does."""

import pytest
from django.core.exceptions import PermissionDenied
from django.urls import reverse

from accounts import consent_texts, consents
from accounts.models import AccessLog, Consent, ConsentPurpose, Role, User
from pmi_site.errors import UserError
from tests.factories import PASSWORD

pytestmark = pytest.mark.django_db
PAGE = "accounts:consent"

# Who changes the words gives the text a new version and moves the old one to EARLIER; then both stand here.
FINGERPRINTS = {
    ("care", "2026-11"): "f1644a092c693587",
    ("care", "2026-12"): "57ee23b3a6662c9f",
    ("similar_search", "2026-11"): "7d30ce0fc066db3b",
    ("training", "2026-11"): "e9c274125577f79c",
    ("research", "2026-11"): "33f294c74efe1ac1",
}


def test_words_do_not_change_without_a_new_version():
    texts = {(text.purpose, text.version): text for text in consent_texts.TEXTS.values()}
    texts |= consent_texts.EARLIER
    assert {key: text.fingerprint for key, text in texts.items()} == FINGERPRINTS
    assert set(consent_texts.TEXTS) == set(ConsentPurpose.values)


@pytest.mark.parametrize("purpose", ["similar_search", "training", "research"])
def test_nothing_counts_that_was_not_said(patient, purpose):
    assert not consents.has_consent(patient.pk, purpose)
    consents.give_consent(patient, purpose)
    assert consents.has_consent(patient.pk, purpose)
    assert list(consents.consenting_patient_ids(purpose)) == [patient.pk]
    assert consents.revoke_consent(patient, purpose)
    assert not consents.has_consent(patient.pk, purpose)
    assert not consents.revoke_consent(patient, purpose)
    assert not list(consents.consenting_patient_ids(purpose))
    assert [line.action for line in AccessLog.objects.about(patient)] == ["revoke_consent", "give_consent"]


def test_purposes_stand_alone(patient):
    consents.give_consent(patient, ConsentPurpose.TRAINING)
    assert not consents.has_consent(patient.pk, ConsentPurpose.RESEARCH)
    consents.give_consent(patient, ConsentPurpose.RESEARCH)
    consents.revoke_consent(patient, ConsentPurpose.TRAINING)
    assert consents.has_consent(patient.pk, ConsentPurpose.RESEARCH)


def test_care_counts_until_it_is_taken_back(patient):
    assert not consents.care_is_withdrawn(patient.pk)
    consents.require_care(patient.pk)
    assert consents.revoke_consent(patient, ConsentPurpose.CARE)
    assert not consents.revoke_consent(patient, ConsentPurpose.CARE)
    assert consents.care_is_withdrawn(patient.pk)
    assert list(consents.patients_without_care()) == [patient]
    with pytest.raises(UserError) as caught:
        consents.require_care(patient.pk)
    assert caught.value.code == "care_withdrawn"
    consents.give_consent(patient, ConsentPurpose.CARE)
    assert not consents.care_is_withdrawn(patient.pk)
    assert not consents.patients_without_care().exists()


def test_a_consent_to_other_words_does_not_count_and_is_asked_for_again(patient, as_user):
    old = Consent.objects.create(patient=patient, purpose=ConsentPurpose.TRAINING, text_version="2020-01")
    assert not consents.has_consent(patient.pk, ConsentPurpose.TRAINING)
    assert "but to other words" in as_user(patient).get(reverse(PAGE)).text
    fresh = consents.give_consent(patient, ConsentPurpose.TRAINING)
    old.refresh_from_db()
    assert old.revoked_at is not None
    assert fresh.text_version == "2026-11"
    assert consents.has_consent(patient.pk, ConsentPurpose.TRAINING)


def test_words_that_say_so_still_count(patient, monkeypatch):
    text = consent_texts.TEXTS[ConsentPurpose.TRAINING]
    changed = consent_texts.ConsentText(**{**vars(text), "version": "2027-01", "also_counts": ("2026-11",)})
    consents.give_consent(patient, ConsentPurpose.TRAINING)
    monkeypatch.setitem(consent_texts.TEXTS, ConsentPurpose.TRAINING, changed)
    assert consents.has_consent(patient.pk, ConsentPurpose.TRAINING)


def test_only_patients_consent(doctor, admin_user):
    for user in (doctor, admin_user):
        with pytest.raises(PermissionDenied):
            consents.give_consent(user, ConsentPurpose.CARE)


# --- the page ---


def test_the_page_shows_every_purpose_and_what_was_said(as_user, patient):
    client = as_user(patient)
    page = client.get(reverse(PAGE))
    for text in consent_texts.TEXTS.values():
        assert str(text.title).replace("'", "&#x27;") in page.text
    assert "Your account is older than this question" in page.text
    for purpose in ConsentPurpose.values:
        for answer in ("give", "give", "revoke", "revoke", "give"):
            said = client.post(reverse(PAGE), {"purpose": purpose, "answer": answer})
            assert said["Location"] == reverse(PAGE)
    assert client.get(reverse(PAGE)).text.count("You agreed on") == 4
    assert Consent.objects.filter(patient=patient, revoked_at__isnull=True).count() == 4
    assert "no-store" in page["Cache-Control"]


def test_taking_care_back_on_the_page_says_what_it_means(as_user, patient):
    client = as_user(patient)
    answer = client.post(reverse(PAGE), {"purpose": "care", "answer": "revoke"}, follow=True)
    assert "PMI takes no new scans from you" in answer.text
    assert consents.care_is_withdrawn(patient.pk)


@pytest.mark.parametrize("data", [{"answer": "x"}, {"purpose": "x", "answer": "give"}, {"purpose": "care"}])
def test_made_up_answers_are_refused(as_user, patient, data):
    assert as_user(patient).post(reverse(PAGE), data).status_code == 400
    assert not Consent.objects.exists()


def test_the_page_is_for_patients(as_user, client, doctor, admin_user, patient):
    assert client.get(reverse(PAGE)).status_code == 302
    for user in (doctor, admin_user):
        assert as_user(user).get(reverse(PAGE)).status_code == 403
        assert as_user(user).post(reverse(PAGE), {"purpose": "care", "answer": "give"}).status_code == 403
    assert as_user(patient).delete(reverse(PAGE)).status_code == 405


# --- sign-up ---

FORM = {
    "full_name": "Nia New",
    "email": "nia@example.org",
    "password1": PASSWORD,
    "password2": PASSWORD,
    "role": Role.PATIENT,
}


def test_a_patient_agrees_to_care_when_signing_up(client):
    refused = client.post("/accounts/signup/", FORM)
    assert "PMI cannot work for you without this" in refused.text
    assert not User.objects.exists()
    client.post("/accounts/signup/", {**FORM, "agree_care": "on"})
    consent = Consent.objects.get()
    assert (consent.patient.email, consent.purpose, consent.revoked_at) == ("nia@example.org", "care", None)


def test_a_doctor_is_not_asked(client):
    client.post(
        "/accounts/signup/",
        {**FORM, "role": Role.DOCTOR, "licence_number": "1", "licence_country": "Utopia"},
    )
    assert User.objects.exists() and not Consent.objects.exists()
