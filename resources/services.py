"""Every write to the knowledge base that a person asks for. The two-person rule lives here.

`save_draft` -> `submit` -> `publish` (by somebody who wrote none of it), with `send_back`, `discard` and
`retire`. Nothing else changes a published text, except the seed, which leaves alone what a person touched.
"""

import uuid
from collections.abc import Mapping
from typing import Any

from django.contrib.auth.models import AnonymousUser
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.models import User
from pmi_site.errors import UserError
from resources import search
from resources.choices import Section, Status
from resources.content import MEDICAL, content_of, fill, texts_differ, write_links
from resources.models import Condition, Revision, RevisionState, Translation
from resources.sanitise import plain_value
from resources.translating import original_hash
from resources.workflow_models import OPEN_STATES


def open_revision(row: Any) -> Revision | None:
    """The draft or text in review of an entry, if there is one."""
    return revisions_of(row).filter(state__in=OPEN_STATES).first()


def revisions_of(row: Any) -> Any:
    """Every revision of an entry, newest first."""
    kind = ContentType.objects.get_for_model(type(row))
    return Revision.objects.filter(content_type=kind, object_id=row.pk).order_by("-created_at")


def may_edit(user: User | AnonymousUser, model: type[Any]) -> bool:
    """The user may write entries of this kind."""
    return user.has_perm(f"resources.change_{model._meta.model_name}")


def may_publish(user: User | AnonymousUser) -> bool:
    """The user may publish what others wrote."""
    return user.has_perm("resources.publish_revision")


def save_draft(row: Any, content: Mapping[str, Any], by: User, *, version: int | None = None) -> Revision:
    """Keep `content` as the entry's open revision; what readers see stays as it is.

    `row` is the stored entry, or an unsaved one for a new entry. A text in review becomes a draft again: what
    is published must be what the reviewer read. `version` is the revision's version the writer started from;
    where somebody else has saved since, UserError("stale") is raised and nothing is written. Raises
    ValidationError for values that the model refuses, PermissionDenied where `by` may not write.
    """
    if not may_edit(by, type(row)):
        raise PermissionDenied
    is_new = row._state.adding
    content = {name: plain_value(value) for name, value in content.items()}
    with transaction.atomic():
        if is_new:
            fill(row, content)
            row.status = Status.DRAFT
        else:
            row = type(row)._default_manager.select_for_update().get(pk=row.pk)
        live = None if is_new else content_of(row)
        revision = None if is_new else _locked_open(row)
        content = {**(live or {}), **(revision.content if revision else {}), **content}
        if live is not None:
            content = _without_outdated_review(live, content)
        candidate = fill(type(row)(pk=row.pk, status=row.status), content)
        candidate._state.adding = is_new
        # The texts of a translation come after it has been begun.
        candidate.full_clean(exclude=["seed_key", "seed_hash", "texts"])
        if is_new:
            row.save()
            write_links(row, content)
        if revision is None:
            revision = _begin(row, content, live, by)
        else:
            if version is not None and revision.version != version:
                raise _stale()
            revision.content = content
            revision.title = str(candidate)[:240]
            revision.state = RevisionState.DRAFT
            revision.version += 1
            # Saving is to have seen what is published now.
            revision.base = live if row.status in (Status.PUBLISHED, Status.RETIRED) else None
            if str(by.pk) not in revision.writer_ids:
                revision.writer_ids = [*revision.writer_ids, str(by.pk)]
            revision.save()
        if row.status in (Status.DRAFT, Status.IN_REVIEW) and not is_new:
            # Never seen by readers: the row itself shows curators how far the draft is.
            fill(row, content)
            row.status = Status.DRAFT
            row.save()
            write_links(row, content)
        if isinstance(row, Translation) and row.original is not None:
            revision.original_hash = original_hash(row.original)
            revision.save(update_fields=["original_hash", "updated_at"])
    return revision


def submit(revision_id: uuid.UUID | str, by: User) -> Revision:
    """draft -> in review. Refused with what is missing where the text could not be published."""
    with transaction.atomic():
        row = _entry(_found(revision_id), lock=True)
        revision = _locked(revision_id, RevisionState.DRAFT)
        if not may_edit(by, type(row)):
            raise PermissionDenied
        _require_complete(row, revision.content)
        return _move(revision, row, RevisionState.IN_REVIEW, Status.IN_REVIEW)


def send_back(revision_id: uuid.UUID | str, by: User, note: str) -> Revision:
    """in review -> draft, with a note that says why."""
    if not may_publish(by):
        raise PermissionDenied
    if not note.strip():
        raise UserError("note_missing", _("Say what has to change, so that the writer knows."))
    with transaction.atomic():
        row = _entry(_found(revision_id), lock=True)
        revision = _locked(revision_id, RevisionState.IN_REVIEW)
        revision.note = str(plain_value(note.strip()))[:2000]
        return _move(revision, row, RevisionState.DRAFT, Status.DRAFT)


def publish(revision_id: uuid.UUID | str, by: User, *, version: int) -> Revision:
    """in review -> published: readers see it from now on.

    `version` is the one that the publisher read. Refused with a UserError where `by` wrote any of it
    ("own_text"), where it was saved again since ("stale"), where what readers see has changed since the draft
    was begun ("conflict"), where a translation's English has since it was saved ("original_changed"), or
    where something is missing ("incomplete").
    """
    if not may_publish(by):
        raise PermissionDenied
    with transaction.atomic():
        # The entry first, as all that change one do, so that neither waits for the other.
        row = _entry(_found(revision_id), lock=True)
        revision = _locked(revision_id, RevisionState.IN_REVIEW)
        if revision.version != version:
            raise _stale()
        if str(by.pk) in revision.writer_ids or not revision.writer_ids:
            raise UserError("own_text", _("You wrote part of this text, so somebody else has to publish it."))
        if revision.base is not None and texts_differ(content_of(row), revision.base):
            raise UserError(
                "conflict",
                _("The published text has changed since this draft was begun. Save the draft again first."),
            )
        _require_complete(row, revision.content)
        fill(row, revision.content)
        row.status = Status.PUBLISHED
        if isinstance(row, Translation) and row.original is not None:
            row.original_hash = original_hash(row.original)
            if revision.original_hash not in ("", row.original_hash):
                raise UserError(
                    "original_changed",
                    _(
                        "The English text has changed since this translation was saved. Compare them and "
                        "save the translation again first."
                    ),
                )
        try:
            row.save()
        except IntegrityError as error:
            raise UserError("taken", _("Another entry already has this name or address.")) from error
        write_links(row, revision.content)
        revision.state = RevisionState.PUBLISHED
        revision.published_by, revision.published_at = by, timezone.now()
        revision.save()
    return revision


def discard(revision_id: uuid.UUID | str, by: User) -> Revision:
    """Throw an open revision away; readers keep what they see. A never published entry is retired."""
    with transaction.atomic():
        row = _entry(_found(revision_id), lock=True)
        revision = _locked(revision_id, *OPEN_STATES)
        if not (may_edit(by, type(row)) or may_publish(by)):
            raise PermissionDenied
        return _move(revision, row, RevisionState.DISCARDED, Status.RETIRED)


def retire(row: Any, by: User) -> bool:
    """Take a published entry off the pages at once; one person is enough, since nothing new is said.

    False where it was not published.
    """
    if not may_publish(by):
        raise PermissionDenied
    changed = (
        type(row)
        ._default_manager.filter(pk=row.pk, status=Status.PUBLISHED)
        .update(status=Status.RETIRED, updated_at=timezone.now())
    )
    condition = row if isinstance(row, Condition) else getattr(row, "condition", None)
    if changed and condition is not None:
        search.rebuild(condition)  # no signal tells of an update, and its words are to be found no more
    return bool(changed)


def missing_parts(row: Any, content: Mapping[str, Any]) -> list[str]:
    """What stands between this content and its publication, in words; empty when nothing does."""
    missing = []
    model = type(row)
    if model is Condition:
        cited = {key.partition(":")[0] for key in content.get("citations", [])}
        filled: dict[Section, Any] = {
            Section.OUTLOOK: content.get("outlook_treated") or content.get("outlook_untreated"),
            **{s: content.get(s.value) for s in Section if s != Section.OUTLOOK},
        }
        for section, text in filled.items():
            if text and section not in cited:
                missing.append(_("A source for “%(part)s”.") % {"part": section.label})
    elif model is Translation and not content.get("texts"):
        missing.append(_("The translated texts."))
    elif model in MEDICAL and model is not Translation and not content.get("sources"):
        missing.append(_("At least one source."))
    if model in MEDICAL:
        review_by = content.get("review_by")
        if not review_by:
            missing.append(_("The day by which the text must be read again."))
        elif str(review_by) < timezone.localdate().isoformat():
            missing.append(_("A day in the future by which the text must be read again."))
    return missing


def _require_complete(row: Any, content: Mapping[str, Any]) -> None:
    missing = missing_parts(row, content)
    if missing:
        raise UserError("incomplete", _("Still missing: %(parts)s") % {"parts": " ".join(missing)})
    candidate = fill(type(row)(pk=row.pk), content)
    candidate._state.adding = False
    try:
        candidate.full_clean(exclude=["seed_key", "seed_hash"])
    except ValidationError as error:
        raise UserError("invalid", " ".join(error.messages)) from error


def _without_outdated_review(live: Mapping[str, Any], content: dict[str, Any]) -> dict[str, Any]:
    """A clinician read the old words: where the words change, the mark goes unless it was renewed."""
    same_mark = all(live.get(n) == content.get(n) for n in ("reviewed_by", "reviewed_on"))
    if live.get("reviewed_by") and same_mark and texts_differ(live, content):
        return {**content, "reviewed_by": "", "reviewed_on": None}
    return content


def _begin(row: Any, content: Mapping[str, Any], live: Mapping[str, Any] | None, by: User) -> Revision:
    seen = row.status in (Status.PUBLISHED, Status.RETIRED)
    shown = fill(type(row)(pk=row.pk), content)
    revision = Revision(
        content_type=ContentType.objects.get_for_model(type(row)),
        object_id=row.pk,
        title=str(shown)[:240],
        content=dict(content),
        base=live if seen else None,
        author=by,
        writer_ids=[str(by.pk)],
    )
    revision.save()
    return revision


def _found(revision_id: uuid.UUID | str) -> Revision:
    revision = Revision.objects.filter(pk=revision_id).first()
    if revision is None:
        raise _moved_on()
    return revision


def _locked(revision_id: uuid.UUID | str, *states: str) -> Revision:
    revision = Revision.objects.select_for_update().filter(pk=revision_id).first()
    if revision is None or revision.state not in states:
        raise _moved_on()
    return revision


def _moved_on() -> UserError:
    return UserError("moved_on", _("Somebody has already dealt with this text. Open it again."))


def _locked_open(row: Any) -> Revision | None:
    return revisions_of(row).filter(state__in=OPEN_STATES).select_for_update().first()


def _entry(revision: Revision, *, lock: bool = False) -> Any:
    model: Any = revision.content_type.model_class()
    rows = model._default_manager.select_for_update(of=("self",)) if lock else model._default_manager
    row = rows.filter(pk=revision.object_id).first()
    if row is None:
        raise UserError("gone", _("The entry is gone."))
    return row


def _move(revision: Revision, row: Any, state: RevisionState, status: Status) -> Revision:
    revision.state = state
    revision.save()
    if row.status in (Status.DRAFT, Status.IN_REVIEW):
        row.status = status
        row.save(update_fields=["status", "updated_at"])
    return revision


def _stale() -> UserError:
    return UserError("stale", _("Somebody has saved this text since you opened it. Open it again."))
