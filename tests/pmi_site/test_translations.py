"""Spanish and Hindi: what patients and doctors read is there, and placeholders are the same."""

import ast
import gettext
import re
from pathlib import Path

import pytest
from django.conf import settings
from django.utils import translation
from django.utils.translation.template import templatize

from accounts.access_log_texts import ACTION_TEXTS
from accounts.consent_texts import TEXTS
from accounts.notices import NOTICE_TEXTS
from cases.models import Case
from pmi_site.library_words import WORDS
from resources.choices import DangerLevel, Kind

BASE = Path(settings.BASE_DIR)
TEMPLATES = BASE / "templates"
# What patients and doctors read; the administration is in English.
PAGES = sorted(
    path
    for path in TEMPLATES.rglob("*")
    if path.suffix in (".html", ".txt") and "admin" not in path.relative_to(TEMPLATES).parts
)
_MESSAGE = re.compile(r"""\bn?gettext\(u?('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")""")
_PLACEHOLDER = re.compile(r"%\(\w+\)[sd]|%%|\{\w+\}|</?\w+[^>]*>")
LANGUAGES = ["es", "hi"]


def catalogue(code: str) -> dict[str, str]:
    path = Path(settings.BASE_DIR) / "locale" / code / "LC_MESSAGES" / "django.mo"
    with path.open("rb") as file:
        return gettext.GNUTranslations(file)._catalog


def phrases_of(page: Path) -> set[str]:
    """The texts of a template as its catalogue names them."""
    calls = _MESSAGE.findall(templatize(page.read_text(encoding="utf-8")))
    return {ast.literal_eval(call) for call in calls}


def said_later() -> set[str]:
    """The messages of modules that put things into words before anybody's language is known."""
    found = set()
    for module in (*BASE.glob("cases/**/*.py"), *BASE.glob("inference/**/*.py")):
        text = module.read_text(encoding="utf-8")
        marked = "_" if "import words as _\n" in text else "gettext_noop"
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == marked:
                found.add(ast.literal_eval(node.args[0]))
    return found


def key_phrases() -> set[str]:
    phrases = {phrase for page in PAGES for phrase in phrases_of(page)} | said_later()
    with translation.override(None):
        phrases |= {
            str(label) for choices in (Kind, DangerLevel, Case.ReviewState) for label in choices.labels
        }
        phrases |= {str(words) for words in (*ACTION_TEXTS.values(), *NOTICE_TEXTS.values(), *WORDS)}
        for text in TEXTS.values():
            phrases |= {str(words) for words in (text.title, *text.points, text.without)}
            phrases |= {str(text.thanks), str(text.goodbye)}
    return phrases


@pytest.mark.parametrize("code", LANGUAGES)
def test_key_phrases_are_translated(code: str) -> None:
    there = catalogue(code)
    singular = {key[0] if isinstance(key, tuple) else key for key, text in there.items() if text}
    assert len(PAGES) > 100 and len(said_later()) > 100
    assert not sorted(key_phrases() - singular)


@pytest.mark.parametrize("code", LANGUAGES)
def test_placeholders_survive(code: str) -> None:
    wrong = [
        english
        for english, text in catalogue(code).items()
        if isinstance(english, str)
        and english
        and sorted(_PLACEHOLDER.findall(english)) != sorted(_PLACEHOLDER.findall(text))
    ]
    assert not wrong


@pytest.mark.parametrize("code", LANGUAGES)
def test_compiled_catalogues_are_those_of_the_sources(code: str) -> None:
    source = Path(settings.BASE_DIR) / "locale" / code / "LC_MESSAGES" / "django.po"
    entries = re.findall(
        r'^(?:msgctxt "(.+)"\n)?msgid "(.+)"\nmsgstr "(.+)"$',
        source.read_text(encoding="utf-8"),
        re.MULTILINE,
    )
    there = catalogue(code)
    stale = [
        english
        for context, english, text in entries
        # A message with a context stands under "context EOT message".
        if there.get((f"{context}\x04" if context else "") + english.replace('\\"', '"'))
        != text.replace('\\"', '"')
    ]
    assert not stale, "run `make messages`"
    assert len(entries) > 600
