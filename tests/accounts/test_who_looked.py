"""Who opened my scans: when, who, what, in plain words, for the patient alone."""

import ast
import uuid
from pathlib import Path
from types import SimpleNamespace

import pytest
from django.conf import settings
from django.urls import reverse
from django.utils import timezone

from accounts import access_log, services
from accounts.access_log_texts import ACTION_TEXTS, phrase
from accounts.job_pages import PAGE_SIZE
from accounts.models import AccessLog
from tests.factories import CareRelationshipFactory, CaseFactory, ScanFactory

PAGE = "accounts:who_looked"


def logged_actions():
    """(action, file) of every call that writes a line with a literal action."""
    for app in ("accounts", "cases", "inference", "resources", "pmi_site"):
        for path in (Path(settings.BASE_DIR) / app).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if not isinstance(node, ast.Call) or len(node.args) < 2:
                    continue
                name = getattr(node.func, "id", getattr(node.func, "attr", ""))
                if name in {"log_access", "log_list", "_log", "record_many", "_stream"}:
                    for argument in node.args[1:4]:
                        if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                            if argument.value.isidentifier():
                                yield argument.value, path.name


def test_every_action_has_words():
    """Add a new action to `accounts.access_log_texts.ACTION_TEXTS`."""
    found = dict(logged_actions())
    assert len(found) > 20
    assert {f"{action} ({name})" for action, name in found.items() if action not in ACTION_TEXTS} == set()


def test_a_phrase_has_no_repeats():
    assert phrase(["view_scan_slice", "view_scan_volume"]) == "looked at the pictures"
    assert phrase(["made_up", "view_case"]) == "opened the case, did something else with your data"


@pytest.mark.django_db
class TestPage:
    def test_a_doctors_visit_is_one_line(self, as_user, patient, doctor, monkeypatch):
        # Visits are told apart by the hour: none begins while this one lasts.
        moment = timezone.now()
        monkeypatch.setattr("accounts.access_log.timezone", SimpleNamespace(now=lambda: moment))
        scan = ScanFactory.create(case__patient=patient, case__title="My sore knee")
        CareRelationshipFactory.create(patient=patient, doctor=doctor)
        visitor = as_user(doctor)
        visitor.get(reverse("cases:detail", args=[scan.case_id]))
        for _n in range(3):
            visitor.get(reverse("cases:scan_slice", args=[scan.case_id, scan.pk]))
        page = as_user(patient).get(reverse(PAGE))
        said = f"<strong>{doctor.full_name}</strong>: opened the case, looked at the pictures</p>"
        assert said in page.text
        assert page.text.count("<strong>") == 1 + page.text.count("<strong>PMI is not")
        assert "My sore knee" in page.text
        assert "no-store" in page["Cache-Control"]

    def test_my_own_doings_are_shown_when_asked_for(self, as_user, patient):
        case = CaseFactory.create(patient=patient)
        client = as_user(patient)
        client.get(reverse("cases:detail", args=[case.pk]))
        assert "Nobody but you" in client.get(reverse(PAGE)).text
        assert "<strong>You</strong>: opened the case</p>" in client.get(reverse(PAGE), {"mine": "1"}).text

    def test_people_without_a_name(self, as_user, patient, other_patient, admin_user, doctor):
        case = CaseFactory.create(patient=patient)
        services.log_access(None, "open_share_link", case)
        services.log_access(other_patient, "view_reference_picture", case)
        services.log_access(admin_user, "view_case", case)
        services.log_access(doctor, "view_case", case)
        doctor.delete()
        text = as_user(patient).get(reverse(PAGE)).text
        for words in (
            "Somebody with your share link",
            "Another user of PMI",
            "An administrator of PMI",
            "Somebody whose account has been erased",
        ):
            assert words in text
        for person in (other_patient, admin_user, doctor):
            assert person.full_name not in text and person.email not in text

    def test_an_emergency_is_marked(self, as_user, patient, doctor):
        CareRelationshipFactory.create(patient=patient, doctor=doctor, is_emergency=True)
        services.log_access(doctor, "view_case", CaseFactory.create(patient=patient))
        assert "in an emergency, without asking you first" in as_user(patient).get(reverse(PAGE)).text

    def test_one_case(self, as_user, patient, other_patient, doctor):
        mine, other = CaseFactory.create(patient=patient), CaseFactory.create(patient=patient)
        services.log_access(doctor, "view_case", mine)
        client = as_user(patient)
        assert doctor.full_name in client.get(reverse(PAGE), {"case": str(mine.pk)}).text
        assert doctor.full_name not in client.get(reverse(PAGE), {"case": str(other.pk)}).text
        theirs = CaseFactory.create(patient=other_patient)
        for wrong in (theirs.pk, uuid.uuid4(), "x"):
            assert client.get(reverse(PAGE), {"case": str(wrong)}).status_code == 404

    def test_deleted_cases_stay_in_the_list(self, as_user, patient, doctor):
        case = CaseFactory.create(patient=patient)
        services.log_access(doctor, "view_case", case)
        case.delete()
        assert "a deleted case" in as_user(patient).get(reverse(PAGE)).text

    def test_pages_and_queries(self, as_user, patient, doctor, django_assert_max_num_queries):
        cases = [CaseFactory.create(patient=patient) for _n in range(PAGE_SIZE + 5)]
        access_log.record_many(doctor, "view_case", cases)
        client = as_user(patient)
        with django_assert_max_num_queries(12):
            first = client.get(reverse(PAGE))
        assert "Page 1 of 2" in first.text
        assert len(client.get(reverse(PAGE), {"page": 2}).context["visits"]) == 5
        assert client.get(reverse(PAGE), {"page": "x"}).status_code == 200

    def test_only_about_me_and_only_for_patients(
        self, as_user, client, patient, other_patient, doctor, admin_user
    ):
        services.log_access(doctor, "view_case", CaseFactory.create(patient=patient))
        assert doctor.full_name not in as_user(other_patient).get(reverse(PAGE)).text
        for user in (doctor, admin_user):
            assert as_user(user).get(reverse(PAGE)).status_code == 403
        assert client.get(reverse(PAGE)).status_code == 302
        assert as_user(patient).post(reverse(PAGE)).status_code == 405
        assert AccessLog.objects.about(patient).count() == 1
