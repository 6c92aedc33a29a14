"""Collecting messages without guesses: no new sentence gets the translation of one that looks alike."""

from django.core.management.commands import makemessages


class Command(makemessages.Command):
    """Django's command, with fuzzy matching switched off."""

    msgmerge_options = [*makemessages.Command.msgmerge_options, "--no-fuzzy-matching"]
