"""Curated text is plain text. Anything that looks like HTML is taken out before it is stored."""

import html
import re

import nh3

_MARKUP = re.compile(r"<[A-Za-z/!?]|&[#A-Za-z]")


def plain(text: str) -> str:
    """`text` without tags, scripts and entities; "a < 5" stays as it is.

    Entities are decoded and the result is read again, so that markup written as entities goes as well.
    """
    for _round in range(5):
        if not _MARKUP.search(text):
            return text
        cleaned = html.unescape(nh3.clean(text, tags=set()))
        if cleaned == text:
            return text
        text = cleaned
    # Still changing after five rounds: somebody nests entities on purpose.
    return text.replace("<", "").replace(">", "")


def plain_value(value: object) -> object:
    """The same for a text, a list of texts or a mapping of them; anything else is returned as it is."""
    if isinstance(value, str):
        return plain(value)
    if isinstance(value, list):
        return [plain_value(item) for item in value]
    if isinstance(value, dict):
        return {key: plain_value(item) for key, item in value.items()}
    return value
