"""What patients see of a reading that no doctor has signed, under each setting, at every door."""

import io
import zipfile
from typing import Any

import pytest
from django.urls import reverse

from accounts import export
from accounts.models import Notice
from cases import sharing
from cases.models import Scan
from inference import case_state, checks, release, rights
from inference.models import Analysis, DangerAssessment, SimilarSearch
from tests.cases.conftest import png
from tests.factories import ScanFactory
from tests.inference import reading_rows as rows
from tests.inference.reviewed import correct, doctor_of, sign
from tests.test_access_matrix import ALSO_ASKED, walked_routes

pytestmark = pytest.mark.django_db
HOLD = "after_review"
FIRST = "A doctor looks at it first."


@pytest.fixture
def scan(patient: Any) -> Scan:
    return ScanFactory.create(case__patient=patient)


@pytest.fixture
def reading(scan: Scan) -> Analysis:
    return rows.reading(scan, heat=True)


def result_page(client: Any, scan: Scan) -> str:
    answer = client.get(reverse("inference:scan_result", args=[scan.case_id, scan.pk]))
    assert answer.status_code == 200
    return str(answer.content.decode())


@pytest.mark.parametrize(
    ("policy", "level", "shown"),
    [
        ("at_once", "urgent", True),
        (HOLD, "urgent", False),
        (HOLD, "none_found", False),
        ("routine_at_once", "urgent", False),
        ("routine_at_once", "soon", False),
        ("routine_at_once", "inconclusive", False),
        ("routine_at_once", "routine", True),
        ("routine_at_once", "none_found", True),
        ("mispelt", "routine", False),
    ],
)
def test_the_setting_decides(
    patient: Any, scan: Scan, settings: Any, policy: str, level: str, shown: bool
) -> None:
    settings.PMI_RELEASE = policy
    made = rows.reading(scan, danger=level)
    assert release.released_to(patient, made) is shown
    assert release.released_to(doctor_of(patient), made)


@pytest.mark.parametrize("status", ["queued", "running", "failed", "rejected"])
def test_what_says_nothing_of_illness_is_never_held(
    patient: Any, scan: Scan, settings: Any, status: str
) -> None:
    settings.PMI_RELEASE = HOLD
    assert release.released_to(patient, rows.analysis(scan, status))


def test_a_signature_releases_and_a_draft_does_not(patient: Any, reading: Analysis, settings: Any) -> None:
    settings.PMI_RELEASE = HOLD
    doctor = doctor_of(patient)
    with pytest.raises(Exception, match="Your draft is saved"):
        sign(reading, doctor, "")
    assert not release.released_to(patient, reading)
    sign(reading, doctor, edit_no=1)
    assert release.released_to(patient, reading)


def test_what_was_shown_stays_shown_when_its_level_rises(patient: Any, scan: Scan, settings: Any) -> None:
    settings.PMI_RELEASE = "routine_at_once"
    made = rows.reading(scan, danger="routine")
    DangerAssessment.objects.create(analysis=made, level="routine", rules_version="1", age_group="adult")
    Analysis.objects.filter(pk=made.pk).update(danger="emergency")
    assert release.released_to(patient, made)


def test_a_newer_reading_waits_while_the_signed_one_is_shown(
    as_user: Any, patient: Any, reading: Analysis, settings: Any
) -> None:
    settings.PMI_RELEASE = HOLD
    correct(reading, doctor_of(patient))
    newer = rows.reading(reading.scan, danger="emergency")
    text = result_page(as_user(patient), reading.scan)
    assert "There is a newer reading." in text and "confirmed by Dr Ada Reader" in text
    assert str(newer.pk) not in text


# What pages and answers write of the reading of `rows.reading`: its finding, level, reason and probability.
SAYS_MUCH = (b'"pneumonia"', b"often mean pneumonia", b"danger-urgent", b'"urgent"', b"8 in 10", b"0.83")
# Of all routes that name a reading or a finding, those that answer its patient while it is held: that it is
# under way or held, the way to the page of the scan, and what is only sent.
STAY_OPEN = {
    "admin:inference_try_again",
    "inference:analysis_fragment",
    "v1:analysis-detail",
    "v1:analysis-reread",
}


def walk(client: Any, reading: Analysis) -> tuple[set[str], set[str]]:
    """Of all routes that name the case, the scan, the reading or its finding: those that name the latter two
    and are not 404, and those that say something of the reading.
    """
    scan, finding = reading.scan, reading.findings.get(rank=0)
    ids = {"case_id": scan.case_id, "scan_id": scan.pk, "analysis_id": reading.pk, "finding_id": finding.pk}
    plain = {"v1:case": scan.case_id, "v1:scan": scan.pk, "v1:analysis": reading.pk}
    stay_open, said = set(), set()
    for name, entry in walked_routes():
        keys = set(entry.pattern.regex.groupindex)
        own = plain.get(name.partition("-")[0])
        given = ids | {"pk": own} if own else ids
        if not keys or not keys <= given.keys():
            continue
        address = reverse(name, kwargs={key: given[key] for key in keys})
        for query in ("", *ALSO_ASKED.get(name, ())):
            answer = client.get(address + query)
            of_reading = name.startswith("v1:analysis-") or keys & {"analysis_id", "finding_id"}
            if of_reading and answer.status_code != 404:
                stay_open.add(name)
            content = answer.getvalue()
            if any(word in content for word in SAYS_MUCH):
                said.add(name + query)
    return stay_open, said


def test_every_door_is_shut(
    as_user: Any, api_as: Any, patient: Any, reading: Analysis, settings: Any
) -> None:
    settings.PMI_RELEASE = HOLD
    client, scan = as_user(patient), reading.scan
    text = result_page(client, scan)
    assert FIRST in text and "neumonia" not in text and "8 in 10" not in text
    case_page = client.get(reverse("cases:detail", args=[scan.case_id])).content.decode()
    assert FIRST in case_page and "danger-urgent" not in case_page
    assert walk(client, reading) == (STAY_OPEN, set())
    to_doctor, said = walk(as_user(doctor_of(patient)), reading)
    assert to_doctor > STAY_OPEN
    assert {"cases:detail", "inference:scan_result", "inference:reading_room", "v1:analysis-detail"} <= said
    region = reverse("inference:similar_region", args=[scan.case_id, scan.pk])
    assert client.get(region).status_code == 404
    # The picture itself is the patient's own.
    assert client.get(reverse("cases:scan_preview", args=[scan.case_id, scan.pk])).status_code == 200
    record = client.get(reverse("inference:record")).content.decode()
    assert "neumonia" not in record and "AI read" not in record
    made = sharing.make_link(scan.case, patient)
    entered = as_user(None)
    entered.post(reverse("inference:shared", args=[made.token]), {"pin": made.pin})
    assert entered.get(reverse("inference:shared_scan", args=[made.token, scan.pk])).status_code == 404
    wanted = Analysis.objects.filter(pk=reading.pk)
    assert not rights._released("pk", patient, wanted).exists()
    similar = api_as(patient).post(reverse("v1:similar-list"), {"analysis": str(reading.pk)}, format="json")
    assert similar.status_code == 404


@pytest.mark.parametrize(
    ("policy", "wait"),
    [(HOLD, "The wait says nothing"), ("routine_at_once", "Do not take the wait for good")],
)
def test_what_is_said_of_the_wait_is_true(
    as_user: Any, patient: Any, reading: Analysis, settings: Any, policy: str, wait: str
) -> None:
    settings.PMI_RELEASE = policy
    text = result_page(as_user(patient), reading.scan)
    assert wait in text and "No doctor can see this scan yet." in text and "Invite a doctor" in text
    doctor_of(patient)
    assert "No doctor can see this scan yet." not in result_page(as_user(patient), reading.scan)


def test_the_fragment_of_a_reading_that_has_just_ended(
    as_user: Any, patient: Any, reading: Analysis, settings: Any
) -> None:
    settings.PMI_RELEASE = HOLD
    path = reverse("inference:analysis_fragment", args=[reading.pk])
    text = as_user(patient).get(path, {"as": "card"}, HTTP_HX_REQUEST="true").content.decode()
    assert FIRST in text and "danger-urgent" not in text
    assert as_user(patient).get(path, HTTP_HX_REQUEST="true")["HX-Refresh"] == "true"


def test_the_api_says_that_it_is_held_and_nothing_else(
    api_as: Any, patient: Any, reading: Analysis, settings: Any
) -> None:
    settings.PMI_RELEASE = HOLD
    one = api_as(patient).get(reverse("v1:analysis-detail", args=[reading.pk])).json()
    (listed,) = api_as(patient).get(reverse("v1:analysis-list")).json()["results"]
    for told in (one, listed):
        assert told["held_back"] and told["status"] == "succeeded"
        assert told["findings"] == [] and told["probabilities"] == {} and told["danger_rules"] == []
        assert told["danger"] == "" == told["ai_danger"] and told["review"] is None
        assert FIRST in told["next_step"] and told["timings_ms"] == {}
        assert told["started_at"] is None is told["finished_at"] and told["queued_at"]
    seen = api_as(doctor_of(patient)).get(reverse("v1:analysis-detail", args=[reading.pk])).json()
    assert not seen["held_back"] and seen["danger"] == "urgent" and seen["findings"]
    assert seen["finished_at"]


@pytest.mark.parametrize("policy", [HOLD, "routine_at_once"])
def test_an_emergency_of_symptoms_is_never_held(
    as_user: Any, api_as: Any, patient: Any, reading: Analysis, settings: Any, policy: str
) -> None:
    settings.PMI_RELEASE = policy
    case = reading.scan.case
    case.symptoms = {"blue_lips": True}
    case.save()
    client = as_user(patient)
    room = reverse("inference:reading_room", args=[case.pk, reading.scan_id])
    for text in (
        result_page(client, reading.scan),
        client.get(reverse("cases:detail", args=[case.pk])).content.decode(),
        client.get(room).content.decode(),
    ):
        assert "Emergency" in text and "neumonia" not in text
    told = api_as(patient).get(reverse("v1:analysis-detail", args=[reading.pk])).json()
    assert told["danger"] == "emergency" and told["danger_by"] == "symptoms" and told["danger_reasons"]


@pytest.mark.parametrize("policy", [HOLD, "routine_at_once"])
def test_a_search_with_a_picture_is_no_way_round(
    as_user: Any, api_as: Any, patient: Any, settings: Any, policy: str
) -> None:
    settings.PMI_RELEASE = policy
    page = as_user(patient).get(reverse("inference:similar_search"))
    assert "a doctor looks at a reading before you see it" in page.text and 'type="file"' not in page.text
    answer = as_user(patient).post(reverse("inference:similar_search"), {"files": png()})
    assert answer.status_code == 400 and "before you see it" in answer.text
    told = api_as(patient).post(reverse("v1:similar-list"), {"files": png()}, format="multipart")
    assert (told.status_code, told.json()["code"]) == (400, "doctor_first")
    assert not SimilarSearch.objects.exists()
    doctor = doctor_of(patient)
    assert 'type="file"' in as_user(doctor).get(reverse("inference:similar_search")).text
    assert as_user(doctor).post(reverse("inference:similar_search"), {"files": png()}).status_code == 302


def test_patients_are_told_of_the_signature_and_of_what_it_releases(
    patient: Any, scan: Scan, settings: Any, django_capture_on_commit_callbacks: Any
) -> None:
    doctor = doctor_of(patient)
    settings.PMI_RELEASE = HOLD
    held = rows.reading(scan)
    other = rows.reading(ScanFactory.create(case=scan.case), danger="routine")
    with django_capture_on_commit_callbacks(execute=True):
        first = sign(held, doctor)
    settings.PMI_RELEASE = "at_once"
    with django_capture_on_commit_callbacks(execute=True):
        sign(other, doctor)
        correct(held, doctor, amends=first.pk, amend_reason="Second look")
    kinds = list(Notice.objects.filter(user=patient).order_by("created_at").values_list("kind", flat=True))
    assert kinds == ["reading_released", "review_signed", "review_amended"]
    links = set(Notice.objects.filter(user=patient).values_list("link", flat=True))
    assert reverse("inference:scan_result", args=[scan.case_id, scan.pk]) in links


def test_a_word_that_means_nothing_stops_the_start(settings: Any) -> None:
    assert checks.check_release(None) == []
    settings.PMI_RELEASE = "at once"
    (found,) = checks.check_release(None)
    assert found.id == "inference.E001" and "after_review" in str(found.hint)


def test_an_export_says_nothing_of_what_is_held(patient: Any, reading: Analysis, settings: Any) -> None:
    settings.PMI_RELEASE = HOLD
    case_state.refresh(reading.scan.case_id)

    def everything() -> str:
        made = export.request_export(patient)
        assert export.prepare(made.pk)
        made.refresh_from_db()
        with made.archive.open("rb") as handle, zipfile.ZipFile(io.BytesIO(handle.read())) as archive:
            records = [name for name in archive.namelist() if name.startswith("pmi/records/")]
            text = "".join(archive.read(name).decode() for name in records)
            return text + " ".join(archive.namelist())

    held = everything()
    for word in ("urgent", "pneumonia", "report.pdf", str(reading.pk)):
        assert word not in held
    correct(reading, doctor_of(patient))
    released = everything()
    assert "pneumonia" in released and "report.pdf" in released and "A fold of the skin." in released
