"""Whether a reading is shown to somebody: decided here and nowhere else.

`PMI_RELEASE` says when patients see what a model made of their scans:

| setting           | a patient sees a reading                                                 |
|-------------------|--------------------------------------------------------------------------|
| `at_once`         | as soon as it is there                                                   |
| `after_review`    | once a doctor has signed a review of it                                  |
| `routine_at_once` | at once where its level is `routine` or `none_found`, else after review  |

Doctors who may see the scan see every reading. What says nothing about illness is never held back: that a
reading is under way, broke off, or that a picture cannot be read. Nor is what a patient's own symptoms say.
A reading that was shown once stays shown, also when its level rises later.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from django.conf import settings
from django.db.models import Exists, OuterRef, Q

from cases.models import Review
from inference.models import Analysis, DangerAssessment

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser

    from accounts.models import User

AT_ONCE, AFTER_REVIEW, ROUTINE_AT_ONCE = "at_once", "after_review", "routine_at_once"
POLICIES = (AT_ONCE, AFTER_REVIEW, ROUTINE_AT_ONCE)
MILD = ("routine", "none_found")


def are_some_shown_at_once() -> bool:
    """Whether mild readings are shown before a doctor has looked, and the others are not."""
    return bool(settings.PMI_RELEASE == ROUTINE_AT_ONCE)


def is_at_once() -> bool:
    """Nothing is held back. Any setting but `at_once` that means nothing holds everything back."""
    return bool(settings.PMI_RELEASE == AT_ONCE)


def shown_to(user: User | AnonymousUser, prefix: str = "") -> Q:
    """The condition under which somebody who may see a scan also sees a reading of it.

    `prefix` leads from the model that is filtered to its analysis: "" for Analysis itself, "analysis__" for
    what hangs on one.
    """
    if not user.is_authenticated:
        return Q(pk__in=())
    if is_at_once():
        return Q()
    return ~Q(**{f"{prefix}scan__case__patient": user.pk}) | open_to_patients(prefix)


def open_to_patients(prefix: str = "") -> Q:
    """The condition under which a reading is shown to the patient whose scan it is."""
    if is_at_once():
        return Q()
    reviewed = Review.objects.filter(analysis=OuterRef(f"{prefix}pk")).exclude(status=Review.Status.DRAFT)
    shown = Exists(reviewed) | ~Q(**{f"{prefix}status": Analysis.Status.SUCCEEDED}) | _mild(prefix)
    return Q(shown)


def _mild(prefix: str) -> Q:
    if settings.PMI_RELEASE != ROUTINE_AT_ONCE:
        return Q(pk__in=())
    judged = DangerAssessment.objects.filter(analysis=OuterRef(f"{prefix}pk"), level__in=MILD)
    return Q(**{f"{prefix}danger__in": MILD}) | Q(Exists(judged))


def released_to(user: User | AnonymousUser, analysis: Analysis) -> bool:
    """Whether somebody who may see the scan also sees this reading of it."""
    return not split(user, [analysis])[1]


def split(user: User | AnonymousUser, analyses: Sequence[Analysis]) -> tuple[list[Analysis], list[Analysis]]:
    """Readings of scans that the user may see, as (shown, held back), in their order; one query at most."""
    if user.is_authenticated and is_at_once():
        return list(analyses), []
    ids = Analysis.objects.filter(pk__in=[one.pk for one in analyses]).filter(shown_to(user))
    shown = set(ids.values_list("pk", flat=True))
    return [one for one in analyses if one.pk in shown], [one for one in analyses if one.pk not in shown]


def waits_for_doctor(analysis: Analysis) -> bool:
    """Whether this reading is shown to its patient only because, or only once, a doctor signed a review."""
    if is_at_once() or analysis.status != Analysis.Status.SUCCEEDED:
        return False
    return not Analysis.objects.filter(_mild(""), pk=analysis.pk).exists()
