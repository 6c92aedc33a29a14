"""From uploaded files to scans ready to store. Sniffs, bounds, decodes, de-identifies; no Django, no
database.
"""

from __future__ import annotations

import hashlib
import logging
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from cases.imaging import archive, sniff
from cases.imaging.deidentify import Deidentifier
from cases.imaging.dicom import Instance, describe, quiet, read_dataset
from cases.imaging.dicom_series import build
from cases.imaging.dicom_stacks import Stack, group
from cases.imaging.disk import is_full
from cases.imaging.nifti import read_nifti
from cases.imaging.raster import read_raster
from cases.imaging.volume import CanonicalVolume, ImagingError
from pmi_site.words import Words
from pmi_site.words import words as _

logger = logging.getLogger(__name__)

T = TypeVar("T")

_NAME_LENGTH: Final = 160
_UNREADABLE: Final = _(
    "This file could not be read. Copy it again from where you got it, or send it in another format."
)
_SEVERAL_PEOPLE: Final = _(
    "There are pictures of more than one person in this upload, or of one under two names or numbers. Check "
    "that each of them belongs here."
)
_NOT_IMAGES: Final = {*(code for code, _words in sniff.REASONS.values()), "dicomdir"}


@dataclass(frozen=True)
class Limits:
    """Bounds of one upload. `max_pixels` bounds one picture and the points of one volume, `max_stacks` the
    scans that DICOM files make.
    """

    max_bytes: int = 512 * 1024 * 1024
    max_pixels: int = 200_000_000
    max_files: int = 5000
    max_unpacked_bytes: int = 4 * 1024 * 1024 * 1024
    max_stacks: int = 50


@dataclass(frozen=True)
class IncomingFile:
    """One uploaded file: the name the user gave it, used in messages only, and where its bytes are."""

    name: str
    path: Path


@dataclass
class PreparedScan:
    """One scan, decoded and de-identified. Files in `originals` lie in the work folder."""

    volume: CanonicalVolume
    originals: list[tuple[str, Path]]  # (name without identifiers, file without identifiers)
    sha256: str
    source_names: list[str]  # for messages only, never stored
    description: str = ""
    notes: list[Words] = field(default_factory=list)  # what the user should know about this scan, plain words


@dataclass(frozen=True)
class Refused:
    """A file that was not taken: the user's name for it, a code for programs, and what is wrong and what
    to do (`Words` as intake makes it).
    """

    name: str
    code: str
    message: str


@dataclass
class _Item:
    names: list[str]
    path: Path
    sha256: str
    kind: str
    container: str = ""  # the archive it came from


def prepare(
    files: Sequence[IncomingFile], workdir: Path, limits: Limits = Limits()
) -> tuple[list[PreparedScan], list[Refused]]:
    """Turn uploaded files into scans. Whatever cannot be used is refused by name and reason; the rest goes
    in.

    Never raises for what a file holds. Uploaded files are left alone; everything made lies in `workdir`.
    """
    return _Intake(workdir, limits).run(files)


class _Intake:
    def __init__(self, workdir: Path, limits: Limits) -> None:
        self.workdir, self.limits = workdir, limits
        self.budget = archive.Budget(limits.max_files, limits.max_unpacked_bytes)
        self.items: dict[str, _Item] = {}
        self.scans: list[PreparedScan] = []
        self.refused: list[Refused] = []
        self.left_out: dict[str, list[Refused]] = {}
        self.deidentifier = Deidentifier()
        self.deidentified: dict[str, Path] = {}  # by hash of the upload: one file may belong to many scans

    def run(self, files: Sequence[IncomingFile]) -> tuple[list[PreparedScan], list[Refused]]:
        """The whole way; see `prepare`."""
        self.workdir.mkdir(parents=True, exist_ok=True)
        left = self.limits.max_bytes
        for number, incoming in enumerate(files, start=1):
            name = _safe_name(incoming.name)
            if number > self.limits.max_files:
                self._refuse(name, archive.too_many_files(self.limits.max_files))
                break
            size = self._guard(name, partial(_size, incoming.path))
            if size is None:
                continue
            if size > left:
                self._refuse(name, archive.too_many_bytes(self.limits.max_bytes))
                continue
            left -= size
            self._guard(name, partial(self._sort, name, incoming.path))
        instances: list[tuple[Instance, _Item]] = []
        for item in self.items.values():
            self._guard(item.names[0], partial(self._take, item, instances), item)
        self._dicom(instances)
        self._report_left_out()
        return self.scans, self.refused

    def _guard(self, name: str, action: Callable[[], T], item: _Item | None = None) -> T | None:
        """Run a step for one file; anything that goes wrong refuses this file and no other."""
        try:
            return action()
        except ImagingError as error:
            self._refuse(name, error, item)
        except Exception as error:
            if is_full(error):
                raise
            # The traceback would carry names and values of the file: only the kind of error may be logged.
            logger.warning("intake could not read a file: %s", type(error).__name__)
            self._refuse(name, ImagingError("unreadable", _UNREADABLE), item)
        return None

    def _refuse(self, name: str, error: ImagingError, item: _Item | None = None) -> None:
        if item is not None and item.container and error.code in _NOT_IMAGES:
            self.left_out.setdefault(item.container, []).append(Refused(name, error.code, error.message))
            return
        self.refused.append(Refused(name, error.code, error.message))

    def _sort(self, name: str, path: Path) -> None:
        """Sniff one uploaded file and open it when it is an archive."""
        kind = _kind(path)
        if kind == "zip":
            folder = self._folder("unpacked")
            for member in archive.unzip(path, folder, self.budget):
                shown = _safe_name(f"{name}: {member.name}")
                if member.path is None or member.error is not None:
                    self._refuse(shown, member.error or ImagingError("unreadable", _UNREADABLE))
                    continue
                self._add(shown, member.path, member.sha256, container=name)
            return
        digest = _hash(path)
        if kind == "gzip":
            target = self._folder("unpacked") / "inner"
            archive.gunzip(path, target, self.budget)
            if _kind(target) in ("zip", "gzip", "archive"):
                raise _nested()
            path = target
        self._add(name, path, digest)

    def _add(self, name: str, path: Path, digest: str, container: str = "") -> None:
        known = self.items.get(digest)
        if known is not None:
            known.names.append(name)
            return
        kind = _kind(path)
        if kind == "gzip":  # a .nii.gz inside a zip
            target = self._folder("unpacked") / "inner"
            self._guard(name, partial(archive.gunzip, path, target, self.budget))
            if not target.exists():
                return
            path, kind = target, _kind(target)
            if kind in ("zip", "gzip", "archive"):
                self._refuse(name, _nested())
                return
        self.items[digest] = _Item([name], path, digest, kind, container)

    def _take(self, item: _Item, instances: list[tuple[Instance, _Item]]) -> None:
        if item.kind in sniff.RASTER:
            raster = read_raster(item.path, item.kind, self._folder("originals"), self.limits.max_pixels)
            columns, rows = raster.volume.data.shape[:2]
            self.scans.append(
                PreparedScan(
                    volume=raster.volume,
                    originals=[(f"0001.{raster.suffix}", raster.original)],
                    sha256=item.sha256,
                    source_names=item.names,
                    description=f"Picture, {columns} x {rows}",
                    notes=raster.notes,
                )
            )
        elif item.kind == "nifti":
            nifti = read_nifti(item.path, self._folder("originals"), self.limits.max_pixels)
            self.scans.append(
                PreparedScan(
                    volume=nifti.volume,
                    originals=[("0001.nii.gz", nifti.original)],
                    sha256=item.sha256,
                    source_names=item.names,
                    description=_describe(nifti.volume, "NIfTI"),
                    notes=nifti.notes,
                )
            )
        elif item.kind in ("dicom", "dicom-bare"):
            found = describe(
                item.path, item.sha256, item.names[0], self.limits.max_bytes, self.limits.max_pixels
            )
            instances.append((found, item))
        else:
            raise ImagingError(*sniff.REASONS.get(item.kind, sniff.REASONS["unknown"]))

    def _dicom(self, instances: list[tuple[Instance, _Item]]) -> None:
        if not instances:
            return
        items = {instance.sha256: item for instance, item in instances}
        found = [instance for instance, _item in instances]

        def names_of(members: list[Instance]) -> list[str]:
            return [name for instance in members for name in items[instance.sha256].names]

        label = _label(instances[0][1].names, len(found))
        several = _several_people(found)
        stacks, left = self._guard(label, partial(group, found, self.limits.max_stacks)) or ([], [])
        for members, error in left:
            self._refuse(_label(names_of(members), len(members)), error)
        for stack in stacks:
            stack.notes += [_SEVERAL_PEOPLE] if several else []
            names = names_of(stack.instances)
            self._guard(_label(names, len(stack.instances)), partial(self._stack, stack, names))

    def _stack(self, stack: Stack, names: list[str]) -> None:
        volume, notes, broken = build(stack, self.limits.max_bytes, self.limits.max_pixels)
        for instance, error in broken:
            self._refuse(instance.name, error)
        folder = self._folder("originals")
        originals = []
        for number, instance in enumerate(stack.instances, start=1):
            target = folder / f"{number:04d}.dcm"
            original = self.deidentified.get(instance.sha256)
            if original is None:
                dataset, syntax = read_dataset(instance.path, self.limits.max_bytes, pixels=True)
                with quiet():
                    target.write_bytes(self.deidentifier.to_bytes(dataset, syntax))
                original = self.deidentified[instance.sha256] = target
            originals.append((target.name, original))
        self.scans.append(
            PreparedScan(
                volume=volume,
                originals=originals,
                sha256=stack.sha256,
                source_names=names,
                description=_describe(volume, volume.modality or "DICOM", series=len(stack.instances) > 1),
                notes=notes,
            )
        )

    def _report_left_out(self) -> None:
        """Files of an archive that are no pictures: one line beside the scans, or all of them when there
        are none.
        """
        for container, refused in self.left_out.items():
            prefix = f"{container}: "
            if any(name.startswith(prefix) for scan in self.scans for name in scan.source_names):
                others = [one for one in refused if one.code != "dicomdir"]
                if others:
                    example = others[0].name.removeprefix(prefix)
                    message = _(
                        "%(count)d files in it are not scans and were left out, for example %(example)s.",
                        count=len(others),
                        example=example,
                    )
                    if len(others) == 1:
                        message = _(
                            "One file in it is not a scan and was left out: %(example)s.", example=example
                        )
                    self.refused.append(Refused(container, "left_out", message))
            else:
                self.refused.extend(refused)

    def _folder(self, kind: str) -> Path:
        return Path(tempfile.mkdtemp(prefix=f"{kind}-", dir=self.workdir))


def _nested() -> ImagingError:
    return ImagingError(
        "nested_archive",
        _("There is an archive inside this archive. Unpack the inner one and send its files."),
    )


def _several_people(instances: Sequence[Instance]) -> bool:
    """Whether the headers name more than one number or name of a patient; what they leave empty says
    nothing.
    """
    numbers, names = zip(*(instance.person for instance in instances), strict=True)
    return len(set(filter(None, numbers))) > 1 or len(set(filter(None, names))) > 1


def _size(path: Path) -> int:
    if path.is_symlink() or not path.is_file():
        raise ImagingError(
            "link", _("This is a link or a folder, not a file, so it was left out. Send the file itself.")
        )
    return path.stat().st_size


def _kind(path: Path) -> str:
    with path.open("rb") as source:
        return sniff.sniff(source.read(sniff.HEAD_BYTES))


def _hash(path: Path) -> str:
    with path.open("rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()


def _safe_name(name: str) -> str:
    """The user's own name for a file, fit for a message: printable, and not too long."""
    shown = (
        "".join(character if character.isprintable() else "?" for character in name).strip() or "unnamed file"
    )
    return shown if len(shown) <= _NAME_LENGTH else f"{shown[: _NAME_LENGTH - 20]}…{shown[-19:]}"


def _label(names: list[str], files: int) -> str:
    return names[0] if files == 1 else f"{names[0]} (and {files - 1} more)"


def _describe(volume: CanonicalVolume, kind: str, *, series: bool = False) -> str:
    if not volume.is_volume:
        columns, rows = volume.data.shape[:2]
        return f"{kind} image, {columns} x {rows}"
    plane = volume.plane or "axial"
    what = "series" if series else "volume"
    return f"{kind} {what}, {volume.n_slices(plane)} slices"
