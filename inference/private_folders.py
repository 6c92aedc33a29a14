"""The private folders of this app, and which rows name them (see `cases.private_folders`)."""

from __future__ import annotations

import uuid

from django.db.models import Q, QuerySet

from cases.private_folders import declare
from inference.models import Analysis, Finding, ReferenceImage, SimilarSearch


def declare_own() -> None:
    """Heatmaps by analysis and attempt, pictures of reference images, and what was sent for a search."""
    declare("analyses/*/*", _holds_heatmaps)
    declare("references/*/*", lambda folder: _is_there(ReferenceImage.objects.all(), folder))
    # Once it is answered a search names no files, although its row stays for a while.
    declare("searches/*/*", lambda folder: _is_there(SimilarSearch.objects.exclude(files=[]), folder))


def _is_there(rows: QuerySet[ReferenceImage] | QuerySet[SimilarSearch], folder: str) -> bool:
    """Whether there is the row that a folder is named after. What has another name is not ours to remove."""
    try:
        return rows.filter(pk=uuid.UUID(folder.rpartition("/")[2])).exists()
    except ValueError:
        return True


def _holds_heatmaps(folder: str) -> bool:
    try:
        analysis = uuid.UUID(folder.split("/")[1])
    except ValueError:
        return True
    inside = Q(heatmap__startswith=f"{folder}/") | Q(heatmap_png__startswith=f"{folder}/")
    # A reading that is under way names its heatmaps when it ends.
    unfinished = Analysis.objects.exclude(status__in=Analysis.FINISHED).filter(pk=analysis)
    return Finding.objects.filter(inside, analysis_id=analysis).exists() or unfinished.exists()
