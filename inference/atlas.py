"""Reading an atlas manifest: which rows can be used, under which licence, what each shows. No database."""

from __future__ import annotations

import csv
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ml_training.errors import TrainingError
from ml_training.labels import TASKS

# Licences under which a picture may be shown to users, whole; anything else is a label without a picture:
# "CC BY-NC" and "-ND" too, since a site may be commercial, and a thumbnail is a change.
_SHOWABLE = re.compile(
    r"cc ?0( 1\.0)?|cc[ -]by([ -]sa)?( [1-4]\.[05])?|pddl( 1\.0)?|public domain"
    r"|(nih: )?free (use )?with attribution"
)

CITATIONS = {
    "figshare": "Cheng J. Brain tumor dataset. figshare (2017). doi:10.6084/m9.figshare.1512427",
    "Kermany 2018": "Kermany D, Zhang K, Goldbaum M. Labeled OCT and chest X-ray images. Mendeley (2018). "
    "doi:10.17632/rscbjbr9sj",
    "OAI knee KL (Chen 2018)": "Chen P. Knee osteoarthritis severity grading dataset. Mendeley (2018). "
    "doi:10.17632/56rmx5bjcr",
    "NIH ChestX-ray14": "Wang X et al. ChestX-ray8. CVPR (2017). Images: NIH Clinical Center.",
}


class AtlasError(Exception):
    """A manifest that cannot be used at all; the message says why."""


@dataclass(frozen=True)
class AtlasRow:
    """One usable row of a manifest."""

    line: int
    name: str  # as in the manifest
    path: Path
    label: str
    condition: str
    age_band: str
    group: str
    source: str
    licence: str
    citation: str
    showable: bool

    @property
    def key(self) -> str:
        """Tells a picture that was imported before, wherever the manifest lay then: its source, and its place
        beside the manifest.
        """
        return hashlib.sha256(f"{self.source}\n{self.name}".encode()).hexdigest()

    @property
    def former_key(self) -> str:
        """The key that earlier versions of PMI gave it, by the last part of its name."""
        return hashlib.sha256(f"{self.source}\n{self.path.name}".encode()).hexdigest()

    @property
    def group_key(self) -> str:
        """A hash of the person, so that the person's own number is not kept."""
        return hashlib.sha256(f"{self.source}\n{self.group}".encode()).hexdigest() if self.group else ""


@dataclass(frozen=True)
class BadRow:
    """A row that cannot be used, and why."""

    line: int
    file: str
    reason: str


def showable(licence: str) -> bool:
    """Whether pictures under a licence may be shown to users; what is not known may not."""
    return _SHOWABLE.fullmatch(" ".join(licence.lower().split())) is not None


def kind_of(manifest: Path) -> str | None:
    """The kind that the manifest's folder is named after, if it is."""
    return manifest.parent.name if manifest.parent.name in TASKS else None


def read(manifest: Path, kind: str) -> Iterator[AtlasRow | BadRow]:
    """Every row: `file`, `label` or `labels`, and where known `group` or `patient`, `age_group`,
    `source`, `licence`, `citation`. Raises `AtlasError` when there is no such table.
    """
    try:
        # A broken letter spoils its own row, not the manifest.
        with manifest.open(encoding="utf-8-sig", errors="replace", newline="") as handle:
            reader = csv.DictReader(handle)
            names = set(reader.fieldnames or [])
            if "file" not in names or not names & {"label", "labels"}:
                raise AtlasError(f"{manifest}: a manifest needs the columns file and label (or labels)")
            rows = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise AtlasError(f"{manifest}: cannot be read ({error})") from error
    for line, row in enumerate(rows, start=2):
        yield _row(line, {key: (value or "").strip() for key, value in row.items() if key}, manifest, kind)


def _row(line: int, row: dict[str, str], manifest: Path, kind: str) -> AtlasRow | BadRow:
    name = row.get("file", "")
    if not name:
        return BadRow(line, "", "no file is named")
    if any("\0" in text or "\ufffd" in text for text in row.values()):
        return BadRow(line, name.replace("\0", "?"), "holds a NUL or letters that are no UTF-8")
    path = manifest.parent / name
    try:
        if not path.resolve().is_relative_to(manifest.parent.resolve()):
            return BadRow(line, name, "lies outside the manifest's folder")
        if not path.is_file():
            return BadRow(line, name, "the file is missing")
    except OSError as error:
        return BadRow(line, name[:80], f"cannot be looked for ({error.strerror})")
    try:
        label = label_of(row, kind)
    except TrainingError as error:
        return BadRow(line, name, str(error))
    conditions = {own.name: own.condition for own in TASKS[kind].labels}
    age, source, licence = row.get("age_group", ""), row.get("source", ""), row.get("licence", "")
    return AtlasRow(
        line,
        name,
        path,
        label,
        conditions[label],
        age if age in ("child", "adult") else "unknown",
        row.get("group") or row.get("patient") or "",
        source,
        licence,
        row.get("citation") or CITATIONS.get(source, ""),
        showable(licence),
    )


def label_of(row: dict[str, str], kind: str) -> str:
    """The one label that says most: the rarest that is true. Raises TrainingError for an unknown one."""
    task = TASKS[kind]
    target = task.target(row)
    true = [name for name, value in zip(task.names, target, strict=True) if value == 1.0]
    if not true:
        raise TrainingError("none of the labels is one that the model knows")
    return true[-1]
