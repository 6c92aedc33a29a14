"""Border masks, heat inside the anatomy, and the shortcut probes."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from ml_training.data.manifest import Item
from ml_training.data.probes import foreground, heat_inside, masked_border
from ml_training.data.shortcuts import probe, source_warning
from ml_training.looking import stripped_logits
from ml_training.specs import PreprocessingSpec


def test_masked_border_hides_the_frame_only() -> None:
    image = np.full((2, 20, 30), 9.0)
    image[:, 0] = 255
    masked = masked_border(image, 0.1)
    assert (masked == 9).all() and image[0, 0, 0] == 255
    image[:, 10, 15] = 77
    assert masked_border(image, 0.1)[1, 10, 15] == 77
    assert (masked_border(image, 0) == image).all()
    with pytest.raises(ValueError, match="share"):
        masked_border(image, 0.5)


def test_heat_inside_is_the_share_on_the_bright_disc() -> None:
    y, x = np.mgrid[:64, :64]
    disc = (y - 32) ** 2 + (x - 32) ** 2 < 400
    image = np.where(disc, 150.0, 3.0)
    assert (foreground(image) == disc).all()
    heat = np.zeros((64, 64))
    heat[30:34, 30:34] = 3
    heat[0, :16] = 1
    heat[1] = -50
    assert heat_inside(heat, image) == pytest.approx(48 / 64)
    assert math.isnan(heat_inside(np.zeros((64, 64)), image))
    with pytest.raises(ValueError, match="shape"):
        heat_inside(heat[1:], image)


def test_a_shortcut_is_found_and_noise_is_not() -> None:
    rng = np.random.default_rng(0)
    labels = ["a", "b|x"] * 100
    groups, sources = [str(i // 2) for i in range(200)], ["one"] * 100 + ["two"] * 100
    noise = rng.normal(size=(200, 5))
    told = noise + np.array([[0.0], [3.0]] * 100)
    sure = probe("told", told, labels, groups, sources, 0)
    unsure = probe("noise", noise, labels, groups, sources, 0)
    assert sure.balanced_accuracy > 0.95 and sure.alarming and sure.auc["x"] > 0.97
    assert sure.by_source["two", "a"] > 0.95
    assert abs(unsure.balanced_accuracy - 0.5) < 0.15 and not unsure.alarming
    assert probe("one class", noise, ["a"] * 200, groups, sources, 0) is None


def test_a_probe_keeps_groups_whole() -> None:
    # Ten copies per group with labels by chance: remembering the group would be the only way to be right.
    rng = np.random.default_rng(3)
    marks = rng.normal(size=(40, 6)).repeat(10, 0)
    labels = [str(v) for v in rng.integers(0, 2, 40).repeat(10)]
    found = probe("marks", marks, labels, [str(i // 10) for i in range(400)], [""] * 400, 0)
    assert found.balanced_accuracy < 0.75


def test_a_label_of_one_source_is_said() -> None:
    said = source_warning(["a", "b", "a|c"], ["one", "two", "two"])
    assert [text.split()[1] for text in said] == ["'b'", "'c'"]


def test_a_head_without_its_skull_reaches_the_network(tmp_path: Path) -> None:
    head = np.zeros((64, 64), dtype=np.uint8)
    head[8:56, 8:56] = 90
    head[12:52, 12:52] = 200
    Image.fromarray(head).save(tmp_path / "head.png")
    item = Item(tmp_path / "head.png", (1.0, 0.0, 0.0, 0.0), "a", {"file": "head.png"})
    seen: list[torch.Tensor] = []

    class Network(nn.Module):
        def forward(self, image: torch.Tensor) -> tuple[torch.Tensor]:
            seen.append(image)
            return (image.mean(dim=(1, 2, 3), keepdim=True).flatten(1),)

    logits = stripped_logits(Network(), PreprocessingSpec(size=64), [item])
    assert logits.shape == (1, 1)
    image = seen[0][0, 0]
    assert image[32, 32] > 0.9 and image[9, 9] == 0 and image[32, 9] == 0 and image[13, 13] == 0
