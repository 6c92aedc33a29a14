"""`python -m ml_training mirror`: tumour patients' slices without their tumour, from the head's other half.

Collected slices without a tumour come from other scanners and sequences than those with one, so a network
learns the sequence instead of the tumour: in a contrast-enhanced volume it suspects every slice. A head is
nearly symmetric, and most tumours beside the midline leave the other half as it was. Of such a slice two
pictures are made: the half without the tumour and its mirror image, which shows no tumour in the tumour's own
sequence, and the half with it and its mirror image, so that symmetry itself says nothing. Of a tumour that
sits on the midline, as those of the pituitary gland do, one picture is made: the half that shows more of it.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import io
import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy.ndimage import binary_erosion, binary_fill_holes, gaussian_filter, rotate, shift, zoom

from ml_training.data.dataset import load_grey
from ml_training.data.manifest import read_manifest
from ml_training.errors import TrainingError
from ml_training.labels import required_healthy_label, task_of
from ml_training.report import write_atomic
from ml_training.transforms import pad_square

# Halves of a sagittal slice are front and back, not left and right.
PLANES = ("axial", "coronal")
# What a person who looks at the half without the tumour can note: that it shows one all the same (it crosses
# the midline), or that it cuts the healthy sella, which pictures of pituitary tumours must be told from.
TUMOUR, SELLA = "tumour", "sella"
SEEN = (TUMOUR, SELLA)
_SMALL = 64  # pixels a side, where the midline is looked for
_TURNS = np.arange(-16, 17, 2)  # degrees
_SHIFTS = np.arange(-7, 8)  # of _SMALL pixels

# Chosen by looking at some 300 slices: what it takes for the tumour's side to be plain. Grey values are 0..1,
# lengths are shares of the slice's width.
_BLUR = 0.02
_RIM = 0.07  # of the head is left out: scalp and skull are never quite alike
_UNLIKE = 0.06  # grey values apart that count
_AT_ALL = 0.006  # of grey value, the mean over the head
_ONE_SIDED = 0.7  # of what is unlike deviates on the same side
_AT_MIDLINE = 0.25  # of it lies within _STRIP of the midline, at most
_STRIP = 0.05
_REST = 0.08  # of the height may be bright along the midline: more is a tumour that crosses it
_BRIGHT = 0.12  # above the head's median

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Midline:
    """Where a head's mirror axis lies: `degrees` to turn the slice, then `columns` (share of the width) to
    move it, for the axis to stand upright in the middle.
    """

    degrees: float
    columns: float


def add_mirror(verbs: Any) -> None:
    """Add the verb to the parser's verbs."""
    verb: argparse.ArgumentParser = verbs.add_parser(
        "mirror", help="mirror halves of heads: tumour patients' slices without their tumour"
    )
    verb.add_argument("manifest", type=Path, help="with the columns label and plane")
    verb.add_argument("--kind", default="brain_mri", help="whose labels they are")
    verb.add_argument("--labels", nargs="+", default=["glioma", "meningioma"], help="what may be one-sided")
    verb.add_argument("--midline", nargs="*", default=[], help="labels whose tumour sits on the midline")
    verb.add_argument("--leave", default="", help="rows to leave alone, e.g. fold=4: the test items")
    verb.add_argument("--seen", type=Path, help="CSV (file, shows) of what was seen in such pictures")
    verb.add_argument("--out", type=Path, required=True, help="new folder for manifest.csv and images")
    verb.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Write pictures and a manifest of them; each keeps its slice's group and other columns.

    Raises:
        TrainingError: a column or label is missing, there is nothing to make, or the folder holds a manifest.
    """
    if (options.out / "manifest.csv").exists():
        raise TrainingError(f"{options.out} holds a manifest already; choose another --out")
    task = task_of(options.kind)
    healthy = task.names[required_healthy_label(task, "mirror")]
    for label in (*options.labels, *options.midline):
        if label not in task.names or label == healthy:
            raise TrainingError(f"{label!r} is not a disease of {options.kind}")
    if both := set(options.labels) & set(options.midline):
        raise TrainingError(f"{sorted(both)[0]!r} is in --labels and in --midline")
    rows = read_manifest(options.manifest)
    seen_in = _seen(options.seen) if options.seen else {}
    left_column, _, left_value = options.leave.partition("=")
    for column in ("label", "plane", *([left_column] if left_column else [])):
        if column not in rows[0]:
            raise TrainingError(f"{options.manifest}: no column {column!r}")
    if left_column and not any(row[left_column] == left_value for row in rows):
        raise TrainingError(f"--leave {options.leave}: no row has this {left_column}")
    folder = options.manifest.parent
    names = _names(rows)
    written: list[dict[str, str]] = []
    asked = made = dropped = 0
    for row in rows:
        original = folder / row["file"]
        left = bool(left_column) and row[left_column] == left_value
        if left or row["label"] not in (*options.labels, *options.midline) or row["plane"] not in PLANES:
            continue
        if row["label"] in options.midline:
            half = middle_half(load_grey(original))
            if half is not None:
                written.append(_save(options.out, names, row, "with", half, ""))
            continue
        asked += 1
        pair = halves(load_grey(original))
        if pair is None:
            continue
        shows = seen_in.get(row["file"], "")
        if shows == TUMOUR:
            dropped += 1
            continue
        made += 1
        without, with_it = pair
        written.append(_save(options.out, names, {**row, "label": healthy}, "without", without, shows))
        written.append(_save(options.out, names, row, "with", with_it, shows))
    if not written:
        raise TrainingError(f"{options.manifest}: no slice has a tumour plainly on one side")
    text = io.StringIO()
    writer = csv.DictWriter(text, list(written[0]))
    writer.writeheader()
    writer.writerows(written)
    write_atomic(options.out / "manifest.csv", text.getvalue().encode())
    logger.info(
        "%d of %d slices have a tumour plainly on one side; %d pictures made", made, asked, len(written)
    )
    if dropped:
        logger.info("%d more left out: a tumour was seen in the half that should have none", dropped)


def _names(rows: Sequence[dict[str, str]]) -> dict[str, str]:
    """A name for the pictures of each `file`: its own, with a hash where folders hold equal ones."""
    count = Counter(Path(file).stem for file in {row["file"] for row in rows})
    return {
        file: stem if count[stem] == 1 else f"{stem}_{hashlib.sha256(file.encode()).hexdigest()[:8]}"
        for file in {row["file"] for row in rows}
        if (stem := Path(file).stem)
    }


def _save(
    out: Path, names: dict[str, str], row: dict[str, str], what: str, picture: np.ndarray, shows: str
) -> dict[str, str]:
    """Write one picture; its row of the new manifest."""
    (out / "images").mkdir(parents=True, exist_ok=True)
    file = f"images/{names[row['file']]}_{what}.png"
    Image.fromarray(picture).save(out / file)
    made = f"mirrored half {what} tumour"
    return {**row, "file": file, "made": made, "original": row["file"], "shows": shows}


def _seen(path: Path) -> dict[str, str]:
    """What somebody saw in the half without the tumour, by the original's `file`."""
    found = {}
    for row in read_manifest(path):
        if row.get("shows") not in SEEN:
            raise TrainingError(
                f"{path} line {row.line}: shows is {row.get('shows')!r}, not {' or '.join(SEEN)}"
            )
        found[row["file"]] = row["shows"]
    return found


def halves(image: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """The half of a slice (H, W) without the tumour and the half with it, each completed by its mirror image.

    Returns:
        Two pictures (S, S) uint8, or None where no side plainly has it.
    """
    upright = _set_upright(image)
    side = None if upright is None else tumour_side(upright)
    if upright is None or side is None:
        return None
    if side == "left":
        upright = upright[:, ::-1]
    return _completed(upright), _completed(upright[:, ::-1])


def middle_half(image: np.ndarray) -> np.ndarray | None:
    """The half of a slice (H, W) that is brighter beside the midline, completed by its mirror image: (S, S)
    uint8, or None for a flat slice."""
    upright = _set_upright(image)
    if upright is None:
        return None
    middle, strip = upright.shape[1] // 2, round(2 * _STRIP * len(upright))
    if upright[:, middle - strip : middle].mean() < upright[:, -middle : strip - middle].mean():
        upright = upright[:, ::-1]
    return _completed(upright)


def _set_upright(image: np.ndarray) -> np.ndarray | None:
    """The slice as a square in 0..1 whose midline stands upright in the middle; None for a flat one."""
    square = pad_square(image)
    low, high = np.percentile(square, (0.5, 99.5))
    if not high > low:
        return None
    grey = np.clip((square - low) / (high - low), 0.0, 1.0)
    return _upright(grey, midline(grey))


def _completed(upright: np.ndarray) -> np.ndarray:
    """The left half and its mirror image, as uint8."""
    left = upright[:, : upright.shape[1] // 2]
    return np.rint(np.concatenate([left, left[:, ::-1]], axis=1) * 255).astype(np.uint8)


def midline(grey: np.ndarray) -> Midline:
    """The axis about which a square slice (S, S) in 0..1 is most like its mirror image, within 16 degrees and
    a tenth of the width of the upright middle.
    """
    small = gaussian_filter(zoom(grey, _SMALL / len(grey), order=1), 1.0)
    best, likeness = Midline(0.0, 0.0), -1.0
    for degrees in _TURNS:
        turned = rotate(small, float(degrees), reshape=False, order=1)
        for columns in _SHIFTS:
            moved = np.roll(turned, int(columns), axis=1)
            found = float(np.corrcoef(moved.ravel(), moved[:, ::-1].ravel())[0, 1])
            if found > likeness:
                best, likeness = Midline(float(degrees), float(columns) / _SMALL), found
    return best


def _upright(picture: np.ndarray, line: Midline) -> np.ndarray:
    turned = rotate(picture, line.degrees, reshape=False, order=1)
    return np.clip(shift(turned, (0.0, line.columns * picture.shape[1]), order=1), 0.0, 1.0)


def tumour_side(upright: np.ndarray) -> str | None:
    """`left` or `right` half of a slice (S, S) in 0..1 whose midline stands upright in the middle: where the
    halves are unlike, the tumour's is the one whose grey is farther from the head's usual. None where the
    halves hardly differ, both deviate, or something bright lies across the midline.
    """
    size = len(upright)
    smooth = gaussian_filter(upright, _BLUR * size)
    head = binary_fill_holes(gaussian_filter(upright, _BLUR / 2 * size) > _BRIGHT)
    head = binary_erosion(head & head[:, ::-1], iterations=max(1, round(_RIM * size)))
    if head.mean() < 0.05:
        return None
    usual = float(np.median(smooth[head]))
    other = smooth[:, ::-1]
    unlike = np.where(head & (np.abs(smooth - other) > _UNLIKE), np.abs(smooth - other), 0.0)
    odd = np.where(np.abs(smooth - usual) > np.abs(other - usual), unlike, 0.0)
    middle, strip = size // 2, round(_STRIP * size)
    total = float(odd.sum())
    if total < _AT_ALL * head.sum() or odd[:, middle - strip : middle + strip].sum() > _AT_MIDLINE * total:
        return None
    left = float(odd[:, :middle].sum()) / total
    if 1 - _ONE_SIDED < left < _ONE_SIDED:
        return None
    clean = smooth if left < 0.5 else other
    bright = ((clean[:, middle - strip : middle] - usual) > _BRIGHT).mean(axis=1) > 0.7
    if _longest(bright & head[:, middle - 1]) > _REST * size:
        return None
    return "left" if left > 0.5 else "right"


def _longest(flags: np.ndarray) -> int:
    longest = run = 0
    for flag in flags:
        run = run + 1 if flag else 0
        longest = max(longest, run)
    return longest
