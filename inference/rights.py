"""What readings give to somebody who takes their data away, and what goes when they erase their account."""

from __future__ import annotations

import functools
import logging
from pathlib import Path, PurePosixPath
from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from accounts import portable
from accounts.models import User
from cases.rights import copy_file
from inference import heatmaps
from inference.models import Analysis, Finding, ReferenceImage, SimilarSearch
from inference.release import released_to, split
from pmi_site.words import words

logger = logging.getLogger(__name__)


def register() -> None:
    """Called once, when the apps are ready."""
    portable.register_exporter("readings", export_readings)
    portable.register_eraser("readings", erase_readings, folders=folders)
    hangs_on = {
        "Analysis": "pk",
        "Finding": "analysis",
        "DangerAssessment": "analysis",
        "Confirmation": "finding__analysis",
    }
    for model, path in hangs_on.items():
        portable.limit_export(f"inference.{model}", functools.partial(_released, path))
    portable.limit_export("inference.SimilarSearch", _own_searches)
    # What a version on trial said is nobody's reading: see inference.shadow.
    portable.limit_export("inference.ShadowReading", lambda user, rows: rows.none())
    emptied = "which doctor or curator it was is emptied; the rest is no data of theirs"
    for field in (
        "Confirmation.doctor",
        "DangerRuleSet.created_by",
        "DangerRuleSet.activated_by",
        "RuleRun.started_by",
        "ModelUse.by",
    ):
        portable.keep(f"inference.{field}", emptied)
    writers = "numbers of writers, who may not put it in force; they name nobody"
    portable.keep_ids("inference.DangerRuleSet.writer_ids", writers)


def _released(path: str, user: User, rows: QuerySet[Any]) -> QuerySet[Any]:
    """Without what hangs on readings that the person is not shown yet."""
    mine = Analysis.objects.filter(scan__case__patient=user).only("pk")
    hidden = [analysis.pk for analysis in split(user, list(mine))[1]]
    return rows.exclude(**{f"{path}__in": hidden}) if hidden else rows


def _own_searches(user: User, rows: QuerySet[Any]) -> QuerySet[Any]:
    """A doctor's search with a part of a patient's scan is the doctor's."""
    return rows.filter(owner=user)


def export_readings(user: User, folder: Path) -> None:
    """Of every finished reading: the report as PDF and the heatmaps."""
    from inference.report_pdf import render

    readings = Analysis.objects.filter(
        scan__case__patient=user, status__in=Analysis.ANSWERED, finished_at__lte=portable.as_of()
    ).order_by("finished_at", "pk")
    ids = list(readings.values_list("pk", flat=True))
    for number, analysis_id in enumerate(ids):
        portable.progress(number, len(ids))
        analysis = readings.select_related("scan__case", "model_version").filter(pk=analysis_id).first()
        if analysis is None or not released_to(user, analysis):
            continue
        place = folder / str(analysis.pk)
        place.mkdir()
        try:
            (place / "report.pdf").write_bytes(render(analysis, user))
        except Exception as error:
            # One report that cannot be typeset must not keep the person from everything else.
            logger.error("A report for an export could not be made: %s", type(error).__name__)
            (place / "report-missing.txt").write_text(_("This report could not be made.") + "\n")
        for finding in Finding.objects.filter(analysis=analysis):
            for field, name in ((finding.heatmap, "nii.gz"), (finding.heatmap_png, "png")):
                if field:
                    _copy(field, place / f"{finding.label}.{name}")


def _copy(field: Any, target: Path) -> None:
    try:
        copy_file(field, target)
    except FileNotFoundError:
        target.unlink(missing_ok=True)


def folders(user_id: UUID) -> list[str]:
    """The folders of the person's analyses: a reading that is under way may write there without a row."""
    ids = Analysis.objects.filter(scan__case__patient_id=user_id).values_list("pk", flat=True)
    searches = SimilarSearch.objects.filter(owner_id=user_id).values_list("files", flat=True)
    return [heatmaps.folder(analysis_id) for analysis_id in ids] + [
        str(PurePosixPath(names[0]).parent) for names in searches if names
    ]


def erase_readings(user_id: UUID) -> None:
    """Stop what runs (its worker loses the right to write), and take reference images back."""
    from inference.services import stop_patient

    stop_patient(user_id, "account_erased", words(gettext_noop("The account is being erased.")))
    for reference in ReferenceImage.objects.filter(owner_id=user_id):
        reference.delete()
