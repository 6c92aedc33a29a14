"""What may be read at all, decided before any network runs: by the DICOM header, by size, and by plain image
statistics.

Each rule answers with a `Refusal`: a stable code, and words that tell a patient what the picture seems to be
and what to do. Doubtful cases pass: the gate network looks at them next.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cases.imaging.volume import CanonicalVolume
from pmi_site.words import Words
from pmi_site.words import words as _

MIN_SIDE = 64  # pixels; below this nothing is left to read
XRAY_KINDS = ("chest_xray", "knee_xray")
XRAY_MODALITIES = frozenset({"CR", "DX", "RG"})
# Headers that say nothing about the content: secondary captures, "other", or no header at all.
OPEN_MODALITIES = frozenset({"", "SC", "OT"})

KIND_WORDS = {
    "brain_mri": _("an MRI of the brain"),
    "chest_xray": _("an X-ray of the chest"),
    "knee_xray": _("an X-ray of the knee"),
}
MODALITY_WORDS = {
    "BMD": _("a bone density scan"),
    "CT": _("a CT scan"),
    "DOC": _("a document"),
    "ECG": _("a heart rhythm recording"),
    "ES": _("an endoscopy picture"),
    "GM": _("a microscope picture"),
    "IO": _("a dental X-ray"),
    "IVUS": _("an ultrasound from inside a blood vessel"),
    "MG": _("a mammogram"),
    "NM": _("a nuclear medicine scan"),
    "OCT": _("an eye or vessel scan"),
    "OP": _("a photo of the eye"),
    "OPT": _("an eye scan"),
    "PT": _("a PET scan"),
    "PX": _("a dental X-ray"),
    "RF": _("a moving X-ray"),
    "RTDOSE": _("a radiotherapy dose map"),
    "RTIMAGE": _("a radiotherapy picture"),
    "SEG": _("a drawing made on top of another scan"),
    "SM": _("a microscope picture"),
    "US": _("an ultrasound picture"),
    "XA": _("an angiogram"),
    "XC": _("a photo"),
}
# Only tags that are certainly another part of the body: technicians leave vague ones ("EXTREMITY", "LEG") on
# knees.
_ELSEWHERE = {
    "brain_mri": {
        "ABDOMEN", "ANKLE", "BREAST", "CHEST", "CSPINE", "ELBOW", "FOOT", "HAND", "HEART", "HIP",
        "KNEE", "LIVER",
        "LSPINE", "PELVIS", "PROSTATE", "SHOULDER", "SPINE", "TSPINE", "WRIST",
    },
    "chest_xray": {
        "ANKLE", "BREAST", "CSPINE", "ELBOW", "FINGER", "FOOT", "HAND", "HIP", "JAW", "KNEE",
        "LSPINE", "PELVIS",
        "SHOULDER", "SKULL", "TOE", "WRIST",
    },
    "knee_xray": {
        "ABDOMEN", "ANKLE", "BREAST", "CHEST", "CSPINE", "ELBOW", "FINGER", "FOOT", "HAND", "HEAD",
        "HIP", "JAW",
        "LSPINE", "PELVIS", "SHOULDER", "SKULL", "SPINE", "THORAX", "TOE", "TSPINE", "WRIST",
    },
}  # fmt: skip
_SIDE_VIEWS = frozenset({"LAT", "LATERAL", "LL", "LLAT", "RL", "RLAT"})
_PART_OF = {
    "CHEST": "chest_xray",
    "THORAX": "chest_xray",
    "KNEE": "knee_xray",
    "BRAIN": "brain_mri",
    "HEAD": "brain_mri",
}


@dataclass(frozen=True)
class Refusal:
    """Why a scan is not read: a code for programs, and words for the user. `looks_like` is a kind, or
    empty.
    """

    code: str
    reason: Words
    looks_like: str = ""


def kinds_words(kinds: tuple[str, ...]) -> Words:
    """Two or more kinds: "an MRI of the brain, an X-ray of the chest or ..."."""
    *first, last = (KIND_WORDS[kind] for kind in kinds)
    return _("%(first)s or %(last)s", first=tuple(first), last=last)


def readable_words() -> Words:
    """All that PMI reads, as words."""
    return kinds_words(tuple(KIND_WORDS))


def wrong_kind(found: str, expected: str) -> Refusal:
    """The scan is one that PMI reads, but not the one that the case is about."""
    return Refusal(
        "wrong_kind",
        _(
            "This looks like %(found)s, but the case is about %(expected)s. If the picture is right, change "
            "the kind of the case or open a new one for it. If it is the wrong picture, upload the right "
            "one.",
            found=KIND_WORDS[found],
            expected=KIND_WORDS[expected],
        ),
        looks_like=found,
    )


def not_readable(what: Words, code: str = "wrong_modality") -> Refusal:
    """The scan is something that no model of PMI reads."""
    return Refusal(
        code,
        _(
            "This is %(what)s. PMI reads only %(readable)s. Please upload one of these, or show this "
            "picture to a doctor.",
            what=what,
            readable=readable_words(),
        ),
    )


def header_refusal(volume: CanonicalVolume, expected: str | None) -> Refusal | None:
    """What the DICOM header rules out. `expected` is a kind, or None when the user is not sure."""
    modality = volume.modality.strip().upper()
    if modality == "MR":
        if volume.body_part in _ELSEWHERE["brain_mri"]:
            return Refusal(
                "wrong_body_part",
                _(
                    "This is an MRI of another part of the body than the head. PMI reads MRI of the brain "
                    "only."
                ),
            )
        return wrong_kind("brain_mri", expected) if expected in XRAY_KINDS else None
    if modality in XRAY_MODALITIES:
        if expected == "brain_mri":
            part = _PART_OF.get(volume.body_part, "")
            if part in XRAY_KINDS:
                return wrong_kind(part, expected)
            return Refusal(
                "wrong_kind",
                _(
                    "This is an X-ray, but the case is about an MRI of the brain. If the picture is right, "
                    "change the kind of the case. If it is the wrong picture, upload the right one."
                ),
            )
        return _film_part_refusal(volume.body_part, expected) or _side_view_refusal(volume, expected)
    if modality not in OPEN_MODALITIES:
        what = MODALITY_WORDS.get(modality, _("another kind of scan"))
        return not_readable(what)
    if volume.is_volume and _in_hounsfield_units(volume):
        return not_readable(MODALITY_WORDS["CT"])
    return _side_view_refusal(volume, expected)


def is_contradicted(volume: CanonicalVolume, kind: str) -> bool:
    """The header's modality cannot be that of a scan of this kind, whatever the gate sees in it."""
    modality = volume.modality.strip().upper()
    return modality in XRAY_MODALITIES if kind == "brain_mri" else modality == "MR"


def header_kind(volume: CanonicalVolume) -> str:
    """The kind that modality and body part together name, or empty."""
    named = _PART_OF.get(volume.body_part, "")
    modality = volume.modality.strip().upper()
    if (modality == "MR" and named == "brain_mri") or (modality in XRAY_MODALITIES and named in XRAY_KINDS):
        return named
    return ""


def _film_part_refusal(body_part: str, expected: str | None) -> Refusal | None:
    named = _PART_OF.get(body_part)
    if expected in XRAY_KINDS and named in XRAY_KINDS and named != expected:
        return wrong_kind(str(named), str(expected))
    kinds = (expected,) if expected in XRAY_KINDS else XRAY_KINDS
    if all(body_part in _ELSEWHERE[kind] for kind in kinds):
        return Refusal(
            "wrong_body_part",
            _(
                "This X-ray shows another part of the body. PMI reads only %(readable)s.",
                readable=kinds_words(XRAY_KINDS),
            ),
        )
    return None


def _side_view_refusal(volume: CanonicalVolume, expected: str | None) -> Refusal | None:
    """Chest films from the side: no model learnt them."""
    kind = _PART_OF.get(volume.body_part, expected)
    if volume.view not in _SIDE_VIEWS or kind != "chest_xray" or expected not in (None, kind):
        return None
    return Refusal(
        "side_view",
        _(
            "This X-ray of the chest was taken from the side. PMI reads only chest X-rays that were taken "
            "from the front or the back. Please upload that picture, or show this one to a doctor."
        ),
    )


def _in_hounsfield_units(volume: CanonicalVolume) -> bool:
    """A CT without its header: air near -1000 fills a good part of the volume. MR values do not go below zero
    so far.
    """
    sample = volume.data[:: max(1, volume.data.shape[0] // 64), :: max(1, volume.data.shape[1] // 64)]
    return bool(np.percentile(sample, 5) < -500)


def size_refusal(shape: tuple[int, int]) -> Refusal | None:
    """`shape` is (rows, columns) of one image."""
    if min(shape) >= MIN_SIDE:
        return None
    return Refusal(
        "too_small",
        _(
            "The picture is only %(width)d by %(height)d points, too small to read. Please upload the "
            "original instead of a thumbnail.",
            width=shape[1],
            height=shape[0],
        ),
    )


def content_refusal(image: np.ndarray) -> Refusal | None:
    """Blank pictures and noise. `image` is (rows, columns) float32 in any units."""
    finite = np.nan_to_num(image)
    step = max(1, max(finite.shape) // 256)
    small = finite[::step, ::step]
    low, high = np.percentile(small, (1, 99))
    full = float(finite.max() - finite.min())
    if full <= 0 or high - low < 1e-3 * full:
        return Refusal(
            "blank",
            _("The picture is blank, or nearly so. Please check the file and upload it again."),
        )
    if _neighbour_correlation(np.clip(finite, low, high)) < 0.4:
        return Refusal(
            "noise",
            _("The picture holds only noise, no image of a body. Please check the file and upload it again."),
        )
    return None


def _neighbour_correlation(image: np.ndarray) -> float:
    """Correlation of pixels with those 1 and 2 to the right: near 1 in any picture, near 0 in noise."""
    centred = image - image.mean()
    power = float((centred**2).mean())
    if power <= 0:
        return 1.0
    return max(float((centred[:, :-lag] * centred[:, lag:]).mean()) / power for lag in (1, 2))


def not_recognised(expected: str | None, *, photo: bool = False) -> Refusal:
    """The gate network does not know the picture as anything PMI reads."""
    if photo:
        return Refusal(
            "photo",
            _(
                "This looks like an ordinary photo, not like %(wanted)s. If you took a photo of a film, "
                "hold the film against a bright window or screen, fill the frame with it, and try again.",
                wanted=_wanted(expected),
            ),
        )
    return Refusal(
        "not_recognised",
        _(
            "This does not look like %(wanted)s. Please check that it is the right picture: the whole "
            "picture, upright, without a frame. If it is, show it to a doctor, because PMI cannot read it.",
            wanted=_wanted(expected),
        ),
    )


def _wanted(expected: str | None) -> Words:
    return KIND_WORDS[expected] if expected in KIND_WORDS else readable_words()


def several_frames(kind: str) -> Refusal:
    """A stack of X-ray frames: which of them to read is not for PMI to guess."""
    return Refusal(
        "several_frames",
        _(
            "This file holds several X-ray pictures. Please upload the one that should be read as a "
            "single picture."
        ),
        looks_like=kind,
    )


def no_model(kind: str) -> Refusal:
    """There is no model for this kind of scan."""
    return Refusal(
        "no_model",
        _(
            "No model is available that reads %(what)s at the moment, so nothing was read. Please "
            "try again later.",
            what=KIND_WORDS.get(kind) or readable_words(),
        ),
        looks_like=kind if kind in KIND_WORDS else "",
    )
