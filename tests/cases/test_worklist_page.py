"""The worklist's page, its news and its saved views."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.models import AccessLog, CareRelationship, DoctorProfile, User
from cases import worklist
from cases.models import Case, CaseSeen, Scan, WorklistView
from inference import case_state
from tests import factories
from tests.inference import reading_rows as rows

pytestmark = pytest.mark.django_db
URL = "/worklist/"
NEWS = "/worklist/news/"
VIEWS = "/worklist/views/"


def test_urls() -> None:
    assert reverse("cases:worklist") == URL
    assert reverse("cases:worklist_news") == NEWS
    assert reverse("cases:worklist_saved") == VIEWS


def test_a_row_says_who_what_how_dangerous_and_leads_to_the_newest_scan(
    as_user: Any, reader: User, case: Case, scan: Scan
) -> None:
    rows.reading(scan)
    case_state.refresh(case.pk)
    page = as_user(reader).get(URL)
    assert page.status_code == 200
    for text in (case.patient.full_name, "My sore knee", "Urgent", "Waiting for a doctor", "1 scan", "New"):
        assert text in page.text, text
    assert reverse("inference:scan_result", args=[case.pk, scan.pk]) in page.text
    assert "no-store" in page["Cache-Control"]
    assert not AccessLog.objects.filter(case_id=case.pk).exists(), "the list itself is not logged"


def test_a_case_without_scans_leads_to_the_case(as_user: Any, reader: User, case: Case) -> None:
    page = as_user(reader).get(URL)
    assert f'href="{reverse("cases:detail", args=[case.pk])}"' in page.text


@pytest.mark.parametrize("name", ["cases:detail", "inference:scan_result", "inference:reading_room"])
def test_opening_takes_the_mark_away(
    as_user: Any, reader: User, case: Case, scan: Scan, name: str, patient: User
) -> None:
    rows.reading(scan)
    address = reverse(name, args=[case.pk] if name == "cases:detail" else [case.pk, scan.pk])
    assert as_user(patient).get(address).status_code == 200
    assert not CaseSeen.objects.exists()
    client = as_user(reader)
    assert "is-unread" in client.get(URL).text
    assert client.get(address).status_code == 200
    assert "is-unread" not in client.get(URL).text


def test_only_verified_doctors_are_let_in(
    as_user: Any, patient: User, unverified_doctor: User, admin_user: User
) -> None:
    for user in (patient, unverified_doctor, admin_user):
        for url in (URL, NEWS, VIEWS):
            assert as_user(user).get(url).status_code == 403, (user.role, url)
    for url in (URL, NEWS, VIEWS):
        assert as_user(None).get(url)["Location"].startswith("/accounts/login/")


def test_strangers_cases_are_not_on_it(as_user: Any, reader: User, case: Case, outsiders: list[User]) -> None:
    stranger = outsiders[3]
    assert "My sore knee" not in as_user(stranger).get(URL, {"state": "all", "patient": case.patient_id}).text


def test_empty_lists_say_so(as_user: Any, doctor: User) -> None:
    client = as_user(doctor)
    assert "Nothing is waiting for you" in client.get(URL).text
    assert "No case fits" in client.get(URL, {"q": "nobody"}).text


@pytest.mark.parametrize(
    "query",
    [
        {"state": "odd"},
        {"level": "awful"},
        {"kind": "cat"},
        {"patient": "nobody"},
        {"opened_from": "yesterday"},
        {"opened_from": "2026-02-02", "opened_to": "2026-01-01"},
        {"opened_from": "0001-01-01"},
        {"opened_to": "9999-12-31"},
        {"cursor": "nonsense"},
        {"unread": "perhaps"},
        {"q": "x" * 300},
    ],
)
def test_a_filter_that_means_nothing_is_told_and_the_list_is_there(
    as_user: Any, reader: User, case: Case, query: dict[str, str]
) -> None:
    page = as_user(reader).get(URL, query)
    assert page.status_code == 400
    assert "invalid-feedback" in page.text or "does not exist" in page.text
    assert "My sore knee" in page.text


def test_wrong_methods(as_user: Any, reader: User) -> None:
    client = as_user(reader)
    assert client.post(URL).status_code == client.post(NEWS).status_code == 405
    assert client.put(VIEWS).status_code == 405


def test_titles_and_names_are_escaped(as_user: Any, reader: User, patient: User) -> None:
    User.objects.filter(pk=patient.pk).update(full_name="<i>Zaphod</i>")
    factories.CaseFactory.create(patient=patient, title="<script>alert(1)</script>")
    client = as_user(reader)
    shown = client.get(URL).text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in shown and "&lt;i&gt;Zaphod&lt;/i&gt;" in shown
    assert "<script>alert" not in shown and "<i>Zaphod" not in shown
    asked = client.get(URL, {"q": '"><b>'}).text
    assert "&quot;&gt;&lt;b&gt;" in asked and '"><b>' not in asked


def test_pages_keep_the_filters(as_user: Any, reader: User, patient: User) -> None:
    factories.CaseFactory.create_batch(30, patient=patient, title="Film")
    client = as_user(reader)
    first = client.get(URL, {"q": "film"})
    assert len(first.context["page"].rows) == 25
    assert f"?q=film&amp;cursor={first.context['page'].next_cursor}" in first.text
    second = client.get(URL, {"q": "film", "cursor": first.context["page"].next_cursor})
    assert len(second.context["page"].rows) == 5
    assert "Back to the top" in second.text


def test_thirty_rows_take_as_many_queries_as_three(
    as_user: Any, reader: User, patient: User, django_assert_max_num_queries: Any
) -> None:
    client = as_user(reader)
    factories.CaseFactory.create_batch(3, patient=patient)
    with django_assert_max_num_queries(50) as caught:
        client.get(URL)
    few = len(caught)
    factories.CaseFactory.create_batch(27, patient=patient)
    with django_assert_max_num_queries(few):
        client.get(URL)


def test_doctors_land_here_and_patients_on_their_cases(as_user: Any, reader: User, patient: User) -> None:
    begin = reverse("accounts:begin")
    assert as_user(reader).get(begin)["Location"] == URL
    assert as_user(patient).get(begin)["Location"] == "/cases/"


# --- news -----------------------------------------------------------------------------------------
def poll(client: Client, **query: Any) -> Any:
    return client.get(NEWS, query, headers={"HX-Request": "true"})


def test_news_since_the_page_was_made(as_user: Any, reader: User, case: Case) -> None:
    client = as_user(reader)
    since = client.get(URL).context["since"]
    assert "has news" not in poll(client, since=since).text
    factories.ScanFactory.create(case=case)
    answer = poll(client, since=since, shown=[str(case.pk)])
    assert "1 case has news" in answer.text and 'id="count-news" hx-swap-oob="true">1<' in answer.text
    assert "no longer shared" not in answer.text


def test_a_case_that_is_no_longer_shared_is_taken_off_the_open_page(
    as_user: Any, reader: User, case: Case
) -> None:
    client = as_user(reader)
    CareRelationship.objects.filter(doctor=reader).update(revoked_at=timezone.now())
    answer = poll(client, since="x", shown=[str(case.pk), "nonsense"])
    assert answer.status_code == 200
    assert f'id="case-{case.pk}" hx-swap-oob="true"' in answer.text and "My sore knee" not in answer.text


def test_signed_out_or_not_verified_any_more_stops_it_with_a_word(as_user: Any, reader: User) -> None:
    signed_out = poll(as_user(None))
    assert signed_out["HX-Trigger"] == "pmi:stop" and "You have been signed out" in signed_out.text
    client = as_user(reader)
    DoctorProfile.objects.filter(user=reader).update(verified_at=None)
    stopped = poll(client)
    assert stopped["HX-Trigger"] == "pmi:stop" and "licence" in stopped.text


# --- saved views ----------------------------------------------------------------------------------
def test_a_view_is_saved_used_renamed_and_deleted(as_user: Any, reader: User, case: Case) -> None:
    client = as_user(reader)
    query = "state=all&kind=knee_xray&nonsense=1&cursor=abc&opened_from=2026-01-05"
    answer = client.post(VIEWS, {"name": "Knees", "query": query})
    view = WorklistView.objects.get()
    assert view.query == "state=all&kind=knee_xray&opened_from=2026-01-05"
    assert answer["Location"] == f"{URL}?{view.query}"
    page = client.get(answer["Location"])
    assert page.context["current_view"] == view and "Knees" in page.text
    client.post(f"{VIEWS}{view.pk}/rename/", {"name": "All knees"})
    assert "All knees" in client.get(VIEWS).text
    client.post(f"{VIEWS}{view.pk}/delete/")
    assert not WorklistView.objects.exists() and Case.objects.filter(pk=case.pk).exists()


def test_a_name_that_is_taken_empty_or_too_long(as_user: Any, reader: User) -> None:
    client = as_user(reader)
    client.post(VIEWS, {"name": "Knees", "query": ""})
    for name in ("Knees", "", "x" * 61):
        answer = client.post(VIEWS, {"name": name, "query": "kind=knee_xray"})
        assert answer.status_code == 400 and "kind=knee_xray" in answer.text, "nothing typed is lost"
    other = WorklistView.objects.create(owner=reader, name="Others")
    answer = client.post(f"{VIEWS}{other.pk}/rename/", {"name": "Knees"}, follow=True)
    assert "You have a view with this name" in answer.text
    for number in range(30):
        WorklistView.objects.create(owner=reader, name=f"n{number}")
    assert client.post(VIEWS, {"name": "more"}).status_code == 400


def test_a_saved_view_of_a_day_out_of_reach_does_no_harm(as_user: Any, reader: User, case: Case) -> None:
    client = as_user(reader)
    view = WorklistView.objects.create(owner=reader, name="Old", query="state=all&opened_to=9999-12-31")
    assert view.query.replace("&", "&amp;") in client.get(VIEWS).text
    page = client.get(f"{URL}?{view.query}")
    assert page.status_code == 400 and "My sore knee" in page.text
    answer = client.post(VIEWS, {"name": "New", "query": view.query})
    assert answer["Location"] == f"{URL}?state=all"


def test_views_are_ones_own(as_user: Any, reader: User) -> None:
    view = WorklistView.objects.create(owner=reader, name="Mine alone")
    other = as_user(factories.DoctorFactory.create())
    assert "Mine alone" not in other.get(VIEWS).text
    for what in ("rename", "delete"):
        assert other.post(f"{VIEWS}{view.pk}/{what}/", {"name": "x"}).status_code == 404
        assert as_user(reader).get(f"{VIEWS}{view.pk}/{what}/").status_code == 405
        assert as_user(None).post(f"{VIEWS}{view.pk}/{what}/")["Location"].startswith("/accounts/login/")
    view.refresh_from_db()
    assert view.name == "Mine alone"


# --- API ------------------------------------------------------------------------------------------
API = "/api/v1/worklist/"


def test_api_pages_by_cursor_and_is_logged(api_as: Any, reader: User, patient: User, case: Case) -> None:
    factories.CaseFactory.create_batch(4, patient=patient, title="Film")
    client, found, address = api_as(reader), [], f"{API}?page_size=2&state=all"
    while address:
        body = client.get(address).json()
        found += body["results"]
        address = body["next"]
    assert len({row["case"] for row in found}) == len(found) == 5
    assert body["counts"] == {
        "by_level": {**dict.fromkeys(body["counts"]["by_level"], 0), "": 5},
        "unread": 5,
    }
    first = next(row for row in found if row["case"] == str(case.pk))
    assert first["patient_name"] == patient.full_name and first["level"] == "" and first["unread"] is True
    assert AccessLog.objects.filter(action="list_cases", case_id=case.pk).count() == 1


@pytest.mark.parametrize(
    "query",
    [
        "cursor=x",
        "level=x",
        "page_size=0",
        "page_size=1000",
        "page_size=0000019999999",
        "page_size=" + "9" * 5000,
        "opened_to=x",
        "unread=perhaps",
        "unread=2",
        "opened_to=9999-12-31",
        "opened_from=03/02/2026",
    ],
)
def test_api_tells_what_is_wrong(api_as: Any, reader: User, query: str) -> None:
    answer = api_as(reader).get(f"{API}?{query}")
    assert answer.status_code == 400 and set(answer.json()) == {"detail", "code"}


@pytest.mark.parametrize("language", ["en", "es", "hi"])
@pytest.mark.parametrize("text", ["03/02/2026", "03.02.2026", "3 Feb 2026", "20260203"])
def test_a_day_is_the_same_in_every_language(api_as: Any, reader: User, language: str, text: str) -> None:
    client, headers = api_as(reader), {"accept-language": language}
    for name in ("opened_from", "opened_to"):
        answer = client.get(API, {name: text}, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (400, "bad_filter")
        assert client.get(API, {name: "2026-02-03"}, headers=headers).status_code == 200


@pytest.mark.parametrize(
    ("text", "count"),
    [
        *((yes, 1) for yes in ("true", "True", "1", "yes", "on")),
        *((no, 2) for no in ("false", "False", "0", "no", "off", "")),
    ],
)
def test_yes_and_no_as_programs_write_them(
    as_user: Any, api_as: Any, reader: User, patient: User, case: Case, text: str, count: int
) -> None:
    factories.CaseFactory.create(patient=patient)
    case.refresh_from_db()
    worklist.mark_seen(reader, case)
    assert len(api_as(reader).get(API, {"unread": text}).json()["results"]) == count
    page = as_user(reader).get(URL, {"unread": text})
    assert len(page.context["page"].rows) == count
    assert ('name="unread" class="form-check-input" id="id_unread" checked' in page.text) == (count == 1)


def test_the_next_page_keeps_what_was_asked_for(api_as: Any, reader: User, patient: User, case: Case) -> None:
    factories.CaseFactory.create(patient=patient)
    address = api_as(reader).get(API, {"unread": "1", "page_size": "1"}).json()["next"]
    query = parse_qs(urlsplit(address).query)
    assert query["unread"] == ["true"] and query["page_size"] == ["1"]
    (row,) = api_as(reader).get(address).json()["results"]
    assert row["unread"] is True


def test_api_marks_a_case_as_seen_until_there_is_news(api_as: Any, reader: User, case: Case) -> None:
    client, address = api_as(reader), reverse("v1:worklist-seen", args=[case.pk])
    assert address == f"{API}{case.pk}/seen/"
    client.get(API)
    assert client.get(API).json()["results"][0]["unread"] is True, "asking alone marks nothing"
    done = client.post(address)
    assert done.status_code == 204 and not done.content
    body = client.get(API).json()
    assert body["results"][0]["unread"] is False and body["counts"]["unread"] == 0
    assert client.post(address).status_code == 204
    factories.ScanFactory.create(case=case)
    assert client.get(API).json()["counts"]["unread"] == 1
    assert client.get(address).status_code == 405


def test_who_may_mark_a_case_as_seen(
    api_as: Any, case: Case, patient: User, api_hidden_from_outsiders: Any
) -> None:
    address = reverse("v1:worklist-seen", args=[case.pk])
    api_hidden_from_outsiders(address, "post")
    assert api_as(patient).post(address).status_code == 403
    assert not CaseSeen.objects.exists()


def test_api_is_for_verified_doctors(
    api_as: Any, patient: User, unverified_doctor: User, doctor: User
) -> None:
    assert api_as(patient).get(API).status_code == api_as(unverified_doctor).get(API).status_code == 403
    assert api_as(None).get(API).status_code == 401
    assert api_as(doctor).get(API).json()["results"] == []
    assert api_as(doctor).post(API).status_code == 405


def test_an_opened_filter_day_counts_to_its_end(as_user: Any, reader: User, case: Case) -> None:
    day = timezone.localdate()
    assert "My sore knee" in as_user(reader).get(URL, {"opened_to": day.isoformat()}).text
    before = (day - timedelta(days=1)).isoformat()
    assert "My sore knee" not in as_user(reader).get(URL, {"opened_to": before}).text
