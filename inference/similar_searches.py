"""Searches by files or by a region: taken in by the web process, answered by a worker, soon forgotten.

The web process only writes the files down. A worker opens them, asks the gate and the network, keeps the
vector and deletes the files, whatever came out. The row goes some minutes later.
"""

from __future__ import annotations

import logging
import tempfile
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from shutil import copyfileobj
from typing import Any

from django.conf import settings
from django.core.files import File
from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone, translation
from django.utils.translation import gettext as _

from accounts.consents import require_care
from accounts.models import Role, User
from cases.intake import IncomingFile
from cases.storage import private_storage, remove_files, work_root
from inference.models import Analysis, SimilarSearch
from inference.release import is_at_once
from pmi_site.errors import UserError

logger = logging.getLogger(__name__)

State = SimilarSearch.State
# How long an answer can be looked at, and how long an unfinished search is worth doing.
KEPT = timedelta(minutes=30)
GIVEN_UP = timedelta(minutes=10)
# A message that was lost is sent again after this.
_RESEND = timedelta(seconds=45)
Region = tuple[float, float, float, float]


@dataclass(frozen=True)
class Claim:
    """The right to answer one search, as long as its attempt is the current one."""

    search_id: uuid.UUID
    attempt: int


# --- asking -------------------------------------------------------------------------------------------------


def begin(owner: User, incoming: Sequence[IncomingFile], kind: str, wanted: dict[str, Any]) -> SimilarSearch:
    """Takes files in for a search; a worker does the rest. The sender's file names are not kept.

    The row comes before the files, so that a process that is killed between leaves nothing unnamed. Raises
    UserError ``care_withdrawn`` for a patient who took back that PMI reads their scans, ``doctor_first`` for
    a patient where readings wait for a doctor: what a picture looks like is close to a reading of it.
    """
    if owner.role == Role.PATIENT:
        require_care(owner.pk)
        if not may_search_with_pictures(owner):
            raise UserError("doctor_first", doctor_first_text())
    pk = uuid.uuid4()
    names = [f"searches/{str(pk)[:2]}/{pk}/{number:06d}" for number in range(len(incoming))]
    search = SimilarSearch.objects.create(
        pk=pk, owner=owner, kind=kind, wanted=wanted, files=names, language=translation.get_language() or ""
    )
    storage = private_storage()
    try:
        for name, one in zip(names, incoming, strict=True):
            with one.path.open("rb") as handle:
                storage.save(name, File(handle))
    except BaseException:
        search.delete()
        raise
    _queue(search)
    return search


def may_search_with_pictures(user: User) -> bool:
    """Whether the person may search with pictures that no doctor has seen."""
    return user.role != Role.PATIENT or is_at_once()


def doctor_first_text() -> str:
    """Why a patient cannot search with pictures here."""
    return _(
        "On this site a doctor looks at a reading before you see it, so you cannot search with pictures of "
        "your own. A doctor who may see your scans can do it."
    )


def begin_region(owner: User, analysis: Analysis, region: Region, wanted: dict[str, Any]) -> SimilarSearch:
    """Asks for a search with a part of a scan: x, y, width, height as shares (0..1) of its key slice.

    Raises UserError ``care_withdrawn`` when the patient took back that PMI reads their scans.
    """
    require_care(analysis.scan.case.patient_id, owner.pk)
    search = SimilarSearch.objects.create(
        owner=owner,
        kind=analysis.kind,
        analysis=analysis,
        region=list(region),
        wanted=wanted,
        language=translation.get_language() or "",
    )
    _queue(search)
    return search


def _queue(search: SimilarSearch) -> None:
    now = timezone.now()
    SimilarSearch.objects.filter(pk=search.pk, state=State.RECEIVING).update(
        state=State.QUEUED, updated_at=now
    )
    search.state = State.QUEUED
    transaction.on_commit(lambda: _send(search.pk), robust=True)


def _send(search_id: uuid.UUID) -> None:
    from inference.similar_tasks import run_search

    try:
        run_search.delay(str(search_id))
    except Exception as error:
        # The row is the truth: `sweep` sends it again.
        logger.error("Search %s could not be sent to a worker: %s", search_id, type(error).__name__)


# --- answering ----------------------------------------------------------------------------------------------


def claim(search_id: uuid.UUID | str) -> Claim | None:
    """Takes a waiting search for this worker; None when it is not to be had."""
    now = timezone.now()
    changed = SimilarSearch.objects.filter(pk=search_id, state=State.QUEUED).update(
        state=State.RUNNING,
        attempt=F("attempt") + 1,
        lease_expires_at=now + timedelta(seconds=settings.PMI_ANALYSIS_LEASE_SECONDS),
        updated_at=now,
    )
    if not changed:
        return None
    search = SimilarSearch.objects.only("attempt").filter(pk=search_id).first()
    return Claim(search.pk, search.attempt) if search else None


def answer(held: Claim) -> None:
    """Looks at what was sent and keeps its vector, or why there is none. The files go in either case.

    Raises OSError or MemoryError, which may pass: the search is to be given back then.
    """
    from inference import similar_embedding

    search = SimilarSearch.objects.select_related("owner", "analysis__scan__case").get(pk=held.search_id)
    with translation.override(search.language or settings.LANGUAGE_CODE):
        try:
            # Taken back since it was asked: what waits is not read.
            if search.analysis is not None:
                require_care(search.analysis.scan.case.patient_id, search.owner_id)
            elif search.owner.role == Role.PATIENT:
                require_care(search.owner_id)
            if search.analysis is not None:
                region = tuple(search.region or ())
                probe = similar_embedding.probe_of_region(search.analysis.scan, search.analysis, region)
            else:
                with tempfile.TemporaryDirectory(prefix="search-", dir=work_root()) as folder:
                    incoming = _fetch(search, Path(folder))
                    probe = similar_embedding.probe_of_files(incoming, search.kind or None)
        except UserError as error:
            refuse(held, error.code, error.message)
            return
    _finish(held, state=State.DONE, space=probe.space, vector=list(probe.vector))


def _fetch(search: SimilarSearch, folder: Path) -> list[IncomingFile]:
    storage, found = private_storage(), []
    for number, name in enumerate(search.files, start=1):
        path = folder / f"{number:06d}"
        with storage.open(name, "rb") as source, path.open("xb") as target:
            copyfileobj(source, target)
        found.append(IncomingFile(_("file %(number)d") % {"number": number}, path))
    return found


def refuse(held: Claim, code: str, reason: str) -> None:
    """Writes why there is no answer, in words for the person who asked."""
    _finish(held, state=State.FAILED, reason_code=code[:40], reason=reason)


def give_back(held: Claim) -> None:
    """Lets another attempt try, if any is left."""
    if held.attempt >= settings.PMI_ANALYSIS_MAX_ATTEMPTS:
        refuse(held, "unavailable", busy_text(held.search_id))
        return
    if _mine(held).update(state=State.QUEUED, lease_expires_at=None, updated_at=timezone.now()):
        _send(held.search_id)


def busy_text(search_id: uuid.UUID | str) -> str:
    """What to say when a search could not be done, in the language of who asked."""
    language = SimilarSearch.objects.filter(pk=search_id).values_list("language", flat=True).first()
    with translation.override(language or settings.LANGUAGE_CODE):
        return _("The search could not be done just now. Please try again.")


def _mine(held: Claim) -> Any:
    return SimilarSearch.objects.filter(pk=held.search_id, state=State.RUNNING, attempt=held.attempt)


def _finish(held: Claim, **values: Any) -> None:
    names = list(_mine(held).values_list("files", flat=True))
    done = _mine(held).update(**values, files=[], lease_expires_at=None, updated_at=timezone.now())
    if done and names:
        remove_files(names[0])


# --- clearing up --------------------------------------------------------------------------------------------


def sweep() -> None:
    """Sends lost messages again, takes searches from dead workers, gives up what waited too long, and removes
    old rows with their files. Safe to run at any time, in several processes.
    """
    now = timezone.now()
    for old in SimilarSearch.objects.filter(created_at__lt=now - KEPT):
        old.delete()
    late = Q(state__in=[State.QUEUED, State.RECEIVING], created_at__lt=now - GIVEN_UP)
    spent = Q(state=State.RUNNING, lease_expires_at__lt=now, attempt__gte=settings.PMI_ANALYSIS_MAX_ATTEMPTS)
    for search in SimilarSearch.objects.filter(late | spent):
        text = busy_text(search.pk)
        changed = SimilarSearch.objects.filter(
            pk=search.pk, state=search.state, attempt=search.attempt
        ).update(
            state=State.FAILED,
            reason_code="unavailable",
            reason=text,
            files=[],
            lease_expires_at=None,
            updated_at=now,
        )
        if changed:
            remove_files(search.files)
    SimilarSearch.objects.filter(state=State.RUNNING, lease_expires_at__lt=now).update(
        state=State.QUEUED, lease_expires_at=None
    )
    for waiting in SimilarSearch.objects.filter(state=State.QUEUED, updated_at__lt=now - _RESEND):
        _send(waiting.pk)
