"""The symptom checklist: the page, what it does to readings, and the same over the API."""

import importlib
import uuid
from typing import Any

import pytest
from django.apps import apps
from django.urls import reverse

from accounts.models import User
from cases.models import Case
from inference import assessing
from inference.models import Analysis, DangerAssessment
from resources.symptoms import catalogue
from tests import factories
from tests.inference import reading_rows

pytestmark = pytest.mark.django_db
API = "/api/v1/cases/"


@pytest.fixture
def case(patient: User) -> Case:
    return factories.CaseFactory.create(patient=patient, kind="chest_xray", age_group="adult")


@pytest.fixture
def reader(case: Case, doctor: User) -> User:
    factories.CareRelationshipFactory.create(patient=case.patient, doctor=doctor)
    return doctor


@pytest.fixture
def answered(case: Case, as_user: Any, django_capture_on_commit_callbacks: Any) -> Any:
    """Sends answers as the patient's browser would; returns the response."""

    def send(**answers: str) -> Any:
        with django_capture_on_commit_callbacks(execute=True):
            data = {f"symptom-{code}": value for code, value in answers.items()}
            response = as_user(case.patient).post(url_of(case), data)
        case.refresh_from_db()
        return response

    return send


@pytest.fixture
def reading(case: Case) -> Analysis:
    """A reading of the case that says: possibly pneumonia, "soon"."""
    made = reading_rows.analysis(factories.ScanFactory.create(case=case), "succeeded")
    reading_rows.finding(made, call="possible")
    assessing.reassess_case(case.pk)
    made.refresh_from_db()
    assert made.danger == "soon"
    return made


def url_of(case: Case) -> str:
    return reverse("inference:case_symptoms", args=[case.pk])


def result_of(analysis: Analysis) -> str:
    return reverse("inference:scan_result", args=[analysis.scan.case_id, analysis.scan_id])


# --- the page -----------------------------------------------------------------------------------------------


def test_the_owner_answers(answered, case):
    response = answered(blue_lips="yes", chest_pain="no", high_fever="", oxygen_saturation="93.5")
    assert response["Location"] == f"/cases/{case.pk}/"
    # What was not answered is missing; it is never stored as a no.
    assert case.symptoms == {"blue_lips": True, "chest_pain": False, "oxygen_saturation": 93.5}


def test_it_asks_only_what_fits(as_user, patient, case):
    page = as_user(patient).get(url_of(case)).text
    asked = {s.code for s in catalogue().symptoms if f'name="symptom-{s.code}"' in page}
    assert asked == {s.code for s in catalogue().asked("chest_xray", "adult")}
    assert "blue_lips" in asked and "child_not_drinking" not in asked and "night_pain" not in asked
    assert "No clinician has reviewed these questions yet." in page


def test_none_of_these_is_a_no_to_each_question(answered, case):
    answered(none_of_these="on")
    assert case.symptoms and set(case.symptoms.values()) == {False}
    assert "oxygen_saturation" not in case.symptoms


def test_none_of_these_beside_a_yes_is_refused(answered, case):
    response = answered(none_of_these="on", blue_lips="yes")
    assert response.status_code == 400
    assert "also answered yes" in response.text
    assert case.symptoms == {}


@pytest.mark.parametrize("value", ["20", "101", "a lot", "nan", "1e9"])
def test_impossible_numbers_are_refused(answered, case, value):
    assert answered(oxygen_saturation=value).status_code == 400
    assert case.symptoms == {}


def test_answers_can_be_changed(answered, as_user, patient, case):
    answered(blue_lips="yes")
    page = as_user(patient).get(f"/cases/{case.pk}/").text
    assert "Blue or grey lips or face" in page and "Change the answers" in page
    answered(blue_lips="no")
    assert case.symptoms == {"blue_lips": False}
    assert "No symptom was answered with yes." in as_user(patient).get(f"/cases/{case.pk}/").text


def test_answers_that_are_not_saved_have_a_note_at_the_form_and_at_the_results(as_user, patient, case):
    page = as_user(patient).get(f"/cases/{case.pk}/").text
    note = "data-unsaved-note hidden>Your answers are not saved yet."
    form, results = page.split('id="scans-heading"')
    assert form.count(note) == results.count(note) == 1
    assert 'data-unsaved=""' in form


def test_answers_that_were_refused_are_said_not_to_be_saved(answered):
    page = answered(none_of_these="on", blue_lips="yes").text
    assert 'data-unsaved="yes"' in page
    assert "data-unsaved-note>Your answers are not saved yet." in page


def test_a_reader_may_look_but_not_answer(as_user, reader, case):
    client = as_user(reader)
    assert client.get(url_of(case)).status_code == 403
    assert client.post(url_of(case), {"symptom-blue_lips": "yes"}).status_code == 403
    Case.objects.filter(pk=case.pk).update(symptoms={"blue_lips": True})
    page = client.get(f"/cases/{case.pk}/").text
    assert "Blue or grey lips or face" in page and "Change the answers" not in page
    assert "data-unsaved" not in page


def test_hidden_from_everybody_else(as_user, other_patient, unverified_doctor, admin_user, doctor, case):
    for user in (other_patient, unverified_doctor, admin_user, doctor):
        for method in ("get", "post"):
            assert getattr(as_user(user), method)(url_of(case)).status_code == 404
    for method in ("get", "post"):
        answer = getattr(as_user(None), method)(url_of(case))
        assert answer.status_code == 302 and "login" in answer["Location"]


def test_bad_id_and_wrong_method(as_user, patient, case):
    client = as_user(patient)
    assert client.get(f"/cases/{uuid.uuid4()}/symptoms/").status_code == 404
    assert client.get("/cases/1/symptoms/").status_code == 404
    for method in ("put", "delete"):
        assert getattr(client, method)(url_of(case)).status_code == 405


@pytest.mark.parametrize(("language", "words"), [("es", "Labios o cara"), ("hi", "होंठ")])
def test_the_questions_speak_the_readers_language(as_user, patient, case, language, words):
    client = as_user(patient)
    client.cookies["django_language"] = language
    assert words in client.get(url_of(case)).text


# --- what answers do ----------------------------------------------------------------------------------------


def test_a_warning_sign_raises_the_level_and_the_page_says_why(answered, as_user, patient, reading):
    answered(blue_lips="yes")
    reading.refresh_from_db()
    assert (reading.danger, reading.danger_rules[0]) == ("emergency", "symptom.blue_lips")
    page = as_user(patient).get(result_of(reading)).text
    assert "You said: blue or grey lips or face." in page
    assert "Call your local emergency number now" in page
    levels = [row.level for row in DangerAssessment.objects.filter(analysis=reading)]
    assert levels == ["soon", "emergency"]


def test_the_page_says_why_in_the_readers_language(answered, as_user, patient, reading):
    answered(blue_lips="yes")
    client = as_user(patient)
    client.cookies["django_language"] = "es"
    page = client.get(result_of(reading)).text
    assert "Usted dijo: labios o cara azulados o grises." in page
    assert "número local de emergencias" in page
    assert "You said" not in page


def test_a_sign_beside_a_weak_finding_counts_together(answered, reading):
    answered(high_fever="yes")
    reading.refresh_from_db()
    assert (reading.danger, reading.danger_rules[0]) == ("urgent", "symptom.high_fever.pneumonia")


def test_a_sign_counts_where_nothing_was_found(answered, case):
    made = reading_rows.analysis(factories.ScanFactory.create(case=case), "succeeded")
    reading_rows.finding(made, "no-chest-finding", label="no_finding", call="likely")
    answered(oxygen_saturation="90")
    made.refresh_from_db()
    assert (made.danger, made.danger_rules[0]) == ("emergency", "symptom.oxygen_low")


def test_a_sign_counts_where_nothing_could_be_read(answered, as_user, patient, case):
    made = reading_rows.analysis(factories.ScanFactory.create(case=case), "rejected")
    answered(chest_pain="yes")
    made.refresh_from_db()
    assert made.danger == "emergency"
    page = as_user(patient).get(result_of(made)).text
    assert "This comes from the symptoms you gave, not from the scan." in page


def test_a_sign_counts_before_any_scan(answered, as_user, patient, case):
    answered(breathless_at_rest="yes")
    page = as_user(patient).get(f"/cases/{case.pk}/").text
    assert "Call your local emergency number now" in page and 'role="alert"' in page


def test_taking_an_answer_back_takes_the_level_back(answered, reading):
    answered(blue_lips="yes")
    answered(blue_lips="no")
    reading.refresh_from_db()
    assert reading.danger == "soon"


def test_answers_never_go_below_a_doctors_level(answered, reading):
    Analysis.objects.filter(pk=reading.pk).update(doctor_level="urgent")
    answered(none_of_these="on")
    reading.refresh_from_db()
    assert (reading.danger, reading.danger_rules[0]) == ("urgent", "doctor")


# --- the API ------------------------------------------------------------------------------------------------


def test_api_answers_raise_the_level(api_as, patient, case, reading, django_capture_on_commit_callbacks):
    client = api_as(patient)
    with django_capture_on_commit_callbacks(execute=True):
        response = client.patch(f"{API}{case.pk}/", {"symptoms": {"blue_lips": True}}, format="json")
    assert response.status_code == 200
    assert response.json()["symptoms"] == {"blue_lips": True}
    shown = client.get(f"/api/v1/analyses/{reading.pk}/").json()
    assert shown["danger"] == "emergency"
    assert "blue or grey lips" in shown["danger_reasons"][0]


def test_api_opens_a_case_with_answers(api_as, patient):
    body = {"kind": "knee_xray", "age_group": "child", "symptoms": {"night_pain": True}}
    response = api_as(patient).post(API, body, format="json")
    assert response.status_code == 201
    assert Case.objects.get().symptoms == {"night_pain": True}


@pytest.mark.parametrize(
    "symptoms",
    [
        {"purple_ears": True},
        {"blue_lips": "yes"},
        {"blue_lips": 1},
        {"blue_lips": None},
        {"oxygen_saturation": True},
        {"oxygen_saturation": 12},
        {"oxygen_saturation": "93"},
        ["blue_lips"],
        "blue_lips",
    ],
)
def test_api_refuses_what_makes_no_sense(api_as, patient, case, symptoms):
    response = api_as(patient).patch(f"{API}{case.pk}/", {"symptoms": symptoms}, format="json")
    assert response.status_code == 400
    case.refresh_from_db()
    assert case.symptoms == {}


def test_api_of_others(api_as, reader, other_patient, case):
    body = {"symptoms": {"blue_lips": True}}
    assert api_as(reader).patch(f"{API}{case.pk}/", body, format="json").status_code == 403
    assert api_as(other_patient).patch(f"{API}{case.pk}/", body, format="json").status_code == 404
    assert api_as(None).patch(f"{API}{case.pk}/", body, format="json").status_code == 401


@pytest.mark.parametrize(("age_group", "place"), [("child", slice(0, 4)), ("unknown", slice(-4, None))])
def test_questions_about_children_come_first_for_children_and_last_where_nobody_knows(
    age_group: str, place: slice
) -> None:
    asked = catalogue().asked("chest_xray", age_group)
    own = [one.code for one in asked if one.age == "child"]
    assert [one.code for one in asked[place]] == own and len(own) == 4


def test_questions_that_came_later_are_pointed_out(case: Case, as_user: Any) -> None:
    words = "There are questions that you have not answered yet."
    page = reverse("cases:detail", args=[case.pk])
    case.symptoms = {one.code: False for one in catalogue().asked("chest_xray", "adult") if not one.is_number}
    case.save()
    assert words not in as_user(case.patient).get(page).text
    del case.symptoms["weak_defences_fever"]
    case.save()
    assert words in as_user(case.patient).get(page).text


def test_a_no_to_a_question_that_asks_more_now_is_forgotten(case: Case) -> None:
    case.symptoms = {"drowsy": False, "hot_swollen_fever": True, "blue_lips": False}
    case.save()
    module = importlib.import_module("cases.migrations.0010_answers_to_questions_that_ask_more")
    module.forget_no(apps, None)
    case.refresh_from_db()
    assert case.symptoms == {"hot_swollen_fever": True, "blue_lips": False}
