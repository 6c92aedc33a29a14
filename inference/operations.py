"""How the site runs: queues, workers, times, failures, storage. No medical content, nobody's name.

What takes time (asking workers, walking files) is done in the background and kept as a `Snapshot`.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connection
from django.db.models import Count, Exists, Min, OuterRef, Sum
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.models import DataExport, User
from accounts.ownership import private_files, storage
from accounts.services import log_access
from cases.models import Scan
from inference import services
from inference.models import Analysis, Snapshot
from pmi_site.celery import app
from pmi_site.errors import UserError

QUEUES = ("inference", "default", "long")
DAY = timedelta(hours=24)
FAILURES_SHOWN = 50
# A scan whose reading fails again and again needs somebody who looks, not another try.
TRIES_A_DAY = 3
_BROKER_SECONDS = 2.0
_WORKER_SECONDS = 2.0

STORAGE, WORKERS = "storage", "workers"


def keep(name: str, figures: dict[str, Any]) -> Snapshot:
    """Replaces the snapshot of a name."""
    return Snapshot.objects.update_or_create(
        name=name, defaults={"figures": figures, "taken_at": timezone.now()}
    )[0]


def kept(name: str) -> Snapshot | None:
    """The last snapshot of a name."""
    return Snapshot.objects.filter(name=name).first()


# --- queues and workers -------------------------------------------------------------------------------------


def queue_depths() -> dict[str, int] | None:
    """Messages that wait in the broker, by queue; None where it does not answer."""
    try:
        with app.connection_for_read(connect_timeout=_BROKER_SECONDS) as link:
            link.ensure_connection(max_retries=1, timeout=int(_BROKER_SECONDS))
            return {name: _depth(link, name) for name in QUEUES}
    except Exception:
        return None


def _depth(link: Any, name: str) -> int:
    try:
        return int(link.default_channel.queue_declare(queue=name, passive=True).message_count)
    except link.channel_errors:
        return 0  # nobody has used the queue so far


def see_workers() -> Snapshot:
    """Asks which workers answer, what each is doing, and keeps it."""
    queues = app.control.inspect(timeout=_WORKER_SECONDS).active_queues() or {}
    # Who there is is known now: it ends with the last one's answer.
    known = app.control.inspect(destination=list(queues), timeout=_WORKER_SECONDS, limit=len(queues))
    busy = known.active() or {} if queues else {}
    workers = [
        {"name": name, "queues": sorted(one["name"] for one in listens), "busy": len(busy.get(name, []))}
        for name, listens in sorted(queues.items())
    ]
    return keep(WORKERS, {"workers": workers})


# --- readings -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Readings:
    """States of the analyses of the last day, and what waits longest."""

    states: dict[str, int]
    waiting: int
    oldest: datetime | None


def readings() -> Readings:
    """Over the analyses that were asked for in the last 24 hours, and all that wait."""
    now = timezone.now()
    counted = Analysis.objects.filter(queued_at__gte=now - DAY).values_list("status").annotate(n=Count("pk"))
    open_ones = Analysis.objects.filter(status__in=Analysis.UNFINISHED)
    found = open_ones.aggregate(count=Count("pk"), oldest=Min("queued_at"))
    states = dict.fromkeys(Analysis.Status.values, 0) | {str(name): int(n) for name, n in counted}
    return Readings(states, found["count"], found["oldest"])


@dataclass(frozen=True)
class Latency:
    """Milliseconds of one stage: the middle, and what 19 of 20 stay below."""

    stage: str
    count: int
    p50: float
    p95: float


# `-> 'total'` and the like are numbers, as the engine wrote them.
_LATENCY = """
SELECT each.key, count(*), percentile_cont(0.5) WITHIN GROUP (ORDER BY each.value::float),
       percentile_cont(0.95) WITHIN GROUP (ORDER BY each.value::float)
FROM inference_analysis AS a, jsonb_each_text(a.timings_ms) AS each
WHERE a.status = 'succeeded' AND a.finished_at >= %s
GROUP BY each.key ORDER BY 3 DESC
"""
_WAITED = """
SELECT count(*), percentile_cont(0.5) WITHIN GROUP (ORDER BY ms),
       percentile_cont(0.95) WITHIN GROUP (ORDER BY ms)
FROM (SELECT extract(epoch FROM started_at - queued_at)::float * 1000 AS ms FROM inference_analysis
      WHERE started_at IS NOT NULL AND status = 'succeeded' AND finished_at >= %s) AS waits
"""


def latencies() -> list[Latency]:
    """Stages of the readings that ended in the last 24 hours, slowest first, after the time they waited."""
    since = timezone.now() - DAY
    with connection.cursor() as cursor:
        cursor.execute(_WAITED, [since])
        count, p50, p95 = cursor.fetchone()
        waited = [Latency("waiting", count, p50, p95)] if count else []
        cursor.execute(_LATENCY, [since])
        return waited + [Latency(*row) for row in cursor.fetchall()]


def failures() -> list[Analysis]:
    """The newest failed analyses of a week whose scan nobody has asked to be read again since."""
    later = Analysis.objects.filter(scan=OuterRef("scan"), queued_at__gt=OuterRef("queued_at"))
    failed = Analysis.objects.filter(status=Analysis.Status.FAILED, finished_at__gte=timezone.now() - 7 * DAY)
    return list(failed.exclude(Exists(later)).order_by("-finished_at")[:FAILURES_SHOWN])


def try_again(analysis: Analysis, by: User) -> Analysis:
    """Asks for a new reading of a failed one; asked twice it is the same new one.

    Raises UserError ``not_failed`` for anything else than the scan's newest, failed reading,
    ``tried_often`` after `TRIES_A_DAY` failures in a day, and ``care_withdrawn``.
    """
    if analysis.status != Analysis.Status.FAILED:
        raise UserError("not_failed", _("This reading has not failed, so it is left as it is."))
    newest = Analysis.objects.filter(scan=analysis.scan_id).order_by("-queued_at", "-id").first()
    if newest is not None and newest.pk != analysis.pk:
        if newest.status == Analysis.Status.FAILED:
            raise UserError("not_failed", _("It was tried again since, and failed again."))
        return newest
    lately = Analysis.objects.filter(
        scan=analysis.scan_id, status=Analysis.Status.FAILED, finished_at__gte=timezone.now() - DAY
    )
    if lately.count() >= TRIES_A_DAY:
        raise UserError(
            "tried_often",
            _("This scan has failed %(count)d times in a day. Look at the reason before it is tried again.")
            % {"count": lately.count()},
        )
    fresh = services.reread(analysis, may_write=True)
    log_access(by, "read_again", analysis)
    return fresh


# --- storage ------------------------------------------------------------------------------------------------


def measure_storage() -> Snapshot:
    """Adds up the bytes of private files by kind, of the ONNX cache, of bundles and of the database."""
    used: Counter[str] = Counter()
    count: Counter[str] = Counter()
    for name in private_files():
        kind = _kind_of(name)
        # Gone meanwhile, or a storage that does not know.
        with suppress(OSError, NotImplementedError):
            used[kind] += storage().size(name)
            count[kind] += 1
    for kind, place in (
        ("onnx", Path(settings.PMI_ONNX_CACHE)),
        ("work", Path(settings.PMI_VAR_DIR) / "work"),
    ):
        for size in _sizes(place):
            used[kind] += size
            count[kind] += 1
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_database_size(current_database())")
        used["database"] = int(cursor.fetchone()[0])
    known = Scan.objects.aggregate(bytes=Sum("byte_size"), count=Count("pk"))
    kinds = [
        {"kind": kind, "bytes": used[kind], "files": count[kind]}
        for kind in sorted(used, key=used.__getitem__)
    ][::-1]
    exports = DataExport.objects.filter(state="done").count()
    return keep(STORAGE, {"kinds": kinds, "scans": known["count"], "exports": exports, **_disk()})


def _kind_of(name: str) -> str:
    top, file = name.split("/")[0], name.rsplit("/", 1)[-1]
    if top != "scans":
        return {"analyses": "heatmaps", "references": "references", "exports": "exports"}.get(top, "other")
    if file.startswith("scan."):
        return "volumes"
    return "previews" if file.startswith("preview") else "originals"


def _sizes(place: Path) -> Iterator[int]:
    for folder, _folders, files in os.walk(place):
        for name in files:
            with suppress(OSError):
                yield (Path(folder) / name).stat().st_size


def _disk() -> dict[str, int]:
    try:
        facts = os.statvfs(settings.PMI_PRIVATE_ROOT)
    except OSError:
        return {}
    return {"free": facts.f_bavail * facts.f_frsize, "disk": facts.f_blocks * facts.f_frsize}
