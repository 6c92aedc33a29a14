"""A worker process that is really killed while it reads: the scan is read once all the same."""

import os
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import settings as django_settings
from django.db import connection
from django.utils import timezone

from inference import services, tasks
from inference.models import Analysis

_WORKER = """
import os, sys, time, django
from django.conf import settings
django.setup()
from django.db import connections
connections.databases["default"]["NAME"] = os.environ["TEST_DATABASE"]
from inference import services, worker
from inference.models import Analysis
held = services.claim(sys.argv[1])
assert held is not None
services.heartbeat(held, Analysis.Stage.READING)
print("reading", flush=True)
time.sleep(600)
"""


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_a_killed_worker_loses_nothing(models, stored_scan):
    analysis = services.request_analysis(stored_scan().pk)
    environment = {**os.environ, "TEST_DATABASE": connection.settings_dict["NAME"]}
    process = subprocess.Popen(
        [sys.executable, "-c", _WORKER, str(analysis.pk)],
        stdout=subprocess.PIPE,
        env=environment,
        cwd=Path(django_settings.BASE_DIR),
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline().strip() == "reading"
    process.send_signal(signal.SIGKILL)
    process.wait(60)
    analysis.refresh_from_db()
    assert (analysis.status, analysis.stage) == (Analysis.Status.RUNNING, "reading")

    # The message is delivered again at once; the lease of the dead worker still holds.
    tasks.run_analysis.run(str(analysis.pk))
    analysis.refresh_from_db()
    assert analysis.status == Analysis.Status.RUNNING

    Analysis.objects.filter(pk=analysis.pk).update(lease_expires_at=timezone.now() - timedelta(seconds=1))
    tasks.requeue_expired.run()
    tasks.run_analysis.run(str(analysis.pk))
    tasks.run_analysis.run(str(analysis.pk))
    analysis.refresh_from_db()
    assert (analysis.status, analysis.attempt) == (Analysis.Status.SUCCEEDED, 2), analysis.reason
    assert analysis.findings.count() == 4
