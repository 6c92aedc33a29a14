"""The order in which a run sees its items: a function of seed and epoch alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from torch import distributed
from torch.utils.data import Sampler


class EpochSampler(Sampler[tuple[int, int]]):
    """Yields (index, seed of its augmentation) for one epoch.

    `weights` draws items with replacement in these proportions; without them every item comes once.
    Lightning calls `set_epoch`, so a run that goes on in epoch 7 draws what an unbroken one draws there.
    Under DDP every process takes its own share, of the same length for all.
    """

    def __init__(self, count: int, seed: int, weights: Sequence[float] | None = None) -> None:
        self.count = count
        self.seed = seed
        self.weights = None if weights is None else np.asarray(weights) / np.sum(weights)
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that the next pass belongs to."""
        self.epoch = epoch

    def __len__(self) -> int:
        return -(-self.count // _world()[1])

    def __iter__(self) -> Iterator[tuple[int, int]]:
        random = np.random.default_rng([self.seed, self.epoch])
        if self.weights is None:
            order = random.permutation(self.count)
        else:
            order = random.choice(self.count, self.count, p=self.weights)
        rank, size = _world()
        # The last share is filled up with the first items: all processes must take the same number of steps.
        order = np.resize(order, len(self) * size)
        seeds = random.integers(2**31, size=len(order))
        for place in range(rank, len(order), size):
            yield int(order[place]), int(seeds[place])


class SeededOrder(Sampler[tuple[int, int]]):
    """All items once, in their order, each with a seed for its augmentation."""

    def __init__(self, count: int, seed: int) -> None:
        self.seeds = np.random.default_rng(seed).integers(2**31, size=count)

    def __len__(self) -> int:
        return len(self.seeds)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        for index, seed in enumerate(self.seeds):
            yield index, int(seed)


def _world() -> tuple[int, int]:
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return 0, 1
