"""Public data sets by name: where they are, their licence, and a download that continues after a break."""

from __future__ import annotations

import hashlib
import shutil
import urllib.error
import urllib.request
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ml_training.errors import TrainingError
from ml_training.report import write_atomic

_LIST = Path(__file__).with_name("catalogue.yaml")
_CHUNK = 1 << 20
NOT_PUBLISHED = "not published, recorded on first download"


@dataclass(frozen=True)
class RemoteFile:
    """A file to download; `checksum` is `algorithm:hex` as the publisher states it, None if it does not."""

    name: str
    url: str
    checksum: str | None = None


@dataclass(frozen=True)
class DataSet:
    """One public data set. `then` says what a person has to do where that cannot be done here."""

    name: str
    title: str
    page: str
    files: tuple[RemoteFile, ...]
    licence: str
    citation: str
    layout: str
    root: str = ""
    then: str = ""


def catalogue() -> dict[str, DataSet]:
    """All public data sets by name."""
    listed: dict[str, dict[str, Any]] = yaml.safe_load(_LIST.read_text(encoding="utf-8"))
    return {
        name: DataSet(name=name, **{**entry, "files": tuple(RemoteFile(**f) for f in entry["files"])})
        for name, entry in listed.items()
    }


def fetch(dataset: DataSet, folder: Path) -> Path:
    """Download and unpack a set below `folder`; returns its class-per-folder tree.

    Raises:
        TrainingError: the set needs a step by hand, or the download fails (run again to continue it).
    """
    if not dataset.files:
        raise TrainingError(f"{dataset.name}: no direct download at {dataset.page}: {dataset.then}")
    for remote in dataset.files:
        archive = download(remote, folder)
        if dataset.layout != "tree":
            raise TrainingError(f"{dataset.name}: downloaded to {archive}; now {dataset.then}")
        unpack(archive, folder / dataset.name)
    return folder / dataset.name / dataset.root


def download(remote: RemoteFile, folder: Path) -> Path:
    """Download to `folder`/name, continuing `name.part` if there is one; a whole file is only checked.

    Without a published checksum the first download's SHA-256 is kept beside the file and must stay the same.

    Raises:
        TrainingError: no connection, the server refuses, or the checksum is another.
    """
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / remote.name
    record = folder / f"{remote.name}.sha256"
    part = folder / f"{remote.name}.part"
    expected = remote.checksum or (f"sha256:{record.read_text().strip()}" if record.is_file() else None)
    found = target
    if not target.is_file():
        _continue(remote, part)
        found = part
    algorithm = expected.split(":")[0] if expected else "sha256"
    digest = _digest(found, algorithm)
    if expected and f"{algorithm}:{digest}" != expected:
        part.unlink(missing_ok=True)
        raise TrainingError(f"{remote.name}: checksum is {algorithm}:{digest}, expected {expected}")
    if found is part:
        part.replace(target)
    if expected is None:
        write_atomic(record, f"{digest}\n".encode())
    return target


def _continue(remote: RemoteFile, part: Path) -> None:
    have = part.stat().st_size if part.is_file() else 0
    if not remote.url.startswith(("https://", "http://")):
        raise TrainingError(f"{remote.name}: {remote.url!r} is not a web address")
    request = urllib.request.Request(remote.url, headers={"User-Agent": "pmi-prepare"})  # noqa: S310
    if have:
        request.add_header("Range", f"bytes={have}-")
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
            goes_on = answer.status == 206
            size = answer.headers.get("Content-Length")
            total = int(size) + (have if goes_on else 0) if size else None
            # A server that does not know ranges sends the whole file again.
            with part.open("ab" if goes_on else "wb") as handle:
                shutil.copyfileobj(answer, handle, _CHUNK)
    except urllib.error.HTTPError as error:
        if error.code == 416 and have:  # everything is here already
            return
        raise TrainingError(f"{remote.name}: {remote.url} answers {error.code} {error.reason}") from error
    except OSError as error:
        raise TrainingError(
            f"{remote.name}: download broke off ({error}); run again to continue it"
        ) from error
    if total is not None and part.stat().st_size < total:
        raise TrainingError(
            f"{remote.name}: {part.stat().st_size} of {total} bytes arrived; run again to continue it"
        )


def _digest(path: Path, algorithm: str) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, algorithm).hexdigest()


def unpack(archive: Path, target: Path) -> None:
    """Unpack a zip next to `target` and move it there when it is whole; does nothing if `target` exists.

    Raises:
        TrainingError: the archive is damaged or names a path outside itself.
    """
    if target.is_dir():
        return
    part = target.with_name(f"{target.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    try:
        with zipfile.ZipFile(archive) as packed:
            for name in packed.namelist():
                if not (part / name).resolve().is_relative_to(part.resolve()):
                    raise TrainingError(f"{archive.name}: {name!r} points outside the archive")
            packed.extractall(part)  # noqa: S202
    except (zipfile.BadZipFile, OSError) as error:
        raise TrainingError(f"{archive}: cannot be unpacked ({error})") from error
    part.replace(target)
