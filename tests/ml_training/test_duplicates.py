"""The same picture is found in any form; different pictures are not joined."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from ml_training.data.duplicates import FORMS, exact_pairs, form_of, near_pairs, united


def pictures(count: int) -> np.ndarray:
    rng = np.random.default_rng(7)
    values = gaussian_filter(rng.normal(size=(count, 48, 48)), (0, 2, 2)) * 300 + 128
    return np.clip(values, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("form", range(8))
def test_a_turned_brighter_noisy_copy_is_found(form: int) -> None:
    thumbs = pictures(30)
    copy = form_of(thumbs[4], form) * 0.8 + 30 + np.random.default_rng(1).normal(0, 2, (48, 48))
    pairs = near_pairs(np.concatenate([thumbs, np.clip(copy, 0, 255).astype(np.uint8)[None]]))
    assert [(pair.left, pair.right) for pair in pairs] == [(4, 30)]
    # `form` tells how the later picture is turned to fit: a quarter turn is undone by the other one.
    undone = {5: 6, 6: 5}.get(form, form)
    assert pairs[0].form == FORMS[undone]


def test_different_pictures_and_short_lists_make_no_pairs() -> None:
    assert near_pairs(pictures(60)) == []
    assert near_pairs(pictures(1)) == []


def test_exact_pairs_point_to_the_first() -> None:
    assert [(p.left, p.right) for p in exact_pairs(["a", "b", "a", "a"])] == [(0, 2), (0, 3)]


def test_links_are_followed_to_the_end() -> None:
    assert united(6, [(4, 5), (1, 2), (2, 4)]) == [0, 1, 1, 3, 1, 1]
