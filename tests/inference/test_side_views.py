"""Chest films from the side are refused in words before any network runs."""

import pytest

from inference import gate_rules
from tests.inference.test_gate_rules import film


@pytest.mark.parametrize(
    ("modality", "part", "view", "expected", "code"),
    [
        ("DX", "CHEST", "LL", "chest_xray", "side_view"),
        ("CR", "CHEST", "LATERAL", None, "side_view"),
        ("CR", "", "RL", "chest_xray", "side_view"),
        ("SC", "THORAX", "LL", None, "side_view"),
        ("CR", "CHEST", "PA", "chest_xray", None),
        ("CR", "CHEST", "LLD", "chest_xray", None),  # lying on the left, taken from the front
        ("CR", "CHEST", "LL", "knee_xray", "wrong_kind"),
        ("CR", "KNEE", "LATERAL", "knee_xray", None),
        ("CR", "", "LATERAL", None, None),
        ("CR", "", "LATERAL", "knee_xray", None),
    ],
)
def test_side_views_of_the_chest(modality, part, view, expected, code):
    refusal = gate_rules.header_refusal(film(modality=modality, body_part=part, view=view), expected)
    assert (refusal.code if refusal else None) == code
    if code == "side_view":
        assert "from the side" in refusal.reason and "from the front" in refusal.reason
