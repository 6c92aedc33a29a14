"""A reading's report as a tagged PDF (PDF/UA-1): real text, headings, tables and described pictures.

Typeset by Typst from a layout and fonts that lie in `inference/report/`. Nothing is fetched: the layout names
no address, and Typst sees only a folder made for the one report.
"""

from __future__ import annotations

import functools
import json
import logging
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typst
from django.utils.translation import gettext as _
from fontTools.ttLib import TTFont

from accounts.models import Role, User
from accounts.selectors import is_verified_doctor
from cases.imaging.preview import slice_png
from cases.imaging.volume import ImagingError
from cases.reviews import seen_review
from cases.services import load_volume
from cases.storage import work_root
from inference.models import Analysis
from inference.release import open_to_patients, shown_to
from inference.report_content import Picture, content
from inference.report_review import review_state
from inference.result_page import Result

logger = logging.getLogger(__name__)

LAYOUT = Path(__file__).parent / "report" / "report.typ"
FONTS = Path(__file__).parent / "report" / "fonts"
_MOST_MAPS = 2
# Shown where no font at hand has a letter: PDF/UA forbids boxes in place of letters.
_UNKNOWN_LETTER = "?"


def render(analysis: Analysis, reader: User | None, *, country: str = "") -> bytes:
    """The PDF of a finished reading (succeeded or rejected) in the active language, for `reader`.

    `reader` None is somebody with a share link. Who may read was decided before. Raises ValueError for a
    reading without an answer.
    """
    result = Result(
        analysis.scan,
        [analysis],
        for_doctor=_is_doctor(reader),
        country=country,
        review=seen_review(reader, analysis.scan, analysis.pk),
    )
    if result.answer is None:
        raise ValueError("Only a finished reading has a report.")
    with tempfile.TemporaryDirectory(prefix="report-", dir=work_root()) as work:
        folder = Path(work)
        pictures = _write_pictures(result, folder)
        shown = shown_to(reader) if reader is not None else open_to_patients()
        newer = Analysis.objects.filter(
            shown,
            scan_id=analysis.scan_id,
            status__in=Analysis.ANSWERED,
            queued_at__gt=analysis.queued_at,
        )
        state = review_state(analysis, result.review)
        data = content(result, state, pictures, is_newest=not newer.exists())
        return typeset(data, folder)


def typeset(data: Mapping[str, Any], folder: Path) -> bytes:
    """The PDF of `data` (see `report_content`), whose pictures lie in `folder`."""
    shutil.copyfile(LAYOUT, folder / "report.typ")
    (folder / "data.json").write_text(json.dumps(_printable(data), ensure_ascii=False), encoding="utf-8")
    pdf = typst.compile(
        folder / "report.typ",
        root=folder,
        font_paths=[FONTS],
        ignore_system_fonts=True,
        format="pdf",
        pdf_standards=["ua-1"],
    )
    if not isinstance(pdf, bytes):
        raise TypeError("Typst gave no single file.")
    return pdf


def _is_doctor(reader: User | None) -> bool:
    return reader is not None and reader.role == Role.DOCTOR and is_verified_doctor(reader)


def _write_pictures(result: Result, folder: Path) -> list[Picture]:
    """The scan's key slice, and the same with what the model looked at for the most telling findings."""
    answer, scan = result.answer, result.scan
    if answer is None:
        return []
    made: list[Picture] = []
    try:
        volume = load_volume(scan)
        plane = result.key_plane if scan.is_volume else "axial"
        index = result.key_slice
        if index is None:
            index = volume.n_slices(plane) // 2
        (folder / "scan.png").write_bytes(slice_png(volume, index, plane, max_side=1200))
        what = {"what": result.kind_words}
        where = ""
        if scan.is_volume:
            where = " " + _("Slice %(n)s of %(all)s. %(plane)s.") % {
                "n": index + 1,
                "all": volume.n_slices(plane),
                "plane": result.plane_words,
            }
        made.append(
            Picture(
                "scan.png",
                (_("The %(what)s in shades of grey, as it was read.") % what) + where,
                (_("The %(what)s as it was read.") % what) + where,
            )
        )
        for number, view in enumerate([v for v in result.mapped if v.is_raised][:_MOST_MAPS]):
            field = view.finding.heatmap_png
            if not field:
                continue
            with field.storage.open(field.name or "", "rb") as handle:
                (folder / f"map{number}.png").write_bytes(handle.read())
            values = {"what": result.kind_words, "name": view.name, "call": view.call.title}
            made.append(
                Picture(
                    f"map{number}.png",
                    _(
                        "The same %(what)s with colours laid over the places that spoke most for: %(name)s "
                        "(%(call)s). The places are told by colour only."
                    )
                    % values,
                    _("Where the model looked for: %(name)s (%(call)s).") % values,
                )
            )
    except (OSError, ImagingError):
        # A report without pictures still says what matters; a report that fails says nothing.
        logger.error("A picture for the report of analysis %s is missing or broken", answer.pk)
    return made


# --- letters that no font has ---
def _printable(value: Any) -> Any:
    """The same data with `?` for every letter that the fonts of the report do not have."""
    if isinstance(value, str):
        known = _letters()
        return "".join(c if c in "\n\t" or ord(c) in known else _UNKNOWN_LETTER for c in value)
    if isinstance(value, Mapping):
        return {key: _printable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_printable(item) for item in value]
    return value


@functools.cache
def _letters() -> frozenset[int]:
    found: set[int] = set()
    for path in FONTS.glob("*-Regular.ttf"):
        with TTFont(path, lazy=True) as font:
            found |= set(font.getBestCmap())
    return frozenset(found)
