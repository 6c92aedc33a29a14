"""The access log: it only grows, its lines are chained, and it speaks of people by keys alone."""

import threading
import uuid
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import InternalError, ProgrammingError, connection, transaction

from accounts import access_log, care, services
from accounts.models import AccessLog, User
from tests.factories import CareRelationshipFactory, CaseFactory, ScanFactory

REFUSED = (InternalError, ProgrammingError)


@pytest.fixture
def lines(patient, doctor):
    """Five chained lines."""
    case = CaseFactory.create(patient=patient)
    for _n in range(5):
        services.log_access(doctor, "view_case", case)
    assert access_log.seal() == 5
    return list(AccessLog.objects.sealed())


def tamper(statement, *values):
    """Change the table as somebody could who owns the database."""
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE accounts_accesslog DISABLE TRIGGER USER")
        cursor.execute(statement, values)
        cursor.execute("ALTER TABLE accounts_accesslog ENABLE TRIGGER USER")


def check(**options):
    out = StringIO()
    call_command("verify_access_log", stdout=out, **options)
    return out.getvalue()


def test_a_line_says_who_what_and_whose(patient, doctor):
    scan = ScanFactory.create(case__patient=patient)
    services.log_access(doctor, "view_scan", scan)
    line = AccessLog.objects.get()
    assert line.actor == doctor
    assert (line.object_type, line.object_id, line.case_id) == ("scan", scan.pk, scan.case_id)
    assert list(AccessLog.objects.about(patient)) == [line] == list(AccessLog.objects.by(doctor))
    assert not AccessLog.objects.by(patient).exists()


def test_no_id_of_a_person_stands_in_a_line(patient, doctor):
    care.revoke_access(patient, CareRelationshipFactory.create(patient=patient, doctor=doctor).pk)
    services.log_access(doctor, "view_case", CaseFactory.create(patient=patient))
    with connection.cursor() as cursor:
        cursor.execute("SELECT string_agg(to_jsonb(l)::text, '') FROM accounts_accesslog l")
        text = cursor.fetchone()[0]
    for person in (patient, doctor):
        assert str(person.pk) not in text
        assert person.email not in text
    about = AccessLog.objects.about(patient)
    assert {line.action for line in about} == {"revoke_access", "view_case"}


def test_a_patient_can_be_named_where_the_object_does_not_say(patient, doctor):
    services.log_access(doctor, "search", doctor, patient_id=patient.pk)
    assert AccessLog.objects.about(patient).count() == 1
    services.log_access(None, "open_share_link", CaseFactory.create(patient=patient))
    assert AccessLog.objects.about(patient).filter(actor_key=None).count() == 1


def test_many_lines_at_once(patient, doctor):
    scans = [ScanFactory.create(case__patient=patient) for _n in range(3)]
    access_log.record_many(doctor, "list_scans", scans)
    access_log.record_many(doctor, "list_scans", [])
    assert {line.object_id for line in AccessLog.objects.about(patient)} == {scan.pk for scan in scans}


def test_whose_lines_a_list_needs_is_asked_once(doctor, django_assert_num_queries):
    cases = [CaseFactory.create() for _n in range(5)]
    access_log.record_many(doctor, "list_cases", cases[:1])
    # The patients' keys, the doctor's emergencies, the lines.
    with django_assert_num_queries(3):
        access_log.record_many(doctor, "list_cases", [*cases, doctor])
    for case in cases:
        assert AccessLog.objects.about(case.patient).filter(object_id=case.pk).exists()
    assert AccessLog.objects.filter(object_id=doctor.log_key, patient_key=None).count() == 1


def test_what_was_rolled_back_was_not_logged(patient):
    with pytest.raises(RuntimeError), transaction.atomic():
        services.log_access(patient, "view_case", CaseFactory.create(patient=patient))
        raise RuntimeError
    assert not AccessLog.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_committed_line_is_chained_at_once(patient):
    for _n in range(2):
        services.log_access(patient, "view_case", CaseFactory.create(patient=patient))
    first, second = AccessLog.objects.sealed()
    assert (first.sequence, first.prev_hash, second.prev_hash) == (1, "0" * 64, first.entry_hash)
    assert access_log.verify().holds


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE accounts_accesslog SET action = 'other'",
        "UPDATE accounts_accesslog SET sequence = sequence + 10",
        "UPDATE accounts_accesslog SET sequence = NULL",
        "DELETE FROM accounts_accesslog",
    ],
)
def test_the_database_refuses_changes(lines, statement):
    with pytest.raises(REFUSED, match="only grows"), transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(statement)
    assert list(AccessLog.objects.sealed()) == lines


def test_the_database_refuses_to_change_a_line_that_waits_for_its_place(patient):
    services.log_access(patient, "view_case", CaseFactory.create(patient=patient))
    with pytest.raises(REFUSED, match="only grows"), transaction.atomic():
        AccessLog.objects.update(sequence=1, action="other")


def test_the_database_refuses_to_empty_the_log(lines):
    with pytest.raises(REFUSED, match="TRUNCATE is refused"), transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL pmi.access_log_may_be_emptied = off")
            cursor.execute("TRUNCATE accounts_accesslog")


def test_the_check_accepts_a_whole_chain_and_prints_its_head(lines):
    assert "5 lines" in check()
    assert f"5:{lines[-1].entry_hash}" in check(expect=f"3:{lines[2].entry_hash}")


def test_the_check_chains_what_waits_first(lines, patient):
    services.log_access(patient, "view_case", CaseFactory.create(patient=patient))
    assert "6 lines" in check()


def test_the_check_of_an_empty_log(db):
    assert f"0:{'0' * 64}" in check()


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("UPDATE accounts_accesslog SET action = 'nothing' WHERE sequence = 3", "Line 3 .*changed"),
        ("UPDATE accounts_accesslog SET actor_key = gen_random_uuid() WHERE sequence = 2", "Line 2 .*chang"),
        ("UPDATE accounts_accesslog SET at = at - interval '1 day' WHERE sequence = 5", "Line 5 .*changed"),
        ("DELETE FROM accounts_accesslog WHERE sequence = 4", "Line 4: the line is missing"),
        ("UPDATE accounts_accesslog SET prev_hash = repeat('1', 64) WHERE sequence = 3", "Line 3 .*follow"),
    ],
)
def test_the_check_names_the_first_broken_line(lines, statement, told):
    tamper(statement)
    with pytest.raises(CommandError, match=told):
        check()


def test_room_made_for_another_line_is_found(lines):
    tamper("UPDATE accounts_accesslog SET sequence = sequence + 10 WHERE sequence > 2")
    with pytest.raises(CommandError, match="Line 3: the line is missing"):
        check()


def test_only_a_noted_head_shows_that_the_newest_lines_were_cut_off(lines):
    noted = f"5:{lines[-1].entry_hash}"
    tamper("DELETE FROM accounts_accesslog WHERE sequence > 3")
    assert "3 lines" in check()
    with pytest.raises(CommandError, match="Line 4: the line is missing, the log was cut off"):
        check(expect=noted)


def test_a_chain_that_was_written_anew_does_not_have_the_noted_hash(lines, patient):
    noted = f"5:{lines[-1].entry_hash}"
    tamper("UPDATE accounts_accesslog SET sequence = NULL, prev_hash = '', entry_hash = ''")
    tamper("UPDATE accounts_accesslog SET action = 'nothing' WHERE id = %s", lines[0].pk)
    assert "5 lines" in check()
    with pytest.raises(CommandError, match="not the one that was noted"):
        check(expect=noted)


@pytest.mark.parametrize("expect", ["5", "x:y", "5:short"])
def test_a_mistyped_head_is_told(lines, expect):
    with pytest.raises(CommandError, match="--expect"):
        check(expect=expect)


def test_after_the_account_is_gone_the_lines_are_about_nobody_and_still_hold(lines, patient, doctor):
    key = patient.log_key
    patient.delete()
    doctor.delete()
    assert access_log.verify().holds
    assert AccessLog.objects.filter(patient_key=key).count() == 5
    assert not User.objects.filter(log_key=key).exists()
    line = AccessLog.objects.first()
    assert line.actor is None and line.is_erased_actor


@pytest.mark.django_db(transaction=True)
def test_many_people_at_once_make_one_chain(patient, doctor):
    case = CaseFactory.create(patient=patient)
    problems = []

    def work():
        try:
            for _n in range(10):
                services.log_access(doctor, "view_case", case)
        except Exception as error:
            problems.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=work) for _n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not problems
    access_log.seal()
    verdict = access_log.verify()
    assert verdict.holds and verdict.lines == 60
    assert not AccessLog.objects.unsealed().exists()


@pytest.mark.django_db(transaction=True)
def test_a_long_transaction_does_not_hold_up_other_lines(patient, doctor):
    case = CaseFactory.create(patient=patient)
    started, may_end = threading.Event(), threading.Event()

    def slow():
        try:
            with transaction.atomic():
                services.log_access(patient, "give_consent", case)
                started.set()
                may_end.wait(20)
        finally:
            connection.close()

    thread = threading.Thread(target=slow)
    thread.start()
    assert started.wait(20)
    services.log_access(doctor, "view_case", case)
    assert [line.action for line in AccessLog.objects.sealed()] == ["view_case"]
    may_end.set()
    thread.join()
    assert [line.action for line in AccessLog.objects.sealed()] == ["view_case", "give_consent"]
    assert access_log.verify().holds


def test_owners_of_things():
    assert access_log.owner_of(object()) == (None, None)
    case = CaseFactory.build(patient=None, patient_id=uuid.uuid4())
    assert access_log.owner_of(case) == (case.patient_id, case.pk)
