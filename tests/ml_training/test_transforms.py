"""One preprocessing for training and serving; augmentation stays inside the input range."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ml_training.data.dataset import cached_dataset, load_grey
from ml_training.data.manifest import Item
from ml_training.data.negatives import synthetic_negative
from ml_training.errors import TrainingError
from ml_training.specs import AugmentationSpec, PreprocessingSpec
from ml_training.transforms import (
    LookSwap,
    augmentation,
    ellipse,
    look,
    pad_square,
    serving_transform,
    unpad_square,
)

SPEC = PreprocessingSpec(size=64)


def test_training_and_serving_make_the_same_tensor(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 256, (90, 130), dtype=np.uint8)
    path = tmp_path / "film.png"
    Image.fromarray(image).save(path)
    trained, _ = cached_dataset([Item(path, (1.0,), "g", {})], SPEC)[0]
    served = serving_transform(SPEC)(image.astype(np.float32))
    np.testing.assert_array_equal(np.asarray(trained), served)


@pytest.mark.parametrize("shape", [(10, 300), (300, 10), (64, 64), (7, 7), (513, 511)])
def test_any_shape_becomes_the_network_input(shape: tuple[int, int]) -> None:
    image = np.random.default_rng(1).normal(1000, 300, shape)
    tensor = serving_transform(SPEC)(image)
    assert tensor.shape == (1, 64, 64)
    assert tensor.dtype == np.float32
    assert 0.0 <= tensor.min() and tensor.max() <= 1.0


def test_units_do_not_matter() -> None:
    image = np.random.default_rng(2).random((80, 80))
    first, second = serving_transform(SPEC)(image), serving_transform(SPEC)(image * 4000 - 1000)
    np.testing.assert_allclose(first, second, atol=1e-4)


@pytest.mark.parametrize("image", [np.zeros((50, 60)), np.full((50, 60), 7.0), np.full((50, 60), np.nan)])
def test_a_blank_image_is_black_not_an_error(image: np.ndarray) -> None:
    assert not serving_transform(SPEC)(image).any()


def test_a_stack_is_refused() -> None:
    with pytest.raises(ValueError, match="H, W"):
        serving_transform(SPEC)(np.zeros((3, 50, 60)))


def test_unpad_undoes_pad() -> None:
    image = np.random.default_rng(3).random((31, 50))
    np.testing.assert_array_equal(unpad_square(pad_square(image), 31, 50), image)


def test_augmentation_changes_the_image_within_range() -> None:
    spec = AugmentationSpec(flip=True, bias_field=0.3, border_mask=0.1)
    image = torch.rand(1, 64, 64)
    results = [augmentation(spec, 64)(image.clone()) for _ in range(12)]
    assert all(result.shape == image.shape for result in results)
    assert all(0.0 <= float(result.min()) and float(result.max()) <= 1.0 for result in results)
    assert not all(torch.equal(result, image) for result in results)


def test_elastic_bends_lines_and_an_ellipse_cuts_the_rim() -> None:
    image = torch.zeros(1, 64, 64)
    image[:, :, 30:34] = 1.0
    off = {field.name: 0 for field in dataclasses.fields(AugmentationSpec)} | {"flip": False}
    bend = augmentation(AugmentationSpec(**{**off, "elastic": 0.05}), 64)
    widths = set()
    for seed in range(20):
        bend.set_random_state(seed)
        widths.add(tuple((bend(image.clone())[0] > 0.5).sum(1).tolist()))
    assert len(widths) > 3
    head = np.zeros((64, 64))
    head[10:54, 16:48] = 1.0
    inside = ellipse(head, 0.85)
    assert inside is not None and inside[32, 32] and not inside[11, 17]
    assert 0.3 < inside[10:54, 16:48].mean() < 0.8
    assert ellipse(np.zeros((64, 64)), 0.85) is None


def test_grey_values_are_swapped_and_their_order_and_the_background_kept() -> None:
    random = np.random.default_rng(0)
    image = np.zeros((1, 64, 64), dtype=np.float32)
    image[:, 16:48, 16:48] = random.uniform(0.2, 0.5, (1, 32, 32))
    other = look(random.uniform(0.6, 1.0, (1, 64, 64)))
    assert other is not None
    swap = LookSwap(1.0, other[None])
    swap.set_random_state(1)
    result = swap(torch.from_numpy(image)).numpy()
    inside = result[:, 16:48, 16:48].ravel()
    # Half of the way or more: from 0.2 .. 0.5 towards 0.6 .. 1.0.
    assert inside.min() > 0.39 and inside.max() > 0.74
    assert (np.diff(inside[np.argsort(image[:, 16:48, 16:48].ravel())]) >= 0).all()
    assert (result[image == 0] == 0).all()


def test_a_nearly_black_image_has_no_look_and_is_left_alone() -> None:
    black = torch.zeros(1, 64, 64)
    assert look(black.numpy()) is None
    assert torch.equal(LookSwap(1.0, np.ones((1, 33)))(black), black)


def test_training_draws_looks_from_its_own_items(tmp_path: Path) -> None:
    items = []
    for number, grey in enumerate((60, 120, 180, 0)):
        image = np.zeros((64, 64), dtype=np.uint8)
        image[8:56, 8:56] = grey
        image[20:30, 20:30] = 255 if grey else 0
        path = tmp_path / f"{number}.png"
        Image.fromarray(image).save(path)
        items.append(Item(path, (1.0,), str(number), {}))
    looks = cached_dataset(items, SPEC).looks()
    assert looks.shape == (3, 33)
    assert len({round(float(one[16]), 2) for one in looks}) == 3


@pytest.mark.parametrize("content", [b"", b"not a picture", b"\x89PNG\r\n\x1a\n" + b"\0" * 20])
def test_a_broken_file_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.png"
    path.write_bytes(content)
    with pytest.raises(TrainingError, match=r"broken\.png"):
        load_grey(path)


def test_drawn_negatives_repeat_by_seed_and_differ() -> None:
    images = [synthetic_negative(seed) for seed in range(12)]
    assert all(image.shape == (224, 224) and image.dtype == np.uint8 for image in images)
    np.testing.assert_array_equal(images[5], synthetic_negative(5))
    assert len({image.tobytes() for image in images}) == 12
