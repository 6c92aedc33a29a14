"""Spanish and Hindi: what the result page says first is there, and placeholders are the same."""

import gettext
import re
from pathlib import Path

import pytest
from django.conf import settings

from resources.choices import DangerLevel, Kind

KEY_TEMPLATES = [
    "resources/_guide.html",
    "resources/_review_state.html",
    "resources/_treatments.html",
    "resources/condition_list.html",
]
# Said only once a clinician has read a text, or when the list is empty by mistake.
RARE = {"Read by %(who)s on %(day)s.", "It is due to be read again.", "Nothing has been published yet."}
LANGUAGES = ["es", "hi"]


def catalogue(code: str) -> dict[str, str]:
    path = Path(settings.BASE_DIR) / "locale" / code / "LC_MESSAGES" / "django.mo"
    with path.open("rb") as file:
        return gettext.GNUTranslations(file)._catalog


def key_phrases() -> set[str]:
    phrases = {str(label) for choices in (Kind, DangerLevel) for label in choices.labels}
    for name in KEY_TEMPLATES:
        text = (Path(settings.BASE_DIR) / "templates" / name).read_text(encoding="utf-8")
        phrases |= set(re.findall(r"""\{% translate (?:"([^"]+)") %\}""", text))
        phrases |= set(re.findall(r"""\{% translate (?:'([^']+)') %\}""", text))
    return phrases - RARE


@pytest.mark.parametrize("code", LANGUAGES)
def test_key_phrases_are_translated(code: str) -> None:
    there = catalogue(code)
    assert not sorted(phrase for phrase in key_phrases() if not there.get(phrase))


@pytest.mark.parametrize("code", LANGUAGES)
def test_placeholders_survive(code: str) -> None:
    wrong = [
        english
        for english, text in catalogue(code).items()
        if isinstance(english, str)
        and english
        and sorted(re.findall(r"%\(\w+\)s|\{\w+\}", english))
        != sorted(re.findall(r"%\(\w+\)s|\{\w+\}", text))
    ]
    assert not wrong


@pytest.mark.parametrize("code", LANGUAGES)
def test_compiled_catalogues_are_those_of_the_sources(code: str) -> None:
    source = Path(settings.BASE_DIR) / "locale" / code / "LC_MESSAGES" / "django.po"
    entries = re.findall(r'^msgid "(.+)"\nmsgstr "(.+)"$', source.read_text(encoding="utf-8"), re.MULTILINE)
    there = catalogue(code)
    stale = [
        english
        for english, text in entries
        if there.get(english.replace('\\"', '"')) != text.replace('\\"', '"')
    ]
    assert not stale, "run `make messages`"
    assert len(entries) > 100
