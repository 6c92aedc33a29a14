"""Background filling of embedding spaces: thin, resumable, ids only."""

from __future__ import annotations

import logging
import time
import uuid

from inference import similar_searches, similar_services, similar_spaces
from inference.models import Confirmation, VectorSpace
from pmi_site.tasks import pmi_task

logger = logging.getLogger(__name__)

FILL_TIME_LIMIT = 900
INDEX_TIME_LIMIT = 3000
SEARCH_TIME_LIMIT = 240
_WORK_SECONDS = 480


@pmi_task(queue="inference", time_limit=FILL_TIME_LIMIT)
def fill_space(version_id: str) -> None:
    """Embeds the reference images and patients' scans that the space lacks, for some minutes, then goes on in
    a new message, so that readings get their turn. What is done stays done, however often it is killed.
    """
    space = similar_spaces.claim_space(version_id)
    if space is None:
        return
    from inference import similar_embedding

    try:
        finished = similar_embedding.fill(space, until=time.monotonic() + _WORK_SECONDS)
    except Exception as error:
        logger.error("The space of %s broke off: %s", version_id, type(error).__name__)
        similar_spaces.finish_space(space, state=VectorSpace.State.FAILED)
        return
    if finished:
        similar_spaces.finish_space(space)
        similar_spaces.request_index(space)
    else:
        similar_spaces.give_back_space(space)
        fill_space.delay(version_id)


@pmi_task(queue="inference", time_limit=SEARCH_TIME_LIMIT)
def run_search(search_id: str) -> None:
    """Answers one search by files or by a region, if nobody else does or did."""
    held = similar_searches.claim(search_id)
    if held is None:
        return
    try:
        similar_searches.answer(held)
    except (MemoryError, OSError) as error:
        # Names of exceptions only: their messages can carry paths.
        logger.error("Search %s: %s, will be tried again", search_id, type(error).__name__)
        similar_searches.give_back(held)
    except Exception as error:
        logger.error("Search %s failed: %s", search_id, type(error).__name__)
        similar_searches.refuse(held, "internal_error", similar_searches.busy_text(search_id))


@pmi_task(queue="default", time_limit=240)
def release_confirmed(scan_id: str) -> None:
    """Lets others find what a signed review of the scan has confirmed, where its patient consents."""
    for confirmation in Confirmation.objects.filter(finding__analysis__scan__id=scan_id):
        similar_services.release_scan(confirmation)


@pmi_task(queue="long", time_limit=900)
def release_patient(patient_id: str) -> None:
    """Lets others find the confirmed scans of a patient who just agreed. What it does not come to,
    `fill_waiting_spaces` does.
    """
    similar_services.release_consented(uuid.UUID(patient_id))


@pmi_task(queue="default", time_limit=60)
def sweep_searches() -> None:
    """Forgets old searches and wakes stuck ones; runs every half minute."""
    similar_searches.sweep()


@pmi_task(queue="long", time_limit=INDEX_TIME_LIMIT)
def build_space_index(version_id: str) -> None:
    """Builds the index of a filled space. Writers go on meanwhile; a killed build begins anew."""
    space = VectorSpace.objects.filter(model_version__id=version_id).first()
    if space is not None:
        similar_spaces.build_index(space)


@pmi_task(queue="default", time_limit=240)
def fill_waiting_spaces() -> None:
    """Does or sends again what a lost message or a dead worker left undone; runs every few minutes."""
    similar_services.follow_recent()
    for space in VectorSpace.objects.select_related("model_version").filter(model_version__is_active=True):
        # Also of a space that is ready: an import into the version before it may have come in between.
        if (
            similar_spaces.missing(space.model_version).count() > space.failed
            or similar_spaces.unseen_scans(space.model_version).count() > space.scans_failed
        ):
            similar_spaces.request_filling(space.model_version)
        elif similar_spaces.has_grown(space):
            similar_spaces.finish_space(space, held=False)
        similar_spaces.request_index(space)
    similar_services.release_waiting()
