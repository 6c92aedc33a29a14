"""Questions that a patient can take to the doctor, made from the findings and the knowledge base."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.utils.translation import gettext as _

from inference.calls import NORMAL_CONDITIONS
from inference.presenters import shown_words
from resources.selectors import ConditionGuide

_MOST_NAMED = 3


@dataclass(frozen=True)
class Asked:
    """What the questions are about: one kind of scan."""

    kind_words: str
    raised: tuple[str, ...]  # slugs, the most telling first
    danger: str
    changed: bool  # a finding is clearly higher or lower than before
    is_reviewed: bool  # a doctor has signed a review of the newest reading


def questions(asked: Asked, guides: Sequence[ConditionGuide]) -> list[str]:
    """Questions about one kind of scan, the most important first; `guides` hold the raised conditions."""
    found = [slug for slug in asked.raised if slug not in NORMAL_CONDITIONS]
    by_slug = {guide.condition.slug: guide for guide in guides}
    what = {"what": asked.kind_words}
    if not found:
        return [
            _("The AI found nothing it looks for on my %(what)s. Do you agree?") % what,
            _("What could still cause how I feel, and does it need another test?"),
            _("When should I come back, and when sooner?"),
        ]
    first = {"condition": shown_words(found[0]), "what": asked.kind_words}
    if asked.is_reviewed:
        asks = [_("What does %(condition)s on my %(what)s mean for me?") % first]
    else:
        asks = [
            _("The AI says my %(what)s may show %(condition)s. Do you see that too?") % first,
            _("What else could it be?"),
        ]
    if asked.danger in ("emergency", "urgent"):
        asks.append(_("How fast do we have to act, and what is the first step?"))
    asks.append(_("Which tests do I need to be sure, and how long do they take?"))
    if asked.changed:
        asks.append(_("The number has changed since the scan before. Does that matter?"))
    guide = by_slug.get(found[0])
    names = [treatment.name for treatment in guide.treatments[:_MOST_NAMED]] if guide else []
    if names:
        asks.append(
            _("Would any of these help me: %(names)s? What speaks for and against them?")
            % {"names": "; ".join(names)}
        )
    asks.append(_("What should I expect with treatment, and what without?"))
    if guide and guide.condition.red_flags:
        asks.append(_("Which signs mean that I should get help at once?"))
    asks.append(_("When should the next scan be?"))
    return asks
