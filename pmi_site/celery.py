"""The Celery application; start it with `celery -A pmi_site.celery worker`."""

import os
from typing import Any

from celery import Celery
from celery.signals import before_task_publish, worker_init

# Web servers and `celery` alike get here before they have chosen; `manage.py` has chosen by then.
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "pmi_site.settings.prod")

app = Celery("pmi")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@worker_init.connect
@before_task_publish.connect
def _ensure_broker(**_: Any) -> None:
    """Start the embedded Valkey when nothing else was configured; a no-op once it is up."""
    from django.conf import settings

    if settings.PMI_EMBEDDED_BROKER:
        from pmi_site import embedded

        embedded.hold("valkey")
