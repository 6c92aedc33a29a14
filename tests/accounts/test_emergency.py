"""Emergency access: with a reason, for some hours, told to the patient, marked in the log."""

from datetime import timedelta

import pytest
from django.core.exceptions import PermissionDenied
from django.urls import reverse
from django.utils import timezone

from accounts import access_log, care, emergency, selectors, services
from accounts.models import AccessLog, CareRelationship, EmergencyAccess, Notice
from cases.selectors import visible_cases
from pmi_site.errors import TooManyTries, UserError
from tests.factories import CareRelationshipFactory, CaseFactory, ScanFactory

pytestmark = pytest.mark.django_db
REASON = "Unconscious after a fall, I need the earlier head scans."
PAGE = "accounts:emergency"


@pytest.fixture
def case(patient):
    """A scan's case of the patient."""
    return ScanFactory.create(case__patient=patient).case


def form(patient, **values):
    return {"patient_email": patient.email, "reason": REASON, "is_emergency": "on", **values}


class TestService:
    def test_it_opens_everything_for_some_hours_and_tells(
        self, patient, doctor, case, settings, run_tasks, mailoutbox
    ):
        patient.mail_notices = False
        patient.save()
        with run_tasks():
            grant = emergency.open_access(doctor, patient.email.upper(), f"  {REASON}\n")
        assert list(visible_cases(doctor)) == [case]
        hours = timedelta(hours=settings.PMI_EMERGENCY_HOURS)
        assert grant.expires_at is not None
        assert abs(grant.expires_at - timezone.now() - hours) < timedelta(minutes=1)
        assert grant.emergency.reason == REASON
        assert Notice.objects.get(user=patient).kind == "emergency_access"
        assert [mail.to for mail in mailoutbox] == [[patient.email]], "mailed also where mails are off"
        assert REASON not in mailoutbox[0].body
        CareRelationship.objects.update(expires_at=timezone.now())
        assert not visible_cases(doctor).exists()
        assert emergency.open_access(doctor, patient.email, REASON) != grant

    @pytest.mark.parametrize("reason", ["", " " * 40, "urgent", "x" * 1001])
    def test_a_reason_is_needed(self, patient, doctor, reason):
        with pytest.raises(UserError) as caught:
            emergency.open_access(doctor, patient.email, reason)
        assert caught.value.code == "no_reason"
        assert not CareRelationship.objects.exists()

    def test_every_address_that_is_no_patients_gets_the_same_answer(
        self, patient, doctor, unverified_doctor, admin_user
    ):
        patient.is_active = False
        patient.save()
        answers = set()
        for email in (patient.email, doctor.email, unverified_doctor.email, "nobody@example.org", "x"):
            with pytest.raises(UserError) as caught:
                emergency.open_access(doctor, email, REASON)
            answers.add((caught.value.code, caught.value.message))
        assert len(answers) == 1
        assert AccessLog.objects.filter(action="try_emergency_access").count() == 5

    def test_five_tries_an_hour(self, patient, doctor):
        for _n in range(5):
            with pytest.raises(UserError, match="no patient"):
                emergency.open_access(doctor, "nobody@example.org", REASON)
        with pytest.raises(TooManyTries):
            emergency.open_access(doctor, patient.email, REASON)

    def test_only_verified_doctors(self, patient, other_patient, unverified_doctor, admin_user):
        for person in (other_patient, unverified_doctor, admin_user):
            with pytest.raises(PermissionDenied):
                emergency.open_access(person, patient.email, REASON)

    def test_what_is_open_is_not_opened_again(self, patient, doctor):
        emergency.open_access(doctor, patient.email, REASON)
        with pytest.raises(UserError) as caught:
            emergency.open_access(doctor, patient.email, REASON)
        assert caught.value.code == "running_already"
        CareRelationshipFactory.create(patient=patient, doctor=doctor)
        with pytest.raises(UserError) as caught:
            emergency.open_access(doctor, patient.email, REASON)
        assert caught.value.code == "open_already"

    def test_what_the_patient_ended_stays_ended_for_its_time(self, patient, doctor, case):
        grant = emergency.open_access(doctor, patient.email, REASON)
        assert care.revoke_access(patient, grant.pk)
        assert AccessLog.objects.about(patient).filter(action="end_emergency_access").count() == 1
        assert not visible_cases(doctor).exists()
        with pytest.raises(UserError) as caught:
            emergency.open_access(doctor, patient.email, REASON)
        assert caught.value.code == "ended_by_patient"
        CareRelationship.objects.update(expires_at=timezone.now())
        assert emergency.open_access(doctor, patient.email, REASON)

    def test_a_doctor_who_gave_it_back_may_need_it_again(self, patient, doctor):
        grant = emergency.open_access(doctor, patient.email, REASON)
        assert care.give_back(doctor, grant.pk)
        assert emergency.open_access(doctor, patient.email, REASON)

    def test_ending_an_emergency_leaves_an_invitation_alone(self, patient, doctor):
        sent = care.invite_by_email(patient, doctor.email)
        care.revoke_access(patient, emergency.open_access(doctor, patient.email, REASON).pk)
        assert selectors.invitations_to(doctor).get() == sent


class TestLog:
    def test_what_is_read_in_an_emergency_is_marked(self, patient, doctor, case, as_user):
        services.log_access(patient, "view_case", case)
        emergency.open_access(doctor, patient.email, REASON)
        client = as_user(doctor)
        assert client.get(reverse("cases:detail", args=[case.pk])).status_code == 200
        scan = case.scans.get()
        assert client.get(reverse("cases:scan_preview", args=[case.pk, scan.pk])).status_code == 200
        access_log.record_many(doctor, "list_cases", [case])
        marks = dict(AccessLog.objects.about(patient).values_list("action", "is_emergency"))
        actions = {"open_emergency_access", "view_case", "view_scan_preview", "list_cases"}
        assert marks.keys() == actions and all(marks[action] for action in actions - {"view_case"})
        page = as_user(patient).get(reverse("accounts:who_looked")).text
        assert "in an emergency, without asking you first" in page
        access_log.seal()
        assert access_log.verify().holds

    def test_what_the_patient_shares_is_not(self, patient, doctor, case):
        other = CaseFactory.create(patient=patient)
        emergency.open_access(doctor, patient.email, REASON)
        CareRelationshipFactory.create(patient=patient, doctor=doctor, case=other)
        for seen in (case, other):
            services.log_access(doctor, "view_case", seen)
        found = AccessLog.objects.filter(action="view_case").values_list("case_id", "is_emergency")
        assert dict(found) == {case.pk: True, other.pk: False}
        CareRelationshipFactory.create(patient=patient, doctor=doctor)
        services.log_access(doctor, "view_scan", case.scans.get())
        assert not AccessLog.objects.get(action="view_scan").is_emergency

    def test_lines_without_the_mark_keep_their_hash(self, patient, case):
        services.log_access(patient, "view_case", case)
        line = AccessLog.objects.get()
        assert "emergency" not in line.payload(1, "0")
        line.is_emergency = True
        assert line.payload(1, "0")["emergency"] is True

    def test_one_query_more_however_many_lines(self, patient, doctor, django_assert_num_queries):
        cases = [CaseFactory.create(patient=patient) for _n in range(5)]
        emergency.open_access(doctor, patient.email, REASON)
        # Whose the cases are; the mark; all lines in one statement.
        with django_assert_num_queries(3):
            access_log.record_many(doctor, "list_cases", cases)


class TestPage:
    def test_open_with_a_reason_and_see_a_banner_everywhere(self, as_user, patient, doctor, case):
        client = as_user(doctor)
        page = client.get(reverse(PAGE))
        assert page.status_code == 200 and "The patient is told at once" in page.text
        assert "emergency-banner" not in page.text
        answer = client.post(reverse(PAGE), form(patient), follow=True)
        assert "You can now read the cases of" in answer.text
        for address in (
            reverse("accounts:patients"),
            reverse("cases:list"),
            reverse("cases:detail", args=[case.pk]),
            reverse("inference:scan_result", args=[case.pk, case.scans.get().pk]),
            reverse("inference:patient_record", args=[patient.pk]),
        ):
            found = client.get(address)
            assert found.status_code == 200 and "emergency-banner" in found.text, address
        assert "emergency-banner" not in as_user(patient).get(reverse("cases:list")).text

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({"reason": "urgent"}, "at least 20"),
            ({"is_emergency": ""}, "Please confirm"),
            ({"patient_email": "nobody@example.org"}, "no patient with exactly this address"),
        ],
    )
    def test_bad_input_keeps_what_was_typed(self, as_user, patient, doctor, change, words):
        answer = as_user(doctor).post(reverse(PAGE), form(patient, **change))
        assert answer.status_code == 400 and words in answer.text
        assert change.get("reason", REASON) in answer.text
        assert not EmergencyAccess.objects.exists()

    def test_slowed_down(self, as_user, patient, doctor):
        client = as_user(doctor)
        for _n in range(5):
            client.post(reverse(PAGE), form(patient, patient_email="nobody@example.org"))
        assert client.post(reverse(PAGE), form(patient)).status_code == 429

    def test_others(self, as_user, client, patient, unverified_doctor, admin_user):
        for person in (patient, unverified_doctor, admin_user):
            assert as_user(person).get(reverse(PAGE)).status_code == 403
            assert as_user(person).post(reverse(PAGE), form(patient)).status_code == 403
        assert "/login/" in client.get(reverse(PAGE))["Location"]
        assert as_user(patient).delete(reverse(PAGE)).status_code == 405

    def test_the_patient_sees_who_and_why_and_ends_it(self, as_user, patient, doctor, case):
        grant = emergency.open_access(doctor, patient.email, REASON)
        client = as_user(patient)
        page = client.get(reverse("accounts:sharing")).text
        assert doctor.full_name in page and REASON in page and "End it now" in page
        client.post(reverse("accounts:revoke", args=[grant.pk]))
        page = client.get(reverse("accounts:sharing")).text
        assert REASON in page and "End it now" not in page
        assert as_user(doctor).get(reverse("cases:detail", args=[case.pk])).status_code == 404

    def test_administrators_look_and_change_nothing(self, as_user, admin_user, patient, doctor):
        access = emergency.open_access(doctor, patient.email, REASON).emergency
        client = as_user(admin_user)
        page = client.get(reverse("admin:accounts_emergencyaccess_changelist"))
        assert doctor.email in page.text and REASON in page.text
        one = reverse("admin:accounts_emergencyaccess_change", args=[access.pk])
        assert client.get(one).status_code == 200
        assert client.post(one, {"reason": "x"}).status_code == 403
        assert client.get(reverse("admin:accounts_emergencyaccess_add")).status_code == 403
