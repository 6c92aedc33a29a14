"""Background work on people's rights: exports, erasures and the chain of the access log. Thin, ids only."""

import logging

from accounts import access_log, care, erasure, export, notices, sessions
from pmi_site.tasks import pmi_task

logger = logging.getLogger(__name__)

# Hours of scans are packed in minutes; the broker gives a message to a second worker after an hour.
JOB_TIME_LIMIT = 3000


@pmi_task(queue="long", time_limit=JOB_TIME_LIMIT)
def prepare_export(export_id: str) -> None:
    """Packs everything of a person into one file."""
    export.prepare(export_id)


@pmi_task(queue="long", time_limit=JOB_TIME_LIMIT)
def erase_account(erasure_id: str) -> None:
    """Erases an account."""
    erasure.run(erasure_id)


@pmi_task(queue="default", time_limit=600)
def sweep_jobs() -> None:
    """Goes on with what nobody works on, removes old exports and invitations, mails left-over notices; every
    minute.
    """
    for sweep in (export.sweep, erasure.sweep, notices.sweep, care.sweep):
        try:
            sweep()
        except Exception as error:
            # What one of them met is no reason to leave the others out. Names of exceptions only.
            logger.error("%s broke off: %s", sweep.__module__, type(error).__name__)


@pmi_task(queue="default", time_limit=300)
def chain_access_log() -> None:
    """Chains lines whose process died before it could; every minute."""
    access_log.seal()


@pmi_task(queue="default", time_limit=300)
def sweep_sessions() -> None:
    """Forgets sessions that are over; once a day."""
    sessions.sweep()
