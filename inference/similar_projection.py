"""Shorter vectors for a space: principal components of its own images, evened out. Plain numpy, no database.

A network's embedding varies along few directions. Keeping 128 of 512 or 1,024, each divided by the square
root of its spread (half of whitening), takes a quarter of the space or less and finds images of the same
label about as well (docs/similar.md has the figures).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

REDUCED_DIMS = 128
# Fewer vectors than this say too little about how a space is spread, and need no shortening.
FIT_FROM = 1000
FIT_MOST = 8000
# Where the directions kept hold less of the spread than this, the space keeps its full length.
LEAST_KEPT = 0.95


@dataclass(frozen=True)
class Projection:
    """`mean` (D,) and `axes` (D, K), both float32: unit vectors (N, D) become (N, K). `kept` is the share of
    the spread (0..1) that the K directions hold.
    """

    mean: np.ndarray
    axes: np.ndarray
    kept: float = 1.0

    @classmethod
    def fit(cls, vectors: np.ndarray, dims: int = REDUCED_DIMS) -> Projection:
        """Of at least `dims` vectors (N, D), D > `dims`. Raises ValueError for fewer."""
        if min(vectors.shape) < dims or vectors.shape[1] <= dims:
            raise ValueError(f"{vectors.shape} is too small for {dims} directions")
        own = unit(vectors).astype(np.float64)
        mean = own.mean(axis=0)
        spread, directions = np.linalg.eigh((own - mean).T @ (own - mean) / len(own))
        spread = np.maximum(spread[::-1], 0)
        top, axes = spread[:dims], directions[:, ::-1][:, :dims]
        # The fourth root of the variance is the square root of the standard deviation.
        scale = np.maximum(top, top[0] * 1e-9 + 1e-12) ** 0.25
        kept = float(top.sum() / spread.sum()) if spread.sum() else 0.0
        return cls(mean.astype(np.float32), (axes / scale).astype(np.float32), kept)

    @property
    def source_dims(self) -> int:
        """Length of the vectors that go in."""
        return int(self.axes.shape[0])

    @property
    def dims(self) -> int:
        """Length of the vectors that come out."""
        return int(self.axes.shape[1])

    def apply(self, vectors: np.ndarray) -> np.ndarray:
        """Unit vectors (N, K) float32 of embeddings (N, D). Raises ValueError for another length."""
        if vectors.shape[1] != self.source_dims:
            raise ValueError(f"The projection takes {self.source_dims} numbers, not {vectors.shape[1]}.")
        return unit((unit(vectors) - self.mean) @ self.axes)

    def to_bytes(self) -> bytes:
        """For a database column: the mean, then the axes row by row, little-endian float32."""
        return np.concatenate([self.mean, self.axes.ravel()]).astype("<f4").tobytes()

    @classmethod
    def from_bytes(cls, raw: bytes, dims: int) -> Projection:
        """What `to_bytes` made. Raises ValueError where the length does not fit `dims`."""
        values = np.frombuffer(raw, dtype="<f4")
        source, rest = divmod(len(values), dims + 1)
        if rest or not source:
            raise ValueError("The stored projection is damaged.")
        return cls(values[:source], values[source:].reshape(source, dims))


def unit(vectors: np.ndarray) -> np.ndarray:
    """The same directions (N, D), of length 1."""
    own = np.asarray(vectors, dtype=np.float32)
    return own / np.maximum(np.linalg.norm(own, axis=1, keepdims=True), 1e-9)
