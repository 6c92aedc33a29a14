"""Spanish and Hindi: what the result page says first is there, and placeholders are the same."""

import gettext
import re
from pathlib import Path

import pytest
from django.conf import settings

from resources.choices import DangerLevel, Kind

# The way of a patient from the first page to the result, and what they read on it.
KEY_TEMPLATES = [
    "404.html",
    "403.html",
    "_navbar.html",
    "account/login.html",
    "account/signup.html",
    "cases/_scans.html",
    "cases/_upload_form.html",
    "cases/_upload_result.html",
    "cases/case_detail.html",
    "cases/case_form.html",
    "cases/case_list.html",
    "inference/_about.html",
    "inference/_banner.html",
    "inference/_card.html",
    "inference/_card_waiting.html",
    "inference/_findings.html",
    "inference/_progress.html",
    "inference/_symptom_alarm.html",
    "inference/_symptom_form.html",
    "inference/_symptom_panel.html",
    "inference/_viewer.html",
    "inference/scan_result.html",
    "inference/symptoms.html",
    "pmi_site/home.html",
    "resources/_guide.html",
    "resources/_resources.html",
    "resources/_review_state.html",
    "resources/_sources.html",
    "resources/_treatments.html",
    "resources/condition_detail.html",
    "resources/condition_list.html",
]
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
    return {phrase.replace("%", "%%") for phrase in phrases}


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
    # A message with a context stands under "context EOT message".
    there = {str(key).rpartition("\x04")[2]: text for key, text in catalogue(code).items()}
    stale = [
        english
        for english, text in entries
        if there.get(english.replace('\\"', '"')) != text.replace('\\"', '"')
    ]
    assert not stale, "run `make messages`"
    assert len(entries) > 600
