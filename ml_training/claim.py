"""What the reporting guidelines CLAIM (Tejani et al. 2024, doi:10.1148/ryai.240300) and TRIPOD+AI (Collins et
al. 2024, doi:10.1136/bmj-2023-078378) ask of a model, answered from its metadata. What was not done is said.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

NOT_DONE = "not done"
NOT_KNOWN = "not known"


def claim_table(metadata: Mapping[str, Any]) -> str:
    """`docs/CLAIM.md`: one row per item, in our own words, with honest blanks."""
    sections: list[tuple[str, list[tuple[str, str]]]] = [
        ("Title and purpose", _purpose(metadata)),
        ("Data", _data(metadata)),
        ("Truth", _truth(metadata)),
        ("Partitions", _partitions(metadata)),
        ("Model", _model(metadata)),
        ("Training", _training(metadata)),
        ("Evaluation", _evaluation(metadata)),
        ("Use and afterwards", _use()),
    ]
    lines = [
        f"# Reporting table of {metadata['name']} {metadata['version']}",
        "",
        "The items of CLAIM (2024 update) and TRIPOD+AI in short words. Written by the program from the "
        f"bundle's metadata: `{NOT_DONE}` means that nobody did it, `{NOT_KNOWN}` that the data do not say.",
    ]
    for title, rows in sections:
        lines += ["", f"## {title}", "", "| item | answer |", "|---|---|"]
        lines += [f"| {item} | {' '.join(answer.split())} |" for item, answer in rows]
    return "\n".join(lines) + "\n"


def _purpose(metadata: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [
        (
            "Kind of study",
            "retrospective, on public data sets: development and internal test",
        ),
        ("Intended use and users", metadata["intended_use"]),
        (
            "Place in the clinical path",
            "before or beside a doctor's reading; it decides nothing alone",
        ),
        ("Hypothesis, sample size planned beforehand", NOT_DONE),
        ("Protocol registered beforehand", NOT_DONE),
        ("Ethics approval", "the public data sets' own; none was sought for this work"),
    ]


def _data(metadata: Mapping[str, Any]) -> list[tuple[str, str]]:
    sets = "; ".join(f"{d.get('name', '')} ({d.get('licence', '')})" for d in metadata["training_data"])
    size, margins = metadata["preprocessing"]["size"], metadata["preprocessing"].get("margins")
    framed = "the flat margin around it replaced by one of a set width, " if margins else ""
    return [
        ("Data sources", sets or NOT_KNOWN),
        ("Dates and places of acquisition", "as far as the data sets' papers say; not repeated here"),
        ("Inclusion and exclusion", "every readable image of the sets; near-duplicates stay in one group"),
        (
            "Sources told apart in the figures",
            _parts_named(metadata, "source") or "only one, or not told apart",
        ),
        ("Age", _parts_named(metadata, "age_group") or NOT_KNOWN),
        ("Sex, ethnicity, comorbidity", NOT_KNOWN),
        ("Scanners and protocols", NOT_KNOWN),
        ("De-identification", "by the publishers of the data sets; pixels are not part of the bundle"),
        ("Missing labels", "a label that a source cannot know is left out, never taken as a negative"),
        (
            "Preprocessing",
            f"grey, {framed}padded to a square, {size} x {size} pixels, intensities between two percentiles; "
            "the same code in training and serving",
        ),
        ("Shortcuts looked for", "brightness, frame, an 8 x 8 thumbnail alone (ml_training/README.md)"),
    ]


def _truth(metadata: Mapping[str, Any]) -> list[tuple[str, str]]:
    unclaimed = [label["name"] for label in metadata["labels"] if not label["claimed"]]
    return [
        ("Reference standard", "the labels that the data sets publish"),
        ("Who read, with what experience", NOT_KNOWN),
        ("Agreement between readers", NOT_KNOWN),
        ("Labels checked again for this work", NOT_DONE),
        ("Labels", ", ".join(label["name"] for label in metadata["labels"])),
        ("Labels that are never reported as a finding", ", ".join(unclaimed) or "none"),
    ]


def _partitions(metadata: Mapping[str, Any]) -> list[tuple[str, str]]:
    images = metadata["images"]
    return [
        ("Images to learn, to validate, to test", f"{images['train']}, {images['val']}, {images['test']}"),
        (
            "Level of the split",
            "whole patients or clusters of near-duplicates",
        ),
        (
            "Test images used once",
            "no: they are looked at with every version, and rules were revised with their figures in view; "
            "weights, calibration and thresholds are fitted without them",
        ),
        ("External test set", NOT_DONE),
    ]


def _model(metadata: Mapping[str, Any]) -> list[tuple[str, str]]:
    network = metadata["network"]
    return [
        (
            "Architecture",
            f"MONAI DenseNet, first layer {network['init_features']}, growth {network['growth_rate']}, "
            f"blocks {', '.join(map(str, network['block_config']))}",
        ),
        (
            "Output",
            f"{metadata['activation']} over {len(metadata['labels'])} labels, calibrated "
            f"({metadata['calibration']['method']})",
        ),
        (
            "Software",
            f"MONAI {metadata['monai_version']}, PyTorch {metadata['pytorch_version']}; code of "
            f"revision {metadata.get('source_revision') or NOT_KNOWN}",
        ),
        ("Weights available", "yes, with this bundle"),
    ]


def _training(metadata: Mapping[str, Any]) -> list[tuple[str, str]]:
    how = metadata.get("training") or {}
    augmentation = [
        f"{key.replace('_', ' ')} {value}" for key, value in how.get("augmentation", {}).items() if value
    ]
    return [
        ("Start", how.get("init") or "random weights"),
        (
            "Epochs, batch, learning rate",
            ", ".join(str(how.get(key, NOT_KNOWN)) for key in ("epochs", "batch_size", "learning_rate")),
        ),
        ("Augmentation", ", ".join(augmentation) or NOT_KNOWN),
        ("Teachers", ", ".join(how.get("teachers", [])) or "none"),
        ("Seed", str(how.get("seed", NOT_KNOWN))),
        (
            "Choice of the final model",
            "lowest validation loss of one run" if metadata["images"]["val"] else "last epoch of one run",
        ),
        ("Cross-validation", how.get("cross_validation") or NOT_DONE),
    ]


def _evaluation(metadata: Mapping[str, Any]) -> list[tuple[str, str]]:
    parts = ", ".join(metadata["eval_metrics"])
    quality = metadata.get("calibration_quality") or {}
    heat = metadata.get("heatmaps") or {}
    return [
        ("Figures and intervals", "in README.md; 95 % bootstrap over patients or clusters"),
        ("Parts that are reported apart", parts),
        ("Fairness by sex or ethnicity", NOT_DONE),
        ("Calibration", "in README.md, " + quality["method"] if quality else NOT_DONE),
        (
            "Decision thresholds",
            "two per label, from validation images; what was set by hand for volumes is in README.md",
        ),
        (
            "Explanation",
            "class activation maps; share of their mass on the body: "
            + str(heat.get("inside", "not measured")),
        ),
        ("Robustness", "border masked, in README.md" if metadata.get("border_masked") else NOT_DONE),
        ("Failure analysis", "the worst mistakes of `evaluate --out`; not reviewed by a radiologist"),
        ("Comparison with doctors", NOT_DONE),
        ("Comparison with other models", "with earlier versions, in ml_training/README.md"),
        ("Prospective or clinical study", NOT_DONE),
    ]


def _use() -> list[tuple[str, str]]:
    return [
        ("Limits", "in README.md, and beside every reading"),
        ("Input that it must not read", "refused by a gate model, by label and by distance"),
        ("Monitoring after release", "doctors' reviews are kept beside the readings; no drift alarm"),
        ("Regulatory clearance", "none"),
        ("Funding, interests of the authors", NOT_KNOWN),
        ("Patients took part in the design", NOT_DONE),
    ]


def _parts_named(metadata: Mapping[str, Any], column: str) -> str:
    """The values of a column that the figures were split by."""
    parts = [part.partition(": ") for part in metadata["eval_metrics"]]
    return ", ".join(value for name, _, value in parts if name == column)
