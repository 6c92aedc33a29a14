"""The review of a scan: the panel and its page, drafts, signatures, conflicts, the second reader, who may."""

import html
from datetime import timedelta
from typing import Any

import pytest
from django.urls import reverse
from django.utils import timezone

from accounts.models import AccessLog, CareRelationship, DoctorProfile, Notice
from cases import reviews, second_reader
from cases.models import FollowUp, Review, Scan
from inference.models import Analysis
from tests.factories import ScanFactory
from tests.inference import reading_rows as rows
from tests.inference.reviewed import correct, doctor_of, sign

pytestmark = pytest.mark.django_db
HTMX = {"HTTP_HX_REQUEST": "true"}


@pytest.fixture
def scan(patient: Any) -> Scan:
    return ScanFactory.create(case__patient=patient)


@pytest.fixture
def reading(scan: Scan) -> Analysis:
    return rows.reading(scan)


@pytest.fixture
def reader(patient: Any) -> Any:
    return doctor_of(patient)


@pytest.fixture
def second(patient: Any) -> Any:
    return doctor_of(patient, "Dr Bea Second")


def address(scan: Scan) -> str:
    return reverse("inference:review", args=[scan.case_id, scan.pk])


def result_of(scan: Scan) -> str:
    return reverse("inference:scan_result", args=[scan.case_id, scan.pk])


def form(of: Analysis, action: str = "sign", verdict: str = "agree", **fields: Any) -> dict[str, Any]:
    """What a browser sends."""
    values = {
        "analysis": of.pk,
        "seat": "first",
        "edit_no": 0,
        "verdict_pneumonia": verdict,
        "right_pneumonia": "",
        **fields,
    }
    return {"action": action, **{f"review-{name}": value for name, value in values.items()}}


def text_of(answer: Any) -> str:
    return html.unescape(answer.content.decode())


def actions(scan: Scan) -> set[str]:
    return set(AccessLog.objects.filter(object_id=scan.pk).values_list("action", flat=True))


# --- works ---
def test_the_panel_is_where_a_doctor_reads(
    as_user: Any, reader: Any, patient: Any, reading: Analysis
) -> None:
    scan = reading.scan
    room = reverse("inference:reading_room", args=[scan.case_id, scan.pk])
    for path in (result_of(scan), room, address(scan)):
        text = text_of(as_user(reader).get(path))
        assert 'id="review-panel"' in text and "hx-post" in text and 'name="review-verdict_pneumonia"' in text
    assert 'id="review-panel"' not in text_of(as_user(patient).get(result_of(scan)))
    assert "open_review" in actions(scan)


def test_a_draft_is_kept_and_only_its_doctor_sees_it(
    as_user: Any, reader: Any, second: Any, patient: Any, reading: Analysis
) -> None:
    scan, client = reading.scan, as_user(reader)
    answer = client.post(address(scan), form(reading, "save", "", comment="Half a thought"))
    assert answer["Location"] == address(scan)
    text = text_of(client.get(address(scan)))
    assert "Half a thought" in text and "Only you see it until you sign." in text
    for other in (second, patient):
        assert "Half a thought" not in text_of(as_user(other).get(result_of(scan)))
    assert "draft_review" in actions(scan)


def test_by_htmx_the_panel_comes_back(as_user: Any, reader: Any, reading: Analysis) -> None:
    answer = as_user(reader).post(address(reading.scan), form(reading, "save", "", comment="Mine"), **HTMX)
    text = text_of(answer)
    assert answer.status_code == 200 and "<html" not in text and 'name="review-edit_no" value="1"' in text
    signed = as_user(reader).post(address(reading.scan), form(reading, edit_no=1), **HTMX)
    assert signed["HX-Redirect"] == result_of(reading.scan)


def test_a_correction_is_signed(as_user: Any, reader: Any, patient: Any, reading: Analysis) -> None:
    scan, day = reading.scan, timezone.localdate() + timedelta(days=14)
    sent = form(
        reading,
        "sign",
        "disagree",
        danger_level="routine",
        comment="A fold of the skin.",
        follow_up="Come back",
        follow_up_on=day.isoformat(),
    )
    assert as_user(reader).post(address(scan), sent)["Location"] == result_of(scan)
    review = Review.objects.get()
    assert (review.status, review.danger_level, review.follow_up_on) == ("signed", "routine", day)
    assert review.verdicts.get().verdict == "disagree"
    assert FollowUp.objects.get(case=scan.case).due_on == day
    text = text_of(as_user(patient).get(result_of(scan)))
    assert "Corrected and confirmed by Dr Ada Reader" in text and "A fold of the skin." in text
    assert "sign_review" in actions(scan)


def test_a_draft_can_be_thrown_away(as_user: Any, reader: Any, reading: Analysis) -> None:
    client = as_user(reader)
    client.post(address(reading.scan), form(reading, "save", comment="No"))
    client.post(address(reading.scan), form(reading, "discard"))
    assert not Review.objects.exists()


def test_an_amendment(as_user: Any, reader: Any, reading: Analysis) -> None:
    scan, client = reading.scan, as_user(reader)
    first = sign(reading, reader, comment="All clear to me.")
    text = text_of(client.get(result_of(scan)))
    assert "Change the signed review" in text and 'name="review-comment"' not in text
    text = text_of(client.get(address(scan), {"change": "1"}))
    assert "All clear to me." in text and 'name="review-amend_reason"' in text
    sent = form(reading, amends=first.pk, comment="Not so clear.")
    refused = client.post(address(scan), sent)
    assert refused.status_code == 400 and "Please say why you change a signed review." in text_of(refused)
    sent = form(reading, amends=first.pk, edit_no=1, comment="Not so clear.", amend_reason="Second look")
    client.post(address(scan), sent)
    assert Review.objects.get(status="signed").version == 2
    assert "Second look" in text_of(client.get(result_of(scan)))


def test_a_scan_that_could_not_be_read_is_reviewed_too(as_user: Any, reader: Any, scan: Scan) -> None:
    refused = rows.analysis(scan, "rejected")
    sent = {"review-analysis": refused.pk, "review-seat": "first", "review-edit_no": 0, "action": "sign"}
    sent |= {"review-comment": "A good film of a knee.", "review-danger_level": "soon"}
    as_user(reader).post(address(scan), sent)
    assert Review.objects.get().status == "signed"
    text = text_of(as_user(scan.case.patient).get(result_of(scan)))
    assert "Reviewed by Dr Ada Reader" in text and "Your doctor says: this needs care soon" in text


# --- what stands against it ---
def test_an_incomplete_review_comes_back_saved(as_user: Any, reader: Any, reading: Analysis) -> None:
    answer = as_user(reader).post(address(reading.scan), form(reading, "sign", "", comment="Typed a lot"))
    text = text_of(answer)
    assert answer.status_code == 400 and "Your draft is saved. To sign" in text
    assert "Typed a lot" in text and 'name="review-edit_no" value="1"' in text


@pytest.mark.parametrize(
    "wrong",
    [
        {"follow_up_on": "soon"},
        {"danger_level": "terrible"},
        {"verdict_pneumonia": "maybe"},
        {"seat": "third"},
    ],
)
def test_fields_that_mean_nothing(
    as_user: Any, reader: Any, reading: Analysis, wrong: dict[str, str]
) -> None:
    sent = form(reading, "save", comment="Typed a lot", **wrong)
    answer = as_user(reader).post(address(reading.scan), sent)
    assert answer.status_code == 400 and "Typed a lot" in text_of(answer)
    assert not Review.objects.exists()


def test_a_superseded_reading(as_user: Any, reader: Any, reading: Analysis) -> None:
    client, scan = as_user(reader), reading.scan
    client.post(address(scan), form(reading, "save", comment="Stored words"))
    newer = rows.reading(scan)
    answer = client.post(address(scan), form(reading, "sign", edit_no=1, comment="Newest words"))
    text = text_of(answer)
    assert answer.status_code == 409 and "There is a newer reading of this scan" in text
    assert "Newest words" in text and "Stored words" in text and str(newer.pk) in text
    assert reviews.draft_of(reader, scan).comment == "Stored words"
    assert client.post(address(scan), form(newer, edit_no=1, comment="Newest words")).status_code == 302
    assert Review.objects.get(status="signed").analysis == newer


def test_two_doctors_sign_and_the_second_is_told(
    as_user: Any, reader: Any, second: Any, reading: Analysis
) -> None:
    scan = reading.scan
    as_user(reader).post(address(scan), form(reading))
    answer = as_user(second).post(address(scan), form(reading, comment="I see more"), **HTMX)
    text = text_of(answer)
    assert answer.status_code == 409 and "Dr Ada Reader signed this scan on" in text and "I see more" in text
    draft = reviews.draft_of(second, scan)
    assert draft is not None and draft.comment == "I see more"
    standing = Review.objects.get(status="signed")
    assert f'name="review-amends" value="{standing.pk}"' in text and "Sign the new version" in text


def test_the_same_signed_twice_and_something_else(as_user: Any, reader: Any, reading: Analysis) -> None:
    client, scan = as_user(reader), reading.scan
    for _click in range(2):
        assert client.post(address(scan), form(reading))["Location"] == result_of(scan)
    answer = client.post(address(scan), form(reading, comment="I see more"))
    text = text_of(answer)
    assert answer.status_code == 409 and "You signed this scan yourself on" in text and "I see more" in text
    standing = Review.objects.get()
    assert f'name="review-amends" value="{standing.pk}"' in text and "Sign the new version" in text


def test_the_same_draft_in_two_windows(as_user: Any, reader: Any, reading: Analysis) -> None:
    client, scan = as_user(reader), reading.scan
    client.post(address(scan), form(reading, "save", comment="First window"))
    answer = client.post(address(scan), form(reading, "save", comment="Second window"))
    text = text_of(answer)
    assert answer.status_code == 409 and "First window" in text and "Second window" in text
    assert 'name="review-edit_no" value="1"' in text


@pytest.mark.parametrize("how", ["grant", "licence"])
@pytest.mark.parametrize("extra", [{}, HTMX])
def test_a_revoked_doctor_with_an_open_tab_gets_the_words_back(
    as_user: Any, reader: Any, reading: Analysis, how: str, extra: dict[str, Any]
) -> None:
    if how == "grant":
        CareRelationship.objects.update(revoked_at=timezone.now())
    else:
        DoctorProfile.objects.update(verified_at=None)
    answer = as_user(reader).post(address(reading.scan), form(reading, comment="A long letter"), **extra)
    text = text_of(answer)
    assert answer.status_code == 404 and "Your review was not saved" in text and "A long letter" in text
    assert reading.scan.case.title not in text and not Review.objects.exists()
    assert as_user(reader).get(address(reading.scan)).status_code == 404


def test_a_session_that_ended_gives_the_words_back(as_user: Any, reading: Analysis) -> None:
    answer = as_user(None).post(address(reading.scan), form(reading, comment="A long letter"))
    assert answer.status_code == 401 and "A long letter" in text_of(answer)
    assert "login" in as_user(None).get(address(reading.scan))["Location"]


def test_nothing_is_read_yet(as_user: Any, reader: Any, scan: Scan) -> None:
    waiting = rows.analysis(scan, "queued")
    assert as_user(reader).get(address(scan))["Location"] == result_of(scan)
    assert as_user(reader).post(address(scan), form(waiting)).status_code == 404


# --- the second reader ---
def ask(client: Any, scan: Scan, doctor: Any) -> Any:
    path = reverse("inference:ask_second_reader", args=[scan.case_id, scan.pk])
    return client.post(path, {"doctor": doctor.pk}, follow=True)


def test_a_second_reader_is_asked_reads_blind_and_differs(
    as_user: Any, reader: Any, second: Any, reading: Analysis, django_capture_on_commit_callbacks: Any
) -> None:
    scan = reading.scan
    correct(reading, reader)
    assert "Dr Bea Second" in text_of(as_user(reader).get(result_of(scan)))
    answer = ask(as_user(reader), scan, second)
    assert "Dr Bea Second is asked to read this scan" in text_of(answer)
    assert "has not signed yet" in text_of(as_user(reader).get(result_of(scan)))
    notice = Notice.objects.get(user=second)
    assert notice.kind == "second_reading_asked" and notice.link == address(scan)
    text = text_of(as_user(second).get(address(scan)))
    assert "You read this scan blind" in text and "Ada Reader" not in text and "A fold" not in text
    assert 'name="review-seat" value="second"' in text
    with django_capture_on_commit_callbacks(execute=True):
        as_user(second).post(address(scan), form(reading, seat="second"))
    assert Notice.objects.filter(user=reader, kind="readers_differ").count() == 1
    listed = text_of(as_user(reader).get(reverse("inference:disagreements")))
    assert scan.case.title in listed and "first reader “I disagree" in listed
    assert "second reader “I agree”" in listed and "Level" in listed
    both = text_of(as_user(second).get(result_of(scan)))
    assert "The two readers differ" in both and "Ada Reader" in both
    assert "ask_second_reader" in actions(scan)


def test_readers_who_agree_are_not_listed(as_user: Any, reader: Any, second: Any, reading: Analysis) -> None:
    sign(reading, reader)
    ask(as_user(reader), reading.scan, second)
    sign(reading, second, seat="second")
    text = text_of(as_user(reader).get(reverse("inference:disagreements")))
    assert "There is none among the scans that you may see." in text


def test_a_second_reader_may_decline(as_user: Any, reader: Any, second: Any, reading: Analysis) -> None:
    ask(as_user(reader), reading.scan, second)
    as_user(second).post(address(reading.scan), form(reading, "discard", seat="second"))
    assert not Review.objects.exists()


def test_who_lost_access_does_not_block_the_seat(
    as_user: Any, reader: Any, second: Any, patient: Any, reading: Analysis
) -> None:
    ask(as_user(reader), reading.scan, second)
    CareRelationship.objects.filter(doctor=second).update(revoked_at=timezone.now())
    third = doctor_of(patient, "Dr Third")
    assert "Dr Third is asked to read this scan" in text_of(ask(as_user(reader), reading.scan, third))


def test_who_cannot_be_asked(
    as_user: Any, reader: Any, second: Any, doctor: Any, patient: Any, reading: Analysis
) -> None:
    scan = reading.scan
    sign(reading, reader)
    for person in (reader, doctor, patient):
        assert "cannot be the second reader" in text_of(ask(as_user(reader), scan, person))
    ask(as_user(reader), scan, second)
    third = doctor_of(patient, "Dr Third")
    assert "has a second reader already" in text_of(ask(as_user(reader), scan, third))
    assert ask(as_user(patient), scan, second).status_code == 403
    assert ask(as_user(doctor), scan, second).status_code == 404


def test_one_reads_blind_oneself_before_anybody_has_signed(
    as_user: Any, reader: Any, second: Any, reading: Analysis
) -> None:
    answer = ask(as_user(second), reading.scan, second)
    assert "You read this scan blind" in text_of(answer)


# --- who ---
def test_who_may_not(as_user: Any, patient: Any, other_patient: Any, reading: Analysis, doctor: Any) -> None:
    for method in ("get", "post"):
        assert getattr(as_user(patient), method)(address(reading.scan)).status_code == 403
        for outsider in (other_patient, doctor):
            assert getattr(as_user(outsider), method)(address(reading.scan)).status_code == 404
    assert as_user(patient).get(reverse("inference:disagreements")).status_code == 403
    assert as_user(doctor).put(address(reading.scan)).status_code == 405


def test_differing_readers_of_strangers_are_not_listed(
    as_user: Any, reader: Any, second: Any, doctor: Any, reading: Analysis
) -> None:
    second_reader.ask(second, reading.scan, second.pk)
    correct(reading, reader)
    sign(reading, second, seat="second")
    assert reading.scan.case.title not in text_of(as_user(doctor).get(reverse("inference:disagreements")))
