"""The model card: what a bundle is for, what it learnt from, how well it did on whom, and where it
fails."""

from __future__ import annotations

from typing import Any


def model_card(metadata: dict[str, Any]) -> str:
    """Markdown made from a bundle's metadata, so that no figure is typed by hand."""
    images = metadata["images"]
    lines = [
        f"# {metadata['name']} {metadata['version']}",
        "",
        metadata["intended_use"],
        "",
        "It is a research model. No authority has cleared it, and it does not replace a doctor.",
        "",
        "## Limits",
        "",
        *[f"- {limit}" for limit in metadata["limits"]],
        *[f"- `{label['name']}`: {label['limits']}" for label in metadata["labels"] if label["limits"]],
        "",
        "## Data",
        "",
        f"{images['train']} images to learn, {images['val']} to calibrate and to choose thresholds,",
        f"{images['test']} looked at once for the figures below.",
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
        lines += _part(part, figures)
    lines += ["## Operating points", "", "From validation images only, as calibrated probabilities.", ""]
    lines += ["| label | possible from | likely from | becomes a finding |", "|---|---|---|---|"]
    for label in metadata["labels"]:
        claimed = "yes" if label["claimed"] else "no"
        lines.append(
            f"| {label['name']} | {label['high_sensitivity']} | {label['high_specificity']} | {claimed} |"
        )
    return "\n".join(lines) + "\n"


def _part(part: str, figures: dict[str, Any]) -> list[str]:
    lines = [f"### {part}", ""]
    for name, value in figures.items():
        if name == "per_label":
            continue
        if name == "confusion":
            lines.append("- confusion matrix (rows are the truth): " + "; ".join(str(row) for row in value))
        else:
            lines.append(f"- {name.replace('_', ' ')}: {_shown(value)}")
    for label, own in figures.get("per_label", {}).items():
        shown = ", ".join(
            f"{key.replace('_', ' ')} {_shown(value)}" for key, value in own.items() if key != "confusion"
        )
        lines.append(f"- `{label}`: {shown}")
    return [*lines, ""]


def _shown(value: Any) -> str:
    if isinstance(value, dict) and "ci95" in value:
        if not value["ci95"]:
            return str(value["value"])
        return f"{value['value']} [{value['ci95'][0]}, {value['ci95'][1]}]"
    return str(value)
