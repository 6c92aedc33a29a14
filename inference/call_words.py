"""What likely, possible and unlikely mean, in words for patients. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy

Text = str | Promise


@dataclass(frozen=True)
class CallWords:
    """A call in words: a name, a sentence for the finding, and what the call means."""

    title: Text
    meaning: Text
    icon: str


_CALLS: dict[str, CallWords] = {
    "likely": CallWords(
        gettext_lazy("Likely"),
        gettext_lazy(
            "The signs are strong. In tests, few scans without this condition scored this high. "
            "Still, only a doctor can confirm it."
        ),
        "bi-exclamation-circle-fill",
    ),
    "possible": CallWords(
        gettext_lazy("Possible"),
        gettext_lazy("The signs are weak. The model can neither confirm this nor rule it out."),
        "bi-question-circle-fill",
    ),
    "unlikely": CallWords(
        gettext_lazy("Unlikely"),
        gettext_lazy(
            "The model saw few or no signs of it. In tests, most scans with this condition scored higher. "
            "It can still be wrong."
        ),
        "bi-dash-circle",
    ),
}


_NORMAL_MEANINGS: dict[str, Text] = {
    "likely": gettext_lazy(
        "This is the good answer, and the model is fairly sure of it. It can still have missed something."
    ),
    "possible": gettext_lazy("All may be well, but the model is not sure of it."),
    "unlikely": gettext_lazy("The model does not think that all is clear; see what else it found."),
}


_NORMAL_FOR_ADULTS: Text = gettext_lazy(
    "The model saw no wear of the joint. But it was made for adults' knees, so this says little about a "
    "child's knee."
)


_UNSURE_FOR_ADULTS: Text = gettext_lazy(
    "The model is not sure that there is no wear. It was made for adults' knees, so this says little about a "
    "child's knee."
)


_DOUBTFUL: Text = gettext_lazy(
    "Healthy scans often score as high for this, so take the number as too high. The model can neither "
    "confirm this nor rule it out."
)


_UNTESTED: Text = gettext_lazy(
    "The signs are strong. But with so few pictures of a scan the model was not tested, so trust it less. "
    "Only a doctor can confirm it."
)
_NORMAL_UNTESTED: Text = gettext_lazy(
    "This is the good answer. But with so few pictures of a scan the model was not tested, and it can have "
    "missed something."
)


def call_words(
    call: str,
    *,
    normal: bool = False,
    doubtful: bool = False,
    untested: bool = False,
    for_adults: bool = False,
) -> CallWords:
    """The words for likely, possible or unlikely; `normal` for a finding that says that nothing was found,
    `doubtful` for one that healthy scans are known to look like, `untested` for a scan of a sort that nobody
    has checked the numbers of, `for_adults` for a child's knee.

    Raises KeyError for any other call.
    """
    words = _CALLS[call]
    if for_adults and normal and call != "unlikely":
        return replace(words, meaning=_NORMAL_FOR_ADULTS if call == "likely" else _UNSURE_FOR_ADULTS)
    if untested and call == "likely":
        return replace(words, meaning=_NORMAL_UNTESTED if normal else _UNTESTED)
    if doubtful and call == "possible":
        return replace(words, meaning=_DOUBTFUL)
    return replace(words, meaning=_NORMAL_MEANINGS[call]) if normal else words
