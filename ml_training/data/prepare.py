"""`prepare`: from found images to a manifest that can be trusted, with everything that was wrong listed."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ml_training.data import duplicates, shortcuts, splits
from ml_training.data.duplicates import Pair
from ml_training.data.scan import Look, look_at_all
from ml_training.data.sources import Rows, as_csv
from ml_training.errors import TrainingError
from ml_training.labels import task_of
from ml_training.report import write_atomic

ADDED = ["group", "cluster", "split", "fold", "sha256", "width", "height"]


@dataclass(frozen=True)
class Options:
    """How to prepare. `val` and `test` are shares of the rows; `keep_split` names a column that is kept."""

    label_column: str = ""
    group_column: str = ""
    source_column: str = "source"
    kind: str = ""
    keep_split: str = ""
    val: float = 0.15
    test: float = 0.15
    folds: int = 5
    seed: int = 0


@dataclass
class Prepared:
    """What came out. Lists are parallel to `rows`; `pairs` hold positions in `rows`."""

    rows: list[dict[str, str]]
    looks: list[Look]
    lines: list[int]
    labels: list[str]
    given: list[str]
    sources: list[str]
    clusters: list[str]
    groups: list[str]
    split: list[str]
    folds: list[str]
    pairs: list[Pair]
    problems: list[tuple[int, str, str, str]]  # line, file, kind, what
    probes: list[shortcuts.Probe] = field(default_factory=list)
    source_probes: list[shortcuts.Probe] = field(default_factory=list)

    def across(self) -> list[Pair]:
        """Pairs that the given groups did not know of."""
        return [pair for pair in self.pairs if self.given[pair.left] != self.given[pair.right]]


def prepare(found: Rows, options: Options) -> Prepared:
    """Look at every image, find what is wrong, cluster, split.

    Raises:
        TrainingError: a column is missing, nothing usable is left, or a split would take a group apart.
    """
    label_column = _label_column(found, options)
    for column in (options.group_column, options.keep_split):
        if column and column not in found.rows[0]:
            raise TrainingError(f"no column {column!r}; there are {', '.join(found.rows[0])}")
    looks = look_at_all([found.root / row["file"] for row in found.rows])
    problems = [(line, name, what.split(":")[0], what) for line, name, what in found.problems]
    keep: list[int] = []
    seen: dict[str, int] = {}
    for i, (row, seeing) in enumerate(zip(found.rows, looks, strict=True)):
        wrong = _wrong_with(row, seeing, label_column, options.kind)
        if not wrong and row["file"] in seen:
            wrong = ("listed twice", f"the same file stands on line {found.lines[seen[row['file']]]}")
        if wrong:
            problems.append((found.lines[i], row["file"], *wrong))
        else:
            seen[row["file"]] = i
            keep.append(i)
    if len(keep) < 2:
        raise TrainingError(
            f"{len(keep)} usable images of {len(looks)}; see the first problem: {problems[:1]}"
        )
    rows, seen_looks = [found.rows[i] for i in keep], [looks[i] for i in keep]
    lines, labels = [found.lines[i] for i in keep], [found.rows[i][label_column] for i in keep]
    group_column = options.group_column or ("group" if "group" in rows[0] else "")
    given = [row[group_column] if group_column else "" for row in rows]
    given = [name or f"alone-{line}" for name, line in zip(given, lines, strict=True)]
    sources = [row.get(options.source_column, "") for row in rows]
    pairs = _pairs(seen_looks)
    clusters, groups = _merge(given, pairs)
    problems += _contradictions(rows, lines, labels, pairs)
    strata = [f"{label}\t{source}" for label, source in zip(labels, sources, strict=True)]
    if options.keep_split:
        split = splits.kept([row[options.keep_split] for row in rows], options.keep_split, lines)
    else:
        split = splits.assign(strata, groups, options.val, options.test, options.seed)
    names = [f"{row['file']} (line {line})" for row, line in zip(rows, lines, strict=True)]
    splits.refuse_leak(split, given, "split", names)
    splits.refuse_leak(split, groups, "split, near-duplicates counted", names)
    fold = splits.folds(split, strata, groups, options.folds, options.seed)
    splits.refuse_leak(fold, groups, "folds", names)
    result = Prepared(
        rows,
        seen_looks,
        lines,
        labels,
        given,
        sources,
        clusters,
        groups,
        split,
        fold,
        pairs,
        sorted(problems),
    )
    _probe(result, options.seed)
    return result


def _label_column(found: Rows, options: Options) -> str:
    wanted = [options.label_column] if options.label_column else ["label", "labels"]
    for column in wanted:
        if column in found.rows[0]:
            return column
    raise TrainingError(
        f"no label column {' or '.join(map(repr, wanted))}; there are {', '.join(found.rows[0])}"
    )


def _wrong_with(row: dict[str, str], seeing: Look, column: str, kind: str) -> tuple[str, str] | None:
    if seeing.problem:
        return seeing.problem.split(":")[0], seeing.problem
    if not row[column].strip():
        return "missing label", f"column {column!r} is empty"
    if kind:
        try:
            task_of(kind).target({**row, "label": row[column], "labels": row[column]})
        except TrainingError as error:
            if "kind" in str(error):
                raise
            return "unknown label", str(error)
    return None


def _pairs(looks: list[Look]) -> list[Pair]:
    exact = duplicates.exact_pairs([seeing.sha256 for seeing in looks])
    known = {(pair.left, pair.right) for pair in exact}
    thumbs = np.stack([seeing.thumb for seeing in looks if seeing.thumb is not None])
    return exact + [pair for pair in duplicates.near_pairs(thumbs) if (pair.left, pair.right) not in known]


def _merge(given: list[str], pairs: list[Pair]) -> tuple[list[str], list[str]]:
    """Names of the duplicate cluster ("" where alone) and of the merged group, for every row."""
    links = [(pair.left, pair.right) for pair in pairs]
    roots = duplicates.united(len(given), links)
    sizes = Counter(roots)
    clusters = [f"c{root:05d}" if sizes[root] > 1 else "" for root in roots]
    first: dict[str, int] = {}
    same = [(first.setdefault(name, i), i) for i, name in enumerate(given)]
    merged = duplicates.united(len(given), links + same)
    return clusters, [given[root] for root in merged]


def _contradictions(
    rows: list[dict[str, str]], lines: list[int], labels: list[str], pairs: list[Pair]
) -> list[tuple[int, str, str, str]]:
    found = []
    for pair in pairs:
        if labels[pair.left] != labels[pair.right]:
            sort = "exact" if pair.exact else f"near ({pair.form}, {pair.correlation:.3f})"
            found.append(
                (
                    lines[pair.right],
                    rows[pair.right]["file"],
                    "contradicting duplicate",
                    f"{sort} twin of {rows[pair.left]['file']} (line {lines[pair.left]}): "
                    f"{labels[pair.right]!r} against {labels[pair.left]!r}",
                )
            )
    return found


def features_of(looks: list[Look]) -> dict[str, np.ndarray]:
    """The three shortcut features, each (N, D) float32."""
    thumbs = np.stack([seeing.thumb for seeing in looks if seeing.thumb is not None]).astype(np.float32)
    step = thumbs.shape[-1] // 8
    tiny = thumbs.reshape(len(thumbs), 8, step, 8, step).mean((2, 4)).reshape(len(thumbs), -1)
    return {
        "brightness statistics": np.stack([s.brightness for s in looks if s.brightness is not None]),
        "frame (outer 4 %)": np.stack([s.frame for s in looks if s.frame is not None]),
        "8 x 8 thumbnail": tiny,
    }


def _probe(result: Prepared, seed: int) -> None:
    for name, features in features_of(result.looks).items():
        by_label = shortcuts.probe(name, features, result.labels, result.groups, result.sources, seed)
        if by_label:
            result.probes.append(by_label)
        if len(set(result.sources)) > 1:
            blank = [""] * len(result.sources)
            by_source = shortcuts.probe(name, features, result.sources, result.groups, blank, seed)
            if by_source:
                result.source_probes.append(by_source)


def write(result: Prepared, found: Rows, out: Path, title: str, origin: list[str]) -> None:
    """Write report.html, problems.csv and, last, manifest.csv; each is the old or the new one, never half.

    A manifest that stands there therefore has its report and its problems beside it.
    """
    from ml_training.data.prepare_report import build

    own = [column for column in result.rows[0] if column not in ADDED]
    had = [
        column for column in ADDED if column in result.rows[0] and column not in {"width", "height", "sha256"}
    ]
    rows = []
    for i, row in enumerate(result.rows):
        file = Path(os.path.relpath(found.root / row["file"], out)).as_posix()
        seeing = result.looks[i]
        rows.append(
            {
                **row,
                **{f"given_{column}": row[column] for column in had},
                "file": file,
                "group": result.groups[i],
                "cluster": result.clusters[i],
                "split": result.split[i],
                "fold": result.folds[i],
                "sha256": seeing.sha256,
                "width": str(seeing.width),
                "height": str(seeing.height),
            }
        )
    problems = [
        {"row": str(line), "file": file, "problem": kind, "detail": what}
        for line, file, kind, what in result.problems
    ]
    page = build(result, title, origin)
    write_atomic(out / "problems.csv", as_csv(["row", "file", "problem", "detail"], problems))
    page.write(out / "report.html")
    write_atomic(out / "manifest.csv", as_csv([*own, *(f"given_{c}" for c in had), *ADDED], rows))


def counts_by(result: Prepared) -> dict[str, dict[str, int]]:
    """Rows per label and split."""
    table: dict[str, dict[str, int]] = defaultdict(lambda: {"train": 0, "val": 0, "test": 0})
    for label, part in zip(result.labels, result.split, strict=True):
        table[label][part] += 1
    return dict(table)
