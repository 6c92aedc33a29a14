"""What somebody with a share link sees: nothing without the PIN, one case with it, and the same 404 for all
links that do not work.
"""

import re
import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.models import AccessLog
from cases import sharing
from cases.models import Scan
from cases.sharing_models import ShareLink
from inference.danger import default_rules
from inference.models import Analysis
from tests.factories import CaseFactory, ScanFactory
from tests.inference import pdf
from tests.inference import reading_rows as rows

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharing, "tell", lambda *args, **kwargs: None)


@pytest.fixture
def scan(patient: Any) -> Scan:
    return ScanFactory.create(case__patient=patient, case__title="Cough for two weeks")


@pytest.fixture
def analysis(scan: Scan) -> Analysis:
    return rows.reading(scan, heat=True)


@pytest.fixture
def made(patient: Any, analysis: Analysis) -> sharing.NewLink:
    return sharing.make_link(analysis.scan.case, patient)


def at(made: sharing.NewLink) -> str:
    return reverse("inference:shared", args=[made.token])


def inside(made: sharing.NewLink, analysis: Analysis) -> dict[str, str]:
    scan = [made.token, analysis.scan_id]
    marked = next(f for f in analysis.findings.all() if f.heatmap_png)
    return {
        "scan": reverse("inference:shared_scan", args=scan),
        "picture": reverse("inference:shared_picture", args=scan),
        "heatmap": reverse("inference:shared_heatmap", args=[*scan, marked.pk]),
        "report": reverse("inference:shared_report", args=scan),
    }


def enter(made: sharing.NewLink) -> Client:
    client = Client()
    assert client.post(at(made), {"pin": made.pin}).status_code == 302
    return client


def body(response: Any) -> bytes:
    return b"".join(response) if response.streaming else bytes(response.content)


def plain(response: Any, path: str) -> str:
    """A page without what differs from request to request: its own address and the form's token."""
    return re.sub(r'value="\w{64}"', "", response.content.decode()).replace(path, "")


def test_without_the_pin_nothing_is_told(made: sharing.NewLink, analysis: Analysis, patient: Any) -> None:
    client = Client()
    page = client.get(at(made))
    text = page.content.decode()
    assert page.status_code == 200 and "PIN" in text
    assert patient.full_name not in text and "Cough" not in text and "neumonia" not in text
    for path in inside(made, analysis).values():
        assert client.get(path)["Location"] == at(made)
    assert not AccessLog.objects.filter(action__startswith="view_shared").exists()


def test_with_the_pin_the_result_is_shown(made: sharing.NewLink, analysis: Analysis, patient: Any) -> None:
    client = enter(made)
    paths = inside(made, analysis)
    assert client.get(at(made))["Location"] == paths["scan"]  # one scan: no list before it
    page = client.get(paths["scan"])
    text = page.content.decode()
    for expected in (
        patient.full_name,
        "Cough for two weeks",
        "about 8 in 10 show pneumonia",
        "Read by AI, not yet by a doctor.",
        "See a doctor today.",
        paths["picture"],
        paths["heatmap"],
        paths["report"],
    ):
        assert expected in text, expected
    # Nothing leads to the addresses of signed-in people, and nothing can be sent.
    assert "/cases/" not in text and "/analyses/" not in text and "<form" not in text
    assert patient.email not in text
    assert body(client.get(paths["picture"]))[:4] == body(client.get(paths["heatmap"]))[:4] == b"\x89PNG"
    assert "about 8 in 10" in pdf.text(body(client.get(paths["report"])))


def test_nobody_keeps_finds_or_learns_the_address(made: sharing.NewLink, analysis: Analysis) -> None:
    client = enter(made)
    for path in inside(made, analysis).values():
        response = client.get(path)
        body(response)
        assert response["Cache-Control"] == "private, no-store"
        assert response["X-Robots-Tag"] == "noindex, nofollow, noarchive"
        assert response["Referrer-Policy"] == "no-referrer"
        assert response["X-Content-Type-Options"] == "nosniff"
    form = Client().get(at(made))
    assert form["Cache-Control"] == "private, no-store" and form["Referrer-Policy"] == "same-origin"
    assert 'name="robots" content="noindex' in form.content.decode()


def test_each_look_is_logged(made: sharing.NewLink, analysis: Analysis) -> None:
    client = enter(made)
    for path in inside(made, analysis).values():
        body(client.get(path))
    actions = set(AccessLog.objects.filter(actor_key=None).values_list("action", flat=True))
    assert actions == {
        "open_share_link",
        "view_shared_reading",
        "view_shared_picture",
        "view_shared_heatmap",
        "download_shared_report",
    }


def test_a_wrong_pin_is_told_kindly(made: sharing.NewLink) -> None:
    client = Client()
    wrong = f"{(int(made.pin) + 1) % 10**6:06d}"
    page = client.post(at(made), {"pin": wrong})
    assert page.status_code == 400 and "not right" in page.content.decode()
    assert client.post(at(made), {"pin": "12"}).status_code == 400
    client.post(at(made), {"pin": wrong})
    client.post(at(made), {"pin": wrong})
    assert client.post(at(made), {"pin": made.pin}).status_code == 429
    assert not client.session.get("shared_cases")


def test_spaces_in_a_pin_do_not_matter(made: sharing.NewLink) -> None:
    assert Client().post(at(made), {"pin": f" {made.pin[:3]} {made.pin[3:]}"}).status_code == 302


@pytest.mark.parametrize("how", ["expired", "revoked", "locked", "guessed"])
def test_every_link_that_does_not_work_gets_the_same_answer(
    made: sharing.NewLink, analysis: Analysis, how: str
) -> None:
    unknown = reverse("inference:shared", args=["x" * 43])
    guessed = Client().get(unknown)
    client = enter(made)  # even for a visitor who is in already
    fields = {
        "expired": {"expires_at": timezone.now() - timedelta(seconds=1)},
        "revoked": {"revoked_at": timezone.now()},
        "locked": {"failed_tries": 10},
    }.get(how, {})
    if fields:
        ShareLink.objects.update(**fields)
        paths = [at(made), *inside(made, analysis).values()]
    else:
        paths = [reverse("inference:shared", args=["A" * 43])]
    for path in paths:
        answer = client.get(path)
        assert answer.status_code == 404
        assert plain(answer, path) == plain(guessed, unknown)
    assert client.post(paths[0], {"pin": made.pin}).status_code == 404


def test_hunting_for_links_is_slowed_down(made: sharing.NewLink) -> None:
    client = Client()
    for n in range(10):
        assert client.get(reverse("inference:shared", args=[f"{n:043d}"])).status_code == 404
    # Whoever hunts learns nothing more, not even from a link that works.
    for path in (reverse("inference:shared", args=["y" * 43]), at(made)):
        answer = client.get(path)
        assert answer.status_code == 429 and answer["Retry-After"] == "60"
    other = Client(REMOTE_ADDR="198.51.100.9")
    assert other.get(at(made)).status_code == 200


def test_a_used_up_link_lets_nobody_else_in(made: sharing.NewLink, analysis: Analysis) -> None:
    ShareLink.objects.update(max_views=1)
    client = enter(made)
    assert client.get(inside(made, analysis)["scan"]).status_code == 200
    assert Client().get(at(made)).status_code == 404
    assert Client().post(at(made), {"pin": made.pin}).status_code == 404


def test_the_pin_is_asked_for_again_after_a_while(made: sharing.NewLink, analysis: Analysis) -> None:
    client = enter(made)
    session = client.session
    session["shared_cases"] = {str(made.link.pk): timezone.now().timestamp() - 1}
    session.save()
    assert client.get(inside(made, analysis)["scan"])["Location"] == at(made)
    assert "PIN" in client.get(at(made)).content.decode()


def test_a_link_opens_its_own_case_only(made: sharing.NewLink, analysis: Analysis, patient: Any) -> None:
    elsewhere = rows.reading(ScanFactory.create(case__patient=patient), heat=True)
    client = enter(made)
    for path in inside(made, elsewhere).values():
        assert client.get(path).status_code == 404
    other = sharing.make_link(elsewhere.scan.case, patient)
    assert client.get(inside(other, elsewhere)["scan"])["Location"] == at(other)
    # A heatmap of the same patient's other finding, under this case's scan.
    foreign = next(f for f in elsewhere.findings.all() if f.heatmap_png)
    path = reverse("inference:shared_heatmap", args=[made.token, analysis.scan_id, foreign.pk])
    assert client.get(path).status_code == 404


def test_only_what_the_patient_sees_is_shared(
    made: sharing.NewLink, analysis: Analysis, settings: Any
) -> None:
    client = enter(made)
    settings.PMI_RELEASE = "after_review"
    paths = inside(made, analysis)
    assert client.get(paths["scan"]).status_code == 404
    assert client.get(paths["report"]).status_code == 404
    assert client.get(paths["heatmap"]).status_code == 404
    text = client.get(at(made)).content.decode()
    assert "when a doctor has looked at it" in text and "neumonia" not in text
    assert "This comes from the symptoms" not in text


def test_symptoms_are_never_held_back(made: sharing.NewLink, analysis: Analysis, settings: Any) -> None:
    settings.PMI_RELEASE = "after_review"
    case = analysis.scan.case
    case.symptoms = {"blue_lips": True}
    case.save()
    text = enter(made).get(at(made)).content.decode()
    assert "Emergency" in text and "This comes from the symptoms" in text and "neumonia" not in text


def test_a_newer_reading_that_is_held_is_named(
    made: sharing.NewLink, analysis: Analysis, monkeypatch: pytest.MonkeyPatch
) -> None:
    newer = rows.reading(analysis.scan, heat=True)
    monkeypatch.setattr("inference.shared_pages.split", lambda _patient, _all: ([analysis], [newer]))
    text = enter(made).get(inside(made, analysis)["scan"]).content.decode()
    assert "There is a newer reading, which a doctor looks at first." in text


def test_many_scans_are_listed(made: sharing.NewLink, analysis: Analysis) -> None:
    second = ScanFactory.create(case=analysis.scan.case, modality="DX", width=111)
    rows.analysis(second, "rejected")
    waiting = ScanFactory.create(case=analysis.scan.case, modality="DX", width=222)
    client = enter(made)
    text = client.get(at(made)).content.decode()
    assert "X-ray, 111 ×" in text and "X-ray, 222 ×" in text and "There is no result to show yet." in text
    refused = client.get(reverse("inference:shared_scan", args=[made.token, second.pk])).content.decode()
    assert "This looks like a cat." in refused
    assert client.get(reverse("inference:shared_scan", args=[made.token, waiting.pk])).status_code == 404


def test_an_empty_case(patient: Any) -> None:
    made = sharing.make_link(CaseFactory.create(patient=patient), patient)
    assert "holds no scan yet" in enter(made).get(at(made)).content.decode()


def test_signed_in_people_stay_signed_in(as_user: Any, other_patient: Any, made: sharing.NewLink) -> None:
    client = as_user(other_patient)
    assert client.post(at(made), {"pin": made.pin}).status_code == 302
    assert client.get(reverse("cases:list")).status_code == 200
    # The link opens nothing beside itself.
    assert client.get(reverse("cases:detail", args=[made.link.case_id])).status_code == 404


def test_csrf_bad_ids_and_wrong_methods(made: sharing.NewLink, analysis: Analysis) -> None:
    strict = Client(enforce_csrf_checks=True)
    assert strict.post(at(made), {"pin": made.pin}).status_code == 403
    client = enter(made)
    assert client.put(at(made)).status_code == 405
    for path in inside(made, analysis).values():
        assert client.post(path).status_code == 405
    unknown = reverse("inference:shared_scan", args=[made.token, uuid.uuid4()])
    assert client.get(unknown).status_code == 404


def test_a_token_does_not_reach_the_log() -> None:
    from logging import LogRecord

    from pmi_site.logs import WithoutIdentifiers

    line = LogRecord("x", 30, "x", 1, "Not Found: %s", ("/shared/abc-DEF_1/scans/2/report.pdf",), None)
    assert WithoutIdentifiers().filter(line)
    assert line.getMessage() == "Not Found: /shared/[...]/scans/2/report.pdf"


def test_a_scan_that_was_not_read_keeps_the_alarm_and_says_what_to_do(patient: Any, scan: Scan) -> None:
    rows.analysis(
        scan,
        "rejected",
        danger="emergency",
        rules_version=default_rules().version,
        danger_rules=["symptom.blue_lips", "rejected"],
    )
    made = sharing.make_link(scan.case, patient)
    text = enter(made).get(at(made), follow=True).text
    assert "danger-banner danger-emergency" in text and "Call your local emergency number now" in text
    assert "the symptoms that were given" in text and "symptoms you gave" not in text
    assert "Neither read by AI nor looked at by a doctor." in text and "Read by AI, not yet" not in text
    assert "Show the scan to a doctor." in text
    report = enter(made).get(reverse("inference:shared_report", args=[made.token, scan.pk]))
    assert "Neither read by AI" in " ".join(pdf.text(body(report)).split())


# --- the language ---
@pytest.mark.parametrize("where", ["pin", "case", "scan", "slowed"])
def test_the_language_can_be_chosen_on_every_page(
    made: sharing.NewLink, analysis: Analysis, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    client = Client() if where == "pin" else enter(made)
    path = inside(made, analysis)["scan"] if where == "scan" else at(made)
    if where == "case":
        ScanFactory.create(case=analysis.scan.case, modality="DX")
    if where == "slowed":
        monkeypatch.setattr(sharing, "too_many_misses", lambda _address: True)
    text = client.get(path).content.decode()
    assert '<html lang="en">' in text
    assert '<span lang="en" aria-current="true">English</span>' in text
    for code, name in (("es", "Español"), ("hi", "हिन्दी")):
        assert f'<a href="?lang={code}" lang="{code}" hreflang="{code}"' in text and f">{name}</a>" in text
    answer = client.get(path, {"lang": "es"})
    assert answer.status_code == 302 and answer["Location"] == path
    assert answer["Referrer-Policy"] == "no-referrer" and answer["Cache-Control"] == "private, no-store"
    text = client.get(path).content.decode()
    assert '<html lang="es">' in text and "Ir al contenido" in text
    # Each language is named in itself, whatever the page is in.
    assert '<span lang="es" aria-current="true">Español</span>' in text and ">English</a>" in text


def test_the_choice_goes_with_the_visitor_and_stays_on_shared_pages(
    made: sharing.NewLink, analysis: Analysis
) -> None:
    client = Client()
    assert client.get(at(made), {"lang": "es"}).status_code == 302
    cookie = client.cookies["pmi_shared_language"]
    assert cookie["path"] == "/shared/" and cookie["httponly"] and cookie["samesite"] == "Lax"
    assert set(client.cookies) == {"pmi_shared_language"}  # no session is made for whoever only looks
    assert client.post(at(made), {"pin": made.pin}).status_code == 302
    paths = inside(made, analysis)
    text = client.get(paths["scan"]).content.decode()
    assert '<html lang="es">' in text
    assert "Informe" in pdf.text(body(client.get(paths["report"])))


@pytest.mark.parametrize("code", ["xx", "", "en-GB", "../es"])
def test_an_unknown_language_changes_nothing(made: sharing.NewLink, code: str) -> None:
    client = Client()
    page = client.get(at(made), {"lang": code})
    assert page.status_code == 200 and '<html lang="en">' in page.content.decode()
    assert "pmi_shared_language" not in client.cookies
    client.cookies.load({"pmi_shared_language": code or "xx"})
    assert '<html lang="en">' in client.get(at(made)).content.decode()


def test_choosing_a_language_tells_nothing_about_a_link(made: sharing.NewLink) -> None:
    for token in (made.token, "x" * 43):
        path = reverse("inference:shared", args=[token])
        answer = Client().get(path, {"lang": "hi"})
        assert answer.status_code == 302 and answer["Location"] == path
    assert set(AccessLog.objects.values_list("action", flat=True)) <= {"make_share_link"}


def test_a_shared_page_leaves_the_language_of_an_account_alone(
    as_user: Any, other_patient: Any, made: sharing.NewLink
) -> None:
    client = as_user(other_patient)
    client.get(at(made), {"lang": "es"})
    assert '<html lang="es">' in client.get(at(made)).content.decode()
    assert '<html lang="en">' in client.get(reverse("cases:list")).content.decode()
    other_patient.refresh_from_db()
    assert other_patient.language == "en"
