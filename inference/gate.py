"""Which of the kinds that PMI reads is this, if any? The gate network's vote, and its distance statistics.

A softmax alone is sure of anything, so an image must also lie near the training images in the network's own
feature space (Mahalanobis distance, kept in the bundle). A volume's slices vote together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from inference import gate_rules
from inference.gate_rules import Refusal
from inference.registry import READABLE_KINDS

if TYPE_CHECKING:
    from ml_training.bundle import Bundle
    from ml_training.runtime import Outputs

# A header that names modality and body part is evidence of its own; then only plainly strange images are
# turned away.
SUPPORTED_HEADER_SLACK = 1.25
# Real colour is no film's: only a picture that the gate is very sure of (a film with coloured marks on it)
# passes.
COLOUR_FLOOR = 0.95
_FEWEST_SLICES = 3
_NEAR_SLICES = 0.4  # share of a volume's slices that must lie near the training images


@dataclass(frozen=True)
class Vote:
    """The gate's opinion: calibrated probability by label, and the distance to the nearest readable kind.

    `distance` is in units of the gate's own limit (at most 1 is near); for a volume, the value below which
    enough slices lie. `floor` is the lowest probability that the gate trusts.
    """

    probability: dict[str, float]
    distance: float = 0.0
    floor: float = 0.5

    @property
    def kind(self) -> str:
        """The label with the highest probability."""
        return max(self.probability, key=lambda name: self.probability[name])


def vote(bundle: Bundle, outputs: Outputs) -> Vote:
    """Joins one pass of the gate over the images of a scan into one vote."""
    mean = bundle.predict_probabilities(outputs.logits).mean(axis=0)
    distance = 0.0
    if bundle.ood is not None:
        ratios = bundle.ood.distances(outputs.embedding).min(axis=1) / bundle.ood.threshold
        distance = float(np.quantile(ratios, _NEAR_SLICES))
    return Vote(
        {name: float(value) for name, value in zip(bundle.label_names, mean, strict=True)},
        distance,
        float((bundle.metadata.get("gate") or {}).get("min_probability", 0.5)),
    )


def familiar(bundle: Bundle, outputs: Outputs, kind: str) -> np.ndarray:
    """Which images (N,) of a scan of this kind look, one by one, like those that its model learnt from.

    Outer slices of a volume show what no training image does: neck, chin, the rim of a brain without skull.
    All of them where the gate has no distance or fewer than three would be left: the scan as a whole was
    accepted then, and its slices say nothing of their own.
    """
    if bundle.ood is None or kind not in bundle.ood.names or kind not in bundle.label_names:
        return np.ones(len(outputs.embedding), dtype=bool)
    ratio = bundle.ood.distances(outputs.embedding)[:, bundle.ood.names.index(kind)] / bundle.ood.threshold
    probability = bundle.predict_probabilities(outputs.logits)[:, bundle.label_names.index(kind)]
    floor = float((bundle.metadata.get("gate") or {}).get("min_probability", 0.5))
    kept = (ratio <= 1.0) & (probability >= floor)
    return kept if kept.sum() >= _FEWEST_SLICES else np.ones_like(kept)


def decide(
    opinion: Vote, expected: str | None, *, header_supports: str = "", is_colour: bool = False
) -> str | Refusal:
    """The kind to read the scan as, or why it is not read.

    `header_supports`: the kind that the DICOM header names, if it does.
    """
    kind = opinion.kind
    near = opinion.distance <= (SUPPORTED_HEADER_SLACK if header_supports == kind else 1.0)
    floor = max(opinion.floor, COLOUR_FLOOR) if is_colour else opinion.floor
    if kind not in READABLE_KINDS or opinion.probability[kind] < floor or not near:
        return gate_rules.not_recognised(expected, photo=is_colour)
    if expected is not None and kind != expected:
        return gate_rules.wrong_kind(kind, expected)
    return kind
