"""Background work: thin, ids only. The learning libraries are loaded by the first reading, in the worker."""

from __future__ import annotations

import logging
import traceback
from pathlib import Path

from django.db import InterfaceError, OperationalError, connection

from inference import (  # noqa: F401  (Celery finds all tasks)
    case_state,
    registry_tasks,
    rule_tasks,
    services,
    similar_tasks,
)
from pmi_site.tasks import pmi_task
from pmi_site.words import words as _

logger = logging.getLogger(__name__)

_BROKEN = _(
    "The model that reads this kind of scan is out of order. Your scan is stored, and we have been "
    "told. Please ask for the reading again later."
)
_BUSY = _(
    "The reading could not be done just now. Your scan is stored. Please ask for the reading again later."
)

# A whole volume takes well under a minute on two cores; the first reading of a model also converts it.
READ_TIME_LIMIT = 600


@pmi_task(queue="inference", time_limit=READ_TIME_LIMIT)
def run_analysis(analysis_id: str) -> None:
    """Reads one scan, if nobody else does or did. Ends in exactly one answer, however often it is
    delivered.
    """
    held = services.claim(analysis_id)
    if held is None:
        return
    # Imported here: the web process sends this task and must not load ONNX Runtime or torch for it.
    from inference import worker
    from inference.engine import ModelBroken

    try:
        worker.read(held)
    except services.LeaseLost:
        logger.warning("Analysis %s: the lease was lost, this attempt does not count", analysis_id)
    except ModelBroken as error:
        logger.error(
            "Analysis %s: %s", analysis_id, error
        )  # names a bundle and one of its files, nothing of the scan
        services.fail(held, "model_broken", _BROKEN)
    except (MemoryError, OSError, OperationalError, InterfaceError) as error:
        # Names of exceptions only: their messages can carry paths.
        logger.error("Analysis %s: %s, will be tried again", analysis_id, type(error).__name__)
        # A database that went away may be back; this connection to it is not.
        if not connection.in_atomic_block:
            connection.close()
        services.give_back(held, "unavailable", _BUSY)
    except Exception as error:
        logger.error("Analysis %s failed: %s at %s", analysis_id, type(error).__name__, _place(error))
        services.fail(
            held,
            "internal_error",
            _(
                "Something broke while this scan was being read. It is stored, and we have been "
                "told. Please try again."
            ),
        )


@pmi_task(queue="default", time_limit=60)
def requeue_expired() -> None:
    """Gives analyses of dead workers to living ones; runs every half minute."""
    services.requeue_expired()


@pmi_task(queue="default", time_limit=300)
def settle_reviewed_cases() -> None:
    """Catches up on cases whose process died between a signature and what follows it; runs every hour."""
    case_state.settle_recent()


def _place(error: Exception) -> str:
    """Where an error was raised. The message itself is withheld: it could repeat a value from the scan."""
    frames = traceback.extract_tb(error.__traceback__)[-4:]
    return " < ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in reversed(frames))
