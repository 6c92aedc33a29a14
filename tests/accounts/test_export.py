"""Taking everything away: one whole zip, whatever arrives or dies meanwhile, for a week."""

import hashlib
import io
import json
import re
import uuid
import zipfile
from datetime import timedelta

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.utils import encrypt
from allauth.usersessions.models import UserSession
from django.core import mail
from django.db import connection
from django.urls import reverse
from django.utils import timezone

from accounts import consents, export, ownership, portable, services
from accounts.models import AccessLog, ConsentPurpose, DataExport, User
from cases.models import WorklistEntry
from tests.factories import TOTP_SECRET, CareRelationshipFactory, CaseFactory, ScanFactory

pytestmark = pytest.mark.django_db
PAGE = "accounts:exports"


@pytest.fixture(autouse=True)
def work(settings, tmp_path):
    """Working files of one test."""
    settings.PMI_VAR_DIR = tmp_path / "var"


def made_for(user):
    made = export.request_export(user)
    assert export.prepare(made.pk)
    made.refresh_from_db()
    return made


def contents(made):
    with made.archive.open("rb") as handle:
        data = handle.read()
    archive = zipfile.ZipFile(io.BytesIO(data))
    assert archive.testzip() is None
    return archive


def test_everything_is_in_it(patient, doctor, other_patient):
    scan = ScanFactory.create(case__patient=patient, case__title="My sore knee")
    ScanFactory.create(case__patient=other_patient, case__title="Somebody else's")
    consents.give_consent(patient, ConsentPurpose.RESEARCH)
    CareRelationshipFactory.create(patient=patient, doctor=doctor)
    services.create_token(patient, "my script")
    services.log_access(doctor, "view_scan", scan)
    made = made_for(patient)
    archive = contents(made)
    place = f"pmi/scans/{scan.case_id}/{scan.pk}"
    assert archive.read(f"{place}/original.png") == b"not really a png"
    assert {f"{place}/scan.nii.gz", f"{place}/preview.png", "pmi/README.txt"} <= set(archive.namelist())
    records = {
        name: archive.read(name).decode() for name in archive.namelist() if name.startswith("pmi/records/")
    }
    everything = "".join(records.values())
    assert "My sore knee" in everything and "Somebody else" not in everything
    assert patient.email in records["pmi/records/account.json"]
    assert json.loads(records["pmi/records/accounts.consent.json"])[0]["purpose"] == "research"
    (grant,) = json.loads(records["pmi/records/accounts.carerelationship.json"])
    assert (grant["patient"], grant["doctor"]) == ("you", doctor.full_name)
    log = json.loads(records["pmi/records/access-log.json"])
    assert {"view_scan", "give_consent", "request_export"} <= {line["action"] for line in log}
    assert doctor.full_name in {line["who"] for line in log}
    # No secret: the hash of a password or token, or a key of the log.
    for secret in ("md5$", '"digest"', str(patient.log_key), str(doctor.pk)):
        assert secret not in everything
    assert made.as_of.strftime("%Y-%m-%d %H:%M:%S") in archive.read("pmi/README.txt").decode()
    assert made.sha256 == hashlib.sha256(made.archive.open("rb").read()).hexdigest()
    assert made.done == made.total


def test_it_is_written_in_the_persons_language(patient):
    services.remember_language(patient, "es")
    readme = contents(made_for(patient)).read("pmi/README.txt").decode()
    assert readme.startswith("Todo lo que PMI guarda de usted.")


def test_a_doctors_export_holds_nothing_of_patients(patient, doctor):
    User.objects.filter(pk=patient.pk).update(full_name="Zaphod Uniquename")
    scan = ScanFactory.create(case__patient=patient, case__title="My sore knee")
    CareRelationshipFactory.create(patient=patient, doctor=doctor)
    services.log_access(doctor, "view_scan", scan)
    # The words of name and title are on the doctor's worklist, folded and without a blank between them.
    words = WorklistEntry.objects.values_list("words", flat=True).get(doctor=doctor)
    assert "zaphod" in words and "sore" in words
    archive = contents(made_for(doctor))
    names = "".join(archive.namelist()).lower()
    everything = "".join(archive.read(name).decode("latin-1") for name in archive.namelist()).lower()
    for word in ("zaphod", "uniquename", "sore", patient.email, scan.pk, scan.case_id, patient.pk):
        assert str(word) not in everything + names
    assert "view_scan" in everything
    assert "worklistentry" not in names


def test_what_comes_or_goes_meanwhile(patient, monkeypatch):
    stays, goes = (ScanFactory.create(case__patient=patient) for _n in "12")
    real, gone_id = portable.exporters["scans"], str(goes.pk)
    late = []

    def meanwhile(user, folder):
        late.append(ScanFactory.create(case=stays.case))
        goes.delete()
        real(user, folder)

    monkeypatch.setitem(portable.exporters, "scans", meanwhile)
    archive = contents(made_for(patient))
    names = "\n".join(archive.namelist())
    records = archive.read("pmi/records/cases.scan.json").decode()
    # The records are from one moment; a scan that came later is nowhere, one that went has no files.
    assert str(stays.pk) in names and str(stays.pk) in records
    assert str(late[0].pk) not in names + records
    assert gone_id not in names and gone_id in records


@pytest.mark.django_db(transaction=True)
def test_records_are_read_in_one_snapshot(patient):
    CaseFactory.create(patient=patient)
    with export.snapshot(), connection.cursor() as cursor:
        cursor.execute("SHOW transaction_isolation")
        assert cursor.fetchone() == ("repeatable read",)
    mail.outbox.clear()
    made = made_for(patient)
    assert made.state == "done"
    (message,) = mail.outbox
    assert message.to == [patient.email] and "Sign in to see it" in message.body


def test_one_at_a_time(patient, other_patient):
    first = export.request_export(patient)
    assert export.request_export(patient) == first
    assert export.request_export(other_patient) != first
    export.prepare(first.pk)
    second = export.request_export(patient)
    assert second != first
    export.prepare(second.pk)
    first.refresh_from_db()
    # The older file makes room.
    assert (first.state, first.archive.name) == ("expired", "")
    assert len(list(ownership.private_files("exports"))) == 1


def test_a_second_worker_and_a_second_message_change_nothing(patient):
    made = export.request_export(patient)
    held = DataExport.claim(made.pk)
    assert not export.prepare(made.pk)
    held.mine().update(lease_expires_at=timezone.now() - timedelta(seconds=1))
    assert export.prepare(made.pk)
    assert not export.prepare(made.pk)
    assert held.finish("failed") is False
    assert len(list(ownership.private_files("exports"))) == 1


def test_a_killed_worker_leaves_no_file_and_the_sweep_goes_on(patient, monkeypatch):
    made = export.request_export(patient)

    def die(*args):
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr(export, "_pack", die)
        with pytest.raises(SystemExit):
            export.prepare(made.pk)
    assert not list(ownership.private_files("exports"))
    sent = []
    monkeypatch.setattr(export, "send", sent.append)
    export.sweep()
    assert sent == []
    DataExport.objects.update(lease_expires_at=timezone.now() - timedelta(seconds=1))
    export.sweep()
    assert sent == [made.pk]
    assert export.prepare(made.pk)


def test_a_file_whose_worker_died_is_known_and_goes_with_the_next_one(patient, monkeypatch):
    made = export.request_export(patient)

    def die(*_args, **_fields):
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr(DataExport, "finish", die)
        with pytest.raises(SystemExit):
            export.prepare(made.pk)
    (left,) = ownership.private_files("exports")
    made.refresh_from_db()
    assert made.archive.name == left and not made.can_be_fetched
    DataExport.objects.update(lease_expires_at=timezone.now() - timedelta(seconds=1))
    assert export.prepare(made.pk)
    (now,) = ownership.private_files("exports")
    assert now != left


def test_the_file_of_a_worker_that_died_on_the_last_try_goes_too(patient, monkeypatch):
    made = export.request_export(patient)

    def die(*_args, **_fields):
        raise SystemExit

    monkeypatch.setattr(DataExport, "finish", die)
    for _ in range(export.MOST_ATTEMPTS):
        with pytest.raises(SystemExit):
            export.prepare(made.pk)
        DataExport.objects.update(lease_expires_at=timezone.now() - timedelta(seconds=1))
    assert len(list(ownership.private_files("exports"))) == 1
    export.sweep()
    made.refresh_from_db()
    assert (made.state, made.archive.name) == ("failed", "")
    assert not list(ownership.private_files("exports"))


@pytest.mark.django_db(transaction=True)
def test_the_file_goes_with_its_line(patient):
    made = made_for(patient)
    assert list(ownership.private_files("exports"))
    made.delete()
    assert not list(ownership.private_files("exports"))


def test_what_breaks_is_tried_again_three_times(as_user, patient, monkeypatch):
    made = export.request_export(patient)

    def break_off(*args):
        raise OSError("/some/path")

    monkeypatch.setattr(export, "_pack", break_off)
    for state in ("waiting", "waiting", "failed"):
        assert not export.prepare(made.pk)
        made.refresh_from_db()
        assert made.state == state
    page = as_user(patient).get(reverse(PAGE)).text
    assert "could not be prepared" in page and "/some/path" not in page


def test_the_file_is_removed_after_a_week(as_user, patient):
    made = made_for(patient)
    client, address = as_user(patient), reverse("accounts:export_download", args=[made.pk])
    assert made.expires_at - timezone.now() > timedelta(days=6)
    DataExport.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert client.get(address).status_code == 404
    export.sweep()
    assert not list(ownership.private_files("exports"))
    assert "has been removed" in client.get(reverse(PAGE)).text


# --- the pages ---


def test_the_page_asks_shows_progress_and_offers_the_file(as_user, patient, doctor):
    client = as_user(patient)
    assert "Prepare my file" in client.get(reverse(PAGE)).text
    for _n in "12":
        assert client.post(reverse(PAGE))["Location"] == reverse(PAGE)
    made = DataExport.objects.get()
    waiting = client.get(reverse(PAGE)).text
    assert "is being prepared" in waiting and "<progress" in waiting
    fragment = client.get(reverse(PAGE), headers={"HX-Request": "true"}).text
    assert "is being prepared" in fragment and "<html" not in fragment
    export.prepare(made.pk)
    ready = client.get(reverse(PAGE)).text
    address = reverse("accounts:export_download", args=[made.pk])
    assert "is ready" in ready and address in ready
    assert as_user(doctor).get(reverse(PAGE)).status_code == 200


def test_the_page_asks_on_without_losing_what_is_on_the_screen(as_user, patient):
    """The same part again would take the focus away, and be read aloud, every few seconds."""
    client, parts = as_user(patient), {"HX-Request": "true"}
    made = export.request_export(patient)
    page = client.get(reverse(PAGE)).text
    assert re.search(r'<div aria-live="polite">\s*<section class="card measure" id="export" hx-get="', page)
    again = re.search(r'hx-get="([^"]+)"', page).group(1)
    answer = client.get(again, headers=parts)
    assert (answer.status_code, answer.content) == (204, b"")
    assert client.get(again).status_code == 200
    DataExport.objects.update(state="running", total=200, done=100)
    changed = client.get(again, headers=parts).text
    again = re.search(r'hx-get="([^"]+)"', changed).group(1)
    DataExport.objects.update(done=101)
    assert client.get(again, headers=parts).status_code == 204
    DataExport.objects.update(state="waiting")
    export.prepare(made.pk)
    ready = client.get(again, headers=parts).text
    assert "is ready" in ready and "hx-get" not in ready
    for part in (page, changed, ready):
        assert part.count('id="export-next"') == 1


def test_the_file_is_the_persons_own_and_private(as_user, client, patient, other_patient, doctor, admin_user):
    made = made_for(patient)
    CareRelationshipFactory.create(patient=patient, doctor=doctor)
    address = reverse("accounts:export_download", args=[made.pk])
    answer = as_user(patient).get(address)
    data = b"".join(answer.streaming_content)
    assert zipfile.ZipFile(io.BytesIO(data)).testzip() is None
    assert answer["Cache-Control"].startswith("private, no-store")
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["Content-Disposition"].startswith("attachment")
    assert AccessLog.objects.about(patient).filter(action="download_export").count() == 1
    for user in (other_patient, doctor, admin_user):
        assert as_user(user).get(address).status_code == 404
    assert client.get(address).status_code == 302
    assert as_user(patient).post(address).status_code == 405
    missing = reverse("accounts:export_download", args=[uuid.uuid4()])
    assert as_user(patient).get(missing).status_code == 404
    ownership.storage().delete(made.archive.name)
    assert as_user(patient).get(address).status_code == 404


def test_an_unfinished_export_has_no_file(as_user, patient, client):
    made = export.request_export(patient)
    assert as_user(patient).get(reverse("accounts:export_download", args=[made.pk])).status_code == 404
    assert client.get(reverse(PAGE)).status_code == 302
    assert as_user(patient).delete(reverse(PAGE)).status_code == 405


def test_second_steps_and_sessions_are_in_it_without_their_secrets(as_user, patient):
    client = as_user(patient)
    factor = Authenticator.objects.create(user=patient, type="totp", data={"secret": encrypt(TOTP_SECRET)})
    UserSession.objects.create(user=patient, ip="192.0.2.1", session_key=client.session.session_key)
    archive = contents(made_for(patient))
    (row,) = json.loads(archive.read("pmi/records/mfa.authenticator.json"))
    assert row["type"] == "totp"
    assert "192.0.2.1" in archive.read("pmi/records/usersessions.usersession.json").decode()
    everything = "".join(archive.read(name).decode("utf-8", "replace") for name in archive.namelist())
    for secret in (TOTP_SECRET, factor.data["secret"], client.session.session_key):
        assert secret not in everything
