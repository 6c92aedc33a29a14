"""Halves of mirrored heads are exchanged for those of similar heads, and of nothing else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from ml_training.data.crossing import Crossing, cross
from ml_training.data.manifest import Item
from ml_training.labels import task_of
from tests.ml_training.test_mirror import SIDE, head

TASK = task_of("brain_mri")
NONE = TASK.names.index("none")


def picture(*spots: tuple[int, int], seed: int = 0) -> np.ndarray:
    """A symmetric head in 0..1, as `mirror` makes them."""
    left = head(*spots)[:, : SIDE // 2] / 255
    noisy = np.clip(left + np.random.default_rng(seed).normal(0, 0.02, left.shape), 0, 1)
    return np.concatenate([noisy, noisy[:, ::-1]], axis=1).astype(np.float32)


def item(label: str, original: str, plane: str = "axial", shows: str = "") -> Item:
    row = {
        "file": f"{original}_{label}",
        "label": label,
        "original": original,
        "plane": plane,
        "shows": shows,
    }
    return Item(Path(row["file"]), tuple(TASK.target(row)), f"heads:{original}", row)


ITEMS = [
    item("none", "a"),
    item("glioma", "a"),
    item("none", "b"),
    item("glioma", "b"),
    item("none", "c", plane="coronal"),
    item("none", "d", shows="sella"),
    item("pituitary", "e"),
    item("pituitary", "f"),
    Item(Path("g"), tuple(TASK.target({"label": "none"})), "heads:g", {"label": "none", "plane": "axial"}),
]
IMAGES = {
    n: picture((90, 60), seed=n) if one.row["label"] == "glioma" else picture(seed=n)
    for n, one in enumerate(ITEMS)
    if one.row.get("original")
}


@pytest.fixture
def crossing() -> Crossing:
    return Crossing(1.0, ITEMS, IMAGES, NONE)


def test_halves_come_from_heads_of_the_same_plane_and_note_without_a_tumour(crossing: Crossing) -> None:
    assert crossing.others[0] == [2] and crossing.others[2] == [0]
    assert crossing.others[4] == [] and crossing.others[5] == []


def test_beside_a_tumour_stands_another_heads_healthy_half(crossing: Crossing) -> None:
    assert crossing.others[1] == [2]
    crossed = np.asarray(crossing(1, torch.from_numpy(IMAGES[1])[None], seed=0)[0])
    assert crossed[80:100, 55:65].mean() > 0.7
    assert crossed[80:100, SIDE - 65 : SIDE - 55].mean() < 0.6


def test_tumours_of_the_midline_are_crossed_with_each_other_only(crossing: Crossing) -> None:
    assert crossing.others[6] == [7] and crossing.others[7] == [6]


def test_the_left_half_stays_and_symmetry_goes(crossing: Crossing) -> None:
    before = torch.from_numpy(IMAGES[0])[None]
    after = crossing(0, before, seed=0)
    assert after.shape == before.shape and after.dtype == torch.float32
    assert torch.equal(after[..., : SIDE // 2 - 6], before[..., : SIDE // 2 - 6])
    assert not torch.allclose(after, after.flip(-1), atol=0.01)
    assert torch.equal(crossing(0, before, seed=0), after)


def test_what_mirror_did_not_make_is_left_alone(crossing: Crossing) -> None:
    image = torch.from_numpy(picture())[None]
    assert crossing(8, image, seed=0) is image
    assert crossing(4, image, seed=0) is image


def test_it_happens_as_often_as_asked() -> None:
    never, half = (Crossing(prob, ITEMS, IMAGES, NONE) for prob in (0.0, 0.5))
    image = torch.from_numpy(IMAGES[0])[None]
    assert all(never(0, image, seed) is image for seed in range(20))
    assert 20 < sum(half(0, image, seed) is not image for seed in range(80)) < 60


def test_a_head_of_another_size_is_fitted() -> None:
    small = np.zeros((SIDE, SIDE), dtype=np.float32)
    small[24:-24, 24:-24] = picture()[::4, ::4].repeat(3, 0).repeat(3, 1)
    crossed = cross(picture(), small)
    assert crossed is not None
    assert np.abs(crossed - picture())[:, SIDE // 2 + 8 :].mean() < 0.1


def test_an_empty_picture_is_not_crossed() -> None:
    assert cross(np.zeros((SIDE, SIDE), dtype=np.float32), picture()) is None
