"""Where bundles lie: `PMI_BUNDLE_DIR` and every folder of `PMI_EXTRA_BUNDLE_DIRS`.

A version is found by the hash of its metadata, whatever its folder is called. So several versions of a kind
lie side by side in folders of any name, and one whose folder was overwritten by another is missing, not
corrupt.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from django.conf import settings

from inference import registry
from inference.models import ModelVersion


@dataclass(frozen=True)
class OnDisk:
    """What there is of a version: `there`, `missing` or `corrupt`, and what is wrong."""

    state: Literal["there", "missing", "corrupt"]
    problem: str = ""


def roots() -> list[Path]:
    """The folders that hold bundles, the first one first in rank."""
    return [Path(place) for place in (settings.PMI_BUNDLE_DIR, *settings.PMI_EXTRA_BUNDLE_DIRS)]


def folders() -> list[Path]:
    """Every bundle folder of all roots."""
    return [folder for root in roots() for folder in registry.bundle_folders(root)]


def other_folders() -> list[Path]:
    """Every folder beside them that holds no bundle."""
    return [folder for root in roots() for folder in registry.other_folders(root)]


def place_of(version: ModelVersion) -> Path | None:
    """The folder with the registered metadata, or None."""
    named = [root / version.bundle for root in roots()]
    for folder in [*named, *folders()]:
        metadata = folder / registry.METADATA
        if metadata.is_file() and registry.file_sha256(metadata) == version.sha256:
            return folder
    return None


def path_of(version: ModelVersion) -> Path:
    """The same; where there is none, the place where it should be, for a message that names it."""
    return place_of(version) or roots()[0] / version.bundle


def look(version: ModelVersion) -> OnDisk:
    """Verifies every file of the version against its hash."""
    folder = place_of(version)
    if folder is None:
        changed = _changed(version)
        return changed or OnDisk("missing", f"{version.bundle}: no folder holds this version")
    try:
        registry.inspect(folder, version.sha256)
    except registry.BundleMissing as error:
        return OnDisk("missing", str(error))
    except registry.BundleCorrupt as error:
        return OnDisk("corrupt", str(error))
    return OnDisk("there")


def _changed(version: ModelVersion) -> OnDisk | None:
    """A folder of the version's name whose metadata nobody registered; another registered version is none."""
    for folder in (root / version.bundle for root in roots()):
        metadata = folder / registry.METADATA
        if not metadata.is_file():
            continue
        if not ModelVersion.objects.filter(sha256=registry.file_sha256(metadata)).exists():
            return OnDisk("corrupt", registry.changed(folder))
    return None
