"""Rows of readings for tests of pages: analyses in any state, without a model or an engine."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
from django.utils import timezone

from cases.models import Scan
from cases.services import load_volume
from inference import heatmaps
from inference.models import Analysis, Finding, ModelVersion

METADATA: dict[str, Any] = {
    "name": "PMI chest X-ray",
    "labels": [
        {
            "name": "pneumonia",
            "high_sensitivity": 0.2,
            "high_specificity": 0.6,
            "limits": "Only frontal films.",
        },
        {"name": "no_finding", "high_sensitivity": 0.3, "high_specificity": 0.7},
        {"name": "covid19", "high_sensitivity": 0.3, "high_specificity": 0.7},
    ],
    "eval_metrics": {"all": {"images": 624, "per_label": {"pneumonia": {"auc": 0.962}}}},
    "training_data": [{"name": "Kermany 2018", "licence": "CC BY 4.0"}],
    "limits": ["One hospital."],
}


def model_version(*, active: bool = True, kind: str = "chest_xray", digit: str = "a") -> ModelVersion:
    """A registered model version without a bundle behind it."""
    return ModelVersion.objects.create(
        kind=kind, version=f"0.{digit}", bundle=kind, sha256=digit * 64, is_active=active, metadata=METADATA
    )


def analysis(scan: Scan, status: str, *, waited: timedelta = timedelta(), **fields: Any) -> Analysis:
    """An analysis of `scan` in the state `status`, asked for `waited` ago, with what that state needs."""
    now = timezone.now()
    queued = now - waited
    extra: dict[str, Any] = {}
    if status == "running":
        extra = {"lease_expires_at": now + timedelta(minutes=5), "stage": "reading", "attempt": 1}
    if status in Analysis.FINISHED:
        extra = {"finished_at": now, "stage": "done", "danger": "inconclusive"}
    if status in ("rejected", "failed"):
        extra |= {"reason_code": "some_code", "reason": "This looks like a cat."}
    if status == "succeeded":
        extra |= {
            "danger": "urgent",
            "next_step": "See a doctor today. Call for help if it gets worse.",
            "kind": "chest_xray",
        }
        extra |= {"danger_reasons": ["The X-ray shows signs that often mean pneumonia."]}
        extra |= {"probabilities": {"pneumonia": 0.83, "no_finding": 0.04, "covid19": 0.3}}
        if "model_version" not in fields:
            extra["model_version"] = ModelVersion.objects.filter(is_active=True).first() or model_version()
    return Analysis.objects.create(
        scan=scan, status=status, **{"queued_at": queued, "dispatched_at": queued, **extra, **fields}
    )


def finding(
    of: Analysis, condition: str = "pneumonia", *, label: str = "pneumonia", heat: bool = False, **fields: Any
) -> Finding:
    """A finding, with heatmap files when `heat`."""
    values = {"probability": 0.83, "call": "likely", "rank": of.findings.count(), **fields}
    row = Finding(analysis=of, label=label, condition=condition, **values)
    if heat:
        volume = load_volume(of.scan)
        heatmap = np.full(volume.data.shape, 128, dtype=np.uint8)
        row.heatmap.name, row.heatmap_png.name = heatmaps.write(
            of.pk, 1, row.pk, volume, heatmap, (0, "axial")
        )
    row.save()
    return row


def reading(scan: Scan, *, heat: bool = False, **fields: Any) -> Analysis:
    """A succeeded analysis that says pneumonia, likely."""
    made = analysis(scan, "succeeded", **fields)
    finding(made, heat=heat)
    finding(made, "no-chest-finding", label="no_finding", probability=0.04, call="unlikely")
    return made
