"""Sentences that are made in English, far from the person who will read them, and said in that person's
language later.

A worker does not know who will open a result, and a note is kept for years; so what is kept is the message
and the values in it. Modules import `words as _`: gettext's tools then find the messages.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Value = Any  # str, int, float, Words, or a tuple of Words, said one after the other with commas


class Words(str):
    """An English sentence that remembers its message (`msgid`) and the `values` in it, so that it can be said
    in other languages. As a string it is the English one.
    """

    msgid: str
    values: Mapping[str, Value]

    def __new__(cls, msgid: str, values: Mapping[str, Value] | None = None) -> Words:
        """`msgid` holds `%(name)s` for each of `values`; without values a percent sign is only that."""
        self = super().__new__(cls, _filled(msgid, values or {}, str))
        self.msgid, self.values = msgid, dict(values or {})
        return self

    def said(self, translate: Callable[[str], str]) -> str:
        """The sentence in the language of `translate`, a function from message to message (gettext)."""
        return _filled(self.msgid, self.values, translate)

    def stored(self) -> dict[str, Any]:
        """What JSON can hold; `restored` is the way back."""
        return {"text": self.msgid, "values": {name: _stored(value) for name, value in self.values.items()}}

    @classmethod
    def restored(cls, stored: object) -> Words:
        """Out of `stored()`, of Words, or of a plain English sentence, which may be a message by itself."""
        if isinstance(stored, Words):
            return stored
        if isinstance(stored, Mapping):
            values = stored.get("values") or {}
            return cls(
                str(stored.get("text", "")), {name: _restored(value) for name, value in values.items()}
            )
        return cls(str(stored or ""))


def words(msgid: str, **values: Value) -> Words:
    """A sentence with its values, e.g. `_("%(count)d files", count=3)`."""
    return Words(msgid, values)


def _filled(msgid: str, values: Mapping[str, Value], translate: Callable[[str], str]) -> str:
    text = translate(msgid) if msgid else ""  # gettext says its own header for an empty message
    return text % {name: _said(value, translate) for name, value in values.items()} if values else text


def _said(value: Value, translate: Callable[[str], str]) -> Any:
    if isinstance(value, tuple):
        return ", ".join(_said(one, translate) for one in value)
    return value.said(translate) if isinstance(value, Words) else value


def _stored(value: Value) -> Any:
    if isinstance(value, tuple):
        return [_stored(one) for one in value]
    return value.stored() if isinstance(value, Words) else value


def _restored(value: Any) -> Value:
    if isinstance(value, list):
        return tuple(_restored(one) for one in value)
    return Words.restored(value) if isinstance(value, Mapping) else value
