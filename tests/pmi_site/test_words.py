"""English sentences that are said in another language later."""

import copy
import json

import pytest
from django.utils import translation

from pmi_site.saying import say
from pmi_site.words import Words, words

READABLE = words("%(first)s or %(last)s", first=(words("a chest"), words("a knee")), last=words("a head"))
SENTENCE = words("This is %(what)s. PMI reads only %(readable)s.", what=words("a foot"), readable=READABLE)


def spanish(message: str) -> str:
    return {"a foot": "un pie", "%(first)s or %(last)s": "%(first)s o %(last)s"}.get(message, message)


def test_as_a_string_it_is_the_english_sentence():
    assert SENTENCE == "This is a foot. PMI reads only a chest, a knee or a head."
    assert isinstance(SENTENCE, str)


def test_every_part_is_translated_and_names_are_not():
    sentence = words("This is %(what)s: %(name)s", what=words("a foot"), name="Foot.dcm")
    assert sentence.said(spanish) == "This is un pie: Foot.dcm"


def test_json_and_copies_give_it_back():
    for back in (Words.restored(json.loads(json.dumps(SENTENCE.stored()))), copy.deepcopy(SENTENCE)):
        assert back == SENTENCE
        assert back.said(spanish) == "This is un pie. PMI reads only a chest, a knee o a head."


@pytest.mark.parametrize("plain", ["The file holds 3 volumes.", "50% of it is blank", ""])
def test_what_an_older_version_kept_is_shown_as_it_is(plain):
    with translation.override("es"):
        assert say(plain) == plain


def test_a_sentence_of_an_older_version_that_is_a_message_is_translated():
    with translation.override("es"):
        assert (
            say("The file does not say how large a pixel is.") == "El archivo no dice cuánto mide un píxel."
        )


def test_nothing_is_nothing():
    assert say({}) == "" and say(None) == ""
