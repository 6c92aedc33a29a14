"""Erasing an account: everything of a person, in the background, resumable, and checked at the end.

The account is shut at once. A worker then stops what runs, removes what the apps registered, deletes the row
of the account (the database takes along all that hangs on it), removes the private folders and looks for what
is left. Every step may run twice. Minutes later a second look removes what a reading that was under way may
have written after all.
"""

import hashlib
import logging
import re
from collections.abc import Iterable
from contextlib import suppress
from datetime import timedelta
from uuid import UUID

from django.apps import apps
from django.conf import settings
from django.contrib.contenttypes.models import ContentType
from django.contrib.sessions.models import Session
from django.core.mail import send_mail
from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils import timezone, translation
from django.utils.translation import gettext as _

from accounts import ownership, portable
from accounts.job_models import Erasure
from accounts.models import ApiToken, CareRelationship, Role, User
from accounts.services import log_access
from pmi_site.errors import UserError

logger = logging.getLogger(__name__)
_UUID = re.compile(r"[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}", re.IGNORECASE)


class _LeaseLost(Exception):
    """Another worker goes on with the erasure."""


# --- asking -------------------------------------------------------------------------------------------------


def request_erasure(user: User) -> Erasure:
    """Shut an account and have it erased. There is no way back. Raises UserError for an administrator's."""
    if user.role == Role.ADMIN:
        raise UserError(
            "admin_account",
            _("An administrator's account is removed by another administrator, not here."),
        )
    try:
        with transaction.atomic():
            erasure, created = Erasure.objects.get_or_create(
                subject_digest=digest_of(user.pk),
                defaults={"subject": user.pk, "mail_to": user.email, "mail_language": user.language},
            )
            if created:
                log_access(user, "erase_account", user, patient_id=user.pk)
            shut(user)
            transaction.on_commit(lambda: send(erasure.pk), robust=True)
    except IntegrityError:
        return Erasure.objects.get(subject_digest=digest_of(user.pk))
    return erasure


def shut(user: User) -> None:
    """From now on nobody gets in: no session, no token, no password works any more, and no doctor's grant."""
    now = timezone.now()
    # Before the account's row: whoever ends a grant locks the two in this order.
    CareRelationship.objects.filter(patient=user, revoked_at__isnull=True).update(
        revoked_at=now, updated_at=now
    )
    User.objects.filter(pk=user.pk).update(is_active=False, updated_at=now)
    ApiToken.objects.filter(user=user).delete()


def send(erasure_id: UUID) -> None:
    """Tell a worker; when no broker answers, the minute's sweep tells one later."""
    from accounts.job_tasks import erase_account

    try:
        erase_account.delay(str(erasure_id))
    except Exception as error:
        logger.error("Erasure %s could not be sent to a worker: %s", erasure_id, type(error).__name__)


# --- doing --------------------------------------------------------------------------------------------------


def run(erasure_id: UUID | str) -> bool:
    """Erase, or go on where a dead worker stopped. False when it is not finished."""
    job = Erasure.claim(erasure_id)
    if job is None or job.subject is None:
        return False
    user_id = job.subject
    try:
        if User.objects.filter(pk=user_id).exists():
            _empty(job, user_id)
        else:
            # Somebody removed the account by hand, or wrote of it while its row went.
            _forget_mentions(user_id, job.mail_to)
        _remove_folders(job.folders)
        left = leftovers(user_id)
        if left:
            logger.error("Erasure %s: %d things are left, will be tried again", job.pk, len(left))
            job.mine().update(left=left, state="waiting", lease_expires_at=None)
            return False
    except _LeaseLost:
        return False
    except Exception as error:
        # Names of exceptions only: their messages can carry rows. The sweep tries again.
        logger.error("Erasure %s broke off: %s", job.pk, type(error).__name__)
        job.mine().update(state="waiting", lease_expires_at=None)
        return False
    address = job.mail_to
    proof = sorted(digest_of(folder) for folder in job.folders)
    if not job.finish("done", subject=None, mail_to="", folders=[], proof=proof, left=[]):
        return False
    with translation.override(job.mail_language):
        _say_goodbye(address)
    return True


def _empty(job: Erasure, user_id: UUID) -> None:
    """Everything up to and including the row of the account."""
    steps = len(portable.erasers) + 3
    # Written down before anything goes, so that whoever takes over knows where to look.
    job.folders = sorted(set(job.folders) | ownership.folders_of(user_id))
    _step(job, 1, steps, folders=job.folders)
    _forget_mentions(user_id, job.mail_to)
    _step(job, 2, steps)
    for number, eraser in enumerate(reversed(portable.erasers.values()), 3):
        eraser.erase(user_id)
        _step(job, number, steps)
    # What came to be meanwhile (a reading that was writing) has folders too.
    job.folders = sorted(set(job.folders) | ownership.folders_of(user_id))
    _step(job, steps - 1, steps, folders=job.folders)
    with transaction.atomic():
        user = User.objects.select_for_update().filter(pk=user_id).first()
        if user is not None:
            user.delete()
    _step(job, steps, steps)


def _step(job: Erasure, done: int, total: int, **fields: object) -> None:
    if not job.renew(done=done, total=total, **fields):
        raise _LeaseLost


def _forget_mentions(user_id: UUID, address: str) -> None:
    """Sessions, results of tasks and lines of the admin's history are tied to a person by text alone."""
    for session in Session.objects.iterator():
        if _session_names(session, user_id):
            session.delete()
    ids = _ids_of(user_id)
    results = apps.get_model("django_celery_results", "TaskResult")
    for result in results.objects.iterator():
        text = " ".join(str(getattr(result, name) or "") for name in ("task_args", "task_kwargs", "result"))
        if ids & {UUID(found) for found in _UUID.findall(text)}:
            result.delete()
    named = Q(object_id__in=[str(one) for one in ids])
    for model in ownership.owned_models():
        # Keys that are numbers mean something together with their table only.
        keys = [str(key) for key in ownership.rows_of(model, user_id).values_list("pk", flat=True)]
        named |= Q(content_type=ContentType.objects.get_for_model(model), object_id__in=keys)
    if address:
        # Whole: others have addresses that end, or begin, like it.
        whole = rf"(^|[^[:alnum:]._%+-]){re.escape(address)}($|[^[:alnum:].-]|\.($|[^[:alnum:]]))"
        named |= Q(object_repr__iregex=whole) | Q(change_message__iregex=whole)
    entries = apps.get_model("admin", "LogEntry")
    entries.objects.filter(named).update(object_id=None, object_repr="(erased)", change_message="")


def _session_names(session: Session, user_id: UUID) -> bool:
    """Whether a session is this person's, also one that stopped between password and second step."""
    text = str(session.get_decoded())
    return str(user_id) in text or user_id.hex in text


def _ids_of(user_id: UUID) -> set[UUID]:
    found = {user_id}
    for model in ownership.owned_models():
        for key in ownership.rows_of(model, user_id).values_list("pk", flat=True).iterator():
            if isinstance(key, UUID):
                found.add(key)
    return found


def _remove_folders(folders: Iterable[str]) -> None:
    storage = ownership.storage()
    for folder in folders:
        for name in list(ownership.private_files(folder)):
            storage.delete(name)
        _remove_empty(folder)


def _remove_empty(folder: str) -> None:
    storage = ownership.storage()
    # Object stores have no folders; one that is not empty stays.
    with suppress(OSError, NotImplementedError):
        for name in storage.listdir(folder)[0]:
            _remove_empty(f"{folder}/{name}")
        storage.delete(folder)


def _say_goodbye(address: str) -> None:
    text = _("Your PMI account and everything in it are erased. This is the last mail you get from us.")
    try:
        send_mail(_("Your PMI account is erased"), text, settings.DEFAULT_FROM_EMAIL, [address])
    except Exception as error:
        # The erasure stands whether or not the mail goes out, and the address is gone by now.
        logger.error("A mail about an erasure could not be sent: %s", type(error).__name__)


# --- checking -----------------------------------------------------------------------------------------------


def digest_of(value: UUID | str) -> str:
    """What is kept of an id or of a folder's name: enough to recognise it, not enough to find it."""
    return hashlib.sha256(str(value).encode()).hexdigest()


def leftovers(user_id: UUID) -> list[str]:
    """Everything of a person that is still there, in words; an empty list is the aim."""
    found = ownership.mentions(user_id, except_for=(Erasure,))
    for eraser in portable.erasers.values():
        found.extend(eraser.leftovers(user_id))
    erasure = Erasure.objects.filter(subject_digest=digest_of(user_id)).first()
    if erasure is not None:
        known = {digest_of(folder) for folder in erasure.folders} | set(erasure.proof)
        found.extend(f"private file {name}" for name in _files_in(known))
    for session in Session.objects.iterator():
        if _session_names(session, user_id):
            found.append("a session")
    return found


def _files_in(known: set[str]) -> list[str]:
    """Private files that lie in, or below, folders whose hashes are known."""
    if not known:
        return []
    found = []
    for name in ownership.private_files():
        parts = name.split("/")
        above = ("/".join(parts[:n]) for n in range(1, len(parts)))
        if any(digest_of(folder) in known for folder in above):
            found.append(name)
    return found


# --- afterwards ---------------------------------------------------------------------------------------------


def sweep() -> int:
    """Go on with erasures that nobody works on, and look a second time at finished ones; how many of both."""
    stale = list(Erasure.stale().values_list("pk", flat=True)[:100])
    for erasure_id in stale:
        Erasure.objects.filter(pk=erasure_id, state="waiting").update(updated_at=timezone.now())
        send(erasure_id)
    # By now every reading that was under way has ended or lost its claim.
    before = timezone.now() - timedelta(seconds=settings.PMI_ANALYSIS_LEASE_SECONDS)
    due = list(Erasure.objects.filter(Q(looked_again_at=None), state="done", finished_at__lt=before))
    if due:
        known = {digest for erasure in due for digest in erasure.proof}
        late = _files_in(known)
        for name in late:
            ownership.storage().delete(name)
        if late:
            logger.warning("Removed %d files that were written after an erasure", len(late))
        Erasure.objects.filter(pk__in=[erasure.pk for erasure in due]).update(looked_again_at=timezone.now())
    return len(stale) + len(due)
