"""The page that `prepare` writes: what is there, what is wrong, what a model could cheat with."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from ml_training.data.prepare import Prepared, counts_by
from ml_training.data.reviews import provenance_table
from ml_training.data.shortcuts import Probe, source_warning
from ml_training.report import Report

_SHOWN = 24


def build(result: Prepared, title: str, origin: list[str]) -> Report:
    """The report of one prepared data set; `origin` are lines about where it comes from."""
    page = Report(f"Data report: {title}")
    for line in origin:
        page.text(line)
    groups = Counter(result.groups)
    page.table(
        ["what", "count"],
        [
            ["usable images", len(result.rows)],
            ["left out or worth a look (problems.csv)", len(result.problems)],
            ["groups as given", len(set(result.given))],
            ["groups after joining near-duplicates", len(groups)],
            ["largest group", max(groups.values())],
            ["exact duplicate pairs", sum(pair.exact for pair in result.pairs)],
            ["near-duplicate pairs", sum(not pair.exact for pair in result.pairs)],
            ["duplicate pairs across the given groups", len(result.across())],
        ],
        "In short",
    )
    if max(groups.values()) > max(20, 0.05 * len(result.rows)):
        page.text(
            "One group holds more than 5 % of all images. Look at its pictures: either these are many copies "
            "of one picture, or pictures that only look alike were joined.",
            warn=True,
        )
    _labels(page, result)
    provenance = provenance_table(result.rows)
    if provenance:
        page.heading("Where the labels are from")
        page.table(
            ["what", "value", "images"],
            provenance,
            "Images by label provenance; the manifest has it row by row",
        )
    _problems(page, result)
    _duplicates(page, result)
    _probes(page, result)
    _sizes(page, result)
    _sheets(page, result)
    return page


def _labels(page: Report, result: Prepared) -> None:
    page.heading("Labels and splits")
    table = counts_by(result)
    page.table(
        ["label", "train", "val", "test", "all"],
        [[name, *parts.values(), sum(parts.values())] for name, parts in sorted(table.items())],
        "Images per label and split; a group is always whole in one split",
    )
    page.figure(
        _bars(table),
        "Stacked bars: images per label, in train, val and test. The table above has the numbers.",
    )
    fold = Counter(zip(result.folds, result.labels, strict=True))
    numbers = sorted({name for name in result.folds if name})
    if numbers:
        rows = [[name, *(fold[number, name] for number in numbers)] for name in sorted(table)]
        page.table(["label", *(f"fold {number}" for number in numbers)], rows, "Images per label and fold")


def _bars(table: dict[str, dict[str, int]]) -> Any:
    from matplotlib import pyplot

    names = sorted(table)
    figure, axis = pyplot.subplots(figsize=(6.4, 0.5 + 0.42 * len(names)))
    left = np.zeros(len(names))
    for part, colour in (("train", "#2b6cb0"), ("val", "#dd8a1f"), ("test", "#3b7d4f")):
        values = np.array([table[name][part] for name in names], dtype=float)
        axis.barh(range(len(names)), values, left=left, color=colour, label=part)
        left += values
    axis.set_yticks(range(len(names)), names)
    axis.invert_yaxis()
    axis.set_xlabel("images")
    axis.legend(frameon=False)
    axis.spines[["top", "right"]].set_visible(False)
    return figure


def _problems(page: Report, result: Prepared) -> None:
    page.heading("Problems")
    if not result.problems:
        page.text("None: every file is whole, every label known, no duplicate contradicts another.")
        return
    kinds = Counter(kind for _line, _file, kind, _what in result.problems)
    page.table(["problem", "count"], kinds.most_common(), "Problems by kind")
    page.table(
        ["row", "file", "problem", "detail"],
        [[str(line), file, kind, what] for line, file, kind, what in result.problems[:50]],
        "The first 50; all of them are in problems.csv",
    )


def _duplicates(page: Report, result: Prepared) -> None:
    page.heading("Duplicates")
    page.text(
        "Two pictures count as near-duplicates when they agree to a correlation of 0.95 after coarse shading "
        "is taken away, also when one is mirrored or turned by a quarter. They are joined to one group, so a "
        "split never takes them apart."
    )
    across = sorted(result.across(), key=lambda pair: -pair.correlation)
    if not across:
        page.text("No pair lies across the groups that came with the data.")
        return
    page.text(
        f"{len(across)} pairs lie across the groups that came with the data. A split by those groups alone "
        "could have put the same picture into training and test.",
        warn=True,
    )
    items = []
    for pair in across[: _SHOWN // 2]:
        for i, note in ((pair.left, "A"), (pair.right, f"B, {pair.form}, {pair.correlation:.3f}")):
            thumb = result.looks[i].thumb
            if thumb is not None:
                items.append((thumb, f"{note}: {result.labels[i]}, row {result.lines[i]}"))
    page.gallery(items, f"Pairs A and B across given groups, the {len(items) // 2} most alike")


def _probes(page: Report, result: Prepared) -> None:
    page.heading("Shortcuts: how far without looking at the anatomy?")
    page.text(
        "A small model was cross-validated on whole groups with three poor views of each image. What it "
        "reaches, a large network can reach the same way, without having learnt anything about disease."
    )
    _probe_table(page, result.probes, "Telling the labels apart")
    for found in result.probes:
        if found.alarming:
            top = max(found.auc, key=lambda name: found.auc[name]) if found.auc else ""
            best = f", and {top!r} with an AUC of {found.auc[top]:.2f}" if top else ""
            page.text(
                f"From the {found.name} alone the labels are told apart with a balanced accuracy of "
                f"{found.balanced_accuracy:.2f} (chance {found.chance:.2f}){best}. "
                "A model's figures on this data may be partly this.",
                warn=True,
            )
    keys = sorted({key for found in result.probes for key in found.by_source})
    if keys:
        page.table(
            ["source", "label", *(found.name for found in result.probes)],
            [[*key, *(found.by_source.get(key) for found in result.probes)] for key in keys],
            "AUC per label inside one source",
        )
    if result.source_probes:
        _probe_table(page, result.source_probes, "Telling the sources apart")
        best_source = max(result.source_probes, key=lambda found: found.balanced_accuracy)
        if best_source.alarming:
            page.text(
                f"The {best_source.name} gives the source away (balanced accuracy "
                f"{best_source.balanced_accuracy:.2f}, chance {best_source.chance:.2f}). Where labels and "
                "sources go together, test with one source left out.",
                warn=True,
            )
    for sentence in source_warning(result.labels, result.sources):
        page.text(sentence, warn=True)


def _probe_table(page: Report, probes: list[Probe], caption: str) -> None:
    if not probes:
        page.text(f"{caption}: too few groups per class to judge.")
        return
    names = sorted({name for found in probes for name in found.auc})
    page.table(
        ["seen", "balanced accuracy", "chance", *(f"AUC {name}" for name in names)],
        [
            [found.name, found.balanced_accuracy, found.chance, *(found.auc.get(name) for name in names)]
            for found in probes
        ],
        caption,
    )


def _sizes(page: Report, result: Prepared) -> None:
    page.heading("Sizes")
    sizes = Counter((seeing.width, seeing.height) for seeing in result.looks)
    rows = [[f"{width} x {height}", count] for (width, height), count in sizes.most_common(10)]
    page.table(["width x height", "images"], rows, f"The most common of {len(sizes)} sizes")


def _sheets(page: Report, result: Prepared) -> None:
    page.heading("Contact sheets")
    rng = np.random.default_rng(0)
    for label in sorted(set(result.labels)):
        rows = [i for i, name in enumerate(result.labels) if name == label]
        chosen = sorted(rng.permutation(len(rows))[:12])
        items = []
        for i in (rows[position] for position in chosen):
            thumb = result.looks[i].thumb
            if thumb is not None:
                items.append((thumb, f"{label}, row {result.lines[i]}"))
        page.gallery(items, f"{label}: {len(items)} of {len(rows)}, drawn at random")
