"""The model card: what a bundle is for, what it learnt from, how well it did on whom, and where it
fails."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ml_training.pooling import LIKELY_VOLUME


def model_card(metadata: dict[str, Any]) -> str:
    """Markdown made from a bundle's metadata, so that no figure is typed by hand."""
    images = metadata["images"]
    lines = [
        f"# {metadata['name']} {metadata['version']}",
        "",
        metadata["intended_use"],
        "",
        "It is a research model. No authority has cleared it, and it does not replace a doctor.",
        "What a reporting guideline asks for stands in [CLAIM.md](CLAIM.md).",
        "",
        "## Limits",
        "",
        *[f"- {limit}" for limit in metadata["limits"]],
        *[f"- `{label['name']}`: {label['limits']}" for label in metadata["labels"] if label["limits"]],
        "",
        "## Data",
        "",
        *_images(images),
        "No patient and no cluster of near-duplicates stands on two sides.",
        "",
        "| data set | licence | citation |",
        "|---|---|---|",
        *[
            f"| {d.get('name', '')} | {d.get('licence', '')} | {d.get('citation', '')} |"
            for d in metadata["training_data"]
        ],
        "",
        "## Figures on the test images",
        "",
        "Brackets hold the 95 % interval of a bootstrap over patients (or clusters).",
        "",
    ]
    for part, figures in metadata["eval_metrics"].items():
        lines += _gate(figures) if part == "gate" else _part(part, figures)
    lines += _robustness(metadata) + _calibration(metadata) + _points(metadata)
    return "\n".join(lines) + "\n"


def _images(images: Mapping[str, int]) -> list[str]:
    if images["val"]:
        learnt = f"{images['train']} images to learn, {images['val']} to calibrate and to choose thresholds,"
    else:
        learnt = (
            f"{images['train']} images to learn and, by cross-validation, to calibrate and choose thresholds,"
        )
    return [learnt, f"{images['test']} kept apart for the figures below."]


def _chosen_on(metadata: Mapping[str, Any]) -> str:
    """The images that calibration and thresholds come from."""
    if metadata["images"]["val"]:
        return "validation images"
    return "images that a cross-validation's networks had not learnt from"


def _part(part: str, figures: Mapping[str, Any]) -> list[str]:
    lines = []
    for name, value in figures.items():
        if name == "confusion":
            lines.append("- confusion matrix (rows are the truth): " + "; ".join(str(row) for row in value))
        elif name != "per_label" and (shown := _shown(value)):
            lines.append(f"- {_words(name)}: {shown}")
    for label, own in figures.get("per_label", {}).items():
        if not own.get("images"):
            continue
        known = [
            f"{_words(key)} {shown}"
            for key, value in own.items()
            if key != "confusion" and (shown := _shown(value))
        ]
        if known:
            lines.append(f"- `{label}`: {', '.join(known)}")
    return [f"### {part}", "", *lines, ""]


def _gate(figures: Mapping[str, Any]) -> list[str]:
    """The gate's own figures; AUROCs are those of the distance in feature space alone."""
    lines = ["### Let in or turned away", ""]
    for name, value in figures.items():
        if not isinstance(value, Mapping | list) and (shown := _shown(value)):
            lines.append(f"- {_words(name)}: {shown}")
    if figures.get("not_measured"):
        lines.append(f"- not measured, for want of images: {', '.join(figures['not_measured'])}")
    tables = {
        "by_kind_of_wrong_input": ["images", "near", "refused", "auroc"],
        "by_anatomy": ["images", "right", "refused", "auroc_other_anatomy"],
    }
    for table, columns in tables.items():
        rows = figures.get(table, {})
        if rows:
            lines += ["", *_table([_words(table), *columns], rows)]
    return [*lines, ""]


def _robustness(metadata: Mapping[str, Any]) -> list[str]:
    lines = []
    heat = metadata.get("heatmaps") or {}
    if heat.get("images"):
        lines += [
            f"- heatmap mass on the body: {heat['inside']} (mean), {heat['inside_worst_tenth']} (worst "
            f"tenth), over {heat['images']} diseased test images; the body covers {heat['area']} of the "
            "picture, which is what a map that knew nothing would have"
        ]
    found = metadata.get("retrieval") or {}
    if found.get("map_at_5") is not None:
        lines.append(
            f"- similar images: mAP@5 {found['map_at_5']}, nearest one right {found['precision_at_1']}, over "
            f"{found['images']} test images, images of the same group left out"
        )
    head = ["## Where it looks, and what its embedding finds", "", *lines, ""] if lines else []
    masked = metadata.get("border_masked") or {}
    if masked:
        head += _part("The same test images with their outer 12 % masked", masked)
    stripped = metadata.get("skull_cut_off") or {}
    if stripped:
        head += _part("The same test images with the skull cut off (an ellipse inside the head)", stripped)
    return head


def _calibration(metadata: Mapping[str, Any]) -> list[str]:
    quality = metadata.get("calibration_quality") or {}
    if not quality:
        return []
    lines = [
        "## Calibration",
        "",
        f"On {_chosen_on(metadata)}, by {quality['method']}: every image judged by a calibration that was "
        "fitted without its group. `before` is the network's own answer, `common` one calibration for all, "
        "`after` the one that is shipped. `by chance` is the error that exact probabilities would show on so "
        "few images.",
    ]
    ages = sorted((metadata.get("calibration") or {}).get("ages", {}))
    if ages:
        lines += ["", f"Calibrated apart: {', '.join(ages)}. Every other age takes the common one."]
    for part, labels in quality["parts"].items():
        lines += ["", f"### {part}, expected calibration error", ""]
        columns = ["images", "ece_before", "ece_common", "ece_after", "ece_by_chance"]
        lines += _table(["label", *columns], labels)
    return [*lines, ""]


def _points(metadata: Mapping[str, Any]) -> list[str]:
    source = f"From {_chosen_on(metadata)} only, as calibrated probabilities."
    lines = ["## Operating points", "", source, ""]
    lines += ["| label | possible from | likely from | becomes a finding |", "|---|---|---|---|"]
    by_age = metadata.get("operating_points_by_age") or {}
    pooling = metadata.get("pooling") or {}
    of_volumes = pooling.get("operating_points") or {}
    for label in metadata["labels"]:
        ages = f"for: {', '.join(label['ages'])}" if label.get("ages") else "yes"
        claimed = ages if label["claimed"] else "no"
        rows = {"": label} | {
            f" ({age})": own[label["name"]]
            for age, own in [*by_age.items(), ("volumes", of_volumes)]
            if label["name"] in own
        }
        lines += [
            f"| {label['name']}{age} | {own['high_sensitivity']} | {own['high_specificity']} | {claimed} |"
            for age, own in rows.items()
        ]
    lines += ["", "PMI may be more careful than these marks, see `inference/calls.py`."]
    if of_volumes:
        lines.append(
            "Those of volumes come from simulated ones, and a disease is never likely there below "
            f"{LIKELY_VOLUME}, which was set by hand: there were no labelled volumes."
        )
    ceilings = zip(metadata["labels"], pooling.get("ceilings") or [], strict=False)
    if doubtful := [f"{label['name']} {top}" for label, top in ceilings if top < 1]:
        lines.append(
            "Most that a volume's probability can be, set by hand, since healthy volumes look the same: "
            + ", ".join(doubtful)
            + "."
        )
    return lines


def _table(columns: list[str], rows: Mapping[str, Mapping[str, Any]]) -> list[str]:
    lines = ["| " + " | ".join(_words(column) for column in columns) + " |", "|---" * len(columns) + "|"]
    for name, own in rows.items():
        lines.append("| " + " | ".join([str(name), *[_shown(own.get(c)) or "" for c in columns[1:]]]) + " |")
    return lines


def _words(name: str) -> str:
    return name.replace("_", " ")


def _shown(value: Any) -> str:
    """A figure in words, with its interval where there is one; empty where nothing was measured."""
    if isinstance(value, Mapping) and "value" in value:
        if value["value"] is None:
            return ""
        ends = value.get("ci95")
        return f"{value['value']} [{ends[0]}, {ends[1]}]" if ends else str(value["value"])
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else str(value)
