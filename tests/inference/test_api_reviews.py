"""Reviews over the API: drafts, signatures, amendments, conflicts, differing readers, who may."""

from typing import Any

import pytest
from django.core.management import call_command
from django.urls import reverse

from cases import reviews, second_reader
from cases.models import Review, Scan
from inference.models import Analysis
from tests.factories import ScanFactory
from tests.inference import reading_rows as rows
from tests.inference.reviewed import correct, doctor_of, filled, sign

pytestmark = pytest.mark.django_db
LIST, SIGN = reverse("v1:review-list"), reverse("v1:review-sign")
DIFFER = reverse("v1:review-disagreements")


@pytest.fixture
def scan(patient: Any) -> Scan:
    return ScanFactory.create(case__patient=patient)


@pytest.fixture
def reading(scan: Scan) -> Analysis:
    return rows.reading(scan)


@pytest.fixture
def reader(patient: Any) -> Any:
    return doctor_of(patient)


def body(of: Analysis, verdict: str = "agree", **fields: Any) -> dict[str, Any]:
    said = [{"label": "pneumonia", "verdict": verdict}] if verdict else []
    return {"scan": str(of.scan_id), "analysis": str(of.pk), "verdicts": said, **fields}


def detail(review: Review, name: str = "detail") -> str:
    return reverse(f"v1:review-{name}", args=[review.pk])


def test_draft_then_signature(api_as: Any, reader: Any, patient: Any, reading: Analysis) -> None:
    client = api_as(reader)
    made = client.post(LIST, body(reading, "", comment="Half"), format="json")
    assert made.status_code == 201 and made.json()["status"] == "draft" and made.json()["edit_no"] == 1
    again = client.post(LIST, body(reading, "", comment="Whole", edit_no=1), format="json")
    assert again.status_code == 200 and again.json()["comment"] == "Whole"
    assert api_as(patient).get(LIST).json()["count"] == 0
    signed = client.post(SIGN, body(reading, edit_no=2), format="json")
    told = signed.json()
    assert signed.status_code == 201 and told["status"] == "signed" and told["danger_level"] == "urgent"
    assert told["verdicts"][0]["probability"] == pytest.approx(0.83)
    (seen,) = api_as(patient).get(LIST, {"scan": str(reading.scan_id)}).json()["results"]
    assert seen["id"] == told["id"] and seen["statement"].startswith("Confirmed by Dr Ada Reader on")
    assert api_as(patient).get(detail(Review.objects.get())).json()["version"] == 1


def test_an_amendment(api_as: Any, reader: Any, reading: Analysis) -> None:
    first, client = sign(reading, reader), api_as(reader)
    sent = body(reading, "disagree", danger_level="routine", comment="A fold.")
    refused = client.post(detail(first, "amend"), sent, format="json")
    assert refused.status_code == 400 and refused.json()["code"] == "no_reason"
    sent |= {"edit_no": 1, "amend_reason": "Second look"}
    made = client.post(detail(first, "amend"), sent, format="json").json()
    assert made["version"] == 2 and made["previous"] == str(first.pk)
    versions = client.get(LIST, {"case": str(reading.scan.case_id)}).json()["results"]
    assert [one["status"] for one in versions] == ["signed", "superseded"]


def test_conflicts_are_409(api_as: Any, reader: Any, patient: Any, reading: Analysis) -> None:
    client, second = api_as(reader), doctor_of(patient, "Dr Bea Second")
    client.post(LIST, body(reading, comment="One"), format="json")
    assert client.post(LIST, body(reading, comment="Two"), format="json").json()["code"] == "edit_conflict"
    client.post(SIGN, body(reading, edit_no=1), format="json")
    late = api_as(second).post(SIGN, body(reading, comment="I see more"), format="json")
    assert late.status_code == 409 and late.json()["code"] == "already_signed"
    assert "Dr Ada Reader signed" in late.json()["detail"]
    draft = reviews.draft_of(second, reading.scan)
    assert draft is not None and draft.comment == "I see more"
    rows.reading(reading.scan)
    old = api_as(second).post(SIGN, body(reading, edit_no=1), format="json")
    assert old.status_code == 409 and old.json()["code"] == "superseded"


def test_the_same_sent_again_is_200_and_stores_nothing(api_as: Any, reader: Any, reading: Analysis) -> None:
    client, sent = api_as(reader), body(reading, comment="Seen.")
    first = client.post(SIGN, sent, format="json")
    again = client.post(SIGN, sent, format="json")
    assert (first.status_code, again.status_code) == (201, 200) and again.json() == first.json()
    address = detail(Review.objects.get(), "amend")
    change = body(reading, comment="Seen again.", amend_reason="Second look")
    made = client.post(address, change, format="json")
    lost = client.post(address, change, format="json")
    assert (made.status_code, lost.status_code) == (201, 200) and lost.json() == made.json()
    assert client.get(LIST).json()["count"] == Review.objects.count() == 2


def test_something_else_on_ones_own_signature_says_how_to_go_on(
    api_as: Any, reader: Any, reading: Analysis
) -> None:
    client = api_as(reader)
    signed = client.post(SIGN, body(reading), format="json").json()
    refused = client.post(SIGN, body(reading, comment="More"), format="json")
    told = refused.json()
    assert refused.status_code == 409 and set(told) == {"detail", "code", "review", "edit_no"}
    assert (told["code"], told["review"], told["edit_no"]) == ("already_signed", signed["id"], 0)
    assert "You signed this scan yourself" in told["detail"] and Review.objects.count() == 1
    address = reverse("v1:review-amend", args=[told["review"]])
    change = body(reading, comment="More", edit_no=told["edit_no"], amend_reason="I see more")
    assert client.post(address, change, format="json").json()["version"] == 2


def test_refusals_name_the_draft(api_as: Any, reader: Any, patient: Any, reading: Analysis) -> None:
    client, second = api_as(reader), api_as(doctor_of(patient, "Dr Bea Second"))
    told = client.post(SIGN, body(reading, ""), format="json").json()
    draft = reviews.draft_of(reader, reading.scan)
    assert (told["code"], told["review"], told["edit_no"]) == ("incomplete", str(draft.pk), 1)
    lost = client.post(LIST, body(reading), format="json").json()
    assert (lost["code"], lost["review"], lost["edit_no"]) == ("edit_conflict", str(draft.pk), 1)
    signed = client.post(SIGN, body(reading, edit_no=1), format="json").json()
    late = second.post(SIGN, body(reading, comment="I see more"), format="json").json()
    assert (late["code"], late["review"], late["edit_no"]) == ("already_signed", signed["id"], 1)


@pytest.mark.parametrize("other", ["agree", "disagree"])
def test_two_verdicts_on_one_finding_are_refused(
    api_as: Any, reader: Any, reading: Analysis, other: str
) -> None:
    client = api_as(reader)
    sent = body(reading, danger_level="urgent", comment="Seen.")
    sent["verdicts"] = [{"label": "pneumonia", "verdict": one} for one in ("agree", other)]
    for address in (LIST, SIGN):
        refused = client.post(address, sent, format="json")
        assert refused.status_code == 400 and "pneumonia" in refused.json()["verdicts"][0]
    assert not Review.objects.exists()
    signed = sign(reading, reader)
    refused = client.post(detail(signed, "amend"), {**sent, "amend_reason": "Better"}, format="json")
    assert refused.status_code == 400 and "pneumonia" in refused.json()["verdicts"][0]
    assert Review.objects.get() == signed


@pytest.mark.parametrize(
    "wrong",
    [
        {"danger_level": "terrible"},
        {"verdicts": [{"label": "pneumonia", "verdict": "perhaps"}]},
        {"verdicts": [{"label": "no-such", "verdict": "agree"}]},
        {"verdicts": [{"label": "pneumonia", "verdict": "disagree", "right_condition": "no-such"}]},
        {"follow_up_on": "soon"},
        {"seat": "third"},
        {"comment": "x" * 5001},
    ],
)
def test_what_means_nothing_is_refused(api_as: Any, reader: Any, reading: Analysis, wrong: Any) -> None:
    answer = api_as(reader).post(LIST, {**body(reading), **wrong}, format="json")
    assert answer.status_code == 400 and not Review.objects.exists()


def test_a_reading_of_another_scan(api_as: Any, reader: Any, reading: Analysis) -> None:
    other = rows.reading(ScanFactory.create(case=reading.scan.case))
    answer = api_as(reader).post(LIST, {**body(reading), "analysis": str(other.pk)}, format="json")
    assert answer.status_code == 400 and "another scan" in str(answer.json())


def test_a_right_condition_is_kept(api_as: Any, reader: Any, reading: Analysis) -> None:
    call_command("load_knowledge_base", verbosity=0)
    sent = body(reading, danger_level="routine")
    sent["verdicts"] = [{"label": "pneumonia", "verdict": "disagree", "right_condition": "no-chest-finding"}]
    made = api_as(reader).post(SIGN, sent, format="json").json()
    assert made["verdicts"][0]["right_condition"] == "no-chest-finding"


def test_only_ones_own_draft_goes(api_as: Any, reader: Any, patient: Any, reading: Analysis) -> None:
    draft = reviews.save_draft(reader, reading.scan, filled(reading))
    second = doctor_of(patient, "Dr Bea Second")
    assert api_as(second).delete(detail(draft)).status_code == 404
    assert api_as(reader).delete(detail(draft)).status_code == 204
    signed = sign(reading, reader)
    assert api_as(second).delete(detail(signed)).status_code == 403
    refused = api_as(reader).delete(detail(signed))
    assert refused.status_code == 400 and refused.json()["code"] == "signed"


def test_blind_and_differing_readers(api_as: Any, reader: Any, patient: Any, reading: Analysis) -> None:
    second = doctor_of(patient, "Dr Bea Second")
    second_reader.ask(second, reading.scan, second.pk)
    first = correct(reading, reader)
    seen = api_as(second).get(LIST).json()["results"]
    assert [one["status"] for one in seen] == ["draft"]
    assert api_as(second).get(detail(first)).status_code == 404
    # Nor does a refusal name it.
    refused = api_as(second).post(SIGN, body(reading, edit_no=5), format="json")
    assert refused.status_code == 409 and refused.json()["review"] is None
    sent = body(reading, seat="second")
    assert api_as(second).post(SIGN, sent, format="json").status_code == 201
    assert api_as(second).get(detail(first)).status_code == 200
    (listed,) = api_as(reader).get(DIFFER).json()["results"]
    assert listed["scan"] == str(reading.scan_id)
    assert [one["what"] for one in listed["differences"]] == ["level", "pneumonia"]
    assert api_as(patient).get(DIFFER).status_code == 403


def test_who_may_not(
    api_as: Any,
    patient: Any,
    other_patient: Any,
    doctor: Any,
    unverified_doctor: Any,
    reader: Any,
    reading: Analysis,
) -> None:
    signed = sign(reading, reader)
    assert api_as(patient).post(SIGN, body(reading), format="json").status_code == 403
    assert api_as(patient).post(detail(signed, "amend"), body(reading), format="json").status_code == 403
    for outsider in (other_patient, doctor, unverified_doctor):
        client = api_as(outsider)
        assert client.post(SIGN, body(reading), format="json").status_code == 404
        assert client.post(detail(signed, "amend"), body(reading), format="json").status_code == 404
        assert client.get(detail(signed)).status_code == 404 and client.get(LIST).json()["count"] == 0
    assert api_as(None).get(LIST).status_code == 401
    assert api_as(reader).put(detail(signed), {}, format="json").status_code == 405


def test_the_list_of_one_status(api_as: Any, reader: Any, reading: Analysis) -> None:
    first = sign(reading, reader)
    again = correct(reading, reader, amends=first.pk, amend_reason="Second look")
    for status, review in (("superseded", first), ("signed", again)):
        (listed,) = api_as(reader).get(LIST, {"status": status}).json()["results"]
        assert listed["id"] == str(review.pk)
    assert api_as(reader).get(LIST, {"status": "draft"}).json()["count"] == 0
    answer = api_as(reader).get(LIST, {"status": "half"})
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_filter")


@pytest.mark.parametrize("name", ["scan", "case"])
def test_a_filter_that_is_no_id_is_refused(api_as: Any, doctor: Any, name: str) -> None:
    answer = api_as(doctor).get(f"/api/v1/reviews/?{name}=bogus")
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_filter")
