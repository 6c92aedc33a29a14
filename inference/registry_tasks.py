"""Background work of the model registry: shadow readings, and figures of the whole site. Thin, ids only."""

from __future__ import annotations

import logging

from django.db.models import Exists, OuterRef

from cases.models import Scan
from inference import model_figures, operations, shadow
from inference.models import Analysis, ModelVersion
from pmi_site.tasks import pmi_task

logger = logging.getLogger(__name__)


@pmi_task(queue="inference", time_limit=600)
def read_in_shadow(row_id: str) -> None:
    """Reads one scan with a version on trial, unless real readings wait."""
    held = shadow.claim(row_id)
    if held is None:
        return
    from inference import shadow_worker
    from inference.engine import ModelBroken

    try:
        shadow_worker.read(held)
    except Scan.DoesNotExist:
        return  # deleted meanwhile, and the row with it
    except ModelBroken as error:
        logger.error("Shadow reading %s: %s", row_id, error)
        shadow.fail(held)
    except (MemoryError, OSError) as error:
        # Names of exceptions only: their messages can carry paths.
        logger.error("Shadow reading %s: %s, will be tried again", row_id, type(error).__name__)
        shadow.give_back(held)
    except Exception as error:
        logger.error("Shadow reading %s failed: %s", row_id, type(error).__name__)
        shadow.fail(held)


@pmi_task(queue="default", time_limit=60)
def sweep_shadow() -> None:
    """Sends shadow readings that wait; every minute."""
    shadow.sweep()


@pmi_task(queue="default", time_limit=60)
def see_workers() -> None:
    """Notes which workers answer; every minute."""
    operations.see_workers()


@pmi_task(queue="long", time_limit=900)
def measure_storage() -> None:
    """Adds up what is stored, by kind; a few times a day."""
    operations.measure_storage()


@pmi_task(queue="default", time_limit=900)
def measure_models() -> None:
    """Measures every version that ever read against signed reviews and its own first weeks; once a day."""
    read = Exists(Analysis.objects.filter(model_version=OuterRef("pk")))
    for version_id in ModelVersion.objects.filter(read).values_list("pk", flat=True):
        measure_model.delay(str(version_id))


@pmi_task(queue="long", time_limit=900)
def measure_model(version_id: str) -> None:
    """Measures one version."""
    version = ModelVersion.objects.filter(pk=version_id).first()
    if version is not None:
        model_figures.measure(version)
