"""Is this image like anything the network has seen? Distances in its own embedding space, not softmax
confidence.

Class-conditional Gaussians with one shared covariance in a reduced space (Lee et al. 2018,
arXiv:1807.03888).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.covariance import ledoit_wolf


@dataclass(frozen=True)
class OutOfDistribution:
    """Mahalanobis distance to the nearest class mean after a linear projection.

    `projection` (C, D), `offset` (C,), `means` (classes, D), `precision` (D, D); an embedding farther than
    `threshold` from every mean is unlike the training images.
    """

    offset: np.ndarray
    projection: np.ndarray
    means: np.ndarray
    precision: np.ndarray
    threshold: float
    names: tuple[str, ...]

    def distances(self, embedding: np.ndarray) -> np.ndarray:
        """Distances (N, classes) of embeddings (N, C), in standard deviations."""
        reduced = (np.asarray(embedding, dtype=np.float64) - self.offset) @ self.projection
        away = reduced[:, None, :] - self.means[None]
        squared = np.einsum("nkd,de,nke->nk", away, self.precision, away)
        return np.asarray(np.sqrt(np.maximum(squared, 0)))

    def to_plain(self) -> dict[str, Any]:
        return {
            "method": "mahalanobis",
            "names": list(self.names),
            "offset": self.offset.round(6).tolist(),
            "projection": self.projection.round(6).tolist(),
            "means": self.means.round(6).tolist(),
            "precision": self.precision.round(6).tolist(),
            "threshold": round(self.threshold, 4),
        }

    @classmethod
    def from_plain(cls, raw: dict[str, Any]) -> OutOfDistribution:
        offset, projection, means, precision = (
            np.asarray(raw[key], dtype=np.float64) for key in ("offset", "projection", "means", "precision")
        )
        return cls(offset, projection, means, precision, float(raw["threshold"]), tuple(raw["names"]))


def fit(
    train: np.ndarray,
    train_class: np.ndarray,
    val: np.ndarray,
    names: tuple[str, ...],
    kept: float,
    dims: int = 24,
) -> OutOfDistribution:
    """Fit on training embeddings (N, C) with classes (N,).

    `kept` is the share of validation embeddings that the threshold lets through.
    The projection whitens the leading principal components, which is where a small network keeps its
    classes.
    """
    offset = train.mean(0)
    _, scale, axes = np.linalg.svd(train - offset, full_matrices=False)
    dims = min(dims, len(scale))
    projection = axes[:dims].T / (scale[:dims] / np.sqrt(len(train)) + 1e-6)
    reduced = (train - offset) @ projection
    means = np.stack([reduced[train_class == k].mean(0) for k in range(len(names))])
    covariance, _ = ledoit_wolf(reduced - means[train_class])
    fitted = OutOfDistribution(offset, projection, means, np.linalg.inv(covariance), np.inf, names)
    threshold = float(np.quantile(fitted.distances(val).min(1), kept))
    return OutOfDistribution(offset, projection, means, fitted.precision, threshold, names)
