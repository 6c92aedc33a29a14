"""How a reading is put into words: probabilities, calls, danger levels and waiting times.

Pure: no database, no request. A probability is never shown as 0 or 100 %: no model can promise that.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from datetime import timedelta

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, gettext_noop, ngettext, pgettext

from inference.call_words import CallWords as CallWords
from inference.call_words import Text as Text
from inference.call_words import call_words as call_words
from inference.calls import NORMAL_CONDITIONS

_SHORTEST_LEAD = 25  # characters; a shorter first sentence does not stand on its own
# Hindi ends sentences with a danda and has no capitals; Spanish questions begin with "¿".
_SENTENCE_END = re.compile(r"(?<=[.!?।])\s+(?=[^\W\d_a-záéíóúñ]|[¿¡])")


# --- probabilities --------------------------------------------------------------------------------
@dataclass(frozen=True)
class Chance:
    """A probability as counted scans: `count` of `base`; `limit` says that it is fewer or more."""

    count: int
    base: int
    limit: str = ""  # "" | "fewer" | "more"

    @property
    def words(self) -> str:
        """For example "about 8 in 10", "fewer than 1 in 100", "more than 99 in 100"."""
        values = {"count": self.count, "base": self.base}
        if self.limit == "fewer":
            return _("fewer than %(count)s in %(base)s") % values
        if self.limit == "more":
            return _("more than %(count)s in %(base)s") % values
        return _("about %(count)s in %(base)s") % values


def chance(probability: float) -> Chance:
    """Turn a probability 0..1 into counted scans. Raises ValueError outside 0..1 and for not-a-number."""
    if not 0.0 <= probability <= 1.0:  # also false for not-a-number
        raise ValueError(f"a probability is between 0 and 1, not {probability!r}")
    if probability < 0.01:
        return Chance(1, 100, "fewer")
    if probability > 0.99:
        return Chance(99, 100, "more")
    if probability < 0.095 or probability >= 0.905:
        return Chance(_half_up(probability * 100), 100)
    return Chance(_half_up(probability * 10), 10)


def chance_words(probability: float) -> str:
    """A probability in words; see `chance`."""
    return chance(probability).words


def bar_value(probability: float) -> int:
    """Length of a probability's bar in per cent, 1..99."""
    return max(1, min(99, _half_up(probability * 100)))


# In the middle of a sentence: "... about 8 in 10 show <these words>".
_SHOWN: dict[str, Text] = {
    "glioma": gettext_lazy("a glioma"),
    "meningioma": gettext_lazy("a meningioma"),
    "pituitary-tumour": gettext_lazy("a tumour of the pituitary gland"),
    "no-brain-tumour": gettext_lazy("none of the tumours it knows"),
    "pneumonia": gettext_lazy("pneumonia"),
    "bacterial-pneumonia": gettext_lazy("pneumonia caused by bacteria"),
    "viral-pneumonia": gettext_lazy("pneumonia caused by a virus"),
    "covid-19-pneumonia": gettext_lazy("COVID-19 in the lung"),
    "no-chest-finding": gettext_lazy("none of the findings it knows"),
    "knee-oa-0": gettext_lazy("no wear of the joint"),
    "knee-oa-1": gettext_lazy("doubtful wear of the joint"),
    "knee-oa-2": gettext_lazy("mild wear of the joint"),
    "knee-oa-3": gettext_lazy("moderate wear of the joint"),
    "knee-oa-4": gettext_lazy("severe wear of the joint"),
}


def shown_words(condition: str) -> str:
    """A condition slug as the object of "a scan shows ..."; an unknown slug becomes its own words."""
    return str(_SHOWN.get(condition, condition.replace("-", " ")))


def finding_sentence(probability: float, condition: str) -> str:
    """What a calibrated probability says, and of what: scans with such a score, not this person's fate."""
    text = _("Of scans that look like this one to the model, %(chance)s show %(condition)s.")
    if condition in NORMAL_CONDITIONS:  # some languages say "do not show any"
        text = pgettext(
            "nothing", "Of scans that look like this one to the model, %(chance)s show %(condition)s."
        )
    return text % {"chance": chance_words(probability), "condition": shown_words(condition)}


def _half_up(value: float) -> int:
    return math.floor(value + 0.5 + 1e-9)


# --- danger levels --------------------------------------------------------------------------------
@dataclass(frozen=True)
class DangerWords:
    """A danger level in words: a label, a headline, what to do when the rules gave nothing, an icon."""

    level: str
    label: Text
    title: Text
    next_step: Text
    icon: str


_DANGER: dict[str, DangerWords] = {
    words.level: words
    for words in (
        DangerWords(
            "emergency",
            gettext_lazy("Emergency"),
            gettext_lazy("This may be an emergency"),
            gettext_lazy("Call your emergency number now, or go to the nearest emergency department."),
            "bi-telephone-fill",
        ),
        DangerWords(
            "urgent",
            gettext_lazy("Urgent"),
            gettext_lazy("A doctor should look at this without delay"),
            gettext_lazy("See a doctor today or tomorrow and take this scan with you."),
            "bi-exclamation-triangle-fill",
        ),
        DangerWords(
            "soon",
            gettext_lazy("See a doctor soon"),
            gettext_lazy("A doctor should look at this soon"),
            gettext_lazy(
                "Book a doctor's visit within the next one to two weeks and take this scan with you."
            ),
            "bi-calendar-event-fill",
        ),
        DangerWords(
            "routine",
            gettext_lazy("No hurry"),
            gettext_lazy("No hurry, but worth talking about"),
            gettext_lazy("Bring this up at your next doctor's visit."),
            "bi-chat-dots-fill",
        ),
        DangerWords(
            "none_found",
            gettext_lazy("Nothing found"),
            gettext_lazy("The model found none of the things it looks for"),
            gettext_lazy(
                "Let a doctor confirm this. If you feel ill, see a doctor whatever this result says."
            ),
            "bi-check-circle-fill",
        ),
        DangerWords(
            "inconclusive",
            gettext_lazy("No answer"),
            gettext_lazy("The model could not give an answer"),
            gettext_lazy("Show the scan to a doctor. If you feel ill, do not wait for a reading."),
            "bi-question-diamond-fill",
        ),
    )
}


def danger_words(level: str) -> DangerWords:
    """The words for a danger level; an empty or unknown level is inconclusive, never reassuring."""
    return _DANGER.get(level, _DANGER["inconclusive"])


# Once a doctor has signed: who says it, and no advice to let a doctor look first.
_BY_DOCTOR: dict[str, tuple[Text, Text]] = {
    "emergency": (
        gettext_lazy("Your doctor says: this is an emergency"),
        gettext_lazy("Call your emergency number now, or go to the nearest emergency department."),
    ),
    "urgent": (
        gettext_lazy("Your doctor says: this needs care without delay"),
        gettext_lazy(
            "See a doctor today, or tomorrow at the latest if your doctor said so, and take this scan with "
            "you. If you get worse, call your local emergency number."
        ),
    ),
    "soon": (
        gettext_lazy("Your doctor says: this needs care soon"),
        # No number of days: a chest film cannot wait as long as a knee.
        gettext_lazy(
            "See a doctor when your doctor said, and take this scan with you. If no time was named, ask "
            "today when to come. If you get worse, get help at once."
        ),
    ),
    "routine": (
        gettext_lazy("Your doctor says: there is no hurry"),
        gettext_lazy("Talk about it at your next doctor's visit. If you feel worse, go sooner."),
    ),
    "none_found": (
        gettext_lazy("Your doctor found nothing here that needs care"),
        gettext_lazy("If you feel ill, see a doctor whatever this result says."),
    ),
    "inconclusive": (
        gettext_lazy("Your doctor cannot tell from this picture"),
        gettext_lazy("Ask your doctor which test comes next. If you feel ill, do not wait for it."),
    ),
}


def doctor_words(level: str) -> DangerWords:
    """The words for a level that a doctor signed; an unknown level is inconclusive."""
    words = danger_words(level)
    headline, next_step = _BY_DOCTOR[words.level]
    return replace(words, title=headline, next_step=next_step)


def split_lead(text: str) -> tuple[str, str]:
    """Split a text into its first sentence (the one thing to do) and the rest, which may be empty."""
    text = text.strip()
    for match in _SENTENCE_END.finditer(text):
        if match.start() >= _SHORTEST_LEAD:
            return text[: match.start()], text[match.end() :]
    return text, ""


# --- scans ----------------------------------------------------------------------------------------
_KINDS: dict[str, Text] = {
    "brain_mri": gettext_lazy("brain MRI"),
    "chest_xray": gettext_lazy("chest X-ray"),
    "knee_xray": gettext_lazy("knee X-ray"),
}
_PLANES: dict[str, Text] = {
    "axial": gettext_lazy("Seen from below"),
    "coronal": gettext_lazy("Seen from the front"),
    "sagittal": gettext_lazy("Seen from the side"),
}


def kind_words(kind: str) -> str:
    """What kind of picture it is, for the middle of a sentence; "scan" when that is not known."""
    return str(_KINDS.get(kind, _("scan")))


def plane_words(plane: str) -> str:
    """A plane for people who do not know the word; empty when there is none."""
    return str(_PLANES.get(plane, ""))


# --- waiting --------------------------------------------------------------------------------------
STAGES: tuple[str, ...] = ("queued", "loading", "gate", "reading", "saving", "done")
_STAGE_WORDS: dict[str, Text] = {
    "queued": gettext_lazy("Waiting for its turn"),
    "loading": gettext_lazy("Opening the scan"),
    "gate": gettext_lazy("Checking what kind of scan it is"),
    "reading": gettext_lazy("Reading the scan"),
    "saving": gettext_lazy("Writing down the result"),
    "done": gettext_lazy("Finished"),
}
_SLOW = timedelta(minutes=2)
_STUCK = timedelta(minutes=15)
_GIVE_UP = timedelta(hours=1)


@dataclass(frozen=True)
class Waiting:
    """What to tell somebody who waits, and how often to look again (seconds; 0: no more by itself)."""

    message: str
    poll_seconds: int
    is_long: bool


def waiting(elapsed: timedelta, *, queued: bool) -> Waiting:
    """What to say after `elapsed`, queued or under work. Polling slows down and stops after an hour."""
    if elapsed >= _GIVE_UP:
        return Waiting(
            _(
                "This has taken far too long, and we stopped checking. Nothing is lost: the scan is stored. "
                "Look again later. If you feel ill, do not wait for it: see a doctor."
            ),
            0,
            True,
        )
    if elapsed >= _STUCK:
        return Waiting(
            _(
                "This is taking much longer than it should. A reading that breaks off is started again by "
                "itself. You can close this page and come back; the scan is stored. If you feel ill, do not "
                "wait for it."
            ),
            30,
            True,
        )
    if elapsed >= _SLOW:
        return Waiting(
            _(
                "This is taking longer than usual. You can close this page: the result will be here when you "
                "come back."
            ),
            10,
            True,
        )
    if queued:
        return Waiting(
            _("Your scan is waiting for its turn. This usually takes less than a minute."), 2, False
        )
    return Waiting(_("Your scan is being read. This usually takes less than a minute."), 2, False)


def stage_words(stage: str) -> str:
    """Where the work is, for somebody who waits; an unknown stage is just being worked on."""
    return str(_STAGE_WORDS.get(stage, _("Working on it")))


def progress_value(stage: str) -> int:
    """How far a reading is, in per cent, from its stage."""
    if stage not in STAGES:
        return 0
    return (0, 15, 30, 50, 90, 100)[STAGES.index(stage)]


def duration_words(elapsed: timedelta) -> str:
    """A time span in words: "less than a minute", "3 minutes", "2 hours", "5 days"."""
    minutes = int(elapsed.total_seconds() // 60)
    if minutes < 1:
        return _("less than a minute")
    if minutes < 60:
        return ngettext("%(n)s minute", "%(n)s minutes", minutes) % {"n": minutes}
    hours = minutes // 60
    if hours < 48:
        return ngettext("%(n)s hour", "%(n)s hours", hours) % {"n": hours}
    return ngettext("%(n)s day", "%(n)s days", hours // 24) % {"n": hours // 24}


# --- limits ---------------------------------------------------------------------------------------
def age_limits(kind: str, age_group: str) -> list[str]:
    """What a person's age means for how far a reading of this kind can be trusted."""
    if kind == "chest_xray":
        if age_group == "child":
            return [
                _("For children, this model has learnt mainly from one hospital's patients aged 1 to 5."),
                _("It knows COVID-19 only from adults, so it cannot judge that for a child."),
            ]
        if age_group == "adult":
            return [
                _("This model has learnt pneumonia mostly from children. It is wrong more often for adults."),
                _("It knows the difference between bacteria and viruses only from children."),
            ]
        return [
            _("You did not say whether this is a child or an adult. Trust the reading less for that."),
        ]
    if kind == "knee_xray":
        if age_group == "child":
            return [
                _("This model has learnt from adults aged 45 to 79 only. It can be wrong for a child's knee.")
            ]
        return [_("This model has learnt from people aged 45 to 79. On younger knees it was not tested.")]
    if kind == "brain_mri" and age_group == "child":
        return [_("This model was not tested on children by themselves. It can be wrong for a child.")]
    return []


# What bundles say of single labels (`ml_training.labels`), for the translators.
LABEL_LIMITS = frozenset(
    {
        gettext_noop(
            "All tumours that it learnt from were scanned after contrast agent: without it, it misses many, "
            "and it may suspect one where there is only contrast agent."
        ),
        gettext_noop(
            "The healthy pituitary gland also lights up after contrast agent, and the model often mistakes "
            "it for a tumour. In a scan of many slices its number is therefore never above 50 in 100. "
            "Without contrast agent it misses many tumours."
        ),
        gettext_noop(
            "Tumours that it learnt from were scanned after contrast agent: in a scan without it, it misses "
            "many of them. Healthy images came from other scanners, so part of this may be scanner "
            "recognition."
        ),
        gettext_noop("Told apart on children's films of one hospital only, so never a finding for adults."),
    }
)


def label_limits(given: str) -> str:
    """A label's limits as its bundle gives them, in the reader's language where there is a translation."""
    return _(given) if given else ""


def kind_limits(kind: str) -> list[str]:
    """What no reading of this kind can tell, whoever it is about."""
    general = [
        _("It looks for a few conditions only. Anything else stays unseen, however clear it is."),
        _("It does not know how you feel, your history or earlier scans. A doctor puts these together."),
        _("It can be wrong in both directions: miss what is there, and see what is not."),
    ]
    special = {
        "brain_mri": _(
            "It knows three kinds of brain tumour. It cannot see a stroke, bleeding, infection or MS."
        ),
        "chest_xray": _(
            "It looks for pneumonia. It cannot see a tumour, tuberculosis, a collapsed lung, a broken rib or "
            "heart disease."
        ),
        "knee_xray": _("It grades wear of the joint. It cannot see torn ligaments, fractures or infection."),
    }
    return [special[kind], *general] if kind in special else general
