"""Drafts of danger rules, trials on past readings, activation, and judging anew."""

import copy
import threading
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import IntegrityError, connection, transaction

from cases.services import update_case
from inference import assessing, danger, rule_check, rule_runs, rule_sets
from inference.models import Analysis, DangerAssessment, DangerRuleSet, RuleRun
from pmi_site.errors import UserError
from tests import factories
from tests.inference import reading_rows
from tests.resources.test_services import member

pytestmark = pytest.mark.django_db


@pytest.fixture
def curator() -> Any:
    return member("Curator")


@pytest.fixture
def publisher() -> Any:
    return member("Publisher")


def with_level(raw: dict[str, Any], rule_id: str, level: str) -> dict[str, Any]:
    """The rules with another level for one of them."""
    changed = copy.deepcopy(raw)
    next(rule for rule in changed["rules"] if rule["id"] == rule_id)["level"] = level
    return changed


@pytest.fixture
def draft(curator: Any) -> DangerRuleSet:
    """A draft in which a likely pneumonia is only "soon", and a possible one "urgent"."""
    row = rule_sets.begin_draft(curator, "Try the other way round.")
    rules = with_level(row.rules, "pneumonia.likely", "soon")
    rules = with_level(rules, "pneumonia.possible", "urgent")
    return rule_sets.save_draft(row.pk, curator, edit_no=row.edit_no, rules=rules)


def reading(call: str = "likely", **fields: Any) -> Analysis:
    """A finished analysis that says pneumonia, with the level of the rules in force."""
    scan = factories.ScanFactory.create(case__age_group="adult")
    made = reading_rows.analysis(scan, "succeeded", **fields)
    reading_rows.finding(made, call=call)
    assessing.reassess_case(scan.case_id)
    made.refresh_from_db()
    return made


def tried(row: DangerRuleSet, by: Any, run_tasks: Any) -> RuleRun:
    with run_tasks():
        run = rule_runs.start(row, RuleRun.Purpose.TRIAL, by)
    run.refresh_from_db()
    return run


# --- drafts -------------------------------------------------------------------------------------------------


def test_a_draft_begins_with_the_rules_in_force(curator):
    row = rule_sets.begin_draft(curator)
    assert row.status == "draft" and row.based_on == danger.default_rules().version
    drafted = danger.parse_rules(row.rules)
    assert rule_sets.rule_changes(danger.default_rules(), drafted) == []
    assert rule_sets.text_changes(danger.default_rules(), drafted) == []
    assert rule_sets.begin_draft(curator).version != row.version


def test_only_curators_write(publisher, patient, draft):
    for user in (publisher, patient):
        with pytest.raises(PermissionDenied):
            rule_sets.begin_draft(user)
        with pytest.raises(PermissionDenied):
            rule_sets.save_draft(draft.pk, user, edit_no=draft.edit_no, note="x")
    with pytest.raises(PermissionDenied):
        rule_sets.discard(draft.pk, patient)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda rules: rules["rules"].pop(0), "glioma likely"),
        (lambda rules: rules["rules"][0].update(level="dreadful"), "glioma.likely"),
        (lambda rules: rules["rules"].append({**rules["rules"][0], "id": "twice"}), "twice"),
        (
            lambda rules: rules["rules"].append(
                {
                    "id": "weaker",
                    "symptoms": ["blue_lips", "high_fever"],
                    "level": "soon",
                    "because": "symptom.drowsy",
                    "do": "symptom.days_do",
                }
            ),
            "weaker",
        ),
    ],
)
def test_a_set_that_cannot_be_used_is_not_kept(curator, draft, change, named):
    rules = copy.deepcopy(draft.rules)
    change(rules)
    with pytest.raises(ValidationError, match=named):
        rule_sets.save_draft(draft.pk, curator, edit_no=draft.edit_no, rules=rules)
    draft.refresh_from_db()
    assert not rule_check.problems(danger.parse_rules(draft.rules))


def test_two_writers_do_not_overwrite_each_other(curator, draft):
    other = member("Curator")
    rule_sets.save_draft(draft.pk, other, edit_no=draft.edit_no, rules=draft.rules)
    with pytest.raises(UserError) as caught:
        rule_sets.save_draft(draft.pk, curator, edit_no=draft.edit_no, rules=draft.rules)
    assert caught.value.code == "stale"


def test_a_draft_can_go(curator, draft):
    rule_sets.discard(draft.pk, curator)
    assert not DangerRuleSet.objects.exists()
    with pytest.raises(UserError):
        rule_sets.discard(draft.pk, curator)


# --- trials -------------------------------------------------------------------------------------------------


def test_a_trial_counts_what_goes_up_and_down_and_writes_nothing(draft, curator, run_tasks):
    readings = [reading("likely"), reading("likely"), reading("likely"), reading("possible")]
    before = {row.pk: row.danger for row in Analysis.objects.all()}
    run = tried(draft, curator, run_tasks)
    assert (run.state, run.looked_at, run.total) == ("done", 4, 4)
    assert (run.changed, run.up, run.down) == (4, 1, 3)
    assert {row.pk: row.danger for row in Analysis.objects.all()} == before
    assert DangerAssessment.objects.count() == len(readings)
    groups = {(group["before"], group["after"]): group for group in run.groups}
    assert groups["urgent", "soon"]["count"] == 3
    assert groups["soon", "urgent"]["was"] == ["pneumonia.possible"]


def test_a_trial_looks_at_every_reading_in_steps(draft, curator, run_tasks, monkeypatch):
    monkeypatch.setattr(rule_runs, "STEP", 2)
    monkeypatch.setattr(rule_runs, "TURN", 0.0001)  # every step is a task of its own
    for _number in range(7):
        reading("likely")
    assert tried(draft, curator, run_tasks).down == 7


def test_a_trial_compares_with_the_rules_in_force_not_with_what_is_stored(draft, curator, run_tasks):
    old = reading("likely")
    Analysis.objects.filter(pk=old.pk).update(danger="soon", rules_version="2019.1")
    run = tried(draft, curator, run_tasks)
    assert (run.down, run.outdated) == (1, 1)


def test_a_level_that_a_doctor_set_is_no_change(draft, curator, run_tasks):
    reading("likely", doctor_level="urgent")
    run = tried(draft, curator, run_tasks)
    assert (run.changed, run.held_by_doctor) == (0, 1)


def test_other_sentences_are_counted(curator, run_tasks):
    row = rule_sets.begin_draft(curator, "Words.")
    rules = copy.deepcopy(row.rules)
    rules["texts"]["en"]["pneumonia.likely"] = "Other words."
    row = rule_sets.save_draft(row.pk, curator, edit_no=row.edit_no, rules=rules)
    reading("likely")
    run = tried(row, curator, run_tasks)
    assert (run.changed, run.reworded) == (0, 1)


def test_a_finding_without_a_rule_is_counted(draft, curator, run_tasks):
    row = reading("likely")
    reading_rows.finding(row, "something-old", label="old")
    assert tried(draft, curator, run_tasks).unjudged == 1
    assert assessing.reassess_case(row.scan.case_id) == 0  # and it keeps what it has


def test_a_message_delivered_twice_counts_once(draft, curator, run_tasks):
    reading("likely")
    run = tried(draft, curator, run_tasks)
    RuleRun.objects.filter(pk=run.pk).update(state="running")
    rule_runs.walk(run.pk)
    run.refresh_from_db()
    assert run.looked_at == 1


def test_a_trial_of_what_has_changed_since_breaks_off(draft, curator, run_tasks):
    run = rule_runs.start(draft, RuleRun.Purpose.TRIAL, curator)
    rule_sets.save_draft(draft.pk, curator, edit_no=draft.edit_no, rules=draft.rules)
    assert rule_runs.walk(run.pk) is False
    run.refresh_from_db()
    assert run.state == "failed"


def test_an_error_is_said(draft, curator, run_tasks, monkeypatch):
    monkeypatch.setattr(rule_runs, "walk", lambda run_id: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        tried(draft, curator, run_tasks)
    assert RuleRun.objects.get().state == "failed"


# --- activation ---------------------------------------------------------------------------------------------


def test_a_second_person_puts_a_tried_draft_in_force(draft, curator, publisher, run_tasks):
    past = reading("likely")
    tried(draft, curator, run_tasks)
    with run_tasks():
        rule_sets.activate(draft.pk, publisher, edit_no=draft.edit_no, rejudge=False)
    draft.refresh_from_db()
    assert (draft.status, draft.activated_by) == ("active", publisher)
    assert assessing.active_rules().version == draft.version
    past.refresh_from_db()
    assert past.danger == "urgent"  # asked to leave past readings as they are
    assert reading("likely").danger == "soon"


def test_judging_anew_keeps_history_and_never_lowers_what_a_doctor_set(draft, curator, publisher, run_tasks):
    free, held = reading("likely"), reading("likely", doctor_level="urgent")
    raised = reading("possible")
    tried(draft, curator, run_tasks)
    with run_tasks():
        rule_sets.activate(draft.pk, publisher, edit_no=draft.edit_no, rejudge=True)
    for row in (free, held, raised):
        row.refresh_from_db()
    assert (free.danger, held.danger, raised.danger) == ("soon", "urgent", "urgent")
    assert {row.rules_version for row in (free, held, raised)} == {draft.version}
    levels = [row.level for row in DangerAssessment.objects.filter(analysis=free)]
    assert levels == ["urgent", "soon"]
    run = rule_runs.latest(draft, RuleRun.Purpose.REJUDGE)
    assert run is not None and (run.state, run.up, run.down, run.looked_at) == ("done", 1, 1, 3)


@pytest.mark.parametrize("reason", ["own", "untried", "no_note", "changed_since", "based_on_old"])
def test_activation_is_refused(reason, draft, curator, publisher, run_tasks):
    who, edit_no = publisher, draft.edit_no
    if reason != "untried":
        tried(draft, curator, run_tasks)
    if reason == "own":
        who = member("Curator", "Publisher")
        draft = rule_sets.save_draft(draft.pk, who, edit_no=edit_no, note="Mine, too.")
    if reason == "no_note":
        draft = rule_sets.save_draft(draft.pk, curator, edit_no=edit_no, note=" ")
    if reason == "changed_since":
        rule_sets.save_draft(draft.pk, curator, edit_no=edit_no, rules=draft.rules)
    if reason == "based_on_old":
        DangerRuleSet.objects.filter(pk=draft.pk).update(based_on="2020.1")
    with pytest.raises(UserError) as caught:
        rule_sets.activate(draft.pk, who, edit_no=edit_no, rejudge=False)
    assert caught.value.code == ("stale" if reason == "changed_since" else "not_ready")
    assert rule_sets.in_force() is None


def test_writing_does_not_let_one_activate(draft, curator):
    with pytest.raises(PermissionDenied):
        rule_sets.activate(draft.pk, curator, edit_no=draft.edit_no, rejudge=False)


@pytest.mark.django_db(transaction=True)
def test_two_activations_at_once_end_in_one(run_tasks):
    from inference.groups import ensure_permissions
    from resources.groups import ensure_groups

    ensure_groups()
    ensure_permissions()
    curator, publisher = member("Curator"), member("Publisher")
    drafts = [rule_sets.begin_draft(curator, "One of two.") for _ in range(2)]
    for row in drafts:
        rule_runs.start(row, RuleRun.Purpose.TRIAL, curator)
    for run in RuleRun.objects.all():
        rule_runs.walk(run.pk)
    errors: list[Exception] = []
    together = threading.Barrier(2)

    def act(row: DangerRuleSet) -> None:
        try:
            together.wait(10)
            rule_sets.activate(row.pk, publisher, edit_no=row.edit_no, rejudge=False)
        except Exception as error:
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=act, args=[row]) for row in drafts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [type(error) for error in errors] == [UserError]
    assert DangerRuleSet.objects.filter(status="active").count() == 1


# --- what was in force is kept ------------------------------------------------------------------------------


@pytest.fixture
def active(draft: DangerRuleSet, curator: Any, publisher: Any, run_tasks: Any) -> DangerRuleSet:
    tried(draft, curator, run_tasks)
    return rule_sets.activate(draft.pk, publisher, edit_no=draft.edit_no, rejudge=False)


@pytest.mark.parametrize(
    "act",
    [
        lambda rows: rows.update(rules={"rules": []}),
        lambda rows: rows.update(version="other"),
        lambda rows: rows.update(status="draft"),
        lambda rows: rows.delete(),
        lambda rows: rows.get().delete(),
        lambda rows: DangerRuleSet.objects.bulk_update([rewritten(rows.get())], ["rules"]),
    ],
)
def test_the_database_keeps_what_was_in_force(active, act):
    with pytest.raises(IntegrityError), transaction.atomic():
        act(DangerRuleSet.objects.filter(pk=active.pk))
    assert DangerRuleSet.objects.get().rules == active.rules


def rewritten(row: DangerRuleSet) -> DangerRuleSet:
    row.rules = {"rules": []}
    return row


def test_the_author_may_leave(active, curator):
    curator.delete()
    active.refresh_from_db()
    assert active.created_by is None


def test_the_next_set_retires_it_and_its_words_stay(active, curator, publisher, run_tasks):
    past = reading("likely")
    row = rule_sets.begin_draft(curator, "Back to how it was.")
    row = rule_sets.save_draft(
        row.pk, curator, edit_no=row.edit_no, rules=with_level(row.rules, "pneumonia.likely", "urgent")
    )
    tried(row, curator, run_tasks)
    rule_sets.activate(row.pk, publisher, edit_no=row.edit_no, rejudge=False)
    active.refresh_from_db()
    assert active.status == "retired"
    past.refresh_from_db()
    assert (past.danger, past.rules_version) == ("soon", active.version)
    assert assessing.words(past)[0]


def test_symptoms_judge_by_the_rules_in_force(active):
    past = reading("likely")
    update_case(past.scan.case, past.scan.case.patient, symptoms={"blue_lips": True})
    assessing.reassess_case(past.scan.case_id)
    past.refresh_from_db()
    assert (past.danger, past.rules_version) == ("emergency", active.version)
