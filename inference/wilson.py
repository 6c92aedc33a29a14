"""Wilson's interval for a share (Wilson 1927, JASA 22:209): honest for few items and near 0 and 1."""

from __future__ import annotations

import math

_Z = 1.959964  # 95 %


def interval(hits: int, of: int) -> tuple[float, float]:
    """Lower and upper bound (0..1) of the 95 % interval of hits / of; (0, 1) where there is nothing."""
    if not of:
        return 0.0, 1.0
    share, square = hits / of, _Z * _Z
    centre = (share + square / (2 * of)) / (1 + square / of)
    half = _Z / (1 + square / of) * math.sqrt(share * (1 - share) / of + square / (4 * of * of))
    return max(0.0, centre - half), min(1.0, centre + half)
