"""Tokens over the API, and what this app adds to it."""

from uuid import UUID

from allauth.account.adapter import get_adapter
from allauth.account.models import EmailAddress
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import Http404
from django.utils.decorators import method_decorator
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy as _lazy
from django.views.decorators.cache import never_cache
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import mixins, serializers, status
from rest_framework.authentication import BaseAuthentication
from rest_framework.permissions import AllowAny, BasePermission, IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import DefaultRouter
from rest_framework.throttling import ScopedRateThrottle
from rest_framework.views import APIView
from rest_framework.viewsets import GenericViewSet

from accounts import second_factor, selectors, services
from accounts.authentication import TokenAuthentication
from accounts.care_api import CareGrantViewSet, CareInvitationViewSet, EmergencyViewSet
from accounts.models import ApiToken, User
from accounts.second_factor_forms import use_code
from pmi_site.errors import TooManyTries, UserError
from pmi_site.rest import UUID_PATTERN

# What the words of the refusal say, too (`AccountAdapter.error_messages`).
WAIT_AFTER_TRIES = 5 * 60


def register(router: DefaultRouter) -> None:
    """Add the collections of this app to the API."""
    router.register("care/grants", CareGrantViewSet, basename="care-grant")
    router.register("care/invitations", CareInvitationViewSet, basename="care-invitation")
    router.register("care/emergencies", EmergencyViewSet, basename="care-emergency")
    # Not "token-": routes that begin with that are open to sessions without a second step.
    router.register("tokens", ApiTokenViewSet, basename="api-token")


class TokenRequestSerializer(serializers.Serializer):
    """Who asks."""

    email = serializers.EmailField()
    password = serializers.CharField(trim_whitespace=False, style={"input_type": "password"})
    code = serializers.CharField(
        max_length=32,
        required=False,
        help_text=_lazy("Of accounts with a second step: the app's code now, or a recovery code."),
    )
    name = serializers.CharField(max_length=60, default="API")


class TokenSerializer(serializers.Serializer):
    """The key."""

    token = serializers.CharField(read_only=True)


class ApiTokenSerializer(serializers.ModelSerializer[ApiToken]):
    """A token by its name; its key was shown when it was made and never again."""

    is_current = serializers.SerializerMethodField(help_text="Whether this request was made with it.")

    class Meta:
        model = ApiToken
        fields = ["id", "name", "created_at", "last_used_at", "is_current"]

    def get_is_current(self, token: ApiToken) -> bool:
        """The one in use."""
        used = self.context["request"].auth
        return isinstance(used, ApiToken) and used.pk == token.pk


@method_decorator(never_cache, name="dispatch")
class ApiTokenViewSet(mixins.ListModelMixin, GenericViewSet[ApiToken]):
    """Your tokens: which programs act for you, and taking a key back."""

    serializer_class = ApiTokenSerializer
    queryset = ApiToken.objects.none()
    lookup_url_kwarg = "token_id"
    lookup_value_regex = UUID_PATTERN

    def get_queryset(self) -> QuerySet[ApiToken]:
        """One's own, newest first."""
        user = self.request.user
        return selectors.tokens_of(user) if isinstance(user, User) else ApiToken.objects.none()

    @extend_schema(
        parameters=[OpenApiParameter("token_id", OpenApiTypes.UUID, OpenApiParameter.PATH)],
        responses={204: None},
    )
    def destroy(self, request: Request, token_id: str) -> Response:
        """Lock out the program that uses it, at once."""
        if not isinstance(request.user, User) or not services.delete_token(request.user, UUID(token_id)):
            raise Http404
        return Response(status=status.HTTP_204_NO_CONTENT)


class TokenView(APIView):
    """Exchange an address and password for an API token, or end the one in use. Ten tries a minute at most.

    An account with a second step gives its code, too. An account that must have one and has none gets no
    token: it is set up on the site.
    """

    throttle_classes = (ScopedRateThrottle,)
    throttle_scope = "token"

    def get_authenticators(self) -> list[BaseAuthentication]:
        """Only a key can say which token is in use; whoever asks for one has none yet."""
        return [TokenAuthentication()] if self._is_delete() else []

    def get_permissions(self) -> list[BasePermission]:
        """Asking for a token is for everybody."""
        return [IsAuthenticated()] if self._is_delete() else [AllowAny()]

    def _is_delete(self) -> bool:
        # The schema's generator asks before there is a request.
        return getattr(self.request, "method", "") == "DELETE"

    @extend_schema(request=TokenRequestSerializer, responses={201: TokenSerializer})
    def post(self, request: Request) -> Response:
        """201 with the key, or 400 with the same words whatever was wrong about address and password."""
        form = TokenRequestSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        try:
            user = get_adapter().authenticate(
                request._request,
                email=form.validated_data["email"].lower(),
                password=form.validated_data["password"],
            )
        except ValidationError as error:
            raise TooManyTries("too_many_tries", " ".join(error.messages), WAIT_AFTER_TRIES) from None
        if (
            not isinstance(user, User)
            or not user.is_active
            or not EmailAddress.objects.filter(user=user, email__iexact=user.email, verified=True).exists()
        ):
            raise UserError("bad_credentials", _("This address and password do not open an account."))
        _take_second_step(user, form.validated_data.get("code", ""))
        _token, key = services.create_token(user, form.validated_data["name"])
        return Response({"token": key}, status=status.HTTP_201_CREATED)

    @extend_schema(request=None, responses={204: None})
    def delete(self, request: Request) -> Response:
        """End the token that this request is made with, as a program does that signs out."""
        if isinstance(request.user, User) and isinstance(request.auth, ApiToken):
            services.delete_token(request.user, request.auth.pk)
        return Response(status=status.HTTP_204_NO_CONTENT)


def _take_second_step(user: User, code: str) -> None:
    """Raises UserError unless the code is right, or the account neither has nor needs a second step."""
    if not second_factor.is_set_up(user):
        if second_factor.is_required(user):
            raise UserError(
                "second_factor_missing",
                _("This account needs a second step at sign-in. Set it up on the site first."),
            )
        return
    if not code:
        raise UserError("code_required", _("This account has a second step. Send its code as `code`."))
    if wrong := use_code(user, code):
        raise UserError("bad_code", " ".join(wrong))
