"""The folders of private storage, and which rows name them: what no row names was left by a killed process.

Each app declares its own when it is ready; `manage.py sweep_private_files` asks them all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Folders:
    """One kind of folder: a glob below the root, and whether a row names one (its path below the root)."""

    pattern: str
    is_named: Callable[[str], bool]


_DECLARED: dict[str, Folders] = {}


def declare(pattern: str, is_named: Callable[[str], bool]) -> None:
    """Say which folders there are, and how to ask whether one is still somebody's."""
    _DECLARED[pattern] = Folders(pattern, is_named)


def declared() -> list[Folders]:
    """All of them, in the order of their patterns."""
    return [_DECLARED[pattern] for pattern in sorted(_DECLARED)]


def declare_own() -> None:
    """Those of scans, and of what people take away with them."""
    from accounts.models import DataExport
    from cases.models import Scan

    declare("scans/*/*", lambda folder: Scan.objects.filter(original__startswith=f"{folder}/").exists())
    declare("exports/*", lambda folder: DataExport.objects.filter(archive__startswith=f"{folder}/").exists())
