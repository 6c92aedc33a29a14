"""The result page: what it says in each state, and who may open it."""

from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.urls import reverse

from accounts.models import AccessLog
from cases.models import Scan
from inference import bundle_words, gate_rules, model_words, result_page
from inference.danger import default_rules
from inference.danger_texts_es import TEXTS_ES
from inference.presenters import danger_words
from tests.factories import CareRelationshipFactory, ScanFactory
from tests.inference import reading_rows as rows

pytestmark = pytest.mark.django_db


@pytest.fixture
def scan(patient: Any) -> Scan:
    return ScanFactory.create(case__patient=patient)


def address(scan: Scan) -> str:
    return reverse("inference:scan_result", args=[scan.case_id, scan.pk])


def page(client: Any, scan: Scan) -> str:
    response = client.get(address(scan))
    assert response.status_code == 200
    return str(response.content.decode())


def test_a_reading_says_level_next_step_finding_model_and_limits(
    as_user: Any, patient: Any, scan: Scan
) -> None:
    rows.reading(scan, heat=True)
    text = page(as_user(patient), scan)
    for expected in (
        str(danger_words("urgent").title),
        "See a doctor today.",
        "about 8 in 10 show pneumonia",
        "Likely",
        "Read by AI, not yet by a doctor.",
        "What this reading cannot tell",
        "Only frontal films.",
        "PMI chest X-ray 0.a",
        "96 of 100",
        "Kermany 2018 (CC BY 4.0)",
        "covid19",
    ):
        assert expected in text
    assert "heatmap.nii.gz" in text and "heatmap.png" in text and "display.nii.gz" in text


@pytest.mark.parametrize("level", ["emergency", "urgent", "soon", "routine", "none_found", "inconclusive"])
def test_every_level_has_its_banner(as_user: Any, patient: Any, scan: Scan, level: str) -> None:
    rows.analysis(scan, "succeeded", danger=level, next_step="")
    text = page(as_user(patient), scan)
    assert f"danger-banner danger-{level}" in text
    assert str(danger_words(level).title) in text


def test_no_inline_script_style_or_handler(as_user: Any, patient: Any, scan: Scan) -> None:
    rows.reading(scan, heat=True)
    text = page(as_user(patient), scan)
    assert " style=" not in text and "<style" not in text and "onclick=" not in text
    assert "<script>" not in text


def test_a_finding_without_condition_text_still_has_a_name(as_user: Any, patient: Any, scan: Scan) -> None:
    made = rows.analysis(scan, "succeeded")
    rows.finding(made, "a-new-condition", label="new")
    assert "A new condition" in page(as_user(patient), scan)


@pytest.mark.parametrize("status", ["queued", "running"])
def test_an_unfinished_reading_is_polled(as_user: Any, patient: Any, scan: Scan, status: str) -> None:
    made = rows.analysis(scan, status)
    text = page(as_user(patient), scan)
    assert reverse("inference:analysis_fragment", args=[made.pk]) in text
    assert 'hx-trigger="every 2s"' in text
    assert 'http-equiv="refresh"' in text


def test_after_an_hour_the_page_stops_polling_and_says_so(as_user: Any, patient: Any, scan: Scan) -> None:
    rows.analysis(scan, "queued", waited=timedelta(hours=2))
    text = page(as_user(patient), scan)
    assert "hx-get" not in text and 'http-equiv="refresh"' not in text
    assert "taken far too long" in text and "Look again now" in text


def test_a_rejection_gives_its_reason_and_what_to_do(as_user: Any, patient: Any, scan: Scan) -> None:
    rows.analysis(scan, "rejected", reason_code="wrong_kind")
    text = page(as_user(patient), scan)
    assert "This looks like a cat." in text
    assert "Add another picture" in text
    assert reverse("cases:edit", args=[scan.case_id]) in text


@pytest.mark.parametrize(
    ("language", "said"),
    [("es", "Esto no parece una radiografía de rodilla."), ("hi", "जैसा नहीं दिखता")],
)
def test_a_rejection_is_in_the_language_of_who_reads_it(
    as_user: Any, patient: Any, scan: Scan, language: str, said: str
) -> None:
    refusal = gate_rules.not_recognised("knee_xray")
    rows.analysis(
        scan,
        "rejected",
        reason_code=refusal.code,
        reason=refusal.reason,
        reason_words=refusal.reason.stored(),
    )
    client = as_user(patient)
    client.cookies.load({settings.LANGUAGE_COOKIE_NAME: language})
    text = page(client, scan)
    assert said in text and "This does not look like" not in text


def test_a_failure_offers_another_try(as_user: Any, patient: Any, scan: Scan) -> None:
    rows.analysis(scan, "failed")
    text = page(as_user(patient), scan)
    assert "The reading broke off" in text
    assert reverse("inference:read_again", args=[scan.case_id, scan.pk]) in text


def test_what_to_do_after_a_failure_is_in_the_language_of_who_reads_it(
    as_user: Any, patient: Any, scan: Scan
) -> None:
    rules = {"rules_version": default_rules().version, "danger_rules": ["failed"]}
    rows.analysis(scan, "failed", next_step="What a worker wrote.", **rules)
    client = as_user(patient)
    client.cookies.load({settings.LANGUAGE_COOKIE_NAME: "es"})
    text = page(client, scan)
    assert TEXTS_ES["inconclusive.failed_do"] in text and "What a worker wrote." not in text


def test_after_a_failure_an_alarm_says_once_what_to_do(as_user: Any, patient: Any, scan: Scan) -> None:
    rules = {"rules_version": default_rules().version, "danger_rules": ["symptom.blue_lips", "failed"]}
    made = rows.analysis(scan, "failed", danger="emergency", next_step="What a worker wrote.", **rules)
    client = as_user(patient)
    client.cookies.load({settings.LANGUAGE_COOKIE_NAME: "es"})
    rule = default_rules().rule(made.danger_rules[0])
    text = page(client, scan)
    assert rule and text.count(TEXTS_ES[rule.do]) == 1 and "What a worker wrote." not in text


def test_a_scan_that_nobody_read_can_be_read(as_user: Any, patient: Any, scan: Scan) -> None:
    text = page(as_user(patient), scan)
    assert "has not been read yet" in text
    assert reverse("inference:read_again", args=[scan.case_id, scan.pk]) in text


@pytest.mark.parametrize(
    ("newer", "words"),
    [
        ("running", "A new reading is under way. Below is the one before."),
        ("failed", "The newest reading broke off."),
    ],
)
def test_an_earlier_answer_stays_in_view(
    as_user: Any, patient: Any, scan: Scan, newer: str, words: str
) -> None:
    rows.reading(scan, waited=timedelta(days=1))
    rows.analysis(scan, newer)
    text = page(as_user(patient), scan)
    assert words in text
    assert "about 8 in 10 show pneumonia" in text


def test_a_newer_model_is_offered(as_user: Any, patient: Any, scan: Scan) -> None:
    rows.reading(scan, model_version=rows.model_version(active=False))
    assert "There is a newer version of the model" in page(as_user(patient), scan)


def test_a_missing_volume_file_does_not_break_the_page(as_user: Any, patient: Any, scan: Scan) -> None:
    rows.reading(scan)
    scan.canonical.storage.delete(scan.canonical.name)
    page(as_user(patient), scan)


def test_a_volume_names_its_most_telling_slice(as_user: Any, patient: Any) -> None:
    scan = ScanFactory.create(case__patient=patient, slices=9)
    rows.reading(scan, key_slice=4, key_plane="axial", slices_read=9)
    text = page(as_user(patient), scan)
    assert "most telling picture: number 5" in text and "index=4" in text and 'data-key-slice="4"' in text
    assert "patient&#x27;s right side on the left" in text or "patient's right side on the left" in text


@pytest.mark.parametrize(("slices", "tested"), [(9, False), (30, True)])
def test_of_few_slices_no_page_speaks_of_tests(as_user: Any, patient: Any, slices: int, tested: bool) -> None:
    scan = ScanFactory.create(case__patient=patient, slices=slices)
    rows.reading(scan, key_slice=4, key_plane="axial", slices_read=slices)
    text = page(as_user(patient), scan)
    assert ("In tests, few scans without this condition scored this high" in text) is tested
    assert ("the model was not tested" in text) is not tested
    assert ("was not checked at all" in text) is not tested


def test_where_nothing_is_suspected_the_slice_shown_is_the_middle_one(as_user: Any, patient: Any) -> None:
    scan = ScanFactory.create(case__patient=patient, slices=9)
    made = rows.analysis(scan, "succeeded", key_slice=4, key_plane="axial", slices_read=9)
    rows.finding(made, "no-chest-finding", label="no_finding", probability=0.9)
    rows.finding(made, probability=0.05, call="unlikely")
    text = page(as_user(patient), scan)
    assert "A picture from the middle: number 5" in text and "Middle slice 5" in text
    assert "most telling" not in text.lower()


def test_opening_a_result_is_logged_and_not_cached(as_user: Any, patient: Any, scan: Scan) -> None:
    made = rows.reading(scan)
    response = as_user(patient).get(address(scan))
    assert response["Cache-Control"] == "private, no-store"
    line = AccessLog.objects.get(action="view_reading")
    assert (line.actor, line.object_id) == (patient, made.pk)


def test_number_of_queries_does_not_grow_with_findings(
    as_user: Any, patient: Any, scan: Scan, django_assert_max_num_queries: Any
) -> None:
    made = rows.reading(scan)
    for number in range(5):
        rows.finding(made, f"thing-{number}", label=f"l{number}", call="possible")
    client = as_user(patient)  # signing in is not the page's
    with django_assert_max_num_queries(28):
        page(client, scan)


# --- who ---


def test_a_shared_doctor_reads_but_cannot_ask_again(
    as_user: Any, patient: Any, doctor: Any, scan: Scan
) -> None:
    CareRelationshipFactory.create(patient=patient, doctor=doctor)
    rows.analysis(scan, "failed")
    text = page(as_user(doctor), scan)
    assert "Only the patient can ask for another reading." in text
    assert reverse("inference:read_again", args=[scan.case_id, scan.pk]) not in text


@pytest.mark.parametrize("who", ["other_patient", "doctor", "unverified_doctor", "admin_user"])
def test_outsiders_get_404(as_user: Any, request: Any, scan: Scan, who: str) -> None:
    rows.reading(scan)
    assert as_user(request.getfixturevalue(who)).get(address(scan)).status_code == 404


def test_a_scan_of_another_case_gets_404(as_user: Any, patient: Any, scan: Scan) -> None:
    other = ScanFactory.create(case__patient=patient)
    wrong = reverse("inference:scan_result", args=[other.case_id, scan.pk])
    assert as_user(patient).get(wrong).status_code == 404


def test_anonymous_is_sent_to_the_login_page(as_user: Any, scan: Scan) -> None:
    response = as_user(None).get(address(scan))
    assert response.status_code == 302
    assert "login" in response["Location"]


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
def test_wrong_method(as_user: Any, patient: Any, scan: Scan, method: str) -> None:
    assert getattr(as_user(patient), method)(address(scan)).status_code == 405


def test_bad_id(as_user: Any, patient: Any, scan: Scan) -> None:
    assert as_user(patient).get(f"/cases/{scan.case_id}/scans/1/").status_code == 404


def test_the_guide_of_a_possible_disease_comes_before_nothing_found(
    patient: Any, scan: Scan, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = rows.analysis(scan, "succeeded", danger="soon")
    rows.finding(made, "no-chest-finding", label="no_finding", probability=0.7, call="possible")
    rows.finding(made, "pneumonia", label="pneumonia", probability=0.3, call="possible")
    monkeypatch.setattr(result_page, "published_for", lambda slugs, *_, **__: slugs)
    asked: Any = result_page.Result(scan, [made]).guides
    assert asked == ["pneumonia", "no-chest-finding"]


def test_what_a_model_s_makers_wrote_says_in_which_language_it_is(
    as_user: Any, patient: Any, scan: Scan, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = "It knows pneumonia only."
    told = {known: "Solo conoce la neumonía."}
    monkeypatch.setattr(bundle_words, "gettext", lambda sentence: told.get(sentence, sentence))
    made = rows.reading(scan)
    version = made.model_version
    assert version is not None
    version.metadata = {
        **rows.METADATA,
        "intended_use": "For tests.",
        "limits": [known, "One hospital."],
        "eval_metrics": {"held_out": {"accuracy": 0.9}, "simulated volumes": {"accuracy": 0.9}},
    }
    version.save()
    client = as_user(patient)
    client.cookies.load({settings.LANGUAGE_COOKIE_NAME: "es"})
    text = page(client, scan)
    assert "<li>Solo conoce la neumonía.</li>" in text and known not in text
    assert '<li lang="en">One hospital.</li>' in text
    assert '<span lang="en">For tests.</span>' in text
    assert '<li lang="en">Kermany 2018 (CC BY 4.0)</li>' in text
    assert '<span lang="en">held out</span>' in text
    assert '<th scope="row" lang="en">no_finding</th>' in text
    assert "simulated volumes" not in text


def test_the_plane_of_the_most_telling_slice_is_named_in_the_language_of_who_reads_it(
    as_user: Any, patient: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(model_words.PLANES, "sagittal", "sagital")
    scan = ScanFactory.create(case__patient=patient, slices=9)
    rows.reading(scan, key_slice=4, key_plane="sagittal", slices_read=9)
    client = as_user(patient)
    client.cookies.load({settings.LANGUAGE_COOKIE_NAME: "es"})
    assert "Corte que más dice: 5 (sagital)" in page(client, scan)
