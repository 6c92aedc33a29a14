"""No sentence is put together of pieces that other languages would put in another order or end otherwise."""

import re
from pathlib import Path

import pytest

from tests.pmi_site.test_translations import PAGES, TEMPLATES

_ONE_MESSAGE = re.compile(r"{% blocktranslate.*?{% endblocktranslate %}", re.DOTALL)
# A translated word, then a day or a time. What ends with a colon is a label.
_WORD_THEN_DAY = re.compile(
    r"""{% translate (?:"[^"]*[^":]"|'[^']*[^':]') %}\s*(?:<time[^>]*>)?\s*"""
    r"""{{[^}]*\|(?:date|time|naturaltime)\b"""
)
# Hindi ends a sentence with another sign than ".".
_STOP_BEHIND = re.compile(r"(?:}}|%})(?:</(?!p>|li>|div>)\w+>)*\.(?=[\s<{]|$)", re.MULTILINE)


def rest_of(page: Path) -> str:
    """A template without its messages with values in them."""
    return _ONE_MESSAGE.sub("{% translate 'x:' %}", page.read_text(encoding="utf-8"))


@pytest.mark.parametrize("pattern", [_WORD_THEN_DAY, _STOP_BEHIND], ids=["day", "stop"])
def test_a_sentence_is_one_message(pattern: re.Pattern[str]) -> None:
    found = {
        str(page.relative_to(TEMPLATES)): pattern.findall(text)
        for page in PAGES
        if page.suffix == ".html" and pattern.search(text := rest_of(page))
    }
    assert not found
