"""Data sets: the deterministic preprocessing is done once and cached, augmentation happens on the fly."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from monai.data import CacheDataset
from monai.transforms import Compose, Transform
from PIL import Image
from torch.utils.data import Dataset

from ml_training.data.manifest import Item
from ml_training.data.negatives import changed
from ml_training.errors import TrainingError
from ml_training.specs import PreprocessingSpec
from ml_training.transforms import look, serving_transform


def load_grey(path: Any) -> np.ndarray:
    """Grey image (H, W) float32 of a raster file; 16-bit files keep their range.

    Raises:
        TrainingError: the file is not an image or is cut off.
    """
    try:
        with Image.open(path) as image:
            grey = (
                image
                if image.mode in {"L", "I", "F"} or image.mode.startswith("I;16")
                else image.convert("L")
            )
            return np.asarray(grey, dtype=np.float32)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise TrainingError(f"{path}: not a readable image ({error})") from error


class LoadItem(Transform):
    """Item -> (preprocessed tensor (1, S, S), target (K,))."""

    def __init__(self, spec: PreprocessingSpec, negative: Callable[[int], np.ndarray] | None = None) -> None:
        self._prepare = serving_transform(spec)
        self._negative = negative

    def __call__(self, item: Item) -> tuple[torch.Tensor, torch.Tensor]:
        drawn = item.row.get("synthetic", "")
        image = (
            self._negative(int(drawn)).astype(np.float32)
            if drawn and self._negative
            else load_grey(item.path)
        )
        if item.row.get("change"):
            image = changed(image, item.row["change"])
        return torch.from_numpy(self._prepare(image)), torch.tensor(item.target)


class SeededItems(Dataset):
    """Cached (image (1, S, S), target (K,)) pairs; `(index, seed)` gives the variant that this seed draws.

    Randomness comes with the index and from nowhere else: the same whatever the number of workers, and
    the same again when an interrupted run goes on.
    """

    def __init__(self, cached: CacheDataset, augment: Compose | None) -> None:
        self.cached = cached
        self.augment = augment
        self.cross: Callable[[int, torch.Tensor, int], torch.Tensor] | None = None
        self.transplant: Callable[[Any, Any, int], tuple[torch.Tensor, torch.Tensor]] | None = None

    def __len__(self) -> int:
        return len(self.cached)

    def looks(self, most: int = 512) -> np.ndarray:
        """Grey-value distributions (M, 33) of evenly spread items, for `LookSwap`."""
        found = (
            look(np.asarray(self.cached[index][0])) for index in range(0, len(self), 1 + len(self) // most)
        )
        return np.array([one for one in found if one is not None])

    def __getitem__(self, key: int | tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor]:
        index, seed = key if isinstance(key, tuple) else (key, None)
        image, target = self.cached[index]
        if self.augment is None or seed is None:
            return image, target
        if self.cross is not None:
            image = self.cross(index, image, seed)
        if self.transplant is not None:
            image, target = self.transplant(image, target, seed)
        self.augment.set_random_state(seed)
        # A copy: some transforms write into what they are given, which would spoil the cached image for good.
        return torch.as_tensor(self.augment(image.clone())), target


def cached_dataset(
    items: Sequence[Item],
    spec: PreprocessingSpec,
    augment: Compose | None = None,
    negative: Callable[[int], np.ndarray] | None = None,
) -> SeededItems:
    """A data set of (image (1, S, S), target (K,)) pairs, preprocessed once in memory.

    Raises:
        TrainingError: names an image that cannot be read.
    """
    try:
        cached = CacheDataset(
            list(items),
            Compose([LoadItem(spec, negative)], map_items=False),
            cache_rate=1.0,
            num_workers=min(8, os.cpu_count() or 1),
            progress=False,
            copy_cache=False,
        )
    except RuntimeError as error:  # MONAI's words about what failed in a transform
        if isinstance(error.__cause__, TrainingError):
            raise error.__cause__ from None
        raise
    return SeededItems(cached, augment)
