"""Rule sets as curators handle them: a draft from the rules in force, edits, and putting a draft in force.

The two-person rule holds as for texts: whoever wrote any of a draft does not put it in force. A draft must
have been tried on all past analyses, as it stands and against the rules in force now (`rule_runs`).
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import connection, transaction
from django.http import Http404
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.models import User
from inference import assessing, danger, rule_runs
from inference.models import DangerRuleSet, RuleRun
from pmi_site.errors import UserError

# One number for "putting rules in force", so that two activations come one after the other.
_ACTIVATION_LOCK = 5_020_261


def may_edit(user: User | AnonymousUser) -> bool:
    """The user may write drafts of danger rules."""
    return user.has_perm("inference.change_dangerruleset")


def may_activate(user: User | AnonymousUser) -> bool:
    """The user may put in force what others wrote."""
    return user.has_perm("inference.activate_dangerruleset")


def in_force() -> DangerRuleSet | None:
    """The active set; None while the shipped rules are in force."""
    return DangerRuleSet.objects.filter(status=DangerRuleSet.Status.ACTIVE).first()


def raw_in_force() -> dict[str, Any]:
    """The rules in force as data, without their version."""
    row = in_force()
    raw = dict(row.rules) if row else danger.shipped_raw()
    return {key: value for key, value in raw.items() if key not in ("version", "note")}


def begin_draft(by: User, note: str = "") -> DangerRuleSet:
    """A draft that says what the rules in force say."""
    if not may_edit(by):
        raise PermissionDenied
    today = timezone.localdate().isoformat()
    with transaction.atomic():
        taken = set(DangerRuleSet.objects.filter(version__startswith=today).values_list("version", flat=True))
        version = today
        number = 1
        while version in taken:
            number += 1
            version = f"{today}-{number}"
        return DangerRuleSet.objects.create(
            version=version,
            note=note.strip()[:2000],
            rules=raw_in_force(),
            based_on=assessing.active_rules().version,
            created_by=by,
            writer_ids=[str(by.pk)],
        )


def save_draft(
    rule_set_id: uuid.UUID,
    by: User,
    *,
    edit_no: int,
    rules: Mapping[str, Any] | None = None,
    note: str | None = None,
) -> DangerRuleSet:
    """Keeps a changed draft. Raises ValidationError that names the rule where the set cannot be used, and
    UserError where it is no draft any more ("moved_on") or somebody saved since `edit_no` ("stale").
    """
    if not may_edit(by):
        raise PermissionDenied
    with transaction.atomic():
        row = _held_draft(rule_set_id)
        if row.edit_no != edit_no:
            raise _stale()
        if rules is not None:
            row.rules = {key: value for key, value in rules.items() if key not in ("version", "note")}
        if note is not None:
            row.note = note.strip()[:2000]
        if str(by.pk) not in row.writer_ids:
            row.writer_ids = [*row.writer_ids, str(by.pk)]
        if rules is not None:  # a note changes nothing that a trial looked at
            row.edit_no += 1
        row.save()
        return row


def discard(rule_set_id: uuid.UUID, by: User) -> None:
    """Throws a draft away."""
    if not (may_edit(by) or may_activate(by)):
        raise PermissionDenied
    with transaction.atomic():
        _held_draft(rule_set_id).delete()


def activation_problems(row: DangerRuleSet, by: User | AnonymousUser) -> list[str]:
    """What stands between a draft and its coming into force, in words; empty when nothing does."""
    found = []
    if str(by.pk) in row.writer_ids or not row.writer_ids:
        found.append(_("You wrote part of these rules, so somebody else has to put them in force."))
    if not row.note.strip():
        found.append(_("Say first what is different, and why."))
    if row.based_on != assessing.active_rules().version:
        found.append(
            _("Other rules came into force after this draft was begun. Begin a new draft from them.")
        )
    trial = rule_runs.latest(row, RuleRun.Purpose.TRIAL)
    if trial is None or trial.state != RuleRun.State.DONE or not rule_runs.is_current(trial, row):
        found.append(_("Try the draft on the past readings first, as it stands now."))
    return found


def activate(rule_set_id: uuid.UUID, by: User, *, edit_no: int, rejudge: bool) -> DangerRuleSet:
    """Puts a draft in force and retires the set before it; new readings follow it from now on.

    With `rejudge`, past analyses are judged anew in the background; a level that a doctor set stays a floor.
    Otherwise they keep their assessment until their symptoms change. Two activations at once come one after
    the other, and the second is refused. Raises UserError with what stands in the way.
    """
    if not may_activate(by):
        raise PermissionDenied
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_ACTIVATION_LOCK])
        row = _held_draft(rule_set_id)
        if row.edit_no != edit_no:
            raise _stale()
        if problems := activation_problems(row, by):
            raise UserError("not_ready", " ".join(problems))
        try:
            row.clean()  # what can be reported may have changed since the last save
        except ValidationError as error:
            raise UserError("invalid", " ".join(error.messages)) from error
        now = timezone.now()
        active = DangerRuleSet.objects.filter(status=DangerRuleSet.Status.ACTIVE)
        active.update(status=DangerRuleSet.Status.RETIRED, updated_at=now)
        row.status = DangerRuleSet.Status.ACTIVE
        row.activated_at, row.activated_by = now, by
        row.save()
        if rejudge:
            rule_runs.start(row, RuleRun.Purpose.REJUDGE, by)
    return row


def get_rule_set(rule_set_id: uuid.UUID | str) -> DangerRuleSet:
    """One rule set; Http404 for any other id. Who may look is for the page to say."""
    try:
        key = uuid.UUID(str(rule_set_id))
    except ValueError:
        raise Http404 from None
    people = ("created_by", "activated_by")
    found = DangerRuleSet.objects.select_related(*people).filter(pk=key).first()
    if found is None:
        raise Http404
    return found


def _held_draft(rule_set_id: uuid.UUID) -> DangerRuleSet:
    row = DangerRuleSet.objects.select_for_update().filter(pk=rule_set_id).first()
    if row is None or row.status != DangerRuleSet.Status.DRAFT:
        raise UserError("moved_on", _("This is no draft any more. Open it again."))
    return row


def _stale() -> UserError:
    return UserError("stale", _("Somebody has saved these rules since you opened them. Open them again."))


# --- what a set changes ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class RuleChange:
    """One rule that differs: `before` or `after` is None where it is new or gone."""

    before: danger.Rule | None
    after: danger.Rule | None

    @property
    def rule_id(self) -> str:
        """The rule's id."""
        rule = self.after or self.before
        return rule.id if rule else ""


@dataclass(frozen=True)
class TextChange:
    """One sentence that differs; empty where it is new or gone."""

    key: str
    language: str
    before: str
    after: str


def rule_changes(before: danger.RuleSet, after: danger.RuleSet) -> list[RuleChange]:
    """The rules that two sets do not share, in the order of `after`, those that are gone last."""
    old = {rule.id: rule for rule in before.rules}
    new = {rule.id: rule for rule in after.rules}
    ids = [*new, *(rule_id for rule_id in old if rule_id not in new)]
    return [RuleChange(old.get(i), new.get(i)) for i in ids if old.get(i) != new.get(i)]


def text_changes(before: danger.RuleSet, after: danger.RuleSet) -> list[TextChange]:
    """The sentences that two sets do not share."""
    found = []
    for language in sorted({*before.texts, *after.texts}):
        old, new = before.texts.get(language, {}), after.texts.get(language, {})
        for key in sorted({*old, *new}):
            if old.get(key, "") != new.get(key, ""):
                found.append(TextChange(key, language, old.get(key, ""), new.get(key, "")))
    return found
