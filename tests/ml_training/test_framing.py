"""Frames around an image do not reach the network, and heatmaps find back to where they belong."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from ml_training.errors import TrainingError
from ml_training.framing import Window, cut, flat_margins, put_back, window
from ml_training.specs import PreprocessingSpec
from ml_training.transforms import serving_transform

SPEC = PreprocessingSpec(size=64, margins=(0.05, 0.1))


def body(height: int = 120, width: int = 100, seed: int = 0) -> np.ndarray:
    """Something rough up to its very rim, 20 to 230."""
    rough = gaussian_filter(np.random.default_rng(seed).normal(size=(height, width)), 2)
    return (20 + 210 * (rough - rough.min()) / np.ptp(rough)).astype(np.float32)


@pytest.mark.parametrize("value", [0.0, 128.0, 255.0])
def test_a_frame_of_any_grey_changes_nothing(value: float) -> None:
    prepare = serving_transform(SPEC)
    plain = prepare(body())
    framed = np.pad(body(), ((30, 5), (0, 60)), constant_values=value)
    # The margins are of the nearest width allowed, so what is inside lies within a pixel or two.
    seen = window([framed], 0.05, 0.1)
    assert (seen.top, seen.bottom, seen.left, seen.right) == (30, 150, 0, 100)
    assert seen.margins == (12, 6, 6, 12)
    assert np.abs(prepare(cut(framed, seen)) - prepare(framed)).max() < 1e-6
    assert np.abs(plain.mean() - prepare(framed).mean()) < 0.06
    unframed = serving_transform(dataclasses.replace(SPEC, margins=()))
    assert np.abs(unframed(body()).mean() - unframed(framed).mean()) > 0.08


def test_noise_in_the_air_and_small_letters_do_not_hide_a_margin() -> None:
    rng = np.random.default_rng(1)
    framed = np.pad(body(240, 200), ((40, 40), (60, 60)), constant_values=5.0)
    framed += rng.normal(0, 4, framed.shape).astype(np.float32)
    found = flat_margins(framed)
    assert np.abs(np.array(found) - (40, 40, 60, 60)).max() <= 3
    framed[10:18, 20:28] = 250
    assert np.abs(np.array(flat_margins(framed)) - (40, 40, 60, 60)).max() <= 3


def test_an_image_without_margins_gets_the_least_and_keeps_all_of_itself() -> None:
    seen = window([body()], 0.05, 0.1)
    assert seen == Window(0, 120, 0, 100, (6, 6, 6, 6))
    framed = cut(body(), seen)
    assert framed.shape == seen.shape == (132, 112) and framed.min() == framed[0, 0] == body().min()
    np.testing.assert_array_equal(framed[6:-6, 6:-6], body())


@pytest.mark.parametrize("image", [np.zeros((50, 60)), np.pad(body(8, 8), 60), np.full((3, 2000), 7.0)])
def test_where_hardly_anything_is_to_be_seen_nothing_is_cut(image: np.ndarray) -> None:
    height, width = image.shape
    assert window([image], 0.05, 0.1) == Window(0, height, 0, width, (0, 0, 0, 0))


def test_the_slices_of_a_volume_share_a_window() -> None:
    crown = np.pad(body(40, 40, seed=2), ((60, 60), (60, 60)))
    middle = np.pad(body(100, 120, seed=3), ((30, 30), (20, 20)))
    air = np.random.default_rng(4).normal(0, 1, (160, 160)).clip(0).astype(np.float32)
    seen = window([air, crown, middle, air], 0.05, 0.1)
    assert (seen.top, seen.bottom, seen.left, seen.right) == (30, 130, 20, 140)
    prepare = serving_transform(SPEC)
    assert (prepare(crown, seen)[0] > 0.01).mean() < 0.5 * (prepare(crown)[0] > 0.01).mean()


def test_large_films_are_measured_in_blocks() -> None:
    rough = np.kron(body(25, 20), np.ones((100, 100), dtype=np.float32))
    framed = np.pad(rough, ((200, 104), (0, 304)))
    assert np.abs(np.array(flat_margins(framed)) - (200, 104, 0, 304)).max() <= 16


def test_a_map_is_put_back_where_it_was_cut_out() -> None:
    image = np.pad(body(), ((30, 5), (0, 60)))
    seen = window([image], 0.05, 0.1)
    np.testing.assert_array_equal(put_back(cut(image, seen), seen, *image.shape), image)


@pytest.mark.parametrize("margins", [(0.1,), (0.2, 0.1), (-0.1, 0.1), (0.1, 0.6)])
def test_margins_that_make_no_sense_are_refused(margins: tuple[float, ...]) -> None:
    with pytest.raises(TrainingError, match="preprocessing.margins"):
        PreprocessingSpec(margins=margins)
