"""One preprocessing for training, validation and serving, and the augmentation that only training adds."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from monai.transforms import (
    Compose,
    Rand2DElastic,
    RandAdjustContrast,
    RandAffine,
    RandBiasField,
    RandCoarseDropout,
    RandFlip,
    RandGaussianNoise,
    RandGaussianSmooth,
    RandHistogramShift,
    Randomizable,
    Resize,
    ScaleIntensityRangePercentiles,
)

from ml_training.framing import Window, cut, window
from ml_training.specs import AugmentationSpec, PreprocessingSpec


def pad_square(image: np.ndarray) -> np.ndarray:
    """Centre `image` (H, W) on a square of its larger side, filled with its smallest value."""
    height, width = image.shape
    side = max(height, width)
    if height == width:
        return image
    canvas = np.full((side, side), image.min(), dtype=image.dtype)
    top, left = (side - height) // 2, (side - width) // 2
    canvas[top : top + height, left : left + width] = image
    return canvas


def unpad_square(square: np.ndarray, height: int, width: int) -> np.ndarray:
    """Inverse of `pad_square` on a map of the same square size as the padded image."""
    side = square.shape[0]
    top, left = (side - height) // 2, (side - width) // 2
    return square[top : top + height, left : left + width]


class ServingTransform:
    """Maps a 2D image (H, W) in any units to a float32 array (1, size, size) in 0..1; see
    `PreprocessingSpec`."""

    def __init__(self, spec: PreprocessingSpec) -> None:
        self.spec = spec
        self._resize = Resize((spec.size, spec.size), mode="area")
        self._enlarge = Resize((spec.size, spec.size), mode="bilinear", align_corners=False)
        self._scale = ScaleIntensityRangePercentiles(
            spec.lower_percentile, spec.upper_percentile, b_min=0.0, b_max=1.0, clip=True
        )

    def window(self, images: Sequence[np.ndarray]) -> Window | None:
        """What to look at in slices (H, W) of one scan, alike for all; None without `margins`."""
        if not self.spec.margins:
            return None
        return window([np.nan_to_num(np.asarray(one, np.float32)) for one in images], *self.spec.margins)

    def __call__(self, image: np.ndarray, framed: Window | None = None) -> np.ndarray:
        """`framed` is the window of the scan that a slice belongs to; without it the image's own counts."""
        if image.ndim != 2:
            raise ValueError(f"expected an image of shape (H, W), got {image.shape}")
        image = np.nan_to_num(np.asarray(image, dtype=np.float32))
        seen = framed or self.window([image])
        square = torch.from_numpy(pad_square(image if seen is None else cut(image, seen)))[None]
        resize = self._resize if square.shape[-1] >= self.spec.size else self._enlarge
        small = torch.as_tensor(np.asarray(resize(square)))
        if float(small.max() - small.min()) < 1e-6:
            return np.zeros((1, self.spec.size, self.spec.size), dtype=np.float32)
        return np.ascontiguousarray(self._scale(small), dtype=np.float32)


def serving_transform(spec: PreprocessingSpec) -> ServingTransform:
    """The deterministic preprocessing of a bundle."""
    return ServingTransform(spec)


class BorderMask(Randomizable):
    """Blacks out a random frame: films carry letters, collimator edges and wires there, which must not be
    learnt."""

    def __init__(self, largest: float) -> None:
        self.largest = largest

    def __call__(self, image: torch.Tensor) -> torch.Tensor:
        if self.R.rand() < 0.5:
            return image
        side = image.shape[-1]
        top, bottom, left, right = (int(self.R.rand() * self.largest * side) for _ in range(4))
        masked = torch.zeros_like(image)
        masked[:, top : side - bottom, left : side - right] = image[
            :, top : side - bottom, left : side - right
        ]
        return masked


def ellipse(image: np.ndarray, shrink: float) -> np.ndarray | None:
    """Mask (H, W) of an ellipse around the bright part of an image (H, W) in 0..1, its half axes times
    `shrink`; None where hardly anything is bright.
    """
    bright = np.argwhere(image > 0.15)
    if len(bright) < 32:
        return None
    (top, left), (bottom, right) = np.percentile(bright, 2, axis=0), np.percentile(bright, 98, axis=0)
    half = shrink * np.array([bottom - top, right - left]) / 2 + 1.0
    rows, columns = np.ogrid[: image.shape[0], : image.shape[1]]
    away = ((rows - (top + bottom) / 2) / half[0]) ** 2 + ((columns - (left + right) / 2) / half[1]) ** 2
    return np.asarray(away <= 1.0)


class EllipseMask(Randomizable):
    """Keeps an ellipse around the bright part, as brain extraction leaves it: the skull must not be what a
    network lives on."""

    def __init__(self, prob: float) -> None:
        self.prob = prob

    def __call__(self, image: torch.Tensor) -> torch.Tensor:
        if self.R.rand() >= self.prob:
            return image
        inside = ellipse(np.asarray(image[0]), self.R.uniform(0.78, 0.98))
        return image if inside is None else image * torch.as_tensor(inside, dtype=image.dtype)


_BACKGROUND = 0.08
_QUANTILES = np.linspace(0.0, 1.0, 33)


def look(image: np.ndarray) -> np.ndarray | None:
    """How the grey values of an image (1, H, W) in 0..1 are distributed: 33 quantiles of what is brighter
    than the background, None where hardly anything is.
    """
    bright = image[image > _BACKGROUND]
    return np.quantile(bright, _QUANTILES) if bright.size >= 64 else None


def remap(image: np.ndarray, own: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Grey values of an image whose look is `own`, distributed as `other` says (both (33,), see `look`)."""
    # From black on, so that the background stays and the order of the grey values is kept.
    return np.interp(image, np.concatenate([[0.0], own]), np.concatenate([[0.0], other]))


class LookSwap(Randomizable):
    """Remaps the grey values so that they are distributed as in another image, by histogram matching, or part
    of the way there. `looks` (M, 33) are those to draw from, see `look`.

    Collections differ in their grey values as much as in what they show. Where any image may come with any
    distribution, it gives nothing away.
    """

    def __init__(self, prob: float, looks: np.ndarray) -> None:
        self.prob = prob
        self.looks = looks

    def __call__(self, image: torch.Tensor) -> torch.Tensor:
        if self.R.rand() >= self.prob:
            return image
        other = self.looks[self.R.randint(len(self.looks))]
        far = self.R.uniform(0.5, 1.0)
        grey = np.asarray(image)
        own = look(grey)
        if own is None:
            return image
        return torch.as_tensor(((1 - far) * grey + far * remap(grey, own, other)).astype(np.float32))


def augmentation(spec: AugmentationSpec, size: int, looks: np.ndarray | None = None) -> Compose:
    """Random transforms for a preprocessed tensor (1, size, size) in 0..1; the result stays in 0..1.

    `looks` (M, 33) are the distributions for `look_swap`, which without them does nothing.
    """
    steps: list[Callable] = []
    if spec.flip:
        steps.append(RandFlip(prob=0.5, spatial_axis=1))
    low, high = -spec.scale, spec.scale
    steps.append(
        RandAffine(
            prob=0.9,
            rotate_range=float(np.deg2rad(spec.rotate_degrees)),
            shear_range=(spec.shear, spec.shear),
            scale_range=((low - spec.stretch, high + spec.stretch), (low, high)),
            translate_range=(spec.translate * size, spec.translate * size),
            padding_mode="zeros",
            cache_grid=True,
            spatial_size=(size, size),
        )
    )
    if spec.elastic:
        steps.append(
            Rand2DElastic(
                spacing=(size / 8, size / 8),
                magnitude_range=(0.0, spec.elastic * size),
                prob=0.3,
                padding_mode="zeros",
                spatial_size=(size, size),
            )
        )
    if spec.look_swap and looks is not None and len(looks):
        steps.append(LookSwap(spec.look_swap, looks))
    if spec.bias_field:
        steps.append(RandBiasField(degree=2, coeff_range=(0.0, spec.bias_field), prob=0.25))
    if spec.histogram_shift:
        steps.append(RandHistogramShift(num_control_points=(4, 8), prob=spec.histogram_shift))
    if spec.gamma:
        steps.append(RandAdjustContrast(prob=0.7, gamma=(1 / (1 + spec.gamma), 1 + spec.gamma)))
    if spec.blur:
        steps.append(RandGaussianSmooth(sigma_x=(0.2, spec.blur), sigma_y=(0.2, spec.blur), prob=0.2))
    if spec.noise:
        steps.append(RandGaussianNoise(prob=0.3, std=spec.noise))
    if spec.dropout_holes:
        hole = max(2, size // 10)
        steps.append(
            RandCoarseDropout(
                holes=1, max_holes=spec.dropout_holes, spatial_size=hole, fill_value=0.0, prob=0.25
            )
        )
    if spec.ellipse_mask:
        steps.append(EllipseMask(spec.ellipse_mask))
    if spec.border_mask:
        steps.append(BorderMask(spec.border_mask))
    return Compose([*steps, _unit_range])


def _unit_range(image: torch.Tensor) -> torch.Tensor:
    return torch.as_tensor(np.asarray(image)).clamp_(0.0, 1.0)
