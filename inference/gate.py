"""Which of the kinds that PMI reads is this, if any? The gate network's vote, and its distance statistics.

A softmax alone is sure of anything, so an image must also lie near the training images in the network's own feature
space (Mahalanobis distance, kept in the bundle). A volume's slices vote together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from inference import gate_rules
from inference.gate_rules import Refusal
from inference.registry import READABLE_KINDS

MIN_PROBABILITY = 0.5
# A header that names modality and body part is evidence of its own; then only plainly strange images are turned away.
SUPPORTED_HEADER_SLACK = 1.25
_NEAR_SLICES = 0.4  # share of a volume's slices that must lie near the training images


@dataclass(frozen=True)
class Vote:
    """The gate's opinion: calibrated probability by label, and distance / threshold to each readable kind (<= 1: near).

    `distance` holds one value per image; for a volume the value below which enough slices lie.
    """

    probability: dict[str, float]
    distance: dict[str, float]

    @property
    def kind(self) -> str:
        """The label with the highest probability."""
        return max(self.probability, key=lambda name: self.probability[name])


def vote(names: list[str], probabilities: np.ndarray, embeddings: np.ndarray, metadata: dict[str, Any]) -> Vote:
    """Joins the images' (N, K) probabilities and (N, C) embeddings into one vote."""
    mean = probabilities.mean(axis=0)
    distance: dict[str, float] = {}
    raw = metadata.get("ood")
    if raw:
        from ml_training.ood import OutOfDistribution

        statistics = OutOfDistribution.from_plain(raw)
        ratios = statistics.distances(embeddings) / statistics.threshold
        for column, name in enumerate(statistics.names):
            distance[name] = float(np.quantile(ratios[:, column], _NEAR_SLICES))
    return Vote({name: float(value) for name, value in zip(names, mean, strict=True)}, distance)


def decide(
    opinion: Vote, expected: str | None, *, header_supports: str = "", is_colour: bool = False, floor: float | None = None
) -> str | Refusal:
    """The kind to read the scan as, or why it is not read.

    `header_supports`: the kind that the DICOM header names, if it does. `floor`: the lowest probability that counts.
    """
    kind = opinion.kind
    floor = MIN_PROBABILITY if floor is None else floor
    slack = SUPPORTED_HEADER_SLACK if header_supports == kind else 1.0
    near = opinion.distance.get(kind, 0.0) <= slack
    if kind not in READABLE_KINDS or opinion.probability[kind] < floor or not near:
        return gate_rules.not_recognised(expected, photo=is_colour)
    if expected is not None and kind != expected:
        return gate_rules.wrong_kind(kind, expected)
    return kind
