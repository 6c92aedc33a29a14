"""Erasing an account: everything goes, whatever is under way, and a check finds nothing."""

from datetime import timedelta
from io import StringIO

import pytest
from allauth.account.models import EmailAddress
from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.contrib.sessions.models import Session
from django.core import mail
from django.core.cache import cache
from django.core.files.base import ContentFile
from django.core.management import CommandError, call_command
from django.urls import reverse
from django.utils import timezone
from django_celery_results.models import TaskResult

from accounts import access_log, consents, erasure, export, ownership, services
from accounts.models import AccessLog, ConsentPurpose, DataExport, Erasure, User
from cases import worklist
from cases.models import Case, Scan
from inference import heatmaps
from inference import services as readings
from inference.danger import shipped_raw
from inference.models import Analysis, DangerRuleSet, Finding
from pmi_site.errors import UserError
from resources.models import Condition, Revision
from tests.factories import PASSWORD, CareRelationshipFactory, ScanFactory

pytestmark = pytest.mark.django_db
PAGE = "accounts:erase"


def queued(scan, **fields):
    now = timezone.now()
    return Analysis.objects.create(scan=scan, queued_at=now, dispatched_at=now, **fields)


@pytest.fixture
def full(patient, doctor, as_user):
    """A patient who left something in every corner."""
    scan = ScanFactory.create(case__patient=patient)
    analysis = queued(scan)
    path = f"{heatmaps.folder(analysis.pk, 1)}/x.png"
    ownership.storage().save(path, ContentFile(b"x"))
    found = {"label": "a", "condition": "a", "probability": 0.5, "call": "possible", "rank": 0}
    Finding.objects.create(analysis=analysis, heatmap_png=path, **found)
    consents.give_consent(patient, ConsentPurpose.TRAINING)
    services.create_token(patient, "x")
    CareRelationshipFactory.create(patient=patient, doctor=doctor)
    services.log_access(doctor, "view_scan", scan)
    as_user(patient).get(reverse("accounts:account"))
    LogEntry.objects.create(
        user=doctor,
        content_type=ContentType.objects.get_for_model(User),
        object_id=str(patient.pk),
        object_repr=patient.email,
        action_flag=2,
    )
    TaskResult.objects.create(task_id="1", task_args=f"('{analysis.pk}',)")
    TaskResult.objects.create(task_id="2", task_args="('somebody else')")
    made = export.request_export(patient)
    export.prepare(made.pk)
    return patient


def erase(user):
    job = erasure.request_erasure(user)
    assert erasure.run(job.pk)
    job.refresh_from_db()
    return job


def leftovers(user_id):
    out = StringIO()
    call_command("erasure_leftovers", str(user_id), stdout=out)
    return out.getvalue()


@pytest.mark.django_db(transaction=True)
def test_everything_goes_and_the_check_finds_nothing(full, doctor, other_patient):
    other = ScanFactory.create(case__patient=other_patient)
    key, user_id = full.log_key, full.pk
    with pytest.raises(CommandError) as told:
        leftovers(user_id)
    for word in ("cases.Case", "EmailAddress", "a session", "admin.LogEntry"):
        assert word in str(told.value)
    mail.outbox.clear()
    full.language = "es"
    full.save()
    job = erase(full)
    assert "Nothing is left. Erased on" in leftovers(user_id)
    assert not User.objects.filter(pk=user_id).exists()
    for model in (DataExport, Analysis, Finding, Session):
        assert not model.objects.exists()
    assert EmailAddress.objects.filter(email=full.email).count() == 0
    assert [found.task_id for found in TaskResult.objects.all()] == ["2"]
    entry = LogEntry.objects.get()
    assert (entry.object_id, entry.object_repr) == (None, "(erased)")
    # Somebody else's things are whole.
    assert list(Scan.objects.all()) == [other]
    files = set(ownership.private_files())
    assert files == {other.original.name, other.canonical.name, other.preview.name}
    # The log stays, about nobody, and holds.
    assert AccessLog.objects.filter(patient_key=key, actor_key=doctor.log_key).exists()
    assert access_log.verify().holds
    # What is kept of the erasure itself names nobody.
    assert (job.state, job.subject, job.mail_to, job.folders) == ("done", None, "", [])
    assert str(user_id) not in str(vars(job))
    (message,) = mail.outbox
    assert message.to == [full.email] and message.subject == "Su cuenta de PMI está borrada"


def log_of(by, model, key, text):
    return LogEntry.objects.create(
        user=by,
        content_type=ContentType.objects.get_for_model(model),
        object_id=str(key),
        object_repr=text,
        action_flag=2,
    )


@pytest.mark.django_db(transaction=True)
def test_the_admins_history_of_an_address_is_forgotten_too(full, doctor, other_patient):
    own, other = (EmailAddress.objects.get(user=who) for who in (full, other_patient))
    log_of(doctor, EmailAddress, own.pk, "an address")
    log_of(doctor, User, doctor.pk, f"wrote to {full.email}")
    kept = log_of(doctor, EmailAddress, other.pk, other.email)
    alike = log_of(doctor, User, doctor.pk, f"x{full.email}")
    longer = log_of(doctor, User, doctor.pk, f"{full.email}.uk")
    end = log_of(doctor, User, doctor.pk, f"a mail to {full.email}.")
    same_number = log_of(doctor, ContentType, own.pk, "another table's line of this number")
    erase(full)
    assert {entry.pk for entry in LogEntry.objects.exclude(object_repr="(erased)")} == {
        kept.pk,
        same_number.pk,
        alike.pk,
        longer.pk,
    }
    end.refresh_from_db()
    assert end.object_repr == "(erased)"


@pytest.mark.django_db(transaction=True)
def test_what_is_written_while_the_account_goes_does_not_keep_it_for_ever(full, doctor, monkeypatch):
    job = erasure.request_erasure(full)
    address, user_id = full.email, full.pk
    remove = erasure._remove_folders

    def remove_late(folders):
        log_of(doctor, User, user_id, address)  # an administrator saved the page meanwhile
        remove(folders)

    with monkeypatch.context() as patch:
        patch.setattr(erasure, "_remove_folders", remove_late)
        assert not erasure.run(job.pk)
    assert not User.objects.filter(pk=user_id).exists()
    assert erasure.run(job.pk)
    job.refresh_from_db()
    assert (job.state, job.subject, job.mail_to) == ("done", None, "")
    assert not LogEntry.objects.filter(object_repr=address).exists()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("dies_at", ["_forget_mentions", "_step", "_remove_folders", "leftovers"])
def test_a_killed_worker_is_no_problem(full, monkeypatch, dies_at):
    job = erasure.request_erasure(full)

    def die(*args, **kwargs):
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr(erasure, dies_at, die)
        with pytest.raises(SystemExit):
            erasure.run(job.pk)
    # The dead worker's lease still holds; when it has ended, the sweep sends the work again.
    assert not erasure.run(job.pk)
    Erasure.objects.update(lease_expires_at=timezone.now() - timedelta(seconds=1))
    sent = []
    monkeypatch.setattr(erasure, "send", sent.append)
    erasure.sweep()
    assert sent == [job.pk]
    assert erasure.run(job.pk)
    assert "Nothing is left" in leftovers(full.pk)
    assert not erasure.run(job.pk)


@pytest.mark.django_db(transaction=True)
def test_a_reading_that_is_under_way_cannot_bring_anything_back(patient):
    scan = ScanFactory.create(case__patient=patient)
    analysis = queued(scan)
    held = readings.claim(analysis.pk)
    assert held is not None
    job = erase(patient)
    # Its worker learns at the next heartbeat, and may not finish either.
    with pytest.raises(readings.LeaseLost):
        readings.heartbeat(held, Analysis.Stage.READING)
    assert not readings.fail(held, "x", "y")
    assert not Analysis.objects.exists()
    # It wrote a heatmap all the same and was killed before it could tidy up: found, and removed later.
    late = ownership.storage().save(f"{heatmaps.folder(analysis.pk, 1)}/late.png", ContentFile(b"x"))
    with pytest.raises(CommandError, match="private file .*late.png"):
        leftovers(patient.pk)
    Erasure.objects.filter(pk=job.pk).update(finished_at=timezone.now() - timedelta(hours=1))
    erasure.sweep()
    assert not ownership.storage().exists(late)
    assert "Nothing is left" in leftovers(patient.pk)
    job.refresh_from_db()
    assert job.looked_again_at is not None


@pytest.mark.django_db(transaction=True)
def test_an_export_that_is_under_way_ends_without_a_file(patient, monkeypatch):
    made = export.request_export(patient)
    save = ownership.storage().__class__.save

    def erased_meanwhile(self, name, content, **options):
        saved = save(self, name, content, **options)
        erase(patient)
        return saved

    monkeypatch.setattr(type(ownership.storage()), "save", erased_meanwhile)
    assert not export.prepare(made.pk)
    assert not list(ownership.private_files("exports"))


def test_the_account_is_shut_at_once(patient, as_user, api_as):
    client = as_user(patient)
    _token, key = services.create_token(patient, "x")
    erasure.request_erasure(patient)
    assert client.get(reverse("accounts:account")).status_code == 302
    answer = client.get("/api/v1/cases/", headers={"Authorization": f"Token {key}"})
    assert answer.status_code == 401
    assert erasure.request_erasure(patient) == Erasure.objects.get()


@pytest.mark.parametrize("whole", [True, False])
def test_a_doctor_reads_nothing_more_once_the_account_is_shut(patient, doctor, as_user, api_as, whole):
    scan = ScanFactory.create(case__patient=patient, case__title="My sore knee")
    grant = CareRelationshipFactory.create(patient=patient, doctor=doctor, case=None if whole else scan.case)
    client, api = as_user(doctor), api_as(doctor)
    pages = [
        reverse("cases:detail", args=[scan.case_id]),
        reverse("cases:scan_original", args=[scan.case_id, scan.pk]),
        reverse("inference:scan_result", args=[scan.case_id, scan.pk]),
        reverse("inference:patient_record", args=[patient.pk]),
    ]
    lists = [reverse("cases:list"), reverse("cases:worklist")]
    assert [client.get(page).status_code for page in pages] == [200] * 4
    assert all("My sore knee" in client.get(page).content.decode() for page in lists)
    assert worklist.counts(doctor).by_level[""] == 1
    erasure.request_erasure(patient)
    assert [client.get(page).status_code for page in pages] == [404] * 4
    assert not any("My sore knee" in client.get(page).content.decode() for page in lists)
    assert api.get("/api/v1/cases/").json()["results"] == []
    assert api.get("/api/v1/scans/").json()["results"] == []
    assert worklist.counts(doctor).by_level[""] == 0
    grant.refresh_from_db()
    assert not grant.is_active


def test_a_check_for_an_account_that_never_was(db):
    assert "No such account was erased" in leftovers("7d7d8f1c-3f6e-4a52-9df4-3f5b2f5f8a10")


def test_an_administrator_is_refused(admin_user):
    with pytest.raises(UserError):
        erasure.request_erasure(admin_user)
    admin_user.refresh_from_db()
    assert admin_user.is_active


@pytest.mark.django_db(transaction=True)
def test_a_doctor_goes_and_the_patients_keep_everything(doctor, patient):
    scan = ScanFactory.create(case__patient=patient)
    CareRelationshipFactory.create(patient=patient, doctor=doctor)
    erase(doctor)
    assert "Nothing is left" in leftovers(doctor.pk)
    assert list(Scan.objects.all()) == [scan] and Case.objects.count() == 1


# --- the page ---


def test_the_page_erases_with_the_password_and_a_yes(as_user, patient):
    client = as_user(patient)
    assert "cannot be undone" in client.get(reverse(PAGE)).text
    for data in ({}, {"password": PASSWORD}, {"password": "wrong", "sure": "on"}, {"sure": "on"}):
        assert client.post(reverse(PAGE), data).status_code == 400
    assert not Erasure.objects.exists()
    answer = client.post(reverse(PAGE), {"password": PASSWORD, "sure": "on"})
    assert answer["Location"] == reverse("accounts:erased")
    assert "is being erased" in client.get(answer["Location"]).text
    assert client.get(reverse("accounts:account")).status_code == 302
    patient.refresh_from_db()
    assert not patient.is_active


def test_wrong_passwords_are_counted(as_user, patient):
    client = as_user(patient)
    for _n in range(5):
        client.post(reverse(PAGE), {"password": "wrong", "sure": "on"})
    answer = client.post(reverse(PAGE), {"password": PASSWORD, "sure": "on"})
    assert answer.status_code == 400 and "quarter of an hour" in answer.text
    cache.clear()
    assert client.post(reverse(PAGE), {"password": PASSWORD, "sure": "on"}).status_code == 302


def test_doctors_are_told_what_stays(as_user, doctor, patient):
    assert "Reviews that you signed stay" in as_user(doctor).get(reverse(PAGE)).text
    assert "Reviews that you signed stay" not in as_user(patient).get(reverse(PAGE)).text


def test_the_page_for_others(as_user, client, patient, admin_user):
    assert client.get(reverse(PAGE)).status_code == 302
    assert client.post(reverse(PAGE), {"password": PASSWORD, "sure": "on"}).status_code == 302
    assert as_user(patient).delete(reverse(PAGE)).status_code == 405
    page = as_user(admin_user).post(reverse(PAGE), {"password": PASSWORD, "sure": "on"})
    assert page.status_code == 400 and "by another administrator" in page.text
    assert client.get(reverse("accounts:erased")).status_code == 200
    assert as_user(patient).get(reverse("accounts:erased"))["Location"] == reverse("accounts:account")


@pytest.mark.django_db(transaction=True)
def test_a_doctor_who_wrote_texts_and_rules_is_erased_and_their_co_writers_still_may_not_publish(doctor):
    writers = [str(doctor.pk)]
    content_type = ContentType.objects.get_for_model(Condition)
    revision = Revision.objects.create(
        content_type=content_type, object_id=doctor.log_key, title="x", content={}, writer_ids=writers
    )
    rules = DangerRuleSet.objects.create(
        version="draft", rules=shipped_raw(), writer_ids=writers, created_by=doctor
    )
    erase(doctor)
    for row in (revision, rules):
        row.refresh_from_db()
        assert row.writer_ids == writers
    assert rules.created_by is None
    assert "Nothing is left" in leftovers(writers[0])
