"""Reading a manifest and splitting it so that no group stands on both sides."""

from __future__ import annotations

import csv
import hashlib
import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold

from ml_training.errors import TrainingError
from ml_training.labels import Task
from ml_training.specs import SourceSpec


@dataclass(frozen=True)
class Item:
    """One image of a manifest: where it is, what it shows (see `Task.target`), and the group it must stay
    with."""

    path: Path
    target: tuple[float, ...]
    group: str
    row: dict[str, str]


class Row(dict[str, str]):
    """A manifest's cells by column; `line` is where the row ends in its file, which has empty lines and cells
    of several lines too."""

    line: int = 0


def read_manifest(path: Path) -> list[Row]:
    """The manifest's rows.

    Raises:
        TrainingError: the file cannot be read, has no `file` column, or a row with fewer or more cells than
            columns.
    """
    try:
        # "utf-8-sig": spreadsheets put a mark before the first column's name.
        with path.open(newline="", encoding="utf-8-sig") as handle:
            reader = csv.DictReader(handle)
            rows = []
            for cells in reader:
                if None in cells:  # a comma without quotes: all behind it stands one too far right
                    raise TrainingError(
                        f"{path} line {reader.line_num}: the row has more cells than the header; put quotes "
                        "around a cell with a comma"
                    )
                rows.append(Row(cells))
                rows[-1].line = reader.line_num
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise TrainingError(f"{path}: {error}") from error
    if not rows or "file" not in rows[0]:
        found = f"; found {', '.join(map(repr, rows[0]))[:200]}" if rows else ""
        raise TrainingError(
            f"{path}: a manifest is separated by commas and needs a header with the column 'file' and at "
            f"least one row{found}"
        )
    for row in rows:
        for column, cell in row.items():
            if cell is None:
                raise TrainingError(f"{path} line {row.line}: the row is cut short, it has no {column!r}")
    return rows


def read_source(source: SourceSpec, data_dir: Path, task: Task) -> tuple[list[Item], list[Item]]:
    """Development and test items of one source.

    Raises:
        TrainingError: names the row of a missing image or group or of a label outside the set, or a group or
            file in both parts, or a test value that no row has.
    """
    manifest = data_dir / source.manifest
    development: list[Item] = []
    test: list[Item] = []
    rows = read_manifest(manifest)
    for row in rows:
        for column in (source.group_column, source.test_column):
            if column and column not in row:
                raise TrainingError(f"{manifest}: no column {column!r}")
        path = manifest.parent / row["file"]
        if not path.is_file():
            raise TrainingError(f"{manifest} line {row.line}: image {row['file']} is missing")
        if source.group_column and not row[source.group_column].strip():
            # Left as it is, all rows without one would be one patient.
            raise TrainingError(f"{manifest} line {row.line}: no {source.group_column}")
        labelled: dict[str, str] = row
        if source.label:
            labelled = {**row, "label": source.label, "given_label": row.get("label", "")}
        if source.task:
            labelled = {**labelled, "task": source.task}
        own = row[source.group_column] if source.group_column else row["file"]
        group = f"{source.follows or source.manifest}:{own}"
        try:
            target = tuple(task.target(labelled))
        except TrainingError as error:
            raise TrainingError(f"{manifest} line {row.line}: {error}") from error
        item = Item(path, target, group, labelled)
        if source.test_column:
            held = row[source.test_column] in source.test_values
        else:
            held = _share(group) < source.test_fraction
        (test if held else development).append(item)
    for value in source.test_values if source.test_column else ():
        if not any(row[source.test_column] == value for row in rows):
            raise TrainingError(f"{manifest}: test_values: no row has {value!r} as its {source.test_column}")
    refuse_straddling(development, test, str(manifest))
    if source.limit and len(development) > source.limit:
        chosen = np.random.default_rng(0).permutation(len(development))[: source.limit]
        development = [development[i] for i in sorted(chosen)]
    return development, test


def _share(group: str) -> float:
    """A number in [0, 1) that depends on the group's name alone, so that a split survives new rows."""
    return int.from_bytes(hashlib.sha256(group.encode()).digest()[:4]) / 2**32


def refuse_straddling(left: Sequence[Item], right: Sequence[Item], where: str) -> None:
    """Raise TrainingError if a group, or one file under the names of two, stands in both lists."""
    both = {item.group for item in left} & {item.group for item in right}
    if both:
        raise TrainingError(
            f"{where}: group {sorted(both)[0].split(':', 1)[1]!r} stands on both sides of a split"
        )
    files = _files(left) & _files(right)
    if files:
        raise TrainingError(f"{where}: {sorted(files)[0]} stands on both sides of a split, in two groups")


def _files(items: Sequence[Item]) -> set[str]:
    """Where the items' images lie, whatever way leads there."""
    return {os.path.realpath(item.path) for item in items if not item.row.get("synthetic")}


def stratum(item: Item) -> str:
    """What a split keeps in proportion: the labels and, where known, the source."""
    return "".join("?" if t != t else str(int(t)) for t in item.target) + item.row.get("source", "")


def group_split(items: list[Item], fraction: float, seed: int) -> tuple[list[Item], list[Item]]:
    """Split off about `fraction` of the items, whole groups only, strata kept in proportion.

    Raises:
        TrainingError: fewer groups, or items of every stratum, than parts.
    """
    parts = max(2, round(1 / fraction))
    groups = [item.group for item in items]
    if len(set(groups)) < parts:
        raise TrainingError(f"val_fraction: {len(set(groups))} groups cannot be split into {parts} parts")
    try:
        held = set(group_parts(items, parts, seed)[0])
    except TrainingError as error:
        raise TrainingError(f"val_fraction: {error}") from error
    left = [item for i, item in enumerate(items) if i not in held]
    right = [item for i, item in enumerate(items) if i in held]
    refuse_straddling(left, right, "split")
    return left, right


def group_parts(items: Sequence[Item], parts: int, seed: int) -> list[list[int]]:
    """Positions of the items of each of so many parts: whole groups, strata in proportion.

    Raises:
        TrainingError: every stratum has fewer items than there are parts.
    """
    names = sorted({stratum(item) for item in items})
    strata = [names.index(stratum(item)) for item in items]
    if max(strata.count(number) for number in range(len(names))) < parts:
        raise TrainingError(f"{len(items)} items are too few of each label for {parts} parts")
    folds = StratifiedGroupKFold(n_splits=parts, shuffle=True, random_state=seed)
    groups = [item.group for item in items]
    return [held.tolist() for _, held in folds.split(np.zeros(len(items)), strata, groups)]


def age_groups(items: Sequence[Item]) -> list[str]:
    """The manifest's age group of each item, "" where it has none."""
    return [item.row.get("age_group", "") for item in items]


def sampling_weights(items: list[Item], columns: tuple[str, ...], power: float) -> list[float]:
    """Weight of each item: inverse frequency of its cell (targets and `columns`) to `power`; 0 keeps
    nature's mix."""
    cells = [("".join(map(str, i.target)), *(i.row.get(c, "") for c in columns)) for i in items]
    counts: dict[tuple[str, ...], int] = defaultdict(int)
    for cell in cells:
        counts[cell] += 1
    return [counts[cell] ** -power for cell in cells]
