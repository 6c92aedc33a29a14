"""The desk for danger rules: pages, forms, trial, activation, and who may do what."""

import json
import uuid
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.urls import reverse

from inference import danger, rule_sets
from inference.models import DangerRuleSet, RuleRun
from tests.inference.test_rule_sets import curator, draft, publisher, reading, tried  # noqa: F401
from tests.resources.test_services import member

pytestmark = pytest.mark.django_db

LIST = "admin:inference_dangerruleset_changelist"
PAGES = ("rule", "sentence", "json", "trial", "activate", "note", "discard")


def page(row: DangerRuleSet, name: str = "") -> str:
    if not name:
        return reverse("admin:inference_dangerruleset_change", args=[row.pk])
    return reverse(f"admin:inference_dangerrules_{name}", args=[row.pk])


def text(response: Any) -> str:
    return str(response.content.decode())


def initial(form: Any) -> dict[str, Any]:
    data = {name: form[name].value() for name in form.fields}
    return {name: value for name, value in data.items() if value is not None}


@pytest.fixture
def desk(curator: Any, as_user: Any) -> Any:  # noqa: F811
    return as_user(curator)


@pytest.fixture
def office(publisher: Any, as_user: Any) -> Any:  # noqa: F811
    return as_user(publisher)


def test_begin_look_and_find_it_in_the_list(desk):
    listed = desk.get(reverse(LIST))
    assert danger.default_rules().version in text(listed)
    answer = desk.post(reverse("admin:inference_dangerrules_begin"), follow=True)
    row = DangerRuleSet.objects.get()
    assert answer.redirect_chain[-1][0] == page(row)
    shown = text(answer)
    assert "Nothing yet." in shown and "Put it in force" not in shown
    assert "Glioma" in shown or "glioma" in shown
    assert row.version in text(desk.get(reverse(LIST)))


def test_the_shipped_rules_can_be_read(desk, office):
    for client in (desk, office):
        shown = text(client.get(reverse("admin:inference_dangerrules_shipped")))
        assert "are in force" in shown and "No clinician has reviewed them yet." in shown
        assert "Change this rule" not in shown


def test_change_one_rule(desk, draft):  # noqa: F811
    url = page(draft, "rule") + "?id=pneumonia.likely.child"
    form = desk.get(url).context["form"]
    data = {**initial(form), "level": "emergency", "edit_no": draft.edit_no}
    answer = desk.post(url, data, follow=True)
    assert "The rule is in the draft." in text(answer)
    draft.refresh_from_db()
    rules = danger.parse_rules(draft.rules)
    changed = rules.rule("pneumonia.likely.child")
    assert changed is not None and changed.level == "emergency"
    assert "Changed:" in text(answer)
    assert LogEntry.objects.filter(object_id=str(draft.pk)).exists()


def test_add_a_rule_and_remove_it(desk, draft):  # noqa: F811
    url = page(draft, "rule")
    data = {
        "edit_no": draft.edit_no,
        "condition": "meningioma",
        "call": "possible",
        "symptoms": ["morning_vomiting"],
        "age": "any",
        "level": "emergency",
        "because": "symptom.vomiting_tumour",
        "do": "symptom.emergency_do",
    }
    assert desk.post(url, data).status_code == 302
    draft.refresh_from_db()
    name = "symptom.morning_vomiting.meningioma.possible"
    assert danger.parse_rules(draft.rules).rule(name)
    gone = desk.post(f"{url}?id={name}", {"_remove": "1", "edit_no": draft.edit_no}, follow=True)
    assert "The rule is gone from the draft." in text(gone)
    draft.refresh_from_db()
    assert danger.parse_rules(draft.rules).rule(name) is None


def test_a_rule_that_is_needed_is_not_removed(desk, draft):  # noqa: F811
    url = page(draft, "rule") + "?id=glioma.likely"
    answer = desk.post(url, {"_remove": "1", "edit_no": draft.edit_no}, follow=True)
    assert ["no rule covers glioma likely" in str(m) for m in answer.context["messages"]] == [True]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"condition": "glioma", "call": ""}, "belong together"),
        ({"condition": "", "call": ""}, "at least one warning sign"),
        ({"condition": "glioma", "call": "likely"}, "already covers exactly"),
        ({"symptoms": ["blue_lips", "night_pain"]}, "can never fire"),
        ({"symptoms": ["drowsy"], "level": "soon"}, "already covers exactly"),
        ({"symptoms": ["drowsy", "morning_vomiting"], "level": "urgent"}, "never decides"),
        ({"level": "dreadful"}, "Select a valid choice"),
    ],
)
def test_a_rule_that_cannot_be_is_refused_and_named(desk, draft, values, message):  # noqa: F811
    data = {
        "edit_no": draft.edit_no,
        "age": "any",
        "level": "urgent",
        "because": "symptom.drowsy",
        "do": "symptom.today_do",
        **values,
    }
    answer = desk.post(page(draft, "rule"), data)
    assert answer.status_code == 400
    assert message in text(answer)
    draft.refresh_from_db()
    assert draft.edit_no == data["edit_no"]


def test_sentences_in_three_languages(desk, draft):  # noqa: F811
    url = page(draft, "sentence")
    words = {"en": "Go now.", "es": "Vaya ahora.", "hi": "अभी जाएँ।", "key": "mine.go"}
    assert desk.post(url, {**words, "edit_no": draft.edit_no}).status_code == 302
    draft.refresh_from_db()
    assert draft.rules["texts"]["hi"]["mine.go"] == "अभी जाएँ।"
    again = desk.post(url, {**words, "edit_no": draft.edit_no})
    assert "There is a sentence with this name already." in text(again)
    empty = desk.post(f"{url}?key=mine.go", {"en": "", "edit_no": draft.edit_no})
    assert empty.status_code == 400
    less = desk.post(f"{url}?key=mine.go", {"en": "Go at once.", "edit_no": draft.edit_no})
    assert less.status_code == 302
    draft.refresh_from_db()
    assert "mine.go" not in draft.rules["texts"]["es"]
    assert "pneumonia.likely" in text(desk.get(f"{url}?key=chest.urgent"))
    assert desk.get(f"{url}?key=nowhere").status_code == 404


def test_all_rules_as_json(desk, draft):  # noqa: F811
    url = page(draft, "json")
    raw = json.loads(desk.get(url).context["form"]["rules"].value())
    bad = desk.post(url, {"rules": "{", "edit_no": draft.edit_no})
    assert bad.status_code == 400 and "line 1" in text(bad)
    raw["rules"][0]["because"] = "no.such"
    wrong = desk.post(url, {"rules": json.dumps(raw), "edit_no": draft.edit_no})
    assert "no text named" in text(wrong) and "glioma.likely" in text(wrong)
    raw["rules"][0]["because"] = "glioma.possible"
    assert desk.post(url, {"rules": json.dumps(raw), "edit_no": draft.edit_no}).status_code == 302


def test_a_form_that_was_open_too_long(desk, draft):  # noqa: F811
    url = page(draft, "rule") + "?id=pneumonia.likely.child"
    data = {**initial(desk.get(url).context["form"]), "level": "soon", "edit_no": draft.edit_no - 1}
    assert "Somebody has saved these rules since" in text(desk.post(url, data, follow=True))


def test_from_trial_to_force(desk, office, draft, run_tasks):  # noqa: F811
    past = [reading("likely"), reading("possible"), reading("likely")]
    assert "Not tried yet" in text(desk.get(page(draft, "trial")))
    refused = text(office.get(page(draft, "activate")))
    assert "cannot be put in force yet" in refused and "Yes, put it in force now" not in refused
    with run_tasks():
        desk.post(page(draft, "trial"))
    shown = " ".join(text(desk.get(page(draft, "trial"))).split())
    assert "Of 3 past readings" in shown and "3 would change" in shown
    assert "1 up" in shown and "2 down" in shown
    assert "Pneumonia" in shown or "pneumonia" in shown
    for row in past:  # those who curate rules see no patient
        assert str(row.pk) not in shown and row.scan.case.patient.email not in shown
    assert "Yes, put it in force now" in text(office.get(page(draft, "activate")))
    with run_tasks():
        done = office.post(page(draft, "activate"), {"edit_no": draft.edit_no, "rejudge": "yes"}, follow=True)
    assert "In force. New readings follow these rules" in text(done)
    for row in past:
        row.refresh_from_db()
    assert [row.danger for row in past] == ["soon", "urgent", "soon"]
    shown = text(office.get(page(draft)))
    assert "1 readings up, 2 down" in shown and "Change this rule" not in shown
    assert desk.get(page(draft, "rule")).status_code == 404  # kept as it was
    assert office.get(page(draft, "activate")).status_code == 302
    assert draft.version in text(desk.get(reverse(LIST)))


def test_a_trial_under_way_shows_progress(desk, draft, curator):  # noqa: F811
    RuleRun.objects.create(
        rule_set=draft,
        purpose="trial",
        state="running",
        edit_no=draft.edit_no,
        compared_with=danger.default_rules().version,
        total=10,
        looked_at=4,
    )
    shown = text(desk.get(page(draft, "trial")))
    assert "4 of 10 readings" in shown and 'http-equiv="refresh"' in shown


def test_an_old_trial_says_so(desk, draft, curator, run_tasks):  # noqa: F811
    reading()
    tried(draft, curator, run_tasks)
    rule_sets.save_draft(draft.pk, curator, edit_no=draft.edit_no, rules=draft.rules)
    assert "have changed since this trial" in text(desk.get(page(draft, "trial")))


def test_nobody_activates_their_own(draft, as_user, run_tasks):  # noqa: F811
    both = member("Curator", "Publisher")
    rule_sets.save_draft(draft.pk, both, edit_no=draft.edit_no, note="Both.")
    tried(draft, both, run_tasks)
    client = as_user(both)
    assert "You wrote part of these rules" in text(client.get(page(draft, "activate")))
    answer = client.post(page(draft, "activate"), {"edit_no": draft.edit_no}, follow=True)
    assert "You wrote part of these rules" in text(answer)
    draft.refresh_from_db()
    assert draft.status == "draft"


def test_note_and_discard(desk, draft):  # noqa: F811
    desk.post(page(draft, "note"), {"note": "Because.", "edit_no": draft.edit_no})
    draft.refresh_from_db()
    assert draft.note == "Because."
    assert desk.get(page(draft, "discard")).status_code == 302
    assert DangerRuleSet.objects.filter(pk=draft.pk).exists()
    assert "The draft is gone" in text(desk.post(page(draft, "discard"), follow=True))
    assert not DangerRuleSet.objects.filter(pk=draft.pk).exists()


# --- who may ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PAGES)
def test_strangers_and_patients_are_sent_away(name, draft, as_user, patient):  # noqa: F811
    for user in (None, patient):
        for method in ("get", "post"):
            answer = getattr(as_user(user), method)(page(draft, name))
            assert answer.status_code == 302 and "login" in answer["Location"]


@pytest.mark.parametrize("name", ["", *PAGES])
def test_staff_without_the_group_may_not(name, draft, as_user):  # noqa: F811
    client = as_user(member())
    assert client.get(page(draft, name)).status_code == 403
    assert client.post(page(draft, name)).status_code == 403
    assert client.get(reverse(LIST)).status_code == 403


@pytest.mark.parametrize(
    ("group", "name", "code"),
    [
        ("Publisher", "", 200),
        ("Publisher", "rule", 403),
        ("Publisher", "sentence", 403),
        ("Publisher", "json", 403),
        ("Publisher", "trial", 200),
        ("Publisher", "activate", 200),
        ("Curator", "rule", 200),
        ("Curator", "trial", 200),
        ("Curator", "activate", 403),
    ],
)
def test_what_each_group_opens(group, name, code, draft, as_user):  # noqa: F811
    assert as_user(member(group)).get(page(draft, name)).status_code == code


@pytest.mark.parametrize("name", ["", *PAGES])
def test_an_unknown_id_is_not_found(name, as_user):
    client = as_user(member("Curator", "Publisher"))
    nowhere = DangerRuleSet(pk=uuid.uuid4())
    assert client.get(page(nowhere, name)).status_code == 404
    assert client.post(page(nowhere, name)).status_code == 404


def test_the_admin_offers_no_deletion(draft, as_user):  # noqa: F811
    from tests.factories import UserFactory

    client = as_user(UserFactory.create(is_staff=True, is_superuser=True))
    delete = reverse("admin:inference_dangerruleset_delete", args=[draft.pk])
    assert client.post(delete, {"post": "yes"}).status_code == 403
    client.post(reverse(LIST), {"action": "delete_selected", "_selected_action": str(draft.pk)})
    assert DangerRuleSet.objects.filter(pk=draft.pk).exists()


def test_the_list_takes_few_queries(desk, curator, django_assert_max_num_queries):  # noqa: F811
    for _number in range(6):
        rule_sets.begin_draft(curator)
    with django_assert_max_num_queries(14):
        desk.get(reverse(LIST))
