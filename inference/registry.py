"""Bundles on disk: what is there, whether it is whole, and which are the newest. No database, no learning
library.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

METADATA = Path("configs") / "metadata.json"
GATE_KIND = "gate"
READABLE_KINDS = ("brain_mri", "chest_xray", "knee_xray")
KINDS = (*READABLE_KINDS, GATE_KIND)


class BundleMissing(Exception):
    """There is no bundle at that place, or one of its files is not there. The message says which."""


class BundleCorrupt(Exception):
    """A bundle is there, but its files are not what its metadata promises. The message says which."""


@dataclass(frozen=True)
class BundleFacts:
    """What a verified bundle says about itself. `sha256` is the hash of its metadata file."""

    path: Path
    kind: str
    version: str
    sha256: str
    metadata: dict[str, Any]

    @property
    def name(self) -> str:
        """The bundle's folder name, under which it is registered."""
        return self.path.name


def file_sha256(path: Path) -> str:
    """The SHA-256 of a file as hex."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def inspect(path: Path, expected_sha256: str = "") -> BundleFacts:
    """Reads and verifies a bundle folder.

    Raises `BundleMissing` when the folder, its metadata or a listed file is not there, `BundleCorrupt` when
    metadata cannot be understood, is not the one with `expected_sha256`, or a file differs from its hash.
    """
    metadata_path = path / METADATA
    if not metadata_path.is_file():
        raise BundleMissing(f"{path.name}: no {METADATA.as_posix()}")
    digest = file_sha256(metadata_path)
    if expected_sha256 and digest != expected_sha256:
        raise BundleCorrupt(changed(path))
    try:
        metadata = json.loads(metadata_path.read_text(encoding="utf-8"))
        kind, version, files = metadata["kind"], metadata["version"], metadata["files"]
        labels = metadata["labels"]
    except (ValueError, KeyError, TypeError) as error:
        raise BundleCorrupt(
            f"{path.name}: metadata cannot be used ({type(error).__name__}: {error})"
        ) from error
    if kind not in KINDS:
        raise BundleCorrupt(f"{path.name}: unknown kind {kind!r}")
    if not isinstance(files, dict) or not files or not labels:
        raise BundleCorrupt(f"{path.name}: metadata lists no files or no labels")
    for name, promised in files.items():
        file = path / name
        if not file.resolve().is_relative_to(path.resolve()):
            raise BundleCorrupt(f"{path.name}: {name} lies outside the bundle")
        if not file.is_file():
            raise BundleMissing(f"{path.name}: {name} is not there")
        if file_sha256(file) != promised:
            raise BundleCorrupt(f"{path.name}: {name} is damaged or was changed")
    return BundleFacts(path, str(kind), str(version), digest, metadata)


def changed(path: Path) -> str:
    """What to tell an administrator of a folder whose metadata is not the one that was registered."""
    try:
        version = json.loads((path / METADATA).read_text(encoding="utf-8"))["version"]
    except (OSError, ValueError, KeyError, TypeError):
        now = ""
    else:
        now = f" (it says version {version} now)"
    return (
        f"{path.name}: the metadata changed after it was registered{now}; put the registered files back, "
        "or publish the change under a version number of its own and run `manage.py register_models`"
    )


def bundle_folders(root: Path) -> list[Path]:
    """The folders under `root` that hold a bundle, by name."""
    return [path for path in _folders(root) if _has_metadata(path)]


def other_folders(root: Path) -> list[Path]:
    """The folders under `root` that hold none, by name: half a copy, or a disk's `lost+found`."""
    return [path for path in _folders(root) if not _has_metadata(path)]


def _folders(root: Path) -> list[Path]:
    if not root.is_dir():
        return []
    return sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))


def _has_metadata(path: Path) -> bool:
    # Unlike `is_file`, it is quiet about a folder that may not be looked into.
    return os.access(path / METADATA, os.R_OK)


def version_key(version: str) -> tuple[tuple[int, int, str], ...]:
    """Sorts "0.10.0" after "0.9.1"."""
    parts = re.findall(r"\d+|[a-zA-Z]+", version)
    return tuple((1, int(part), "") if part.isdigit() else (0, 0, part) for part in parts)


def newest_per_kind(facts: list[BundleFacts]) -> dict[str, BundleFacts]:
    """The bundle with the highest version of each kind."""
    newest: dict[str, BundleFacts] = {}
    for fact in facts:
        held = newest.get(fact.kind)
        if held is None or version_key(fact.version) > version_key(held.version):
            newest[fact.kind] = fact
    return newest
