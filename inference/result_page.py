"""Gathers what the result page and the reading card show. No writes; access was decided before.

`inference.results` makes a `Result` for a reader.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db.models import Q
from django.utils.functional import cached_property
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from accounts.selectors import grants_of
from cases.models import Case, Review, ReviewVerdict, Scan
from inference import model_words, presenters, release
from inference.calls import NORMAL_CONDITIONS, doubtful_labels, is_of_few_slices
from inference.display import needs_reduction, reduction
from inference.marks import are_marks_outdated, is_for_other_age, marks_of
from inference.models import Analysis, Finding
from inference.report_review import ReviewState, by_doctor, review_state
from inference.result_parts import Figure, FindingView, Progress
from inference.standing import Standing, advice_fits, words
from ml_training.labels import TASKS
from resources.choices import Audience
from resources.selectors import ConditionGuide, published_for

_MOST_GUIDES = 3  # more would bury what matters; every finding still links to its condition
UNREADABLE = "unreadable-scan"


class Result:
    """Everything to show about the readings of one scan.

    `analyses` are those that the reader sees, newest first. The newest answer (succeeded or rejected) is
    shown; while a newer one is under way or has failed, the page says so and keeps the answer. `review` is
    the signed review of the scan that counts for the reader; `held` are readings that are held back from
    them: nothing of what these say is shown.
    """

    def __init__(
        self,
        scan: Scan,
        analyses: Sequence[Analysis],
        *,
        for_doctor: bool = False,
        country: str = "",
        review: Review | None = None,
        held: Sequence[Analysis] = (),
        is_blind: bool = False,
    ) -> None:
        self.scan = scan
        self.for_doctor = for_doctor
        self.country = country
        self.review = review
        self.is_blind = is_blind
        newest = analyses[0] if analyses else None
        answers = (a for a in analyses if a.status in Analysis.ANSWERED)
        self.answer = next(answers, None)
        self.pending = newest if newest and not newest.is_finished else None
        self.failed = newest if newest and newest.status == Analysis.Status.FAILED else None
        self.progress = Progress(self.pending) if self.pending else None
        self._analyses = analyses
        newest_held = held[0] if held else None
        since = self.answer.queued_at if self.answer else None
        self.is_held = newest_held is not None and (since is None or newest_held.queued_at > since)

    @property
    def analysis(self) -> Analysis | None:
        """The analysis that decides what the page is about."""
        return self.answer or self.pending or self.failed

    @property
    def is_read(self) -> bool:
        """There is a reading to show."""
        return self.answer is not None and self.answer.status == Analysis.Status.SUCCEEDED

    @property
    def is_rejected(self) -> bool:
        """The newest answer is that the scan cannot be read."""
        return self.answer is not None and self.answer.status == Analysis.Status.REJECTED

    @property
    def finished(self) -> list[Analysis]:
        """All answers, newest first; a reading that broke off has nothing to show."""
        answers = Analysis.ANSWERED
        return [one for one in self._analyses if one.status in answers]

    @property
    def earlier(self) -> list[Analysis]:
        """The answers other than the one shown."""
        return [one for one in self.finished if one is not self.answer]

    @property
    def outdated(self) -> bool:
        """A newer model reads this kind of scan now."""
        version = self.answer.model_version if self.answer else None
        return self.is_read and version is not None and not version.is_active

    @property
    def is_for_other_age(self) -> bool:
        """The reading was made for another age group than the one that is known now, which it depends on."""
        return self.answer is not None and self.is_read and is_for_other_age(self.answer)

    @property
    def is_called_otherwise(self) -> bool:
        """PMI has become more careful since this reading was made: its numbers might be called otherwise."""
        return self.answer is not None and self.is_read and are_marks_outdated(self.answer)

    @property
    def notices(self) -> list[str]:
        """Why the reading may not hold any more, for everybody who sees it."""
        told = []
        if self.is_for_other_age:
            told.append(
                _(
                    "The age group was changed after this reading. What the model finds depends on it, so "
                    "this reading may be wrong now."
                )
            )
        if self.is_called_otherwise:
            told.append(
                _(
                    "PMI has become more careful since this reading was made. Read again, the same numbers "
                    "may be called otherwise."
                )
            )
        return told

    @property
    def may_read_again(self) -> bool:
        """Reading again could change something: no reading yet, a failure, a refusal, a newer model, another
        age group, or more careful calls.
        """
        could = not self.is_read or self.failed is not None or self.outdated
        return self.pending is None and (could or self.is_for_other_age or self.is_called_otherwise)

    @property
    def are_some_shown_at_once(self) -> bool:
        """This site holds back only what is not mild, so that being held back says something."""
        return release.are_some_shown_at_once()

    @property
    def has_doctor(self) -> bool:
        """A doctor may read the scan now."""
        case = self.scan.case
        return grants_of(case.patient).filter(Q(case=None) | Q(case=case)).exists()

    @property
    def kind(self) -> str:
        """What the scan was read as, or is about to be."""
        return (self.analysis.kind if self.analysis else "") or self.scan.case.kind

    @property
    def kind_words(self) -> str:
        """The kind in the middle of a sentence."""
        return presenters.kind_words(self.kind)

    @property
    def title(self) -> str:
        """The page's heading."""
        if self.is_read:
            return _("Result of the %(what)s") % {"what": self.kind_words}
        if self.is_rejected:
            return _("Your scan was not read")
        if self.pending:
            return _("Your %(what)s is being read") % {"what": self.kind_words}
        if self.is_held:
            return _("Your %(what)s was read, and a doctor looks at it first") % {"what": self.kind_words}
        return _("Your %(what)s") % {"what": self.kind_words}

    # --- danger ---
    @cached_property
    def standing(self) -> Standing | None:
        """Whose level counts: the model's, a doctor's, or that of newer symptoms."""
        return Standing(self.answer, self.review) if self.answer else None

    @cached_property
    def state(self) -> ReviewState | None:
        """Whether a doctor has signed a review of the answer, in words."""
        return review_state(self.answer, self.review) if self.answer else None

    @property
    def level(self) -> str:
        """The level that counts."""
        return self.standing.level if self.standing else ""

    @property
    def is_doctors(self) -> bool:
        """The level is a doctor's."""
        return self.standing is not None and self.standing.source == "doctor"

    @property
    def danger(self) -> presenters.DangerWords:
        """The danger level in words."""
        return presenters.doctor_words(self.level) if self.is_doctors else presenters.danger_words(self.level)

    @property
    def next_step(self) -> tuple[str, str]:
        """The one thing to do, and what else to know about it."""
        text = self._words[1] if self.answer else ""
        return presenters.split_lead(text or str(self.danger.next_step))

    @cached_property
    def _words(self) -> tuple[list[str], str]:
        return words(self.standing) if self.standing else ([], "")

    @property
    def reasons(self) -> list[str]:
        """Why the danger level is what it is, in the reader's language."""
        return self._words[0]

    @property
    def _unread(self) -> Standing | None:
        found = self.answer if self.is_rejected else self.failed
        return Standing(found, self.review) if found else None

    @property
    def is_alarming(self) -> bool:
        """There is no reading, but symptoms or a doctor give a danger level all the same."""
        return self._unread is not None and self._unread.level not in ("", "inconclusive")

    @property
    def is_alarm_of_doctor(self) -> bool:
        """That level is a doctor's."""
        return self._unread is not None and self._unread.source == "doctor"

    @property
    def alarm_words(self) -> presenters.DangerWords:
        """That level in words."""
        level = self._unread.level if self._unread else ""
        return presenters.doctor_words(level) if self.is_alarm_of_doctor else presenters.danger_words(level)

    @property
    def alarm_step(self) -> str:
        """What to do now."""
        return words(self._unread)[1] if self._unread else ""

    # --- findings ---
    @cached_property
    def findings(self) -> list[FindingView]:
        """All findings, the most telling first."""
        if self.answer is None or not self.is_read:
            return []
        limits = {
            str(label.get("name")): str(label.get("limits") or "")
            for label in self._metadata.get("labels", [])
            if isinstance(label, dict)
        }
        names = {guide.condition.slug: guide.condition.name for guide in self.guides}
        doubtful = doubtful_labels(self._metadata)
        return [
            FindingView(
                finding,
                names.get(finding.condition) or _capital(presenters.shown_words(finding.condition)),
                presenters.label_limits(limits.get(finding.label, "")),
                self._verdicts.get(finding.label),
                finding.label in doubtful,
                bool(self.few_slices_words),
                self.kind == "knee_xray" and self.scan.case.age_group == Case.AgeGroup.CHILD,
            )
            for finding in self.answer.findings.all()
        ]

    @cached_property
    def _verdicts(self) -> dict[str, ReviewVerdict]:
        """What the doctor says to this reading, by label."""
        if self.review is None or self.standing is None or not self.standing.is_reviewed:
            return {}
        return {one.label: one for one in self.review.verdicts.all()}

    @property
    def raised(self) -> list[FindingView]:
        """Findings that are likely or possible."""
        return [view for view in self.findings if view.is_raised]

    @property
    def unlikely(self) -> list[FindingView]:
        """Findings that the model thinks are not there; "nothing found" is no news among them."""
        return [view for view in self.findings if not view.is_raised and not view.is_normal]

    @property
    def mapped(self) -> list[FindingView]:
        """Findings with a heatmap."""
        return [view for view in self.findings if view.finding.heatmap]

    @cached_property
    def guides(self) -> list[ConditionGuide]:
        """What the knowledge base says about the raised findings, or about a scan that cannot be read."""
        if self.answer is None:
            return []
        slugs = [UNREADABLE]
        if self.is_read:
            raised = [f for f in self.answer.findings.all() if f.call != Finding.Call.UNLIKELY]
            # Beside a possible disease, "nothing found" of the same strength is not what to read first.
            raised.sort(key=lambda f: (f.call != Finding.Call.LIKELY, f.condition in NORMAL_CONDITIONS))
            slugs = by_doctor(list(self._verdicts.values()), (f.condition for f in raised))[:_MOST_GUIDES]
        audience = Audience.CARER if self.scan.case.age_group == Case.AgeGroup.CHILD else Audience.PATIENT
        fits = self.for_doctor or self.standing is None or advice_fits(self.standing)
        return published_for(
            slugs,
            self.level if fits else "",
            Audience.DOCTOR if self.for_doctor else audience,
            language=get_language() or "en",
            country=self.country,
        )

    # --- the scan ---
    @property
    def key_plane(self) -> str:
        """Plane of the most telling slice."""
        return (self.answer.key_plane if self.answer else "") or self.scan.plane or "axial"

    @property
    def key_slice(self) -> int | None:
        """Index of the most telling slice of a volume, from 0."""
        return self.answer.key_slice if self.answer and self.scan.is_volume else None

    @property
    def key_slice_number(self) -> int | None:
        """The same for people, from 1."""
        return None if self.key_slice is None else self.key_slice + 1

    @property
    def is_key_telling(self) -> bool:
        """That slice was chosen for what is suspected; else it is the one in the middle of what was read."""
        return any(view.is_raised and not view.is_normal for view in self.findings)

    @property
    def plane_words(self) -> str:
        """The plane for people who do not know the word."""
        return presenters.plane_words(self.key_plane) if self.scan.is_volume else ""

    @cached_property
    def volume_bytes(self) -> int:
        """Size of what the viewer has to fetch; 0 when the file is missing."""
        try:
            return int(self.scan.canonical.size)
        except OSError:
            return 0

    @property
    def is_reduced(self) -> bool:
        """The viewer shows a smaller copy of the scan."""
        return needs_reduction(self.scan.width, self.scan.height, self.scan.slices)

    @property
    def display_side(self) -> int:
        """Longest axis of what the viewer shows, in points."""
        shape = (self.scan.width, self.scan.height, self.scan.slices)
        return max(-(-size // factor) for size, factor in zip(shape, reduction(shape), strict=True))

    # --- the model ---
    @property
    def _metadata(self) -> dict[str, Any]:
        version = self.answer.model_version if self.answer else None
        return version.metadata if version and isinstance(version.metadata, dict) else {}

    @property
    def model_name(self) -> str:
        """Name and version of the model that read the scan."""
        version = self.answer.model_version if self.answer else None
        return f"{self._metadata.get('name') or version.kind} {version.version}" if version else ""

    @property
    def intended_use(self) -> str:
        """What the model is for, in its makers' words."""
        return str(self._metadata.get("intended_use") or "")

    @cached_property
    def measured(self) -> list[model_words.Measured]:
        """How well the model did, on which scans."""
        many = self.is_of_many_slices and not self.few_slices_words
        return model_words.measured(self._metadata, is_volume=many)

    @property
    def is_of_many_slices(self) -> bool:
        """The reading is of a volume, whose number was checked on put-together volumes at best."""
        return self.scan.is_volume and self.answer is not None and self.answer.slices_read > 1

    @property
    def few_slices_words(self) -> str:
        """That a volume of so few slices was not checked on such volumes either; empty of all others."""
        if self.answer is None or not is_of_few_slices(self.scan.is_volume, self.answer.slices_read):
            return ""
        return _(
            "The model gives every slice a score, and the scores become one number for the whole scan. For "
            "scans of so few slices that number was not checked at all. Trust it less for that."
        )

    @property
    def has_detailed_figures(self) -> bool:
        """There are figures for parts of the test that few readers ask for."""
        return any(part.is_detail for part in self.measured)

    @property
    def data_sets(self) -> list[str]:
        """What the model learnt from."""
        return model_words.data_sets(self._metadata.get("training_data"))

    @property
    def model_limits(self) -> list[str]:
        """Limits that the model brings along."""
        limits = self._metadata.get("limits")
        return [str(limit) for limit in limits] if isinstance(limits, list) else []

    @property
    def general_limits(self) -> list[str]:
        """What no reading of this kind can tell."""
        return presenters.kind_limits(self.kind)

    @property
    def age_limits(self) -> list[str]:
        """What the person's age means for this reading."""
        return presenters.age_limits(self.kind, self.scan.case.age_group)

    @property
    def is_one_of_several(self) -> bool:
        """The model's labels exclude each other, so that its calls compete."""
        task = TASKS.get(self.kind)
        return task is not None and task.activation == "softmax"

    @property
    def has_grades(self) -> bool:
        """The model's labels are grades of one thing."""
        task = TASKS.get(self.kind)
        return task is not None and task.ordinal

    @property
    def figures(self) -> list[Figure]:
        """Every probability with its label's operating points, the highest first."""
        if self.answer is None:
            return []
        points = marks_of(self.answer)
        calls = {f.label: str(f.get_call_display()) for f in self.answer.findings.all()}
        rows = [
            Figure(
                label,
                float(value),
                calls.get(label, ""),
                *points.get(label, (None, None)),
            )
            for label, value in self.answer.probabilities.items()
        ]
        return sorted(rows, key=lambda row: -row.probability)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
