"""Opening zip and gzip files that strangers send: nothing is trusted, everything is counted while it
streams.
"""

from __future__ import annotations

import gzip
import hashlib
import stat
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Final, cast

from cases.imaging.disk import is_full
from cases.imaging.sniff import HEAD_BYTES, sniff
from cases.imaging.volume import ImagingError
from pmi_site.words import words as _

_CHUNK: Final = 1 << 20
# Deflate cannot pass about 1,032 to 1. Real scans stay far below 200 over a whole archive; small files may
# exceed it.
_MAX_RATIO: Final = 200
_RATIO_FROM: Final = 64 << 20
_JUNK_NAMES: Final = {".ds_store", "thumbs.db", "desktop.ini"}


@dataclass
class Budget:
    """What is left of the limits of one upload."""

    files: int
    unpacked: int


@dataclass(frozen=True)
class Member:
    """One file taken out of an archive. `error` is set, and `path` None, when it was not taken."""

    name: str
    path: Path | None
    sha256: str = ""
    error: ImagingError | None = None


def too_many_files(limit: int) -> ImagingError:
    return ImagingError(
        "too_many_files",
        _("There are more than %(limit)d files in this upload. Send one scan at a time.", limit=limit),
    )


def too_many_bytes(limit: int) -> ImagingError:
    return ImagingError(
        "too_many_bytes",
        _(
            "This upload is larger than %(limit)d MB. Send one scan at a time, or a smaller copy.",
            limit=limit >> 20,
        ),
    )


def _bomb(unpacked: int, packed: int) -> ImagingError:
    return ImagingError(
        "zip_bomb",
        _(
            "This archive unpacks to far more than it should (%(unpacked)d MB or more out of %(packed)d MB), "
            "so it was not opened. Pack it again.",
            unpacked=unpacked >> 20,
            packed=packed >> 20,
        ),
    )


def _damaged() -> ImagingError:
    return ImagingError(
        "archive_damaged", _("This archive is damaged or incomplete. Make it again and send it once more.")
    )


def unzip(path: Path, workdir: Path, budget: Budget) -> Iterator[Member]:
    """Stream the files of a zip into `workdir` under names of our own, one `Member` each.

    Raises ImagingError when the archive as a whole is refused. Members that are links, encrypted, nested
    archives or have unsafe names come back with their error; the others still come.
    """
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, RuntimeError, IndexError) as error:
        raise _damaged() from error
    with archive:
        entries = [
            entry for entry in archive.infolist() if not entry.is_dir() and not _is_junk(entry.filename)
        ]
        if not entries:
            raise ImagingError(
                "archive_empty", _("This archive holds no files. Pack the scan's files and send it again.")
            )
        if len(entries) > budget.files:
            raise too_many_files(budget.files)
        declared = sum(entry.file_size for entry in entries)
        packed = path.stat().st_size
        if declared > budget.unpacked or (declared > _RATIO_FROM and declared > _MAX_RATIO * packed):
            raise _bomb(declared, packed)
        if all(entry.flag_bits & 0x1 for entry in entries):
            raise ImagingError(
                "archive_encrypted", _("This zip has a password. Pack it without a password and send it.")
            )
        spent = 0
        for number, entry in enumerate(entries, start=1):
            budget.files -= 1
            problem = _entry_problem(entry)
            if problem is not None:
                yield Member(entry.filename, None, error=problem)
                continue
            target = workdir / f"{number:05d}"
            try:
                with archive.open(entry) as source:
                    head = source.read(HEAD_BYTES)
                    if sniff(head) in ("zip", "archive"):
                        raise ImagingError(
                            "nested_archive",
                            _(
                                "There is an archive inside this archive. Unpack the inner one and send "
                                "its files."
                            ),
                        )
                    size, digest = _copy(head, source, target, budget, entry.file_size)
            except ImagingError as error:
                target.unlink(missing_ok=True)
                if error.code == "zip_bomb":
                    raise
                yield Member(entry.filename, None, error=error)
                continue
            except (
                zipfile.BadZipFile,
                zlib.error,
                EOFError,
                OSError,
                ValueError,
                RuntimeError,
                NotImplementedError,
            ) as error:
                target.unlink(missing_ok=True)
                if is_full(error):
                    raise
                damaged = ImagingError(
                    "archive_damaged", _("This file is damaged inside the archive. Pack it again.")
                )
                damaged.__cause__ = error
                yield Member(entry.filename, None, error=damaged)
                continue
            except Exception:  # lzma and bz2 errors differ by build
                target.unlink(missing_ok=True)
                yield Member(entry.filename, None, error=_damaged())
                continue
            spent += size
            if spent > _RATIO_FROM and spent > _MAX_RATIO * packed:
                raise _bomb(spent, packed)
            yield Member(entry.filename, target, digest)


def gunzip(path: Path, target: Path, budget: Budget) -> None:
    """Stream a gzip file into `target`. Raises ImagingError for a bomb or a damaged file."""
    packed = path.stat().st_size
    limit = budget.unpacked
    if packed * _MAX_RATIO > _RATIO_FROM:
        limit = min(limit, packed * _MAX_RATIO)
    else:
        limit = min(limit, _RATIO_FROM)
    try:
        with gzip.open(path, "rb") as source:
            _copy(b"", cast(IO[bytes], source), target, budget, limit)
    except (OSError, EOFError, zlib.error, ValueError) as error:
        if is_full(error):
            raise
        raise ImagingError(
            "truncated",
            _("This compressed file is damaged or incomplete. Copy it again and send it once more."),
        ) from error


def _copy(head: bytes, source: IO[bytes], target: Path, budget: Budget, at_most: int) -> tuple[int, str]:
    digest, size, chunk = hashlib.sha256(), 0, head or source.read(_CHUNK)
    with target.open("wb") as out:
        while chunk:
            size += len(chunk)
            budget.unpacked -= len(chunk)
            if size > at_most or budget.unpacked < 0:
                raise ImagingError(
                    "zip_bomb", _("This file unpacks to far more than it should, so it was not opened.")
                )
            digest.update(chunk)
            out.write(chunk)
            chunk = source.read(_CHUNK)
    return size, digest.hexdigest()


def _is_junk(name: str) -> bool:
    parts = PurePosixPath(name.replace("\\", "/")).parts
    return "__MACOSX" in parts or bool(
        parts and (parts[-1].lower() in _JUNK_NAMES or parts[-1].startswith("._"))
    )


def _entry_problem(entry: zipfile.ZipInfo) -> ImagingError | None:
    name = entry.filename.replace("\\", "/")
    parts = PurePosixPath(name).parts
    if name.startswith("/") or ".." in parts or (parts and parts[0][1:2] == ":") or "\0" in name:
        return ImagingError(
            "unsafe_name", _("This file's name points outside the archive, so it was left out.")
        )
    mode = entry.external_attr >> 16
    if stat.S_IFMT(mode) and not stat.S_ISREG(mode):
        return ImagingError(
            "link",
            _("This is a link to another file, not a file, so it was left out. Pack the file itself."),
        )
    if entry.flag_bits & 0x1:
        return ImagingError(
            "archive_encrypted",
            _("This file has a password. Pack it without a password and send it again."),
        )
    return None
