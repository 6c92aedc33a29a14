"""The care relationship as a service: inviting, asking, answering, ending."""

from datetime import timedelta
from smtplib import SMTPException

import pytest
from allauth.account.models import EmailAddress
from django.core.exceptions import PermissionDenied
from django.db.models import F
from django.utils import timezone

from accounts import care, selectors
from accounts.models import AccessLog, CareInvitation, CareRelationship, Notice, Role
from cases.selectors import visible_cases
from pmi_site.errors import TooManyTries, UserError
from tests.factories import CareRelationshipFactory, CaseFactory, DoctorFactory

pytestmark = pytest.mark.django_db


def kinds(user):
    """The kinds of this person's notices, oldest first."""
    return list(Notice.objects.filter(user=user).order_by("created_at").values_list("kind", flat=True))


def said_of(patient):
    """What the log says was done to this person's things, each thing once."""
    return set(AccessLog.objects.about(patient).values_list("action", flat=True))


def expire(invitation):
    CareInvitation.objects.filter(pk=invitation.pk).update(expires_at=timezone.now() - timedelta(seconds=1))


def grow_older(invitation, age):
    row = CareInvitation.objects.filter(pk=invitation.pk)
    row.update(created_at=F("created_at") - age, updated_at=F("updated_at") - age)


class TestByEmail:
    def test_an_invitation_opens_nothing_until_the_doctor_accepts(self, patient, doctor, run_tasks):
        case = CaseFactory.create(patient=patient)
        with run_tasks():
            sent = care.invite_by_email(patient, f" {doctor.email.upper()} ")
        assert kinds(doctor) == ["care_invited"]
        assert not visible_cases(doctor).exists()
        assert list(selectors.invitations_to(doctor)) == [sent]
        grant = care.accept_invitation(doctor, sent.pk)
        assert grant is not None and grant.expires_at is None and grant.case_id is None
        assert list(visible_cases(doctor)) == [case]
        assert kinds(patient) == ["care_accepted"]
        sent.refresh_from_db()
        assert (sent.state, sent.grant, sent.doctor) == ("accepted", grant, doctor)
        assert said_of(patient) == {"invite_doctor", "accept_invitation"}
        assert care.accept_invitation(doctor, sent.pk) is None

    def test_one_case_for_some_days(self, patient, doctor):
        cases = [CaseFactory.create(patient=patient) for _n in range(2)]
        sent = care.invite_by_email(patient, doctor.email, case_id=cases[0].pk, access_days=7)
        grant = care.accept_invitation(doctor, sent.pk)
        assert list(visible_cases(doctor)) == [cases[0]]
        assert grant is not None and grant.expires_at is not None
        assert timedelta(days=6) < grant.expires_at - timezone.now() <= timedelta(days=7)

    def test_the_answer_is_the_same_whoever_has_the_address(
        self, patient, other_patient, unverified_doctor, doctor, admin_user, run_tasks, mailoutbox
    ):
        """Nothing tells apart known and unknown addresses: no error, no notice to the patient, no state."""
        addresses = [p.email for p in (other_patient, unverified_doctor, admin_user)] + ["typo@example.org"]
        with run_tasks():
            sent = [care.invite_by_email(patient, email) for email in addresses]
        assert {(row.state, row.doctor_id, row.grant_id) for row in sent} == {("open", None, None)}
        assert not Notice.objects.exists()
        assert [mail.to for mail in mailoutbox] == [[address] for address in addresses]
        assert len({mail.body for mail in mailoutbox}) == 1
        assert patient.full_name not in mailoutbox[0].body and patient.email not in mailoutbox[0].body
        for person in (other_patient, unverified_doctor, admin_user):
            assert not selectors.invitations_to(person).exists()
            assert not any(care.accept_invitation(person, row.pk) for row in sent)

    def test_a_stranger_is_asked_in_the_language_of_who_asks(self, patient, doctor, run_tasks, mailoutbox):
        patient.language, doctor.language = "es", "hi"
        patient.save()
        doctor.save()
        with run_tasks():
            care.invite_by_email(patient, "typo@example.org")
            care.request_access(doctor, "someone@example.org")
        assert [mail.subject for mail in mailoutbox] == ["Una invitación a PMI", "PMI का निमंत्रण"]
        assert all("\nhttp://localhost:8000/accounts/login/\n" in mail.body for mail in mailoutbox)

    def test_a_mistyped_address_waits_and_can_be_taken_back(self, patient, doctor):
        sent = care.invite_by_email(patient, "typo@example.org")
        assert sent.is_waiting
        assert not care.cancel(doctor, sent.pk)
        assert care.cancel(patient, sent.pk)
        assert not care.cancel(patient, sent.pk)
        # Whoever signs up with it afterwards finds nothing.
        EmailAddress.objects.create(user=doctor, email="Typo@example.org", verified=True)
        assert not selectors.invitations_to(doctor).exists()

    def test_it_waits_for_a_doctor_who_signs_up_later_and_expires(self, patient, doctor):
        sent = care.invite_by_email(patient, "later@example.org")
        address = EmailAddress.objects.create(user=doctor, email="later@example.org", verified=False)
        assert not selectors.invitations_to(doctor).exists(), "an address must be proved first"
        address.verified = True
        address.save()
        assert selectors.invitations_to(doctor).get() == sent
        expire(sent)
        assert care.accept_invitation(doctor, sent.pk) is None
        sent.refresh_from_db()
        assert sent.state_text == "expired"
        assert not care.deliver(sent.pk)

    def test_whoever_is_invited_is_told_once(self, patient, doctor, mailoutbox):
        for address in ("typo@example.org", doctor.email):
            sent = care.invite_by_email(patient, address)
            assert care.deliver(sent.pk)
            assert not care.deliver(sent.pk)
        assert len(mailoutbox) == 1 and kinds(doctor) == ["care_invited"]

    def test_one_that_could_not_be_delivered_is_delivered_later(self, patient, monkeypatch, mailoutbox):
        def broken(*args):
            raise SMTPException

        sent = care.invite_by_email(patient, "typo@example.org")
        taken_back, code = care.invite_by_email(patient, "other@example.org"), care.make_code(patient)[0]
        with monkeypatch.context() as patch:
            patch.setattr(care, "send_mail", broken)
            with pytest.raises(SMTPException):
                care.deliver(sent.pk)
            care.sweep()
            assert not mailoutbox, "the first message may be on its way"
            for one in (sent, taken_back, code):
                grow_older(one, timedelta(minutes=6))
            care.cancel(patient, taken_back.pk)
            care.sweep()
        grow_older(sent, timedelta(minutes=5))
        care.sweep()
        assert not mailoutbox, "it was in vain for six minutes, so it waits for as long"
        grow_older(sent, timedelta(minutes=2))
        for _minute in range(2):
            care.sweep()
        assert [mail.to for mail in mailoutbox] == [["typo@example.org"]]

    def test_declining(self, patient, doctor):
        sent = care.invite_by_email(patient, doctor.email)
        assert not care.decline_invitation(DoctorFactory.create(), sent.pk)
        assert care.decline_invitation(doctor, sent.pk)
        assert kinds(patient) == ["care_declined"]
        assert not care.decline_invitation(doctor, sent.pk)
        assert care.accept_invitation(doctor, sent.pk) is None

    def test_impossible_wishes(self, patient, other_patient, doctor, admin_user):
        foreign = CaseFactory.create(patient=other_patient)
        for wish, code in (
            ({"case_id": foreign.pk}, "no_such_case"),
            ({"access_days": 0}, "bad_days"),
            ({"access_days": care.LONGEST_DAYS + 1}, "bad_days"),
        ):
            with pytest.raises(UserError) as caught:
                care.invite_by_email(patient, doctor.email, **wish)
            assert caught.value.code == code
        with pytest.raises(UserError, match="your own address"):
            care.invite_by_email(patient, patient.email)
        for person in (doctor, admin_user):
            with pytest.raises(PermissionDenied):
                care.invite_by_email(person, "a@example.org")
        care.invite_by_email(patient, doctor.email)
        with pytest.raises(UserError, match="still waiting"):
            care.invite_by_email(patient, doctor.email)

    def test_nobody_mails_the_whole_town(self, patient, monkeypatch):
        monkeypatch.setattr(care, "MOST_WAITING", 2)
        for number in range(2):
            care.invite_by_email(patient, f"d{number}@example.org")
        with pytest.raises(TooManyTries):
            care.make_code(patient)


class TestByCode:
    def test_a_code_works_once_in_any_spelling(self, patient, doctor):
        case = CaseFactory.create(patient=patient)
        invitation, code = care.make_code(patient)
        assert code.replace("-", "") not in str(CareInvitation.objects.values().get(pk=invitation.pk))
        grant = care.use_code(doctor, f"  {code.lower().replace('-', ' ')} ")
        assert list(visible_cases(doctor)) == [case]
        assert kinds(patient) == ["care_code_used"]
        assert care.use_code(doctor, code) == grant, "a double click"
        with pytest.raises(UserError) as caught:
            care.use_code(DoctorFactory.create(), code)
        assert caught.value.code == "bad_code"
        care.revoke_access(patient, grant.pk)
        with pytest.raises(UserError):
            care.use_code(doctor, code)
        assert not visible_cases(doctor).exists()

    def test_expired_cancelled_and_wrong_codes_answer_alike(self, patient, doctor):
        answers = set()
        late, late_code = care.make_code(patient)
        expire(late)
        gone, gone_code = care.make_code(patient)
        care.cancel(patient, gone.pk)
        for code in (late_code, gone_code, "2222-2222", "?", ""):
            with pytest.raises(UserError) as caught:
                care.use_code(doctor, code)
            answers.add((caught.value.code, caught.value.message))
        assert len(answers) == 1
        assert not CareRelationship.objects.exists()

    def test_guessing_is_slowed_down_for_the_right_one_too(self, patient, doctor):
        _invitation, code = care.make_code(patient)
        for _n in range(10):
            with pytest.raises(UserError, match="does not work"):
                care.use_code(doctor, "2222-2222")
        with pytest.raises(TooManyTries):
            care.use_code(doctor, code)
        assert care.use_code(DoctorFactory.create(), code), "others need not wait"

    def test_only_verified_doctors_use_codes(self, patient, other_patient, unverified_doctor, admin_user):
        _invitation, code = care.make_code(patient)
        for person in (other_patient, unverified_doctor, admin_user):
            with pytest.raises(PermissionDenied):
                care.use_code(person, code)

    def test_a_closed_account_lets_nobody_in(self, patient, doctor):
        _invitation, code = care.make_code(patient)
        sent = care.invite_by_email(patient, doctor.email)
        patient.is_active = False
        patient.save()
        with pytest.raises(UserError):
            care.use_code(doctor, code)
        assert care.accept_invitation(doctor, sent.pk) is None


class TestByRequest:
    def test_the_patient_decides_scope_and_time(self, patient, doctor, run_tasks):
        case, _other = (CaseFactory.create(patient=patient) for _n in range(2))
        with run_tasks():
            asked = care.request_access(doctor, patient.email)
        assert kinds(patient) == ["care_requested"]
        assert asked.patient_id is None and asked.grant_id is None
        assert selectors.requests_to(patient).get() == asked
        grant = care.accept_request(patient, asked.pk, case_id=case.pk, access_days=30)
        assert list(visible_cases(doctor)) == [case]
        assert grant.expires_at is not None
        assert kinds(doctor) == ["care_request_accepted"]
        assert said_of(patient) == {"grant_access"}
        assert care.accept_request(patient, asked.pk) is None

    def test_a_no_holds_for_a_while(self, patient, other_patient, doctor):
        asked = care.request_access(doctor, patient.email)
        with pytest.raises(UserError, match="still waiting"):
            care.request_access(doctor, patient.email)
        assert not care.decline_request(other_patient, asked.pk)
        assert care.decline_request(patient, asked.pk)
        assert kinds(doctor) == ["care_request_declined"]
        assert said_of(patient) == {"decline_request"}
        with pytest.raises(UserError, match="answer was no"):
            care.request_access(doctor, patient.email)
        CareInvitation.objects.update(answered_at=timezone.now() - care.ASK_AGAIN_AFTER)
        care.request_access(doctor, patient.email)

    def test_asking_looks_nobody_up(self, patient, doctor, other_patient, run_tasks, mailoutbox):
        with run_tasks():
            care.request_access(doctor, "nobody@example.org")
            care.request_access(doctor, DoctorFactory.create().email)
        assert not Notice.objects.exists()
        assert len({mail.body for mail in mailoutbox}) == 1 and len(mailoutbox) == 2
        assert doctor.full_name not in mailoutbox[0].body
        with pytest.raises(PermissionDenied):
            care.request_access(other_patient, patient.email)

    def test_a_doctor_whose_licence_is_gone_is_not_let_in(self, patient, doctor):
        asked = care.request_access(doctor, patient.email)
        doctor.doctor_profile.verified_at = None
        doctor.doctor_profile.save()
        assert not selectors.requests_to(patient).exists()
        assert care.accept_request(patient, asked.pk) is None


class TestEnding:
    def test_revoking_ends_at_once_tells_and_takes_back_what_waits(self, patient, other_patient, doctor):
        CaseFactory.create(patient=patient)
        grant = CareRelationshipFactory.create(patient=patient, doctor=doctor)
        waits = care.invite_by_email(patient, doctor.email)
        other = care.invite_by_email(patient, "somebody.else@example.org")
        assert not care.revoke_access(other_patient, grant.pk)
        assert visible_cases(doctor).exists()
        assert care.revoke_access(patient, grant.pk)
        assert not visible_cases(doctor).exists()
        assert not care.revoke_access(patient, grant.pk)
        assert kinds(doctor) == ["care_ended"]
        assert said_of(patient) == {"invite_doctor", "revoke_access"}
        assert care.accept_invitation(doctor, waits.pk) is None
        other.refresh_from_db()
        assert other.is_waiting

    def test_ending_one_case_leaves_an_invitation_to_another(self, patient, doctor):
        one, two = (CaseFactory.create(patient=patient) for _n in range(2))
        grant = CareRelationshipFactory.create(patient=patient, doctor=doctor, case=one)
        waits = care.invite_by_email(patient, doctor.email, case_id=two.pk)
        care.revoke_access(patient, grant.pk)
        waits.refresh_from_db()
        assert waits.is_waiting

    def test_a_doctor_gives_back(self, patient, doctor):
        CaseFactory.create(patient=patient)
        grant = CareRelationshipFactory.create(patient=patient, doctor=doctor)
        assert not care.give_back(DoctorFactory.create(), grant.pk)
        assert care.give_back(doctor, grant.pk)
        assert not care.give_back(doctor, grant.pk)
        assert not visible_cases(doctor).exists()
        assert kinds(patient) == ["care_given_back"]
        assert AccessLog.objects.about(patient).get().action == "give_access_back"

    def test_the_newest_word_counts_and_an_expired_grant_makes_room(self, patient, doctor):
        first = care.accept_invitation(doctor, care.invite_by_email(patient, doctor.email).pk)
        again = care.accept_invitation(doctor, care.invite_by_email(patient, doctor.email, access_days=3).pk)
        assert again == first and again.expires_at is not None
        CareRelationship.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
        third = care.accept_invitation(doctor, care.invite_by_email(patient, doctor.email).pk)
        assert third != first and selectors.grants_of(patient).get() == third


def test_old_answers_leave_the_page(patient, doctor):
    sent = care.invite_by_email(patient, doctor.email)
    care.cancel(patient, sent.pk)
    assert selectors.invitations_by(patient).exists()
    long_ago = timezone.now() - selectors.SHOWN_FOR
    CareInvitation.objects.update(answered_at=long_ago, expires_at=long_ago)
    assert not selectors.invitations_by(patient).exists()


def test_requests_to_nobody_else(doctor, patient):
    care.request_access(doctor, patient.email)
    patient.role = Role.ADMIN
    patient.save()
    assert not selectors.requests_to(patient).exists()


def test_addresses_of_what_came_to_nothing_are_forgotten(patient, doctor):
    accepted = care.invite_by_email(patient, doctor.email)
    care.accept_invitation(doctor, accepted.pk)
    care.invite_by_email(patient, "typo@example.org")
    assert care.sweep() == 0
    CareInvitation.objects.update(expires_at=timezone.now() - selectors.SHOWN_FOR)
    assert care.sweep() == 1
    assert CareInvitation.objects.get() == accepted


def test_an_erased_address_is_in_no_invitation(patient, other_patient, doctor):
    from accounts import portable

    EmailAddress.objects.create(user=doctor, email="Second@example.org", verified=False)
    for email in (doctor.email, "second@example.org"):
        care.invite_by_email(patient, email)
    kept = care.invite_by_email(other_patient, "somebody.else@example.org")
    eraser = portable.erasers["invitations"]
    assert eraser.leftovers(doctor.pk)
    eraser.erase(doctor.pk)
    assert not eraser.leftovers(doctor.pk)
    assert CareInvitation.objects.get() == kept


def test_what_waits_for_a_person_is_in_their_export(patient, doctor, tmp_path):
    from accounts import portable

    care.request_access(doctor, patient.email)
    portable.exporters["invitations"](patient, tmp_path)
    assert doctor.full_name in (tmp_path / "waiting.json").read_text()
    care.invite_by_email(patient, doctor.email)
    portable.exporters["invitations"](doctor, tmp_path)
    text = (tmp_path / "waiting.json").read_text()
    assert patient.full_name not in text and patient.email not in text


def test_an_invitation_whose_worker_is_stopped_while_it_tells_is_told_later(patient, monkeypatch, mailoutbox):
    asked = care.invite_by_email(patient, "somebody@example.org")

    def stopped(invitation):
        raise SystemExit  # as nothing in a worker catches

    with monkeypatch.context() as patched:
        patched.setattr(care, "_tell", stopped)
        with pytest.raises(SystemExit):
            care.deliver(asked.pk)
    assert care.deliver(asked.pk) and not care.deliver(asked.pk)
    assert len(mailoutbox) == 1
