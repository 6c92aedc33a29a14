"""Reading many files without a database: what `manage.py analyze` does. Same intake, same engine, same danger
rules.
"""

from __future__ import annotations

import csv
import logging
import tempfile
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from django.utils.translation import gettext as _

from cases import intake
from inference import danger
from inference.engine import Engine
from inference.reading import Reading

logger = logging.getLogger(__name__)

# One picture each. Everything else may be a part of a DICOM series, which only its header can tell.
_SINGLE = frozenset(
    {".bmp", ".gif", ".gz", ".jpeg", ".jpg", ".nii", ".png", ".tif", ".tiff", ".webp", ".zip"}
)


class ManifestError(Exception):
    """A manifest that cannot be used; the message says why."""


@dataclass(frozen=True)
class Job:
    """Files that belong together (one picture, or the files of one series), and what is known about them.

    `name` is what the answer calls them. `kind` and `age_group` as in `Engine.analyze`.
    """

    name: str
    paths: tuple[Path, ...]
    kind: str | None = None
    age_group: str = "unknown"


def jobs_of_manifest(manifest: Path, kind: str | None, age_group: str) -> list[Job]:
    """One job per row of a CSV with a column `file`, relative to the manifest; its value is the job's name.

    Columns `kind` and `age_group`, where there are any, hold for rows where the caller says nothing. Raises
    `ManifestError`.
    """
    try:
        with manifest.open(encoding="utf-8-sig", newline="") as handle:
            reader = csv.DictReader(handle)
            if "file" not in (reader.fieldnames or []):
                raise ManifestError(f"{manifest}: there is no column named file")
            rows = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ManifestError(f"{manifest}: cannot be read ({error})") from error
    jobs = []
    for number, row in enumerate(rows, start=2):
        name = (row.get("file") or "").strip()
        if not name:
            raise ManifestError(f"{manifest}, line {number}: the file is empty")
        age = age_group if age_group != "unknown" else (row.get("age_group") or "unknown").strip()
        jobs.append(
            Job(name, (manifest.parent / name,), kind or (row.get("kind") or "").strip() or None, age)
        )
    return jobs


def jobs_of_paths(paths: Sequence[Path], kind: str | None, age_group: str) -> list[Job]:
    """Jobs for files and folders (searched through). DICOM files of one series become one job, named by its
    folder.
    """
    single: list[Path] = []
    series: dict[str, list[Path]] = {}
    for path in _files(paths):
        uid = "" if _suffix(path) in _SINGLE else _series_uid(path)
        if uid:
            series.setdefault(uid, []).append(path)
        else:
            single.append(path)
    groups = [(path,) for path in single] + [tuple(members) for members in series.values()]
    groups.sort(key=lambda members: str(members[0]))
    return [
        Job(str(members[0] if len(members) == 1 else members[0].parent), members, kind, age_group)
        for members in groups
    ]


def _files(paths: Sequence[Path]) -> Iterator[Path]:
    seen: set[Path] = set()
    for path in paths:
        found = sorted(item for item in path.rglob("*") if item.is_file()) if path.is_dir() else [path]
        for item in found:
            hidden = path.is_dir() and any(part.startswith(".") for part in item.relative_to(path).parts)
            # A DICOMDIR only lists files that are found anyway.
            if item not in seen and not hidden and not (path.is_dir() and item.name.upper() == "DICOMDIR"):
                seen.add(item)
                yield item


def _suffix(path: Path) -> str:
    return path.suffix.lower()


def _series_uid(path: Path) -> str:
    import pydicom
    from pydicom.errors import InvalidDicomError

    try:
        header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=["SeriesInstanceUID"])
    except (InvalidDicomError, OSError, ValueError, AttributeError, EOFError, NotImplementedError):
        return ""
    return str(header.get("SeriesInstanceUID") or "")


class BatchReader:
    """Runs jobs on a few threads, in order. ONNX Runtime gives up Python's lock, so threads are enough."""

    def __init__(self, engine: Engine, limits: intake.Limits, threads: int) -> None:
        self.engine, self.limits, self.threads = engine, limits, max(1, threads)

    def run(self, jobs: Sequence[Job]) -> Iterator[list[dict[str, Any]]]:
        """The answers of each job, in the order of the jobs; one answer per scan or refused file."""
        with ThreadPoolExecutor(self.threads) as pool:
            waiting: deque[Future[list[dict[str, Any]]]] = deque()
            # A short queue ahead keeps all threads busy without holding thousands of answers.
            for job in jobs:
                waiting.append(pool.submit(self.read, job))
                if len(waiting) > 2 * self.threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()

    def read(self, job: Job) -> list[dict[str, Any]]:
        """The answers for one job. Never raises for what a file holds or lacks."""
        missing = [path for path in job.paths if not path.is_file()]
        if missing:
            return [_no_reading(job, "failed", _("The file was not found."))]
        try:
            with tempfile.TemporaryDirectory(prefix="pmi-analyze-") as work:
                return self._read(job, Path(work))
        except Exception as error:
            logger.error("A file could not be read: %s", type(error).__name__)
            return [
                _no_reading(job, "failed", _("The program broke on this file (%s).") % type(error).__name__)
            ]

    def _read(self, job: Job, work: Path) -> list[dict[str, Any]]:
        incoming = [intake.IncomingFile(path.name, path) for path in job.paths]
        prepared, refused = intake.prepare(incoming, work, self.limits)
        # Films of one study often share a series: each is a scan of its own and answers under its own name.
        own = {file.name: str(file.path) for file in incoming} if len(incoming) > 1 else {}
        answers = []
        for scan in prepared:
            name = own.get(scan.source_names[0], job.name) if len(scan.source_names) == 1 else job.name
            named = replace(job, name=name)
            answers.append(
                _answer(named, self.engine.analyze(scan.volume, job.kind, job.age_group, maps=False))
            )
        only = incoming[0].name if len(incoming) == 1 else ""
        for refusal in refused:
            named = replace(job, name=own.get(refusal.name, job.name))
            # A file inside an archive has no path of its own: the reason names it.
            inner = "" if refusal.name == only or refusal.name in own else f"{refusal.name}: "
            answers.append(_no_reading(named, "rejected", inner + refusal.message))
        return answers or [
            _no_reading(job, "rejected", _("There is nothing in this file that could be read."))
        ]


def _answer(job: Job, reading: Reading) -> dict[str, Any]:
    if reading.status == "rejected":
        answer = _no_reading(job, "rejected", reading.reason)
        return {**answer, "kind": reading.kind or None, "timings_ms": reading.timings_ms}
    return {
        "file": job.name,
        "status": "succeeded",
        "reason": "",
        "kind": reading.kind,
        "model": reading.model,
        "version": reading.version,
        "danger": danger.assess(reading.findings, job.age_group).level,
        "findings": [
            {
                "label": finding.label,
                "condition": finding.condition,
                "probability": finding.probability,
                "call": finding.call,
            }
            for finding in reading.findings
        ],
        "probabilities": reading.probabilities,
        "timings_ms": reading.timings_ms,
    }


def _no_reading(job: Job, status: str, reason: str) -> dict[str, Any]:
    return {
        "file": job.name,
        "status": status,
        "reason": reason,
        "kind": None,
        "model": None,
        "version": None,
        "danger": danger.assess((), status=status).level,
        "findings": [],
        "probabilities": {},
        "timings_ms": {},
    }
