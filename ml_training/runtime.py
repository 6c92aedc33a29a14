"""Running a bundle with ONNX Runtime on the CPU.

No torch at run time, except to export a bundle on its first use.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ml_training.bundle import Bundle


@dataclass(frozen=True)
class Outputs:
    """One forward pass over N images: logits (N, K), features (N, C, h, w) >= 0, embedding (N, C)."""

    logits: np.ndarray
    features: np.ndarray
    embedding: np.ndarray


class OnnxClassifier:
    """A bundle's network; thread-safe, since ONNX Runtime sessions are."""

    def __init__(self, bundle: Bundle, cache_dir: Path, threads: int = 0) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        self.bundle = bundle
        self._session = onnxruntime.InferenceSession(
            str(bundle.onnx(cache_dir)), options, providers=["CPUExecutionProvider"]
        )

    def run(self, batch: np.ndarray) -> Outputs:
        """Read a batch (N, 1, S, S) float32 in 0..1, as `serving_transform` makes it."""
        logits, features, embedding = self._session.run(
            None, {"image": np.ascontiguousarray(batch, dtype=np.float32)}
        )
        return Outputs(np.asarray(logits), np.asarray(features), np.asarray(embedding))


@dataclass(frozen=True)
class GateVerdict:
    """What the gate thinks one image is.

    `label` is the most probable of the gate's labels. `accepted` is False if that is `other`, if the
    probability is below the gate's own bound, or if the embedding lies farther from the known kinds than
    `distance_limit`.
    """

    label: str
    probability: float
    distance: float
    distance_limit: float
    accepted: bool


def gate_verdicts(bundle: Bundle, outputs: Outputs) -> list[GateVerdict]:
    """A verdict per image of a pass through the gate bundle."""
    probs = bundle.predict_probabilities(outputs.logits)
    bound = float(bundle.metadata["gate"]["min_probability"])
    ood = bundle.ood
    distances = ood.distances(outputs.embedding).min(1) if ood else np.zeros(len(probs))
    limit = ood.threshold if ood else np.inf
    verdicts = []
    for row, distance in zip(probs, distances, strict=True):
        label = bundle.label_names[int(row.argmax())]
        top = float(row.max())
        accepted = label != "other" and top >= bound and float(distance) <= limit
        verdicts.append(GateVerdict(label, top, float(distance), float(limit), accepted))
    return verdicts
