"""Opening a case."""

import pytest

from cases.models import Case

pytestmark = pytest.mark.django_db
URL = "/cases/new/"


def test_patient_opens_a_case(as_user, patient):
    form = {"kind": "knee_xray", "age_group": "child", "question": " Why? ", "title": "Left knee"}
    response = as_user(patient).post(URL, form)
    case = Case.objects.get()
    assert response["Location"] == f"/cases/{case.pk}/"
    assert (case.patient, case.kind, case.age_group) == (patient, "knee_xray", "child")
    assert (case.question, case.title) == ("Why?", "Left knee")


def test_without_a_title_the_kind_names_the_case(as_user, patient):
    as_user(patient).post(URL, {"kind": "chest_xray", "age_group": "adult"})
    assert Case.objects.get().title.startswith("Chest X-ray, ")


def test_form_offers_every_kind_in_plain_words(as_user, patient):
    page = as_user(patient).get(URL).text
    for words in ("Brain MRI", "Chest X-ray", "Knee X-ray", "Not sure", "A child (under 18)"):
        assert words in page


def test_errors_are_shown_and_nothing_is_stored(as_user, patient):
    response = as_user(patient).post(URL, {"kind": "elbow", "age_group": "adult"})
    assert response.status_code == 400
    assert "not one of the available choices" in response.text
    assert not Case.objects.exists()


def test_both_questions_want_an_answer(as_user, patient):
    assert "checked" not in as_user(patient).get(URL).text
    response = as_user(patient).post(URL, {"title": "x"})
    assert response.status_code == 400
    assert set(response.context["form"].errors) == {"kind", "age_group"}


def test_the_patient_cannot_be_chosen(as_user, patient, other_patient):
    as_user(patient).post(URL, {"kind": "unsure", "age_group": "unknown", "patient": str(other_patient.pk)})
    assert Case.objects.get().patient == patient


def test_doctors_and_admins_cannot(as_user, doctor, admin_user):
    for user in (doctor, admin_user):
        assert as_user(user).get(URL).status_code == 403
        assert as_user(user).post(URL, {"kind": "unsure", "age_group": "unknown"}).status_code == 403
    assert not Case.objects.exists()


def test_anonymous_is_sent_to_sign_in(as_user):
    assert as_user(None).post(URL, {}).status_code == 302


def test_wrong_method(as_user, patient):
    assert as_user(patient).delete(URL).status_code == 405
