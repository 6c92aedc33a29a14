"""What the style sheets promise to people who see little, or whose browser runs no scripts."""

import re
from pathlib import Path

import pytest
from django.conf import settings

SHEET = (Path(settings.BASE_DIR) / "pmi_site" / "static" / "pmi" / "pmi.css").read_text(encoding="utf-8")
LIGHT, DARK = re.findall(r"--pmi-focus: (#[0-9a-f]{6})", SHEET)


def _luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    """By WCAG 2.2; from 1 to 21."""
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize(
    ("ring", "ground"),
    [
        *[
            (LIGHT, ground)
            for ground in ("#ffffff", "#f7f9f9", "#eaf3f4", *re.findall(r"-wash: (#\w{6})", SHEET))
        ],
        (DARK, "#12191d"),
        (DARK, "#1a2429"),
        (DARK, "#a0111f"),
    ],
)
def test_one_can_see_where_the_focus_is(ring, ground):
    """At least 3 : 1 (WCAG 2.2, 1.4.11): on the pages, on what a danger level colours, in the dark."""
    assert contrast(ring, ground) >= 3


def test_without_scripts_a_phone_has_a_menu():
    rules = re.search(r"@media \(scripting: none\) \{(.+?)\n\}", SHEET, re.DOTALL)
    assert rules is not None
    assert ".site-nav .collapse { display: block; }" in rules.group(1)
    assert ".site-nav .navbar-toggler { display: none; }" in rules.group(1)
