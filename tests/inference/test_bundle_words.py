"""What the makers of the shipped models wrote: every sentence is there to be translated."""

import json
from pathlib import Path

import pytest
from django.utils import translation

from inference import bundle_words

BUNDLES = sorted((Path(bundle_words.__file__).parent / "bundles").glob("*/configs/metadata.json"))


@pytest.mark.parametrize("path", BUNDLES, ids=lambda path: path.parts[-3])
def test_the_sentences_of_the_shipped_bundles_can_be_translated(path: Path) -> None:
    metadata = json.loads(path.read_text(encoding="utf-8"))
    said = [metadata["intended_use"], *metadata["limits"]]
    assert len(said) > 1 and not set(said) - bundle_words.SENTENCES


@pytest.mark.parametrize(
    ("language", "sentence", "text", "lang"),
    [
        ("en", "A limit.", "A limit.", ""),
        ("es", "A limit.", "Un límite.", ""),
        ("es", "Another limit.", "Another limit.", "en"),
        ("en", "Another limit.", "Another limit.", ""),
        ("es", "", "", ""),
    ],
)
def test_a_sentence_without_a_translation_stays_english_and_says_so(
    monkeypatch: pytest.MonkeyPatch, language: str, sentence: str, text: str, lang: str
) -> None:
    told = {"A limit.": "Un límite."} if language == "es" else {}
    monkeypatch.setattr(bundle_words, "gettext", lambda english: told.get(english, english))
    with translation.override(language):
        said = bundle_words.said(sentence)
    assert (said.text, said.lang) == (text, lang)
