"""One shadow reading, outside any transaction. Imported by the task only."""

from __future__ import annotations

import threading
from pathlib import Path

from django.conf import settings

from cases.models import Scan
from inference import bundle_places, registry, shadow
from inference.engine import Engine
from inference.models import Analysis, ModelVersion
from inference.selectors import active_versions
from inference.worker import volume_of

_lock = threading.Lock()
_engines: dict[tuple[str, ...], Engine] = {}


def engine_of(version: ModelVersion) -> Engine:
    """The engine with one version on trial behind the active gate; the last one made is kept."""
    gate = active_versions().get(registry.GATE_KIND)
    pair = [version] if gate is None else [version, gate]
    paths = {one.kind: bundle_places.path_of(one) for one in pair}
    key = tuple(f"{one.sha256} {paths[one.kind]}" for one in pair)
    with _lock:
        if key not in _engines:
            _engines.clear()
            _engines[key] = Engine(
                paths, Path(settings.PMI_ONNX_CACHE), hashes={one.kind: one.sha256 for one in pair}
            )
        return _engines[key]


def read(held: shadow.ShadowClaim) -> bool:
    """Reads the scan with the shadow version and writes down what it says. False where the claim was lost.

    Raises `ModelBroken`, OSError or MemoryError, or whatever broke; Scan.DoesNotExist for a deleted scan.
    """
    scan = Scan.objects.select_related("case").get(analyses=held.analysis_id)
    # For the age that the reading was made for which it is compared with.
    made_for = Analysis.objects.values_list("age_group", flat=True).get(pk=held.analysis_id)
    age_group = made_for or scan.case.age_group
    reading = engine_of(held.version).analyze(volume_of(scan), held.version.kind, age_group, maps=False)
    return shadow.finish(held, reading)
