"""The care relationship over REST. Access is decided by the selectors and services, as on the pages."""

from typing import Any
from uuid import UUID

from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404
from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts import care, emergency, selectors
from accounts.models import CareInvitation, CareRelationship, Role, User
from pmi_site.errors import TooManyTries
from pmi_site.rest import UUID_PATTERN

# The longest that each can last, in seconds: the counters do not know when they began.
WAITS = {"too_many_codes": 15 * 60, "too_many_emergencies": 60 * 60, "too_many_invitations": 24 * 60 * 60}

# What to open is the patient's to say, who is asked; a code is for whoever enters it.
_NOT_TAKEN = {CareInvitation.Way.REQUEST: ("case", "access_days"), CareInvitation.Way.CODE: ("email",)}


class SaysHowLong(APIView):
    """For view sets: who is slowed down is told after how many seconds to come back."""

    def handle_exception(self, exc: Exception) -> Response:
        """Adds the wait where the refusal itself does not know it."""
        if isinstance(exc, TooManyTries) and exc.wait is None:
            exc.wait = WAITS.get(exc.code)
        return super().handle_exception(exc)


class PersonSerializer(serializers.ModelSerializer[User]):
    """The other side, by name and address. A patient's `id` is the `patient` of their cases."""

    # Only of grants. Of invitations nobody is shown: who asks is not told whether an address is known here.
    class Meta:
        model = User
        fields = ["id", "full_name", "email"]


class GrantSerializer(serializers.ModelSerializer[CareRelationship]):
    """Who may read whose cases, and until when. `case` null: all cases. `reason`: of an emergency."""

    patient = PersonSerializer(read_only=True)
    doctor = PersonSerializer(read_only=True)
    reason = serializers.SerializerMethodField()

    class Meta:
        model = CareRelationship
        fields = [
            *("id", "patient", "doctor", "case", "is_emergency", "reason"),
            *("granted_at", "expires_at", "ended_at"),
        ]

    def get_reason(self, grant: CareRelationship) -> str | None:
        """What the doctor wrote."""
        return grant.emergency.reason if grant.is_emergency and hasattr(grant, "emergency") else None


class InvitationSerializer(serializers.ModelSerializer[CareInvitation]):
    """An invitation or a request. `from` names the other side where they asked; whether an address is known
    here is not told.
    """

    state = serializers.SerializerMethodField()

    class Meta:
        model = CareInvitation
        fields = [
            *("id", "way", "email", "case", "access_days"),
            *("created_at", "expires_at", "state", "answered_at"),
        ]

    def get_fields(self) -> dict[str, Any]:
        """`from` is a word of the language, so it cannot be a class attribute."""
        return {**super().get_fields(), "from": serializers.SerializerMethodField("get_asker")}

    def get_state(self, invitation: CareInvitation) -> str:
        """`open`, `expired`, `accepted`, `declined` or `cancelled`."""
        if invitation.state == CareInvitation.State.OPEN and not invitation.is_waiting:
            return "expired"
        return invitation.state

    def get_asker(self, invitation: CareInvitation) -> str | None:
        """The name of whoever asked; null for one's own."""
        way = CareInvitation.Way
        asker = invitation.doctor if invitation.way == way.REQUEST else invitation.patient
        return asker.get_full_name() if asker is not None and asker != self.context["request"].user else None


class ScopeSerializer(serializers.Serializer[Any]):
    """What a doctor may read, and for how many days; both empty: all cases, until the patient ends it."""

    case = serializers.UUIDField(required=False, allow_null=True, default=None)
    access_days = serializers.IntegerField(
        required=False, allow_null=True, default=None, min_value=1, max_value=care.LONGEST_DAYS
    )


class AskSerializer(ScopeSerializer):
    """A patient invites by `email` or `code`; a doctor sends a `request` to a patient's address."""

    way = serializers.ChoiceField(choices=CareInvitation.Way.choices)
    email = serializers.EmailField(
        required=False, allow_blank=True, default="", help_text="Of whoever is asked; empty for a code."
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Only a code goes without an address. What a way does not take is not thrown away unsaid."""
        way = attrs["way"]
        if way != CareInvitation.Way.CODE and not attrs["email"]:
            raise serializers.ValidationError({"email": _("This field is required.")})
        words = _("This does not go with way “%(way)s”. Please leave it out.") % {"way": way}
        if wrong := {name: words for name in _NOT_TAKEN.get(way, ()) if attrs[name]}:
            raise serializers.ValidationError(wrong)
        return attrs


class AskedSerializer(InvitationSerializer):
    """What was asked."""

    # Not read-only, although nobody sends it: the schema would promise that it is always there.
    code = serializers.CharField(
        required=False, help_text="Only for `way` code, and only this one time: what the patient passes on."
    )

    class Meta(InvitationSerializer.Meta):
        fields = [*InvitationSerializer.Meta.fields, "code"]


class AnswerSerializer(ScopeSerializer):
    """Yes or no. The scope counts where a patient says yes to a doctor's request."""

    answer = serializers.ChoiceField(choices=["yes", "no"])


class CodeSerializer(serializers.Serializer[Any]):
    """A patient's code, as typed."""

    code = serializers.CharField(max_length=30)


class EmergencyRequestSerializer(serializers.Serializer[Any]):
    """Whose cases, and why they cannot wait."""

    email = serializers.EmailField()
    reason = serializers.CharField(min_length=emergency.SHORTEST_REASON, max_length=emergency.LONGEST_REASON)


class CareGrantViewSet(mixins.ListModelMixin, viewsets.GenericViewSet[CareRelationship]):
    """Access that holds now: given by a patient, or held by a doctor. Either side may end it."""

    serializer_class = GrantSerializer
    queryset = CareRelationship.objects.none()
    lookup_value_regex = UUID_PATTERN

    def get_queryset(self) -> QuerySet[CareRelationship]:
        """The grants of this patient, or of this doctor."""
        if getattr(self, "swagger_fake_view", False):
            return CareRelationship.objects.none()
        user = _me(self.request)
        held = selectors.patients_of(user) if user.role == Role.DOCTOR else selectors.grants_of(user)
        return held.select_related("patient", "doctor", "emergency").order_by("-granted_at", "-id")

    @extend_schema(responses={204: None})
    def destroy(self, request: Request, pk: str) -> Response:
        """End it at once; the other side is told."""
        user, grant_id = _me(request), UUID(pk)
        end = care.give_back if user.role == Role.DOCTOR else care.revoke_access
        if not end(user, grant_id):
            raise Http404
        return Response(status=status.HTTP_204_NO_CONTENT)


class CareInvitationViewSet(SaysHowLong, mixins.ListModelMixin, viewsets.GenericViewSet[CareInvitation]):
    """What you asked, and what waits for your answer."""

    serializer_class = InvitationSerializer
    queryset = CareInvitation.objects.none()
    lookup_value_regex = UUID_PATTERN

    def get_queryset(self) -> QuerySet[CareInvitation]:
        """One's own, and those to oneself."""
        if getattr(self, "swagger_fake_view", False):
            return CareInvitation.objects.none()
        user = _me(self.request)
        to_me = selectors.invitations_to(user) if user.role == Role.DOCTOR else selectors.requests_to(user)
        ids = [
            *to_me.values_list("pk", flat=True),
            *selectors.invitations_by(user).values_list("pk", flat=True),
        ]
        found = CareInvitation.objects.filter(pk__in=ids).select_related("patient", "doctor")
        return found.order_by("-created_at", "-id")

    @extend_schema(request=AskSerializer, responses={201: AskedSerializer})
    def create(self, request: Request) -> Response:
        """Invite a doctor by email or code, or ask a patient. The answer is the same whether or not somebody
        has an account with the address.
        """
        wish, code = _valid(AskSerializer, request), None
        scope = {"case_id": wish["case"], "access_days": wish["access_days"]}
        if wish["way"] == CareInvitation.Way.REQUEST:
            asked = care.request_access(_me(request), wish["email"])
        elif wish["way"] == CareInvitation.Way.EMAIL:
            asked = care.invite_by_email(_me(request), wish["email"], **scope)
        else:
            asked, code = care.make_code(_me(request), **scope)
        shown = dict(self.get_serializer(asked).data)
        if code is not None:
            shown["code"] = code
        return Response(shown, status=status.HTTP_201_CREATED)

    @extend_schema(responses={204: None})
    def destroy(self, request: Request, pk: str) -> Response:
        """Take back what you asked, while it waits."""
        if not care.cancel(_me(request), UUID(pk)):
            raise Http404
        return Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(request=AnswerSerializer, responses={200: GrantSerializer, 204: None})
    @action(detail=True, methods=["post"])
    def answer(self, request: Request, pk: str) -> Response:
        """Say yes (200 with the grant) or no (204) to what waits for you. The same yes once more, because
        the answer was lost, gives the grant again while it holds.
        """
        answer, user, asked = _valid(AnswerSerializer, request), _me(request), UUID(pk)
        is_doctor = user.role == Role.DOCTOR
        if answer["answer"] == "no":
            declined = (care.decline_invitation if is_doctor else care.decline_request)(user, asked)
            if not declined:
                raise Http404
            return Response(status=status.HTTP_204_NO_CONTENT)
        if is_doctor:
            grant = care.accept_invitation(user, asked)
        elif selectors.requests_to(user).filter(pk=asked).exists():
            scope = {"case_id": answer["case"], "access_days": answer["access_days"]}
            grant = care.accept_request(user, asked, **scope)
        else:
            grant = None
        grant = grant or care.accepted_before(user, asked, answer["case"], answer["access_days"])
        if grant is None:
            raise Http404
        return Response(GrantSerializer(grant).data)

    @extend_schema(request=CodeSerializer, responses={200: GrantSerializer})
    @action(detail=False, methods=["post"])
    def code(self, request: Request) -> Response:
        """A doctor uses a patient's code. After ten wrong ones in a quarter of an hour: 429."""
        return Response(
            GrantSerializer(care.use_code(_me(request), _valid(CodeSerializer, request)["code"])).data
        )


class EmergencyViewSet(SaysHowLong, mixins.ListModelMixin, viewsets.GenericViewSet[CareRelationship]):
    """Emergency accesses: those about you, or those that you hold."""

    serializer_class = GrantSerializer
    queryset = CareRelationship.objects.none()

    def get_queryset(self) -> QuerySet[CareRelationship]:
        """Of this patient, ended ones too; or running ones of this doctor."""
        if getattr(self, "swagger_fake_view", False):
            return CareRelationship.objects.none()
        user = _me(self.request)
        if user.role == Role.DOCTOR:
            return selectors.running_emergencies(user).select_related("doctor")
        return selectors.emergencies_about(user).select_related("patient")

    @extend_schema(request=EmergencyRequestSerializer, responses={201: GrantSerializer})
    def create(self, request: Request) -> Response:
        """Open a patient's cases in an emergency. The patient is told who and why; what is read is marked."""
        wish = _valid(EmergencyRequestSerializer, request)
        grant = emergency.open_access(_me(request), wish["email"], wish["reason"])
        return Response(GrantSerializer(grant).data, status=status.HTTP_201_CREATED)


def _me(request: Request) -> User:
    if not isinstance(request.user, User):
        raise PermissionDenied
    return request.user


def _valid(kind: type[serializers.Serializer[Any]], request: Request) -> dict[str, Any]:
    form = kind(data=request.data)
    form.is_valid(raise_exception=True)
    return dict(form.validated_data)
