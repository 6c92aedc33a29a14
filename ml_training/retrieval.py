"""How well an embedding finds images of the same label: precision among the nearest neighbours."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_CHUNK = 512


def retrieval(
    embeddings: np.ndarray, labels: Sequence[str], groups: Sequence[str], k: int = 5
) -> dict[str, float | int | None]:
    """mAP@k and P@1 by cosine similarity of embeddings (N, C), neighbours of the same group left out.

    Average precision at k is the mean of the precision at each of the first k ranks that holds a hit, over
    min(k, number of images of that label in other groups). Images without any such image are not counted.
    """
    unit = embeddings / np.maximum(np.linalg.norm(embeddings, axis=1, keepdims=True), 1e-12)
    label = np.unique(np.asarray(labels), return_inverse=True)[1]
    group = np.unique(np.asarray(groups), return_inverse=True)[1]
    scores, first = [], []
    for start in range(0, len(unit), _CHUNK):
        rows = np.arange(start, min(start + _CHUNK, len(unit)))
        similarity = unit[rows] @ unit.T
        other = group[rows, None] != group[None]
        similarity[~other] = -np.inf
        possible = (other & (label[rows, None] == label[None])).sum(axis=1)
        depth = min(k, similarity.shape[1])
        nearest = np.argsort(-similarity, axis=1, kind="stable")[:, :depth]
        hit = (label[nearest] == label[rows, None]) & np.isfinite(
            np.take_along_axis(similarity, nearest, axis=1)
        )
        precision = hit.cumsum(axis=1) / np.arange(1, depth + 1)
        counted = possible > 0
        scores += ((precision * hit).sum(axis=1)[counted] / np.minimum(possible, k)[counted]).tolist()
        first += hit[counted, 0].astype(float).tolist()
    return {
        "images": len(scores),
        f"map_at_{k}": round(float(np.mean(scores)), 4) if scores else None,
        "precision_at_1": round(float(np.mean(first)), 4) if first else None,
    }
