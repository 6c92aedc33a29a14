"""One reading from claim to answer, outside any transaction. Imported by the task only."""

from __future__ import annotations

import threading
from pathlib import Path

from django.conf import settings

from cases.imaging.volume import CanonicalVolume
from cases.models import Scan
from cases.services import load_volume
from inference import bundle_places, services
from inference.engine import Engine
from inference.models import Analysis
from inference.selectors import active_versions

_engine_lock = threading.Lock()
_engine: Engine | None = None
_engine_key: tuple[tuple[str, ...], ...] = ()


def engine_for_active_versions() -> Engine:
    """The engine of the active model versions; made anew only when another version was activated.

    Each bundle is verified against its registered hash when it is first needed.
    """
    global _engine, _engine_key
    versions = active_versions()
    paths = {kind: bundle_places.path_of(version) for kind, version in versions.items()}
    key = tuple(sorted((kind, str(paths[kind]), version.sha256) for kind, version in versions.items()))
    with _engine_lock:
        if _engine is None or key != _engine_key:
            _engine = Engine(
                paths,
                Path(settings.PMI_ONNX_CACHE),
                hashes={kind: version.sha256 for kind, version in versions.items()},
            )
            _engine_key = key
        return _engine


def read(held: services.Claim) -> bool:
    """Reads the scan of a claimed analysis and writes the answer. False when the claim was lost.

    Raises `services.LeaseLost`, `ModelBroken`, OSError or MemoryError (worth another attempt), or whatever
    broke.
    """
    services.heartbeat(held, Analysis.Stage.LOADING)
    scan = Scan.objects.select_related("case").get(analyses=held.analysis_id)
    kind = None if scan.case.kind == "unsure" else scan.case.kind
    age_group = scan.case.age_group
    volume = volume_of(scan)
    engine = engine_for_active_versions()

    def progress(stage: str) -> None:
        services.heartbeat(held, stage)

    reading = engine.analyze(volume, kind, age_group, progress=progress)
    if reading.status == "rejected":
        return services.reject(held, reading)
    services.heartbeat(held, Analysis.Stage.SAVING)
    return services.complete(held, reading, volume, age_group)


def volume_of(scan: Scan) -> CanonicalVolume:
    """The scan's volume. FileNotFoundError where storage does not have it, which may pass; ImagingError if
    broken.
    """
    name = scan.canonical.name or ""
    if not scan.canonical.storage.exists(name):
        raise FileNotFoundError
    return load_volume(scan)
