"""Whole groups into train, val, test and folds, and the refusal of every split that takes one apart."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold

from ml_training.errors import TrainingError

_SAME = {"validation": "val", "valid": "val", "dev": "val", "training": "train", "testing": "test"}


def kept(values: Sequence[str], column: str, lines: Sequence[int]) -> list[str]:
    """A given split column, its usual other spellings made one.

    Raises:
        TrainingError: a value is none of train, val, test; the line is named.
    """
    result = [_SAME.get(value.strip().lower(), value.strip().lower()) for value in values]
    for line, value in zip(lines, result, strict=True):
        if value not in {"train", "val", "test"}:
            raise TrainingError(f"line {line}: {column} is {value!r}, not train, val or test")
    return result


def assign(strata: Sequence[str], groups: Sequence[str], val: float, test: float, seed: int) -> list[str]:
    """train, val or test for every row: whole groups, strata in proportion.

    Raises:
        TrainingError: too few groups for the shares asked for.
    """
    result = ["train"] * len(groups)
    rest = list(range(len(groups)))
    for name, share in (("test", test), ("val", val / (1 - test) if test < 1 else 0)):
        if share <= 0:
            continue
        held = _first_part(rest, strata, groups, share, seed, name)
        for row in held:
            result[row] = name
        rest = [row for row in rest if result[row] == "train"]
    return result


def _first_part(
    rest: list[int], strata: Sequence[str], groups: Sequence[str], share: float, seed: int, name: str
) -> list[int]:
    # Fine parts are joined until the share is reached: 0.15 is three of twenty, not one of seven.
    count = len({groups[row] for row in rest})
    # The splitter wants at least one class with as many rows as there are parts.
    parts = min(20, count, max(Counter(strata[row] for row in rest).values()))
    if parts < 2 or share >= 1:
        raise TrainingError(f"{count} groups are too few to split off {share:.0%} as {name}")
    pieces = _parts(rest, strata, groups, parts, seed)
    take = min(parts - 1, max(1, round(share * parts)))
    return [row for piece in pieces[:take] for row in piece]


def folds(
    split: Sequence[str], strata: Sequence[str], groups: Sequence[str], count: int, seed: int
) -> list[str]:
    """Fold "1".."count" for every row that is not test ("" for test), whole groups only.

    Raises:
        TrainingError: fewer groups than folds.
    """
    rest = [row for row, part in enumerate(split) if part != "test"]
    found = len({groups[row] for row in rest})
    if found < count:
        raise TrainingError(f"{found} groups cannot be split into {count} folds")
    result = [""] * len(split)
    for number, rows in enumerate(_parts(rest, strata, groups, count, seed), start=1):
        for row in rows:
            result[row] = str(number)
    return result


def _parts(
    rest: list[int], strata: Sequence[str], groups: Sequence[str], count: int, seed: int
) -> list[list[int]]:
    import warnings

    names = sorted({strata[row] for row in rest})
    position = {name: i for i, name in enumerate(names)}
    splitter = StratifiedGroupKFold(n_splits=count, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a rare label has fewer rows than parts
        labels = [position[strata[row]] for row in rest]
        try:
            found = list(splitter.split(np.zeros(len(rest)), labels, [groups[row] for row in rest]))
        except ValueError as error:
            raise TrainingError(f"no split into {count} parts: {error}") from error
    return [[rest[i] for i in held] for _kept, held in found]


def refuse_leak(split: Sequence[str], groups: Sequence[str], what: str, members: Sequence[str]) -> None:
    """Raise TrainingError, naming the group and two of its files, if a group stands in two parts."""
    seen: dict[str, dict[str, str]] = defaultdict(dict)
    for part, group, member in zip(split, groups, members, strict=True):
        if part:
            seen[group].setdefault(part, member)
    leaks = sorted(group for group, parts in seen.items() if len(parts) > 1)
    if leaks:
        where = ", ".join(f"{member} in {part!r}" for part, member in sorted(seen[leaks[0]].items()))
        more = f" ({len(leaks) - 1} more groups do)" if len(leaks) > 1 else ""
        raise TrainingError(f"{what}: group {leaks[0]!r} straddles: {where}{more}; nothing was written")
