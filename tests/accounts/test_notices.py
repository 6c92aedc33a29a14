"""Notices: a line on the page, a mail that says nothing."""

import uuid
from datetime import timedelta

import pytest
from celery.exceptions import SoftTimeLimitExceeded
from django.urls import reverse
from django.utils import timezone

from accounts import job_tasks, notices
from accounts.models import Notice

pytestmark = pytest.mark.django_db


def test_telling_writes_a_line_and_mails_once(patient, run_tasks, mailoutbox):
    with run_tasks():
        notices.tell(patient.pk, "care_requested", "/account/sharing/")
    notice = Notice.objects.get()
    assert "asks to look" in notice.text
    assert [mail.to for mail in mailoutbox] == [[patient.email]]
    words = mailoutbox[0].subject + mailoutbox[0].body
    assert "doctor" not in words.lower() and "scan" not in words.lower() and patient.full_name not in words
    assert not notices.mail(notice.pk)
    assert len(mailoutbox) == 1


def test_mistakes_of_the_code_are_loud(patient):
    with pytest.raises(ValueError, match="No such kind"):
        notices.tell(patient.pk, "whatever")
    for link in ("https://evil.example/", "//evil.example/"):
        with pytest.raises(ValueError, match="page of this site"):
            notices.tell(patient.pk, "care_requested", link)
    assert not Notice.objects.exists()


def test_mails_can_be_switched_off_but_not_for_emergencies(as_user, patient, run_tasks, mailoutbox):
    client = as_user(patient)
    assert "mail you again" not in client.get(reverse("accounts:notices")).text
    client.post(reverse("accounts:notice_mails"), {"wanted": "0"})
    patient.refresh_from_db()
    assert not patient.mail_notices
    with run_tasks():
        notices.tell(patient.pk, "care_requested")
    assert mailoutbox == []
    with run_tasks():
        notices.tell(patient.pk, "emergency_access")
    assert len(mailoutbox) == 1
    client.post(reverse("accounts:notice_mails"), {"wanted": "1"})
    patient.refresh_from_db()
    assert patient.mail_notices


def test_a_mail_speaks_the_language_that_its_reader_last_read(as_user, patient, run_tasks, mailoutbox):
    client = as_user(patient)
    client.post(reverse("set_language"), {"language": "es", "next": "/"})
    assert 'lang="es"' in client.get(reverse("accounts:notices")).text
    with run_tasks():
        notices.tell(patient.pk, "care_requested")
    assert mailoutbox[0].subject == "Hay algo nuevo en PMI"
    assert "Por su privacidad" in mailoutbox[0].body
    assert "\nhttp://localhost:8000/account/notices/\n" in mailoutbox[0].body
    client.post(reverse("set_language"), {"language": "en", "next": "/"})
    client.get(reverse("accounts:notices"))
    with run_tasks():
        notices.tell(patient.pk, "care_declined")
    assert mailoutbox[1].subject == "There is something new in PMI"


def test_the_language_that_a_person_chose_goes_with_the_account(as_user, client, patient):
    as_user(patient).post(reverse("set_language"), {"language": "hi", "next": "/"})
    patient.refresh_from_db()
    assert (patient.language, patient.language_is_chosen) == ("hi", True)
    # Another browser, which asks for Spanish.
    client.force_login(patient)
    page = client.get(reverse("accounts:notices"), headers={"accept-language": "es"})
    assert 'lang="hi"' in page.text
    patient.refresh_from_db()
    assert patient.language == "hi"


def test_of_who_never_chose_the_browser_decides(as_user, patient):
    client = as_user(patient)
    assert 'lang="es"' in client.get(reverse("accounts:notices"), headers={"accept-language": "es"}).text
    patient.refresh_from_db()
    assert (patient.language, patient.language_is_chosen) == ("es", False)
    assert 'lang="hi"' in client.get(reverse("accounts:notices"), headers={"accept-language": "hi"}).text


def test_a_mail_that_failed_is_tried_again(patient, monkeypatch, mailoutbox):
    def broken(*args, **kwargs):
        raise OSError("no mail server")

    with monkeypatch.context() as patched:
        patched.setattr(notices, "send_mail", broken)
        notice = Notice.objects.create(user=patient, kind="care_requested")
        with pytest.raises(OSError, match="no mail"):
            notices.mail(notice.pk)
    assert notices.sweep() == 0, "young ones still have a worker"
    Notice.objects.update(created_at=timezone.now() - timedelta(minutes=6))
    assert notices.sweep() == 1
    assert notices.sweep() == 0
    assert len(mailoutbox) == 1


def test_an_address_that_takes_no_mail_keeps_nobody_waiting(patient, other_patient, monkeypatch, mailoutbox):
    waiting = [Notice.objects.create(user=who, kind="emergency_access") for who in (other_patient, patient)]
    Notice.objects.update(created_at=timezone.now() - timedelta(minutes=6))
    Notice.objects.filter(pk=waiting[0].pk).update(created_at=timezone.now() - timedelta(minutes=7))
    send = notices.send_mail

    def refuse_one(*args, **kwargs):
        if args[3] == [patient.email]:
            raise OSError("refused")
        return send(*args, **kwargs)

    monkeypatch.setattr(notices, "send_mail", refuse_one)
    swept = []
    monkeypatch.setattr(job_tasks.care, "sweep", lambda: swept.append("care"))
    monkeypatch.setattr(job_tasks.erasure, "sweep", lambda: 1 / 0)
    job_tasks.sweep_jobs()
    assert [message.to for message in mailoutbox] == [[other_patient.email]]
    assert swept == ["care"]


def test_the_page_counts_opens_and_marks(as_user, patient, other_patient):
    for kind in ("care_requested", "emergency_access"):
        notices.tell(patient.pk, kind, reverse("accounts:sharing"))
    client = as_user(patient)
    page = client.get(reverse("accounts:notices"))
    assert page.context["unread_notices"] == 2
    assert "in an emergency" in page.text
    first = Notice.objects.first()
    address = reverse("accounts:follow_notice", args=[first.pk])
    assert as_user(other_patient).get(address).status_code == 404
    assert client.get(reverse("accounts:follow_notice", args=[uuid.uuid4()])).status_code == 404
    assert client.post(address).status_code == 405
    assert client.get(address)["Location"] == reverse("accounts:sharing")
    assert notices.unread_count(patient) == 1
    assert client.post(reverse("accounts:read_notices")).status_code == 302
    assert notices.unread_count(patient) == 0
    assert "in an emergency" not in as_user(other_patient).get(reverse("accounts:notices")).text


def test_an_unknown_kind_still_reads_as_news(patient):
    assert notices.text_of("of an app that is gone") == "There is something new."


def test_strangers_are_sent_to_the_login(client):
    for name in ("notices", "read_notices", "notice_mails"):
        answer = client.post(reverse(f"accounts:{name}"))
        assert answer.status_code in {302, 405}
    assert "/login/" in client.get(reverse("accounts:notices"))["Location"]


@pytest.mark.parametrize(("error", "ends"), [(OSError, False), (SoftTimeLimitExceeded, True)])
def test_a_sweep_ends_with_its_time_but_not_with_one_address(patient, monkeypatch, error, ends):
    tried = []

    def broken(*args, **kwargs):
        tried.append(args)
        raise error

    monkeypatch.setattr(notices, "send_mail", broken)
    for _ in range(2):
        Notice.objects.create(user=patient, kind="care_requested")
    Notice.objects.update(created_at=timezone.now() - timedelta(minutes=6))
    if ends:
        with pytest.raises(SoftTimeLimitExceeded):
            notices.sweep()
    else:
        assert notices.sweep() == 0
    assert len(tried) == (1 if ends else 2)
    assert not Notice.objects.exclude(mailed_at=None).exists(), "free again for the next try"
