"""Danger levels as cases keep them: their order in a worklist. The words and the rules are elsewhere."""

from typing import Final

# Smaller comes first. A scan without an answer needs a human eye before one that is routine.
RANKS: Final[dict[str, int]] = {
    "emergency": 0,
    "urgent": 1,
    "soon": 2,
    "inconclusive": 3,
    "routine": 4,
    "none_found": 5,
}
NOT_READ: Final = 9


def rank(level: str) -> int:
    """The place of a danger level in a worklist; a case that is not read yet comes last."""
    return RANKS.get(level, NOT_READ)
