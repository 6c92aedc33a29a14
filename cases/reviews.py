"""Every read and write of doctors' reviews.

Saving a draft and signing it are two steps with a commit between them: whatever stands against a signature,
what the doctor wrote is kept. Signing holds the scan's row, so that of two doctors who sign at once one is
told about the other.
"""

from __future__ import annotations

import dataclasses
import functools
import uuid
from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from typing import TYPE_CHECKING

from django.core.exceptions import PermissionDenied
from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet
from django.http import Http404
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from accounts.models import Role
from accounts.selectors import is_verified_doctor
from accounts.services import log_access
from cases.levels import RANKS
from cases.models import FollowUp, Review, ReviewVerdict, Scan
from cases.selectors import visible_scans
from cases.signals import review_signed
from pmi_site.errors import UserError

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser

    from accounts.models import User

Seat, Status, Verdict = Review.Seat, Review.Status, ReviewVerdict.Verdict
# Somebody else was faster: for programs and pages these are conflicts, not mistakes of the doctor.
CONFLICTS = frozenset({"superseded", "edit_conflict", "already_signed", "amended_meanwhile", "second_exists"})
FURTHEST_FOLLOW_UP = timedelta(days=5 * 366)
_ANSWERED = ("succeeded", "rejected")


@dataclasses.dataclass(frozen=True)
class VerdictInput:
    """A finding as the doctor saw it, and what they say to it; "" while they have said nothing."""

    label: str
    condition: str
    probability: float
    call: str
    verdict: str = ""
    right_condition: str = ""

    @property
    def is_raised(self) -> bool:
        """The model called it likely or possible, so a signature needs a verdict on it."""
        return self.call != "unlikely"


@dataclasses.dataclass(frozen=True)
class ReviewInput:
    """What a doctor filled in. `edit_no` is that of the draft the form was made from, 0 without one.

    `amends` is the signed review that this one is to replace, with a reason.
    """

    analysis_id: uuid.UUID | None
    seat: str = Seat.FIRST
    edit_no: int = 0
    verdicts: Sequence[VerdictInput] = ()
    comment: str = ""
    danger_level: str = ""
    follow_up: str = ""
    follow_up_on: date | None = None
    amends: uuid.UUID | None = None
    amend_reason: str = ""


# --- reads ----------------------------------------------------------------------------------------
def may_review(user: User | AnonymousUser, scan: Scan) -> bool:
    """Whether the user may review the scan: a verified doctor who may read it, and not their own scan."""
    return (
        user.is_authenticated
        and is_verified_doctor(user)
        and scan.case.patient_id != user.pk
        and visible_scans(user).filter(pk=scan.pk).exists()
    )


def signed_review(scan: Scan) -> Review | None:
    """The signed review that counts: the first reader's, else the second's; with its verdicts."""
    return signed_reviews([scan.pk]).get(scan.pk)


def signed_reviews(scan_ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, Review]:
    """The signed review that counts of each scan, by scan, in two queries."""
    found = Review.objects.filter(scan__in=scan_ids, status=Status.SIGNED).prefetch_related("verdicts")
    # "second" first, so that "first" stands in the end.
    return {review.scan_id: review for review in found.order_by("-seat")}


def counting(user: User | AnonymousUser | None, found: Iterable[Review]) -> Review | None:
    """Of all reviews of one scan the signed one that counts for this reader: the first reader's, else the
    second's. None for a blind second reader. `user` None is somebody with a share link.
    """
    rows = list(found)
    if user is not None and any(_makes_blind(row, user) for row in rows):
        return None
    signed = {row.seat: row for row in rows if row.status == Status.SIGNED}
    return signed.get(Seat.FIRST) or signed.get(Seat.SECOND)


def seen_reviews(user: User | AnonymousUser | None, scan_ids: Iterable[uuid.UUID]) -> dict[uuid.UUID, Review]:
    """The review that counts of each scan for a reader who may see the scans (see `counting`), in two
    queries.
    """
    rows: dict[uuid.UUID, list[Review]] = {}
    found = Review.objects.filter(scan__in=list(scan_ids)).exclude(status=Status.SUPERSEDED)
    for review in found.select_related("analysis").prefetch_related("verdicts"):
        rows.setdefault(review.scan_id, []).append(review)
    counts = {scan_id: counting(user, reviews) for scan_id, reviews in rows.items()}
    return {scan_id: review for scan_id, review in counts.items() if review is not None}


def seen_review(user: User | AnonymousUser | None, scan: Scan) -> Review | None:
    """The same for one scan."""
    return seen_reviews(user, [scan.pk]).get(scan.pk)


def _makes_blind(review: Review, user: User | AnonymousUser) -> bool:
    return (
        review.seat == Seat.SECOND
        and review.status == Status.DRAFT
        and review.reader_id == user.pk
        and review.previous_id is None
    )


def reviews_of(scan: Scan) -> QuerySet[Review]:
    """All signed and superseded reviews of a scan, the newest first, with their verdicts."""
    return (
        Review.objects.filter(scan=scan)
        .exclude(status=Status.DRAFT)
        .select_related("reader")
        .prefetch_related("verdicts")
        .order_by("-signed_at", "-version")
    )


def draft_of(user: User, scan: Scan, seat: str = Seat.FIRST) -> Review | None:
    """The user's own draft in a seat; nobody else sees it."""
    drafts = Review.objects.filter(scan=scan, seat=seat, reader=user, status=Status.DRAFT)
    return drafts.select_related("previous").prefetch_related("verdicts").first()


def is_blind(user: User | AnonymousUser, scan: Scan) -> bool:
    """Whether the user is this scan's second reader and has not signed: the first's verdicts stay hidden."""
    return (
        user.is_authenticated
        and user.role == Role.DOCTOR
        and Review.objects.filter(scan=scan, seat=Seat.SECOND, reader=user, status=Status.DRAFT)
        .filter(previous__isnull=True)
        .exists()
    )


def reviews_for(user: User | AnonymousUser, scan: Scan) -> list[Review]:
    """The reviews that this reader of the scan may see: all, but none to a blind second reader."""
    return [] if is_blind(user, scan) else list(reviews_of(scan))


def visible_reviews(user: User) -> QuerySet[Review]:
    """The signed and superseded reviews of scans that the user may read, and their own drafts, newest first.

    A blind second reader sees only their own.
    """
    own_drafts = Q(status=Status.DRAFT, reader=user)
    blind = Review.objects.filter(own_drafts, seat=Seat.SECOND, previous__isnull=True).values("scan")
    others = ~Q(status=Status.DRAFT) & ~Q(scan__in=blind)
    return (
        Review.objects.filter(own_drafts | others, scan__in=visible_scans(user))
        .select_related("scan__case")
        .prefetch_related("verdicts")
        .order_by("-created_at", "-id")
    )


@dataclasses.dataclass(frozen=True)
class Disagreement:
    """One thing about which the two readers differ; `what` is a label, or "level"."""

    what: str
    first: str
    second: str
    condition: str = ""
    first_right: str = ""
    second_right: str = ""


def disagreements(scan: Scan) -> list[Disagreement]:
    """What the signed first and second reader say differently; empty while only one has signed."""
    signed = {
        review.seat: review
        for review in Review.objects.filter(scan=scan, status=Status.SIGNED).prefetch_related("verdicts")
    }
    if len(signed) < 2:
        return []
    first, second = signed[Seat.FIRST], signed[Seat.SECOND]
    found = []
    if first.danger_level != second.danger_level:
        found.append(Disagreement("level", first.danger_level, second.danger_level))
    said = [{v.label: v for v in review.verdicts.all()} for review in (first, second)]
    for label in said[0].keys() & said[1].keys():
        one, other = said[0][label], said[1][label]
        if (one.verdict, one.right_condition) != (other.verdict, other.right_condition):
            rights = one.right_condition, other.right_condition
            found.append(Disagreement(label, one.verdict, other.verdict, one.condition, *rights))
    return sorted(found, key=lambda item: (item.what != "level", item.what))


def newest_answer_id(scan_id: uuid.UUID) -> uuid.UUID | None:
    """The analysis that a review is about: the scan's newest answer."""
    answers = Scan.objects.filter(pk=scan_id, analyses__status__in=_ANSWERED)
    return (
        answers.order_by("-analyses__queued_at", "-analyses__id")
        .values_list("analyses__id", flat=True)
        .first()
    )


# --- writes ---------------------------------------------------------------------------------------
def save_draft(user: User, scan: Scan, given: ReviewInput) -> Review:
    """Keep what a doctor has filled in so far.

    Raises PermissionDenied or Http404 for who may not review (any more), UserError ``superseded`` when a
    newer reading exists, ``edit_conflict`` when the draft was saved elsewhere meanwhile, and for values that
    mean nothing.
    """
    _check(given)
    with transaction.atomic():
        hold_for_review(user, scan)
        draft = _draft_to_write(user, scan, given)
        draft.analysis_id = given.analysis_id
        draft.comment, draft.danger_level = given.comment.strip(), given.danger_level
        draft.follow_up, draft.follow_up_on = given.follow_up.strip(), given.follow_up_on
        draft.amend_reason = given.amend_reason.strip()
        draft.edit_no += 1
        draft.save()
        draft.verdicts.all().delete()
        ReviewVerdict.objects.bulk_create(
            ReviewVerdict(
                review=draft,
                label=one.label,
                condition=one.condition,
                probability=one.probability,
                call=one.call,
                verdict=one.verdict,
                right_condition=one.right_condition if one.verdict == Verdict.DISAGREE else "",
            )
            for one in given.verdicts
            if one.verdict
        )
    log_access(user, "draft_review", scan)
    return draft


def sign(user: User, scan: Scan, given: ReviewInput, *, level_if_kept: str) -> Review:
    """Save what was filled in and sign it; with `amends`, replace that signed review by a new version.

    `level_if_kept` is the level of the reading, taken over where the doctor gave none. The draft is saved
    first and stays saved when the signature is refused. Raises as `save_draft` does, and UserError
    ``incomplete``, ``already_signed`` or ``amended_meanwhile``.
    """
    draft = save_draft(user, scan, given)
    _check_complete(given, level_if_kept)
    try:
        with transaction.atomic():
            hold_for_review(user, scan)
            _check_newest(scan, given.analysis_id)
            _replace_standing(user, draft, given)
            level = given.danger_level or level_if_kept
            now = timezone.now()
            # Compare-and-swap: a second click, or the same draft open elsewhere, changes nothing.
            changed = Review.objects.filter(pk=draft.pk, status=Status.DRAFT, edit_no=draft.edit_no).update(
                status=Status.SIGNED,
                signed_at=now,
                reader_name=reader_name(user),
                danger_level=level,
                previous=draft.previous,
                version=draft.version,
                updated_at=now,
            )
            if not changed:
                raise _edit_conflict()
            if given.follow_up_on:
                FollowUp.objects.get_or_create(
                    case_id=scan.case_id,
                    due_on=given.follow_up_on,
                    text=given.follow_up.strip()[:500] or _("See the doctor again"),
                    defaults={"created_by": user},
                )
            transaction.on_commit(functools.partial(_announce, draft.pk))
    except IntegrityError as error:
        raise UserError("already_signed", _already_signed(None)) from error
    log_access(user, "amend_review" if draft.previous_id else "sign_review", scan)
    return Review.objects.prefetch_related("verdicts").get(pk=draft.pk)


def amend(user: User, scan: Scan, given: ReviewInput, *, level_if_kept: str) -> Review:
    """Replace a signed review by a new version with a reason; the one before is kept as superseded.

    Raises as `sign` does, and UserError ``no_reason``, ``not_amendable``.
    """
    if given.amends is None:
        raise UserError("not_amendable", _("Say which signed review you want to change."))
    return sign(user, scan, given, level_if_kept=level_if_kept)


def discard_draft(user: User, scan: Scan, seat: str = Seat.FIRST) -> bool:
    """Throw one's own draft away; whether there was one. What was signed meanwhile stays."""
    with transaction.atomic():
        # Signing holds the scan, too: a deletion looks for drafts first and then goes by id, and would take a
        # row that was signed in between.
        if not Scan.objects.select_for_update(no_key=True).filter(pk=scan.pk).exists():
            return False
        drafts = Review.objects.filter(scan=scan, seat=seat, reader=user, status=Status.DRAFT)
        deleted, _rows = drafts.delete()
    if deleted:
        log_access(user, "discard_review_draft", scan)
    return bool(deleted)


# --- within a transaction -------------------------------------------------------------------------
def hold_for_review(user: User, scan: Scan) -> None:
    """Lock the scan and ask again, under the lock, whether this user may review it.

    Raises Http404 and PermissionDenied.
    """
    if not Scan.objects.select_for_update(no_key=True).filter(pk=scan.pk).exists():
        raise Http404("No such scan.")
    if not visible_scans(user).filter(pk=scan.pk).exists():
        raise Http404("No such scan.")
    if not is_verified_doctor(user) or scan.case.patient_id == user.pk:
        raise PermissionDenied(_("Only a verified doctor who cares for this patient can review a scan."))


def _check_newest(scan: Scan, analysis_id: uuid.UUID | None) -> None:
    newest = newest_answer_id(scan.pk)
    if newest is None:
        raise UserError(
            "not_read", _("This scan has no finished reading yet, so there is nothing to review.")
        )
    if analysis_id != newest:
        raise UserError(
            "superseded",
            _(
                "There is a newer reading of this scan than the one you looked at. Nothing you wrote is "
                "lost. Please look at the newer reading, check your verdicts, and save again."
            ),
        )


def _draft_to_write(user: User, scan: Scan, given: ReviewInput) -> Review:
    _check_newest(scan, given.analysis_id)
    draft = (
        Review.objects.select_for_update(of=("self",))
        .filter(scan=scan, seat=given.seat, reader=user, status=Status.DRAFT)
        .first()
    )
    if (draft.edit_no if draft else 0) != given.edit_no:
        raise _edit_conflict()
    if draft is None:
        _check_seat(user, scan, given)
        draft = Review(scan=scan, seat=given.seat, reader=user, reader_name=reader_name(user))
    if given.amends != draft.previous_id:
        draft.previous = _amendable(scan, given.amends, given.seat) if given.amends else None
    return draft


def _check_seat(user: User, scan: Scan, given: ReviewInput) -> None:
    """One person cannot read a scan twice as two, and a second reader reads blind only if they were asked."""
    other = Seat.SECOND if given.seat == Seat.FIRST else Seat.FIRST
    if Review.objects.filter(scan=scan, seat=other, reader=user).exists():
        raise UserError("same_reader", _("The first and the second reader must be two different doctors."))
    if given.seat == Seat.SECOND and given.amends is None:
        raise UserError("not_asked", _("Nobody asked you to be the second reader of this scan."))


def _amendable(scan: Scan, review_id: uuid.UUID, seat: str) -> Review:
    found = Review.objects.filter(pk=review_id, scan=scan, seat=seat).first()
    if found is None or found.status == Status.DRAFT:
        raise UserError("not_amendable", _("Only a signed review of this scan can be changed."))
    return found


def _replace_standing(user: User, draft: Review, given: ReviewInput) -> None:
    standing = Review.objects.filter(scan_id=draft.scan_id, seat=draft.seat, status=Status.SIGNED).first()
    if draft.previous_id is None:
        if standing is not None:
            raise UserError("already_signed", _already_signed(standing))
        return
    if not given.amend_reason.strip():
        raise UserError("no_reason", _("Please say why you change a signed review."))
    if standing is None or standing.pk != draft.previous_id:
        raise UserError(
            "amended_meanwhile",
            _(
                "%(name)s changed this review meanwhile. Your text is kept as a draft. Please look at the "
                "new version first."
            )
            % {"name": standing.reader_name if standing else _("Somebody else")},
        )
    Review.objects.filter(pk=standing.pk).update(status=Status.SUPERSEDED, updated_at=timezone.now())
    draft.version = standing.version + 1


# --- checks and words -----------------------------------------------------------------------------
def _check(given: ReviewInput) -> None:
    if given.seat not in Seat.values:
        raise UserError("bad_seat", _("The seat is first or second."))
    if given.danger_level and given.danger_level not in RANKS:
        raise UserError("bad_level", _("This is no danger level."))
    if len(given.comment) > 5000 or len(given.follow_up) > 500 or len(given.amend_reason) > 500:
        raise UserError("too_long", _("One of the texts is too long."))
    if any(one.verdict and one.verdict not in Verdict.values for one in given.verdicts):
        raise UserError("bad_verdict", _("A verdict is agree, disagree or unsure."))


def _check_complete(given: ReviewInput, level_if_kept: str) -> None:
    open_ones = [one for one in given.verdicts if one.is_raised and not one.verdict]
    if open_ones:
        raise UserError(
            "incomplete", _("Your draft is saved. To sign, please give a verdict on every finding.")
        )
    disagrees = [one for one in given.verdicts if one.verdict == Verdict.DISAGREE]
    if disagrees and not given.danger_level:
        raise UserError(
            "incomplete",
            _("Your draft is saved. You disagree with a finding, so please choose a danger level."),
        )
    if any(not one.right_condition for one in disagrees) and not given.comment.strip():
        raise UserError(
            "incomplete",
            _("Your draft is saved. Please choose what it is instead, or write it in the comment."),
        )
    if not any(one.verdict for one in given.verdicts) and not given.comment.strip():
        raise UserError("incomplete", _("Your draft is saved. To sign, please write what you see."))
    if not (given.danger_level or level_if_kept):
        raise UserError("incomplete", _("Your draft is saved. Please choose a danger level."))
    today = timezone.localdate()
    if given.follow_up_on and not today <= given.follow_up_on <= today + FURTHEST_FOLLOW_UP:
        raise UserError(
            "bad_date",
            _("Your draft is saved. The follow-up must be from today on, five years ahead at most."),
        )


def _edit_conflict() -> UserError:
    return UserError(
        "edit_conflict",
        _(
            "This review was saved in another window meanwhile, so it was not saved here. Your text is "
            "still in the form. Compare it with the saved one, then save again."
        ),
    )


def _already_signed(standing: Review | None) -> str:
    if standing is None or standing.signed_at is None:
        return _("Somebody else signed this scan meanwhile. Your text is kept as a draft.")
    return _(
        "%(name)s signed this scan on %(when)s. Your text is kept as a draft. You can change the signed "
        "review, with a reason."
    ) % {
        "name": standing.reader_name,
        "when": date_format(timezone.localtime(standing.signed_at), "DATETIME_FORMAT"),
    }


def reader_name(user: User) -> str:
    """How a doctor is named in what they sign."""
    return (user.full_name or user.email)[:150]


def _announce(review_id: uuid.UUID) -> None:
    review_signed.send_robust(sender=Review, review_id=review_id)
