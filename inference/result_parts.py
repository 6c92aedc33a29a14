"""Parts of what the result page shows: a finding in words, a row of figures, an unfinished reading."""

from __future__ import annotations

from dataclasses import dataclass

from django.utils import timezone

from cases.models import ReviewVerdict
from inference import presenters
from inference.calls import NORMAL_CONDITIONS
from inference.models import Analysis, Finding
from inference.report_review import verdict_words


@dataclass(frozen=True)
class FindingView:
    """One finding with its words."""

    finding: Finding
    name: str
    limits: str
    verdict: ReviewVerdict | None = None
    is_doubtful: bool = False  # healthy scans are known to look like it
    is_untested: bool = False  # nobody has checked numbers of such scans
    is_for_adults: bool = False  # a child's knee, read by a model made for adults

    @property
    def doctor_says(self) -> str:
        """What the doctor who signed says to it; empty without a verdict."""
        return verdict_words(self.verdict) if self.verdict and self.verdict.verdict else ""

    @property
    def is_refuted(self) -> bool:
        """The doctor disagrees."""
        return self.verdict is not None and self.verdict.verdict == ReviewVerdict.Verdict.DISAGREE

    @property
    def is_normal(self) -> bool:
        """It says that nothing was found."""
        return self.finding.condition in NORMAL_CONDITIONS

    @property
    def is_good(self) -> bool:
        """It is good news."""
        return self.is_normal and not self.is_for_adults

    @property
    def is_raised(self) -> bool:
        """Likely or possible: it is shown in full."""
        return self.finding.call != Finding.Call.UNLIKELY

    @property
    def call(self) -> presenters.CallWords:
        """The call in words."""
        return presenters.call_words(
            self.finding.call,
            normal=self.is_normal,
            doubtful=self.is_doubtful,
            untested=self.is_untested,
            for_adults=self.is_for_adults,
        )

    @property
    def chance(self) -> str:
        """The probability as counted scans."""
        return presenters.chance_words(self.finding.probability)

    @property
    def sentence(self) -> str:
        """What the probability says."""
        return presenters.finding_sentence(self.finding.probability, self.finding.condition)

    @property
    def bar(self) -> int:
        """Length of the bar in per cent."""
        return presenters.bar_value(self.finding.probability)


@dataclass(frozen=True)
class Figure:
    """One row of the figures for doctors: a label of the model, claimed as a finding or not."""

    label: str
    probability: float
    call: str
    sensitive: float | None
    specific: float | None


class Progress:
    """An unfinished analysis, as somebody who waits for it sees it."""

    def __init__(self, analysis: Analysis) -> None:
        self.analysis = analysis
        self.elapsed = timezone.now() - analysis.queued_at
        self.waiting = presenters.waiting(self.elapsed, queued=analysis.status == Analysis.Status.QUEUED)

    @property
    def token(self) -> str:
        """Changes whenever there is something new to show; the page sends it back with each poll."""
        age = presenters.duration_words(self.elapsed).replace(" ", "_") if self.waiting.is_long else ""
        return f"{self.analysis.status}.{self.analysis.stage}.{self.waiting.poll_seconds}.{age}"

    @property
    def value(self) -> int:
        """Per cent done."""
        return presenters.progress_value(self.analysis.stage)

    @property
    def stage(self) -> str:
        """Where the work is, in words."""
        return presenters.stage_words(self.analysis.stage)

    @property
    def elapsed_words(self) -> str:
        """How long it has been, in words."""
        return presenters.duration_words(self.elapsed)
