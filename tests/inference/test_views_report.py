"""The PDF report of a reading: the page's numbers, its tags, who gets it, that it is logged."""

import socket
import uuid
from typing import Any

import pytest
from django.core.management import call_command
from django.urls import reverse
from django.utils import translation
from rest_framework.test import APIClient

from accounts.models import AccessLog
from accounts.services import create_token
from cases.models import Scan
from inference import report_pdf
from inference.models import Analysis
from inference.presenters import danger_words
from inference.result_page import Result
from tests.factories import CareRelationshipFactory, DoctorFactory, ScanFactory
from tests.inference import pdf
from tests.inference import reading_rows as rows

pytestmark = pytest.mark.django_db


@pytest.fixture
def scan(patient: Any) -> Scan:
    return ScanFactory.create(case__patient=patient, case__title="Cough for two weeks")


@pytest.fixture
def analysis(scan: Scan) -> Analysis:
    return rows.reading(scan, heat=True)


def address(analysis: Analysis) -> str:
    return reverse("inference:report", args=[analysis.pk])


def fetch(client: Any, analysis: Analysis) -> bytes:
    response = client.get(address(analysis))
    assert response.status_code == 200
    return bytes(response.content)


def test_it_is_sent_as_a_private_pdf_without_a_name_in_its_file_name(
    as_user: Any, patient: Any, analysis: Analysis
) -> None:
    response = as_user(patient).get(address(analysis))
    assert response["Content-Type"] == "application/pdf"
    assert response["Cache-Control"] == "private, no-store"
    assert response["X-Content-Type-Options"] == "nosniff"
    number = f"PMI-{str(analysis.pk)[:8].upper()}"
    assert response["Content-Disposition"] == f'inline; filename="{number}.pdf"'
    line = AccessLog.objects.get(action="download_report")
    assert (line.actor, line.object_id) == (patient, analysis.pk)


def test_it_says_what_the_page_says(as_user: Any, patient: Any, scan: Scan, analysis: Analysis) -> None:
    said = pdf.text(fetch(as_user(patient), analysis))
    result = Result(scan, [analysis])
    page = as_user(patient).get(reverse("inference:scan_result", args=[scan.case_id, scan.pk]))
    shown = " ".join(page.content.decode().split())
    for view in (*result.raised, *result.unlikely):
        assert view.name in said and f"{view.call.title} {view.chance}" in said
        assert view.chance in shown
    for view in result.raised:
        assert view.sentence in said and view.sentence in shown
    for row in result.figures:
        if row.call in ("Likely", "Possible"):
            assert f"{row.probability * 100:.1f} %" in said
            assert f">{row.probability * 100:.1f}<" in shown
    for expected in (
        patient.full_name,
        "Cough for two weeks",
        str(danger_words("urgent").title),
        "See a doctor today.",
        "Call for help if it gets worse.",
        "Read by AI, not yet by a doctor.",
        "Only frontal films.",
        "PMI chest X-ray 0.a",
        "96 of 100",
        "Kermany 2018 (CC BY 4.0)",
        "PMI is not a diagnosis.",
        *result.general_limits,
        *result.age_limits,
    ):
        assert expected in said, expected


def test_every_page_has_its_number_and_whose_it_is(as_user: Any, patient: Any, analysis: Analysis) -> None:
    pages = pdf.reader(fetch(as_user(patient), analysis)).pages
    for number, page in enumerate(pages, 1):
        said = page.extract_text()
        assert f"Page {number} of {len(pages)}" in said and patient.full_name in said


def test_it_is_tagged_for_screen_readers(as_user: Any, patient: Any, analysis: Analysis) -> None:
    content = fetch(as_user(patient), analysis)
    root = pdf.root(content)
    assert root["/Lang"] == "en"
    assert root["/MarkInfo"]["/Marked"] and root["/ViewerPreferences"]["/DisplayDocTitle"]
    assert "Report on a chest X-ray" in str(pdf.reader(content).metadata.title)
    assert b"pdfuaid:part" in content
    found = pdf.tags(content)
    names = {name for name, _alt in found}
    assert {"/H1", "/H2", "/H3", "/P", "/Table", "/TH", "/TD", "/L", "/LI", "/Figure"} <= names
    pictures = [alt for name, alt in found if name == "/Figure"]
    assert len(pictures) == 2 and all(len(alt) > 20 for alt in pictures)
    assert "chest X-ray" in pictures[0] and "Pneumonia" in pictures[1]


@pytest.mark.parametrize("language", ["es", "hi"])
def test_it_is_written_in_the_language_of_the_reader(analysis: Analysis, patient: Any, language: str) -> None:
    with translation.override(language):
        content = report_pdf.render(analysis, patient)
        expected = str(danger_words("urgent").title)
    root = pdf.root(content)
    assert root["/Lang"] == language
    assert "".join(expected.split()) in pdf.letters(content)


def test_texts_without_a_translation_are_marked_as_english(patient: Any, analysis: Analysis) -> None:
    with translation.override("es"):
        content = report_pdf.render(analysis, patient)
    assert "en" in pdf.languages(content)
    assert pdf.languages(report_pdf.render(analysis, patient)) <= {"en"}


def test_no_network_is_used(monkeypatch: pytest.MonkeyPatch, patient: Any, analysis: Analysis) -> None:
    """Only the database's socket is open already; nothing new may be."""
    analysis = Analysis.objects.get(pk=analysis.pk)

    def refuse(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("a report must not open a connection")

    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert report_pdf.render(analysis, patient).startswith(b"%PDF")


def test_what_people_typed_is_never_run_as_layout(patient: Any, scan: Scan, analysis: Analysis) -> None:
    patient.full_name = "Robin #panic() $x$ *bold* <h1> 王"
    patient.save()
    scan.case.question = '#read("/etc/passwd") "quoted" \\ \x07 @ref'
    scan.case.save()
    analysis = Analysis.objects.get(pk=analysis.pk)
    said = pdf.text(report_pdf.render(analysis, patient))
    assert "Robin #panic() $x$ *bold* <h1> ?" in said  # no font here has the last letter
    assert '#read("/etc/passwd")' in said


def test_knowledge_base_texts_and_their_sources_are_in_it(patient: Any, analysis: Analysis) -> None:
    call_command("load_knowledge_base", verbosity=0)
    said = pdf.text(report_pdf.render(analysis, patient))
    assert "What it means: Pneumonia" in said
    assert "Call your local emergency number if you notice any of these" in said
    assert "Sources" in said and "https://" in said
    assert "No clinician has reviewed this text about the condition yet." in said


def test_a_refused_scan_has_a_report_that_says_why(as_user: Any, patient: Any, scan: Scan) -> None:
    said = pdf.text(fetch(as_user(patient), rows.analysis(scan, "rejected")))
    assert "This scan could not be read" in said and "This looks like a cat." in said
    assert "What the model found" not in said


def test_an_older_reading_says_that_there_is_a_newer_one(
    as_user: Any, patient: Any, scan: Scan, analysis: Analysis
) -> None:
    Analysis.objects.filter(pk=analysis.pk).update(queued_at="2026-01-01T00:00Z")
    newer = rows.reading(scan)
    words = "This scan has been read again since."
    assert words in pdf.text(fetch(as_user(patient), analysis))
    assert words not in pdf.text(fetch(as_user(patient), newer))


def test_a_missing_picture_does_not_cost_the_report(as_user: Any, patient: Any, analysis: Analysis) -> None:
    analysis.scan.canonical.storage.delete(analysis.scan.canonical.name)
    content = fetch(as_user(patient), analysis)
    assert "about 8 in 10" in pdf.text(content)
    assert not [1 for name, _alt in pdf.tags(content) if name == "/Figure"]


def test_a_volume_shows_its_most_telling_slice(as_user: Any, patient: Any) -> None:
    scan = ScanFactory.create(case__patient=patient, slices=9)
    analysis = rows.reading(scan, heat=True, key_slice=4, key_plane="axial")
    assert "Slice 5 of 9" in pdf.text(fetch(as_user(patient), analysis))


@pytest.mark.parametrize("status", ["queued", "running", "failed"])
def test_no_report_without_an_answer(as_user: Any, patient: Any, scan: Scan, status: str) -> None:
    unfinished = rows.analysis(scan, status)
    assert as_user(patient).get(address(unfinished)).status_code == 404
    assert not AccessLog.objects.filter(action="download_report").exists()
    with pytest.raises(ValueError, match="finished"):
        report_pdf.render(unfinished, patient)


def test_a_doctor_with_access_gets_it(as_user: Any, patient: Any, doctor: Any, analysis: Analysis) -> None:
    CareRelationshipFactory.create(patient=patient, doctor=doctor)
    assert fetch(as_user(doctor), analysis).startswith(b"%PDF")


@pytest.mark.parametrize("who", ["other_patient", "doctor", "unverified_doctor", "admin_user"])
def test_nobody_else_knows_of_it(
    as_user: Any, analysis: Analysis, who: str, request: pytest.FixtureRequest
) -> None:
    assert as_user(request.getfixturevalue(who)).get(address(analysis)).status_code == 404
    assert not AccessLog.objects.exists()


def test_anonymous_bad_id_and_wrong_method(as_user: Any, patient: Any, analysis: Analysis) -> None:
    assert "login" in as_user(None).get(address(analysis))["Location"]
    assert as_user(patient).get(reverse("inference:report", args=[uuid.uuid4()])).status_code == 404
    assert as_user(patient).get("/analyses/none/report.pdf").status_code == 404
    assert as_user(patient).post(address(analysis)).status_code == 405


def test_a_reading_that_is_held_back_has_no_report(
    as_user: Any, patient: Any, analysis: Analysis, settings: Any
) -> None:
    settings.PMI_RELEASE = "after_review"
    assert as_user(patient).get(address(analysis)).status_code == 404


def test_the_result_page_leads_to_it(as_user: Any, patient: Any, scan: Scan, analysis: Analysis) -> None:
    page = as_user(patient).get(reverse("inference:scan_result", args=[scan.case_id, scan.pk]))
    assert address(analysis) in page.content.decode()


# --- over the API ---
def api_address(analysis: Analysis) -> str:
    return reverse("v1:analysis-report", args=[analysis.pk])


def test_a_token_fetches_the_same_report(as_user: Any, patient: Any, analysis: Analysis) -> None:
    _token, key = create_token(patient, "a program")
    client = APIClient(headers={"Authorization": f"Token {key}"})
    named = client.get(reverse("v1:analysis-detail", args=[analysis.pk])).json()["report_url"]
    assert named == f"http://testserver{api_address(analysis)}"
    response = client.get(named, headers={"accept": "application/pdf", "accept-language": "es"})
    assert (response.status_code, response["Content-Type"]) == (200, "application/pdf")
    assert response["Cache-Control"] == "private, no-store"
    assert response["Content-Disposition"].startswith('inline; filename="PMI-')
    assert pdf.root(response.content)["/Lang"] == "es"
    assert "".join(patient.full_name.split()) in pdf.letters(response.content)
    line = AccessLog.objects.get(action="download_report")
    assert (line.actor, line.object_id) == (patient, analysis.pk)


@pytest.mark.parametrize("status", ["queued", "running", "failed"])
def test_without_an_answer_the_api_names_no_report(
    api_as: Any, patient: Any, scan: Scan, status: str
) -> None:
    unfinished = rows.analysis(scan, status)
    client = api_as(patient)
    assert client.get(reverse("v1:analysis-detail", args=[unfinished.pk])).json()["report_url"] is None
    assert client.get(api_address(unfinished)).status_code == 404


def test_the_apis_report_is_held_back_as_the_reading_is(
    api_as: Any, patient: Any, analysis: Analysis, settings: Any
) -> None:
    settings.PMI_RELEASE = "after_review"
    (listed,) = api_as(patient).get(reverse("v1:analysis-list")).json()["results"]
    assert listed["held_back"] and listed["report_url"] is None
    assert api_as(patient).get(api_address(analysis)).status_code == 404
    assert not AccessLog.objects.filter(action="download_report").exists()
    doctor = DoctorFactory.create()
    assert api_as(doctor).get(api_address(analysis)).status_code == 404
    CareRelationshipFactory.create(patient=patient, doctor=doctor)
    assert api_as(doctor).get(api_address(analysis)).status_code == 200
    assert api_as(None).get(api_address(analysis)).status_code == 401
