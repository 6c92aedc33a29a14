"""Two people at the same moment: one code, a yes and a taking back, a yes and an end. Real transactions."""

import threading
from functools import partial
from typing import Any

import pytest
from django.db import connection

from accounts import care, emergency, selectors
from accounts.models import CareInvitation, CareRelationship, EmergencyAccess
from pmi_site.errors import UserError
from tests.factories import CareRelationshipFactory, DoctorFactory

pytestmark = pytest.mark.django_db(transaction=True)
ROUNDS = 8


@pytest.fixture(autouse=True)
def _no_mail(monkeypatch):
    """The worker that tells people has no part in this."""
    from celery.app.task import Task

    monkeypatch.setattr(Task, "apply_async", lambda self, *args, **kwargs: None)


def together(*actions):
    """What each action returned, or the UserError that it raised; all begin at the same moment."""
    gate = threading.Barrier(len(actions))
    answers: list[Any] = [None] * len(actions)

    def run(number, action):
        try:
            gate.wait(20)
            answers[number] = action()
        except UserError as error:
            answers[number] = error
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=pair) for pair in enumerate(actions)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return answers


def test_one_code_lets_one_doctor_in(patient):
    doctors = [DoctorFactory.create() for _n in range(4)]
    for _round in range(ROUNDS):
        _invitation, code = care.make_code(patient)
        before = CareRelationship.objects.count()
        answers = together(*(partial(care.use_code, doctor, code) for doctor in doctors))
        won = [answer for answer in answers if isinstance(answer, CareRelationship)]
        assert len(won) == 1, answers
        care.revoke_access(patient, won[0].pk)
        assert CareRelationship.objects.count() == before + 1


def test_accepted_or_taken_back_never_both(patient, doctor):
    for _round in range(ROUNDS):
        sent = care.invite_by_email(patient, doctor.email)
        grant, cancelled = together(
            partial(care.accept_invitation, doctor, sent.pk),
            partial(care.cancel, patient, sent.pk),
        )
        assert (grant is None) == cancelled
        state = CareInvitation.objects.get(pk=sent.pk).state
        assert state == ("cancelled" if cancelled else "accepted")
        assert selectors.patients_of(doctor).exists() is not cancelled
        if grant is not None:
            care.revoke_access(patient, grant.pk)


def test_stopping_while_the_doctor_says_yes_ends_in_no_access(patient, doctor):
    for _round in range(ROUNDS):
        held = CareRelationshipFactory.create(patient=patient, doctor=doctor)
        sent = care.invite_by_email(patient, doctor.email)
        _grant, revoked = together(
            partial(care.accept_invitation, doctor, sent.pk),
            partial(care.revoke_access, patient, held.pk),
        )
        assert revoked
        assert not selectors.patients_of(doctor).exists()


def test_two_ways_in_at_once_are_one_grant(patient, doctor):
    for _round in range(ROUNDS):
        sent, (_invitation, code) = care.invite_by_email(patient, doctor.email), care.make_code(patient)
        answers = together(
            partial(care.accept_invitation, doctor, sent.pk),
            partial(care.use_code, doctor, code),
        )
        assert answers[0] == answers[1] == selectors.patients_of(doctor).get()
        care.revoke_access(patient, answers[0].pk)


def test_two_clicks_break_the_glass_once(patient, doctor):
    reason = "Unconscious after a fall, earlier scans needed."
    answers = together(*(partial(emergency.open_access, doctor, patient.email, reason) for _n in range(2)))
    assert sorted(isinstance(answer, UserError) for answer in answers) == [False, True]
    assert EmergencyAccess.objects.count() == 1
