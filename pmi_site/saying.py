"""What was put into words in English, by intake or by a worker, said in the language of who asks now."""

from django.utils.translation import gettext

from pmi_site.words import Words


def say(stored: object) -> str:
    """`stored`: Words, what `Words.stored()` made of them, or plain English that an older version kept."""
    return Words.restored(stored).said(gettext)
