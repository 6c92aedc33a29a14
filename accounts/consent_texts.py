"""What patients agree to, purpose by purpose.

A text never changes silently: a test knows its fingerprint. A change of meaning gets
a new version, the old version stays in `EARLIER`, and consents to it count no longer unless the new text says
so in `also_counts`.
"""

import hashlib
from dataclasses import dataclass
from typing import Any

from django.utils import translation
from django.utils.translation import gettext_lazy as _

from accounts.models import ConsentPurpose


@dataclass(frozen=True)
class ConsentText:
    """One version of what a patient agrees to. `title` asks, `points` say what it means, `without` says what
    happens when the patient does not agree."""

    purpose: str
    version: str
    title: Any
    points: tuple[Any, ...]
    without: Any
    thanks: Any
    goodbye: Any
    also_counts: tuple[str, ...] = ()

    @property
    def counting(self) -> tuple[str, ...]:
        """The versions whose consents hold under this text."""
        return (self.version, *self.also_counts)

    @property
    def fingerprint(self) -> str:
        """A short hash of the English words."""
        with translation.override("en"):
            words = "\n".join(map(str, (self.title, *self.points, self.without)))
        return hashlib.sha256(words.encode()).hexdigest()[:16]


TEXTS: dict[str, ConsentText] = {
    ConsentPurpose.CARE: ConsentText(
        ConsentPurpose.CARE,
        "2026-12",
        _("Keep my scans and read them"),
        (
            _("PMI keeps the scans that you upload, and what you write about them."),
            _("A computer reads them. The doctors you choose can look at them and at the readings."),
            _(
                "In an emergency a doctor whose licence we checked can open them for some hours without "
                "asking you. We tell you at once, and you can end it."
            ),
            _("Names and dates inside the files are removed before they are stored."),
            _("Everything stays until you delete it. You can download it or erase it at any time."),
        ),
        _(
            "Without this, PMI takes no new scans from you and reads none. What is stored stays as it is "
            "until you delete it."
        ),
        _("Thank you. You can upload scans and have them read."),
        _("Done. PMI takes no new scans from you and reads none. What is stored is still here."),
        # What PMI does with the scans is the same; the words now say what was so before as well.
        also_counts=("2026-11",),
    ),
    ConsentPurpose.SIMILAR_SEARCH: ConsentText(
        ConsentPurpose.SIMILAR_SEARCH,
        "2026-11",
        _("Let my confirmed scans help other people"),
        (
            _(
                "When a doctor has confirmed what a scan of yours shows, other users of this site may see "
                "a small picture of it, its diagnosis and whether it shows a child or an adult."
            ),
            _("They never see your name, the date, the name of the file, or anything you wrote."),
            _(
                "A picture can be recognised by somebody who has the same picture already. "
                "If that worries you, do not agree."
            ),
            _("You can change your mind at any time. The pictures are then removed at once."),
            _("Your own care is the same, whether you agree or not."),
        ),
        _("Without this, nobody finds your scans when they look for similar ones."),
        _("Thank you. You can change your mind here at any time."),
        _("Done. Other people can no longer find your scans."),
    ),
    ConsentPurpose.TRAINING: ConsentText(
        ConsentPurpose.TRAINING,
        "2026-11",
        _("Let my scans teach the program"),
        (
            _(
                "When a doctor has signed what a scan of yours shows, the scan and the doctor's findings may "
                "be used to make PMI's reading programs better."
            ),
            _("Your name, your address, dates and your own words are left out."),
            _("A copy goes only to the people who build these programs for this site."),
            _(
                "You can change your mind at any time. Your scans are then left out of every new copy. A "
                "program that has already learned from them cannot unlearn it."
            ),
            _("Your own care is the same, whether you agree or not."),
        ),
        _("Without this, your scans are never used to teach a program."),
        _("Thank you. Signed scans of yours may now teach the program."),
        _("Done. Your scans are left out of every new copy for teaching."),
    ),
    ConsentPurpose.RESEARCH: ConsentText(
        ConsentPurpose.RESEARCH,
        "2026-11",
        _("Let my scans serve medical research"),
        (
            _(
                "Scans of yours that a doctor has signed may be given to medical researchers whom this site "
                "has checked."
            ),
            _("Your name, your address, dates and your own words are left out."),
            _("A face can sometimes be seen in a head scan. If that worries you, do not agree."),
            _(
                "You can change your mind at any time. Nothing more is given out from then on. What "
                "researchers have already received cannot be called back."
            ),
            _("Your own care is the same, whether you agree or not."),
        ),
        _("Without this, no researcher receives your scans."),
        _("Thank you. Signed scans of yours may now serve research."),
        _("Done. No more of your scans are given to researchers."),
    ),
}
# Texts that were shown once, by (purpose, version): a consent is always shown with the words it was given to.
EARLIER: dict[tuple[str, str], ConsentText] = {
    (ConsentPurpose.CARE, "2026-11"): ConsentText(
        ConsentPurpose.CARE,
        "2026-11",
        _("Keep my scans and read them"),
        (
            _("PMI keeps the scans that you upload, and what you write about them."),
            _("A computer reads them. The doctors you choose can look at them and at the readings."),
            _("Names and dates inside the files are removed before they are stored."),
            _("Everything stays until you delete it. You can download it or erase it at any time."),
        ),
        _(
            "Without this, PMI takes no new scans from you and reads none. What is stored stays as it is "
            "until you delete it."
        ),
        _("Thank you. You can upload scans and have them read."),
        _("Done. PMI takes no new scans from you and reads none. What is stored is still here."),
    ),
}


def text_of(purpose: str, version: str) -> ConsentText | None:
    """The text that was shown in this version, if it is known."""
    now = TEXTS.get(purpose)
    return now if now is not None and now.version == version else EARLIER.get((purpose, version))
