"""What the reading room shows of a scan: the panes, their window presets, priors, findings over time.

Access was decided before, by the selectors. Nothing here writes.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from django.http import Http404
from django.urls import reverse
from django.utils.formats import date_format
from django.utils.functional import cached_property
from django.utils.timezone import localtime
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from cases.models import Scan
from inference import priors, timeline
from inference.models import Analysis
from inference.presenters import kind_words
from inference.result_page import FindingView, Result
from inference.selectors import as_uuid, visible_analyses
from resources.selectors import in_language, published_conditions

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser

    from accounts.models import User

_PLANES = ("axial", "coronal", "sagittal")
_FILMS = frozenset({"CR", "DX", "RG", "MG", "XR"})


def modality_of(scan: Scan, kind: str) -> str:
    """ "CT", "MR", "film" or "": how grey values of this scan have to be taken."""
    if scan.modality in ("CT", "MR"):
        return scan.modality
    if scan.modality in _FILMS or (not scan.modality and kind in ("chest_xray", "knee_xray")):
        return "film"
    return "MR" if not scan.modality and kind == "brain_mri" else ""


def _preset(
    name: str, key: str, unit: str, low: float = 0, high: float = 100, of: str = "all"
) -> dict[str, Any]:
    return {"id": key, "name": name, "unit": unit, "low": low, "high": high, "of": of}


def presets(modality: str) -> list[dict[str, Any]]:
    """Window presets; the first is used at the start.

    `unit` is "stored" (as the file says), "hu" (CT has a unit, so the numbers are absolute) or "share": per
    cent of this picture's own grey values, of all or of the body only, since MR and film values have no unit.
    """
    stored = _preset(_("As stored"), "stored", "stored")
    full = _preset(_("Whole range"), "full", "share")
    if modality == "CT":
        known = (
            (_("Brain"), "brain", 40, 80),
            (_("Soft parts"), "soft", 40, 400),
            (_("Lung"), "lung", -600, 1500),
            (_("Bone"), "bone", 600, 2800),
        )
        return [
            stored,
            *(_preset(n, k, "hu", level - w / 2, level + w / 2) for n, k, level, w in known),
            full,
        ]
    if modality == "MR":
        return [
            stored,
            _preset(_("Soft contrast"), "soft", "share", 0, 99.9, "body"),
            _preset(_("Strong contrast"), "strong", "share", 10, 95, "body"),
            _preset(_("Bright parts"), "bright", "share", 50, 99.9, "body"),
            _preset(_("Dark parts"), "dark", "share", 0, 60, "body"),
            full,
        ]
    return [
        stored,
        _preset(_("Strong contrast"), "strong", "share", 5, 95),
        _preset(_("Dark areas (air, lung)"), "dark", "share", 0, 60),
        _preset(_("Bright areas (bone, heart)"), "bright", "share", 40, 100),
        full,
    ]


def grey_note(modality: str) -> str:
    """What the numbers of a window mean for this scan."""
    if modality == "CT":
        return _("Values are Hounsfield units (HU).")
    if modality == "MR":
        return _("MRI values have no unit: presets are shares of this scan's own grey values.")
    return _("The values of this picture have no unit: presets are shares of its own grey values.")


@dataclass(frozen=True)
class PaneView:
    """One scan as a pane shows it. `analysis` is its newest answer, or None."""

    scan: Scan
    analysis: Analysis | None
    kind: str
    label: str
    names: Mapping[str, str] = field(default_factory=dict)

    @property
    def date(self) -> str:
        """When the scan was added; the day it was taken is not kept."""
        return _("added %(date)s") % {"date": date_format(localtime(self.scan.created_at), "DATE_FORMAT")}

    @property
    def plane(self) -> str:
        """The plane to show first."""
        plane = (self.analysis.key_plane if self.analysis else "") or self.scan.plane
        return plane if plane in _PLANES else "axial"

    @property
    def key_slice(self) -> int | None:
        """The most telling slice of a volume, from 0."""
        return self.analysis.key_slice if self.analysis and self.scan.is_volume else None

    @property
    def modality(self) -> str:
        """See `modality_of`."""
        return modality_of(self.scan, self.kind)

    @property
    def slices(self) -> int:
        """How many slices there are in the plane shown first."""
        axis = {"axial": self.scan.slices, "coronal": self.scan.height, "sagittal": self.scan.width}
        return axis[self.plane] if self.scan.is_volume else 1

    @property
    def key_slice_number(self) -> int | None:
        """The key slice for people, from 1."""
        return None if self.key_slice is None else self.key_slice + 1

    @property
    def middle(self) -> int:
        """The slice that the server draws when none is named."""
        return self.slices // 2

    @property
    def still_url(self) -> str:
        """The picture to show where the viewer cannot open the scan: its key slice, else the middle one."""
        address = reverse("cases:scan_slice", args=[self.scan.case_id, self.scan.pk])
        return address if self.key_slice is None else f"{address}?plane={self.plane}&index={self.key_slice}"

    @property
    def unit_words(self) -> str:
        """What a measured length means in this scan."""
        if not self.scan.spacing:
            return _("No size in the file: lengths in points")
        if self.modality == "film":
            return _("Millimetres at the detector, larger than in the body")
        return _("Lengths in millimetres")

    @cached_property
    def heat(self) -> list[dict[str, str]]:
        """The findings with a heatmap."""
        if self.analysis is None or self.analysis.status != Analysis.Status.SUCCEEDED:
            return []
        return [
            {
                "condition": view.finding.condition,
                "name": self.names.get(view.finding.condition) or view.name,
                "url": reverse("inference:heatmap_volume", args=[self.analysis.pk, view.finding.pk])
                + "?display=1",
            }
            for view in Result(self.scan, [self.analysis]).mapped
        ]

    def data(self) -> dict[str, Any]:
        """Everything the page's script needs."""
        page = Result(self.scan, [self.analysis] if self.analysis else [])
        return {
            "id": str(self.scan.pk),
            "label": self.label,
            "date": self.date,
            "url": reverse("inference:display_volume", args=[self.scan.case_id, self.scan.pk]),
            "still": self.still_url,
            "slices": self.slices,
            "bytes": page.volume_bytes,
            "side": page.display_side,
            "volume": self.scan.is_volume,
            "oriented": self.scan.is_volume and self.scan.oriented,
            "spacing": bool(self.scan.spacing),
            "unit": self.unit_words,
            "greyUnit": "HU" if self.modality == "CT" else _("(no unit)"),
            "keyPlane": self.plane,
            "keySlice": self.key_slice,
            "presets": presets(self.modality),
            "heat": self.heat,
        }


class Room:
    """The reading room of one scan for one person.

    Raises Http404 when the prior asked for is not among this patient's comparable scans.
    """

    def __init__(self, user: User | AnonymousUser, scan: Scan, result: Result, asked: str = "") -> None:
        self.user = user
        self.scan = scan
        self.result = result
        self.kind = priors.kind_of(scan, result.answer)
        self.current = PaneView(scan, result.answer, self.kind, _("This scan"), self.names)
        self.asked = self._asked(asked)

    def _asked(self, asked: str) -> PaneView | None:
        if not asked:
            return None
        wanted: uuid.UUID = as_uuid(asked)
        found = next((pane for pane in self.others if pane.scan.pk == wanted), None)
        if found is None:
            raise Http404("No such scan to compare with.")
        return found

    @cached_property
    def names(self) -> dict[str, str]:
        """What the conditions of this kind are called, in the reader's language."""
        found = in_language(published_conditions().filter(kind=self.kind), get_language() or "en")
        return {condition.slug: condition.name for condition in found}

    @property
    def findings(self) -> list[tuple[str, FindingView]]:
        """The findings of the reading in view, with their names."""
        return [(self.names.get(v.finding.condition) or v.name, v) for v in self.result.findings]

    @cached_property
    def readings(self) -> list[Analysis]:
        """Succeeded readings of this patient's scans of the kind, this one's included, newest first.

        Readings that are held back from this person are not among them.
        """
        ids = [self.scan.pk, *(scan.pk for scan in self._other_scans)]
        found = visible_analyses(self.user).filter(
            scan_id__in=ids, status=Analysis.Status.SUCCEEDED, kind=self.kind
        )
        return list(found)

    @cached_property
    def _other_scans(self) -> list[Scan]:
        return list(priors.same_anatomy(self.user, self.scan, self.kind)[: priors.MOST])

    @cached_property
    def others(self) -> list[PaneView]:
        """What this scan can be compared with, newest first."""
        newest: dict[uuid.UUID, Analysis] = {}
        for reading in self.readings:
            newest.setdefault(reading.scan_id, reading)
        return [
            PaneView(
                scan,
                newest.get(scan.pk),
                self.kind,
                _("Earlier scan") if scan.created_at <= self.scan.created_at else _("Later scan"),
                self.names,
            )
            for scan in self._other_scans
        ]

    @property
    def chosen(self) -> PaneView | None:
        """The prior to begin with: the one asked for, else the newest earlier one, else any."""
        earlier = (pane for pane in self.others if pane.scan.created_at <= self.scan.created_at)
        return self.asked or next(earlier, None) or next(iter(self.others), None)

    @cached_property
    def timeline(self) -> timeline.Timeline:
        """Findings over time."""
        return timeline.build(self.readings, self.scan.pk, self.names)

    @property
    def side_note(self) -> str:
        """What to check before comparing."""
        if self.others and priors.side_is_unknown(self.kind):
            return _("PMI does not know left from right: check that both pictures show the same knee.")
        return ""

    @property
    def grey_note(self) -> str:
        """What the numbers of a window mean."""
        return grey_note(self.current.modality)

    @property
    def kind_words(self) -> str:
        """The kind in the middle of a sentence."""
        return kind_words(self.kind)

    def data(self) -> dict[str, Any]:
        """For the page's script: panes and the sentences it shows."""
        return {
            "current": self.current.data(),
            "others": [pane.data() for pane in self.others],
            "words": _script_words(),
        }


def _script_words() -> dict[str, Any]:
    return {
        "loading": _("Opening the scan …"),
        "failed": _("The viewer could not open this scan on this device. The still picture shows the same."),
        "slice": _("{n} of {total}"),
        "planes": {"axial": _("Axial"), "coronal": _("Coronal"), "sagittal": _("Sagittal")},
        "window": _("W {w} L {l}"),
        "inverted": _("inverted"),
        "mirrored": _("MIRRORED: left and right are swapped"),
        "noSpacing": _("No size in the file: lengths in points"),
        "noHeat": _("No heatmap of this finding here"),
        "heatFailed": _("The heatmap could not be fetched. Please try again."),
        "millimetres": _("{n} mm"),
        "pixels": _("{n} points"),
        "degrees": _("{n}°"),
        "value": _("Value {v}"),
        "lineHow": _(
            "Distance: press, draw a line, let go. By keys: arrows move a mark, Enter puts a point."
        ),
        "angleHow": _("Angle: click one end, the corner, the other end. By keys: arrows and Enter."),
        "removed": _("Measurement removed."),
    }
