"""Every read and write of doctors' reviews.

Saving a draft and signing it are two steps: whatever stands against a signature, what the doctor wrote is
kept. Both hold the scan's row, so that of two doctors who sign at once one is told about the other, and that
one who sends the same twice has signed once. What a doctor fills in is in `cases.review_input`.
"""

from __future__ import annotations

import dataclasses
import functools
import uuid
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from django.core.exceptions import PermissionDenied
from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet
from django.http import Http404
from django.utils import timezone, translation
from django.utils.translation import gettext as _

from accounts.models import Role
from accounts.selectors import is_verified_doctor
from accounts.services import log_access
from cases.levels import rank
from cases.models import FollowUp, Review, ReviewVerdict, Scan
from cases.review_input import ReviewInput as ReviewInput
from cases.review_input import ReviewRefused as ReviewRefused
from cases.review_input import VerdictInput as VerdictInput
from cases.review_input import (
    check,
    check_complete,
    edit_conflict,
    says_the_same,
    signed_by,
    signed_by_oneself,
)
from cases.selectors import visible_scans
from cases.signals import review_signed
from pmi_site.errors import UserError

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser

    from accounts.models import User

Seat, Status = Review.Seat, Review.Status
# Something else was faster: for programs and pages these are conflicts, not mistakes of the doctor.
CONFLICTS = frozenset({"superseded", "edit_conflict", "already_signed", "amended_meanwhile", "second_exists"})
_ANSWERED = ("succeeded", "rejected")


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
    """The signed review that counts (see `that_counts`); with its verdicts."""
    return signed_reviews([scan.pk]).get(scan.pk)


def signed_reviews(scan_ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, Review]:
    """The signed review that counts of each scan, by scan, in two queries."""
    rows: dict[uuid.UUID, list[Review]] = {}
    found = Review.objects.filter(scan__in=scan_ids, status=Status.SIGNED)
    for review in found.select_related("analysis").prefetch_related("verdicts"):
        rows.setdefault(review.scan_id, []).append(review)
    return {scan_id: that_counts(signed) for scan_id, signed in rows.items()}


def that_counts(signed: Sequence[Review]) -> Review:
    """Of the signed reviews of one scan, at least one, the one that counts: that of the newest reading, the
    first reader's before the second's. Where an earlier reading's review set a worse level it stays a floor
    until a review of the newer reading takes its place.
    """
    if len(signed) == 1:
        return signed[0]
    newest = max(signed, key=lambda review: (_read_at(review), review.seat == Seat.FIRST))
    earlier = [review for review in signed if _read_at(review) < _read_at(newest)]
    return min([newest, *earlier], key=lambda review: rank(review.danger_level))


def _read_at(review: Review) -> datetime:
    """When the reading was asked for that a review is about; one whose reading is gone is the oldest."""
    oldest = datetime.min.replace(tzinfo=UTC)
    return review.analysis.queued_at if review.analysis is not None else oldest


def counting(user: User | AnonymousUser | None, found: Iterable[Review]) -> Review | None:
    """Of all reviews of one scan the signed one that counts for this reader (see `that_counts`). None for a
    blind second reader. `user` None is somebody with a share link.
    """
    signed = _seen(user, list(found))
    return that_counts(signed) if signed else None


@dataclasses.dataclass(frozen=True)
class SeenReviews:
    """The signed reviews that one reader sees, by scan."""

    signed: Mapping[uuid.UUID, Sequence[Review]] = dataclasses.field(default_factory=dict)

    def of(self, scan_id: uuid.UUID, reading_id: uuid.UUID | None = None) -> Review | None:
        """The review that counts of a scan (see `that_counts`). Of one of its readings, old or new, the
        signed review of just that reading goes first.
        """
        signed = self.signed.get(scan_id)
        if not signed:
            return None
        own = [one for one in signed if reading_id is not None and one.analysis_id == reading_id]
        return min(own, key=lambda review: review.seat != Seat.FIRST) if own else that_counts(signed)


def seen_reviews(user: User | AnonymousUser | None, scan_ids: Iterable[uuid.UUID]) -> SeenReviews:
    """The signed reviews that a reader who may see the scans sees of them, in two queries."""
    rows: dict[uuid.UUID, list[Review]] = {}
    found = Review.objects.filter(scan__in=list(scan_ids)).exclude(status=Status.SUPERSEDED)
    for review in found.select_related("analysis").prefetch_related("verdicts"):
        rows.setdefault(review.scan_id, []).append(review)
    return SeenReviews({scan_id: _seen(user, reviews) for scan_id, reviews in rows.items()})


def seen_review(
    user: User | AnonymousUser | None, scan: Scan, reading_id: uuid.UUID | None = None
) -> Review | None:
    """The same for one scan, or one of its readings."""
    return seen_reviews(user, [scan.pk]).of(scan.pk, reading_id)


def _seen(user: User | AnonymousUser | None, rows: Sequence[Review]) -> list[Review]:
    if user is not None and any(_makes_blind(row, user) for row in rows):
        return []
    return [row for row in rows if row.status == Status.SIGNED]


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
    return disagreements_of([scan.pk]).get(scan.pk, [])


def disagreements_of(scan_ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, list[Disagreement]]:
    """The same of each scan that both have signed, by scan, in two queries."""
    signed: dict[uuid.UUID, dict[str, Review]] = {}
    found = Review.objects.filter(scan__in=scan_ids, status=Status.SIGNED).prefetch_related("verdicts")
    for review in found:
        signed.setdefault(review.scan_id, {})[review.seat] = review
    return {
        scan_id: _differences(by_seat[Seat.FIRST], by_seat[Seat.SECOND])
        for scan_id, by_seat in signed.items()
        if len(by_seat) == 2
    }


def _differences(first: Review, second: Review) -> list[Disagreement]:
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
    check(given)
    with transaction.atomic():
        hold_for_review(user, scan)
        draft = _write_draft(user, scan, given)
    log_access(user, "draft_review", scan)
    return draft


def sign(user: User, scan: Scan, given: ReviewInput, *, level_if_kept: str) -> Review:
    """The signed review alone of `sign_once`."""
    return sign_once(user, scan, given, level_if_kept=level_if_kept)[0]


def sign_once(user: User, scan: Scan, given: ReviewInput, *, level_if_kept: str) -> tuple[Review, bool]:
    """Save what was filled in and sign it: the signed review, and whether it is new.

    With `amends` it replaces that signed review by a new version, with a reason; the one before is kept as
    superseded. Whoever has signed the very same already, and did not see the answer, gets that review, and
    nothing is stored.

    `level_if_kept` is the level of the reading, taken over where the doctor gave none. The draft is saved
    first and stays saved when the signature is refused, unless it is one's own signature that stands. Raises
    as `save_draft` does, and ReviewRefused ``incomplete``, ``bad_date``, ``already_signed``, ``no_reason`` or
    ``amended_meanwhile``, and UserError ``not_amendable``.
    """
    check(given)
    refused: Exception | None = None
    with transaction.atomic():
        # Held until it is signed: who sends the same again meanwhile waits, and finds it signed.
        hold_for_review(user, scan)
        standing = _standing(scan, given.seat)
        if standing is not None and standing.reader_id == user.pk:
            if says_the_same(standing, given, level_if_kept):
                return standing, False
            if given.amends is None:
                raise signed_by_oneself(standing, draft_of(user, scan, given.seat))
        draft = _write_draft(user, scan, given)
        try:
            with transaction.atomic():
                _sign_draft(user, scan, draft, given, level_if_kept)
        except Exception as error:
            # Raised when the draft is stored: it stays, whatever stood against the signature.
            refused = error
    log_access(user, "draft_review", scan)
    if isinstance(refused, IntegrityError):
        raise signed_by(None, draft) from refused
    if refused is not None:
        raise refused
    log_access(user, "amend_review" if draft.previous_id else "sign_review", scan)
    return Review.objects.prefetch_related("verdicts").get(pk=draft.pk), True


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


def _standing(scan: Scan, seat: str) -> Review | None:
    """What is signed in a seat and not replaced."""
    found = Review.objects.filter(scan=scan, seat=seat, status=Status.SIGNED)
    return found.prefetch_related("verdicts").first()


def _check_newest(scan: Scan, analysis_id: uuid.UUID | None, draft: Review | None) -> None:
    newest = newest_answer_id(scan.pk)
    if newest is None:
        raise UserError(
            "not_read", _("This scan has no finished reading yet, so there is nothing to review.")
        )
    if analysis_id != newest:
        raise ReviewRefused(
            "superseded",
            _(
                "There is a newer reading of this scan than the one you looked at. Nothing you wrote is "
                "lost. Please look at the newer reading, check your verdicts, and save again."
            ),
            draft=draft,
        )


def _write_draft(user: User, scan: Scan, given: ReviewInput) -> Review:
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
            right_condition=one.kept_right,
        )
        for one in given.verdicts
        if one.verdict
    )
    return draft


def _draft_to_write(user: User, scan: Scan, given: ReviewInput) -> Review:
    draft = (
        Review.objects.select_for_update(of=("self",))
        .filter(scan=scan, seat=given.seat, reader=user, status=Status.DRAFT)
        .first()
    )
    _check_newest(scan, given.analysis_id, draft)
    if (draft.edit_no if draft else 0) != given.edit_no:
        raise edit_conflict(draft)
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


def _sign_draft(user: User, scan: Scan, draft: Review, given: ReviewInput, level_if_kept: str) -> None:
    check_complete(draft, given, level_if_kept)
    _replace_standing(draft, given)
    now = timezone.now()
    # Compare-and-swap: whatever else touched the draft, what is signed is what was sent.
    changed = Review.objects.filter(pk=draft.pk, status=Status.DRAFT, edit_no=draft.edit_no).update(
        status=Status.SIGNED,
        signed_at=now,
        reader_name=reader_name(user),
        danger_level=given.danger_level or level_if_kept,
        previous=draft.previous,
        version=draft.version,
        updated_at=now,
    )
    if not changed:
        raise edit_conflict(draft)
    if given.follow_up_on:
        # It is the patient's reminder, whatever language the doctor reads.
        with translation.override(scan.case.patient.language):
            see_again = _("See the doctor again")
        FollowUp.objects.get_or_create(
            case_id=scan.case_id,
            due_on=given.follow_up_on,
            text=given.follow_up.strip()[:500] or see_again,
            defaults={"created_by": user},
        )
    transaction.on_commit(functools.partial(_announce, draft.pk))


def _replace_standing(draft: Review, given: ReviewInput) -> None:
    standing = _standing(draft.scan, draft.seat)
    if draft.previous_id is None:
        if standing is not None:
            raise signed_by(standing, draft)
        return
    if not given.amend_reason.strip():
        raise ReviewRefused("no_reason", _("Please say why you change a signed review."), draft=draft)
    if standing is None or standing.pk != draft.previous_id:
        raise ReviewRefused(
            "amended_meanwhile",
            _(
                "%(name)s changed this review meanwhile. Your text is kept as a draft. Please look at the "
                "new version first."
            )
            % {"name": standing.reader_name if standing else _("Somebody else")},
            draft=draft,
            standing=standing,
        )
    Review.objects.filter(pk=standing.pk).update(status=Status.SUPERSEDED, updated_at=timezone.now())
    draft.version = standing.version + 1


def reader_name(user: User) -> str:
    """How a doctor is named in what they sign."""
    return (user.full_name or user.email)[:150]


def _announce(review_id: uuid.UUID) -> None:
    review_signed.send_robust(sender=Review, review_id=review_id)
