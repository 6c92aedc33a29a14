"""Slowing down whoever guesses: wrong tries are counted, and after too many of them even a right one waits.

The counters live in the cache under a hash: whose tries they are is no business of whoever can look into it.
"""

import hashlib
from dataclasses import dataclass

from django.core.cache import cache


@dataclass(frozen=True)
class Misses:
    """Counts the misses of one kind, `most` of them in `seconds` for each `who` (an address, an id)."""

    kind: str
    most: int
    seconds: int

    def too_many(self, who: str) -> bool:
        """Whether this one has to wait."""
        return bool(cache.get(self._key(who), 0) >= self.most)

    def note(self, who: str) -> None:
        """Count one miss."""
        key = self._key(who)
        if not cache.add(key, 1, timeout=self.seconds):
            try:
                cache.incr(key)
            except ValueError:  # it ended between the two
                cache.add(key, 1, timeout=self.seconds)

    def _key(self, who: str) -> str:
        return f"{self.kind}-miss-" + hashlib.sha256(who.encode()).hexdigest()[:32]
