"""The model card of a shipped bundle says which marks make the calls, and which were set by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ml_training.card import model_card

BUNDLES = Path(__file__).parents[2] / "inference" / "bundles"


def metadata(kind: str) -> dict[str, Any]:
    return dict(json.loads((BUNDLES / kind / "configs" / "metadata.json").read_text(encoding="utf-8")))


def test_marks_of_volumes_and_what_was_set_by_hand_are_told() -> None:
    card = model_card(metadata("brain_mri"))
    assert "| glioma (volumes) | 0.1331 | 0.8 | yes |" in card
    assert "never likely there below 0.8, which was set by hand" in card
    assert "since healthy volumes look the same: pituitary 0.5." in card


@pytest.mark.parametrize("kind", ["chest_xray", "knee_xray", "gate"])
def test_films_have_no_such_marks(kind: str) -> None:
    card = model_card(metadata(kind))
    assert "volumes |" not in card and "by hand" not in card
    assert ("| pneumonia (adult) | 0.1597" in card) == (kind == "chest_xray")
