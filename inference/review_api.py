"""REST: doctors' reviews. The same services as the pages, and the same rules on who may."""

from __future__ import annotations

import dataclasses
from collections import Counter
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.utils.translation import gettext as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import (
    OpenApiParameter,
    OpenApiResponse,
    extend_schema,
    extend_schema_field,
    extend_schema_view,
)
from rest_framework import mixins, serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import User
from accounts.selectors import is_verified_doctor
from accounts.services import log_access, log_list
from cases import reviews, second_reader
from cases.models import Review, ReviewVerdict, Scan
from cases.reviews import CONFLICTS, ReviewInput, ReviewRefused, may_review
from cases.selectors import get_scan, person
from cases.serializers import ErrorSerializer
from inference.models import Analysis, DangerLevel
from inference.report_review import title
from inference.review_forms import LONGEST, verdicts_of
from inference.review_truth import level_to_keep
from inference.selectors import get_analysis
from pmi_site.errors import UserError
from pmi_site.filters import asked_id, choice
from pmi_site.rest import UUID_PATTERN
from resources.selectors import published_conditions


class VerdictSerializer(serializers.ModelSerializer[ReviewVerdict]):
    """What the doctor says to one finding, which is copied as they saw it."""

    # Named here, for the model's own has the pattern of a word, which "" does not fit.
    right_condition = serializers.CharField(
        read_only=True, help_text="What it is instead; empty unless they disagree and it is in the list."
    )

    class Meta:
        model = ReviewVerdict
        fields = ["label", "condition", "probability", "call", "verdict", "right_condition"]
        read_only_fields = fields


class ReviewSerializer(serializers.ModelSerializer[Review]):
    """One version of a review."""

    scan = serializers.UUIDField(source="scan_id", read_only=True)
    case = serializers.UUIDField(source="scan.case_id", read_only=True)
    analysis = serializers.UUIDField(
        source="analysis_id", read_only=True, allow_null=True, help_text="The reading that it is about."
    )
    previous = serializers.UUIDField(
        source="previous_id", read_only=True, allow_null=True, help_text="The version that it replaces."
    )
    verdicts = VerdictSerializer(many=True, read_only=True)
    statement = serializers.SerializerMethodField(help_text="Who confirmed or corrected, and when, in words.")

    class Meta:
        model = Review
        fields = [
            "id",
            "scan",
            "case",
            "analysis",
            "seat",
            "status",
            "version",
            "previous",
            "reader_name",
            "verdicts",
            "comment",
            "danger_level",
            "follow_up",
            "follow_up_on",
            "amend_reason",
            "edit_no",
            "statement",
            "created_at",
            "signed_at",
        ]
        read_only_fields = fields

    def get_statement(self, review: Review) -> str:
        """As the page says it; empty for a draft."""
        return title(review) if review.status != Review.Status.DRAFT else ""


class VerdictWriteSerializer(serializers.Serializer):
    """A verdict on one of the reading's findings."""

    verdict = serializers.ChoiceField(choices=ReviewVerdict.Verdict.choices)
    right_condition = serializers.SlugField(
        max_length=80, required=False, allow_blank=True, default="", help_text="What it is instead."
    )

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        """With `label`, which as an attribute would be the serializer's own label."""
        return {"label": serializers.CharField(max_length=40), **super().get_fields()}

    def validate_right_condition(self, slug: str) -> str:
        """A condition of the knowledge base."""
        if slug and not published_conditions().filter(slug=slug).exists():
            raise serializers.ValidationError(_("There is no such condition."))
        return slug


class ReviewTextSerializer(serializers.Serializer):
    """What a doctor fills in. `analysis` is the reading that they looked at."""

    analysis = serializers.UUIDField()
    edit_no = serializers.IntegerField(
        min_value=0, default=0, help_text="That of your stored draft; 0 without one."
    )
    verdicts = VerdictWriteSerializer(many=True, default=list, help_text="One on a finding at most.")
    comment = serializers.CharField(max_length=LONGEST["comment"], allow_blank=True, default="")
    danger_level = serializers.ChoiceField(
        choices=DangerLevel.choices,
        allow_blank=True,
        default="",
        help_text="Left out: the reading's level is taken over. Needed with a disagreement.",
    )
    follow_up = serializers.CharField(max_length=LONGEST["follow_up"], allow_blank=True, default="")
    follow_up_on = serializers.DateField(allow_null=True, default=None)
    amend_reason = serializers.CharField(max_length=LONGEST["amend_reason"], allow_blank=True, default="")

    def validate_verdicts(self, verdicts: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """One on each finding: of two that differ nobody could say which is meant."""
        times = Counter(one["label"] for one in verdicts)
        if twice := sorted(label for label, count in times.items() if count > 1):
            told = _("There is more than one verdict on: %(labels)s.")
            raise serializers.ValidationError(told % {"labels": ", ".join(twice)})
        return verdicts


class ReviewWriteSerializer(ReviewTextSerializer):
    """The same with the scan and the seat."""

    scan = serializers.UUIDField()
    seat = serializers.ChoiceField(choices=Review.Seat.choices, default=Review.Seat.FIRST)


class DifferenceSerializer(serializers.Serializer):
    """One thing about which two readers differ; `what` is a label of the model, or "level"."""

    what = serializers.CharField()
    first = serializers.CharField()
    first_right = serializers.CharField()
    second = serializers.CharField()
    second_right = serializers.CharField()


class DisagreementSerializer(serializers.Serializer):
    """A scan on which two readers differ."""

    scan = serializers.UUIDField(source="pk")
    case = serializers.UUIDField(source="case_id")
    differences = serializers.SerializerMethodField()

    @extend_schema_field(DifferenceSerializer(many=True))
    def get_differences(self, scan: Scan) -> list[dict[str, Any]]:
        """What they say differently."""
        found = self.context["differences"].get(scan.pk, [])
        return list(DifferenceSerializer(found, many=True).data)


class ReviewConflictSerializer(ErrorSerializer):
    """Why a review was not taken, and what the next try needs."""

    review = serializers.UUIDField(
        allow_null=True,
        help_text="The signed review that stands in the way, which can be amended; else your draft, if any.",
    )
    edit_no = serializers.IntegerField(
        min_value=0, help_text="That of your stored draft, to be sent with the next try; 0 without one."
    )


class ReviewInvalidSerializer(ErrorSerializer):
    """What is wrong with what was sent. With `incomplete`, what the next try needs as well."""

    review = serializers.UUIDField(required=False, help_text="Your draft, where what was sent is kept.")
    edit_no = serializers.IntegerField(
        min_value=0, required=False, help_text="That of your draft, to be sent with the next try."
    )

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        """With `errors`, which as an attribute would be the serializer's own errors."""
        messages = serializers.DictField(
            child=serializers.ListField(child=serializers.CharField()),
            required=False,
            help_text="Messages by field, where fields are wrong; the fields stand beside it by name, too.",
        )
        return {**super().get_fields(), "errors": messages}


_WRITES = {
    200: ReviewSerializer,
    201: ReviewSerializer,
    400: ReviewInvalidSerializer,
    404: OpenApiResponse(ErrorSerializer, "To you there is no such scan, reading or review."),
    409: ReviewConflictSerializer,
}


@extend_schema_view(
    list=extend_schema(
        parameters=[
            OpenApiParameter("scan", OpenApiTypes.UUID, description="Of this scan only."),
            OpenApiParameter("case", OpenApiTypes.UUID, description="Of this case only."),
            OpenApiParameter("status", OpenApiTypes.STR, enum=Review.Status.values),
        ]
    )
)
class ReviewViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[Review]):
    """Doctors' reviews of the scans that you may see: signed and replaced versions, and your own drafts.

    409 says that somebody was faster, with a code: `superseded` (there is a newer reading), `edit_conflict`
    (the draft was saved elsewhere), `already_signed`, `amended_meanwhile`. What was sent is kept as a draft
    with the last two, unless it is you who signed: then amend your review. The next try needs `review` and
    `edit_no` of the answer.
    """

    serializer_class = ReviewSerializer
    queryset = Review.objects.none()
    lookup_value_regex = UUID_PATTERN

    def get_queryset(self) -> QuerySet[Review]:
        """The reviews that the user may read."""
        if getattr(self, "swagger_fake_view", False):
            return Review.objects.none()
        filters = {
            "scan_id": asked_id(self.request, "scan"),
            "scan__case_id": asked_id(self.request, "case"),
            "status": choice(self.request, "status", Review.Status.values),
        }
        wanted = {field: value for field, value in filters.items() if value}
        return reviews.visible_reviews(person(self.request.user)).filter(**wanted)

    def paginate_queryset(self, queryset: Any) -> Any:
        """One page of the list; what it shows of other people is logged."""
        page = super().paginate_queryset(queryset)
        if self.action == "list":
            log_list(person(self.request.user), "list_reviews", [review.scan for review in page or []])
        return page

    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """One version of a review."""
        review = self.get_object()
        log_access(person(request.user), "view_reviews", review.scan)
        return Response(self.get_serializer(review).data)

    @extend_schema(request=ReviewWriteSerializer, responses=_WRITES)
    def create(self, request: Request) -> Response:
        """Keep a draft: 201 for a new one, 200 for one that was there. Nobody else sees it."""
        scan, _analysis, given = self._given(request)
        draft = reviews.save_draft(person(request.user), scan, given)
        code = status.HTTP_201_CREATED if draft.edit_no == 1 else status.HTTP_200_OK
        return self._answer(draft, code)

    @extend_schema(request=ReviewWriteSerializer, responses=_WRITES)
    @action(detail=False, methods=["post"])
    def sign(self, request: Request) -> Response:
        """Keep what is sent and sign it. Refused, it stays a draft.

        201 for a new signature; 200 where you had signed just this before, whose answer may have been lost.
        """
        scan, analysis, given = self._given(request)
        return self._sign(scan, analysis, given)

    @extend_schema(request=ReviewTextSerializer, responses=_WRITES)
    @action(detail=True, methods=["post"])
    def amend(self, request: Request, pk: str) -> Response:
        """Replace a signed review by a new version, with `amend_reason`; the one before stays readable.

        201 for a new version; 200 where you had replaced it by just this before.
        """
        user, standing = person(request.user), self.get_object()
        self._require_reader(user, standing.scan)
        sent = ReviewTextSerializer(data=request.data)
        sent.is_valid(raise_exception=True)
        values = {**sent.validated_data, "seat": standing.seat}
        analysis, given = self._input(user, standing.scan, values)
        return self._sign(standing.scan, analysis, dataclasses.replace(given, amends=standing.pk))

    @extend_schema(responses={204: None, 400: ErrorSerializer})
    def destroy(self, request: Request, pk: str) -> Response:
        """Throw your own draft away. What is signed stays."""
        user, review = person(request.user), self.get_object()
        if review.reader_id != user.pk:
            raise PermissionDenied(_("Only the doctor who wrote a draft can throw it away."))
        if review.status != Review.Status.DRAFT:
            raise UserError("signed", _("What is signed stays. It can be changed by a new version."))
        reviews.discard_draft(user, review.scan, review.seat)
        return Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(responses=DisagreementSerializer(many=True))
    @action(detail=False, methods=["get"])
    def disagreements(self, request: Request) -> Response:
        """The scans of your patients on which two readers differ; for verified doctors."""
        user = person(request.user)
        if not is_verified_doctor(user):
            raise PermissionDenied(_("This list is for doctors whose licence we have checked."))
        page = self.paginate_queryset(second_reader.in_disagreement(user)) or []
        log_list(user, "list_disagreements", page)
        found = {"differences": reviews.disagreements_of([scan.pk for scan in page])}
        return self.get_paginated_response(DisagreementSerializer(page, many=True, context=found).data)

    def handle_exception(self, exc: Exception) -> Response:
        """Somebody was faster: 409. Refused reviews say what the next try needs; everything else as usual."""
        if not isinstance(exc, ReviewRefused):
            return super().handle_exception(exc)
        body = {"detail": exc.message, "code": exc.code, "review": exc.review_id, "edit_no": exc.edit_no}
        is_conflict = exc.code in CONFLICTS
        code = status.HTTP_409_CONFLICT if is_conflict else status.HTTP_400_BAD_REQUEST
        return Response(body, status=code)

    def _given(self, request: Request) -> tuple[Scan, Analysis, ReviewInput]:
        user = person(request.user)
        sent = ReviewWriteSerializer(data=request.data)
        sent.is_valid(raise_exception=True)
        scan = get_scan(user, sent.validated_data["scan"])
        self._require_reader(user, scan)
        return scan, *self._input(user, scan, sent.validated_data)

    def _require_reader(self, user: User, scan: Scan) -> None:
        if not may_review(user, scan):
            raise PermissionDenied(_("Only a verified doctor who cares for this patient can review a scan."))

    def _input(self, user: User, scan: Scan, sent: dict[str, Any]) -> tuple[Analysis, ReviewInput]:
        analysis = get_analysis(user, sent["analysis"])
        if analysis.scan_id != scan.pk:
            raise serializers.ValidationError({"analysis": [_("This reading is of another scan.")]})
        said = {one["label"]: (one["verdict"], one["right_condition"]) for one in sent["verdicts"]}
        findings = list(analysis.findings.all())
        if unknown := said.keys() - {finding.label for finding in findings}:
            told = _("The reading has no finding with this label: %(labels)s.")
            raise serializers.ValidationError({"verdicts": [told % {"labels": ", ".join(sorted(unknown))}]})
        return analysis, ReviewInput(
            analysis_id=analysis.pk,
            seat=sent["seat"],
            edit_no=sent["edit_no"],
            verdicts=verdicts_of(findings, said),
            comment=sent["comment"],
            danger_level=sent["danger_level"],
            follow_up=sent["follow_up"],
            follow_up_on=sent["follow_up_on"],
            amend_reason=sent["amend_reason"],
        )

    def _sign(self, scan: Scan, analysis: Analysis, given: ReviewInput) -> Response:
        user = person(self.request.user)
        kept = level_to_keep(analysis.danger, given.verdicts)
        signed, is_new = reviews.sign_once(user, scan, given, level_if_kept=kept)
        return self._answer(signed, status.HTTP_201_CREATED if is_new else status.HTTP_200_OK)

    def _answer(self, review: Review, code: int) -> Response:
        fresh = reviews.visible_reviews(person(self.request.user)).get(pk=review.pk)
        return Response(self.get_serializer(fresh).data, status=code)
