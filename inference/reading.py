"""What the engine hands back: plain data, no Django models, no files."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

Call = Literal["likely", "possible", "unlikely"]
READABLE_KINDS: tuple[str, ...] = ("brain_mri", "chest_xray", "knee_xray")


@dataclass(frozen=True)
class LabelFinding:
    """One claimed label of a reading.

    `heatmap` has the shape of the scan's canonical array (X, Y, Z), uint8, 0..255 for "no support" to "most
    support"; None where a map would mean nothing (an unlikely finding, or a label that says that nothing was
    found).
    """

    label: str
    condition: str
    probability: float
    call: Call
    heatmap: np.ndarray | None = None


@dataclass(frozen=True)
class Reading:
    """The engine's answer for one scan: `succeeded` with findings, or `rejected` with a reason a user can act
    on.
    """

    status: Literal["succeeded", "rejected"]
    kind: str = ""
    model: str = ""
    version: str = ""
    model_sha256: str = ""
    reason_code: str = ""
    reason: str = ""
    findings: tuple[LabelFinding, ...] = ()
    probabilities: dict[str, float] = field(default_factory=dict)
    key_slice: int | None = None
    key_plane: str = ""
    slices_read: int = 0
    embedding: np.ndarray | None = None
    timings_ms: dict[str, float] = field(default_factory=dict)
    # By label, from where on it is possible and likely; None: never likely.
    marks: dict[str, tuple[float, float | None]] = field(default_factory=dict)
    gate_distance: float | None = None  # in units of the gate's own limit; None where it was not asked

    @property
    def top(self) -> LabelFinding | None:
        """The most telling finding, or None."""
        return self.findings[0] if self.findings else None
