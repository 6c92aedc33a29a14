"""Tokens over the API, and what this app adds to it."""

from allauth.account.adapter import get_adapter
from allauth.account.models import EmailAddress
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy as _lazy
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import DefaultRouter
from rest_framework.throttling import ScopedRateThrottle
from rest_framework.views import APIView

from accounts import second_factor, services
from accounts.care_api import CareGrantViewSet, CareInvitationViewSet, EmergencyViewSet
from accounts.models import User
from accounts.second_factor_forms import use_code
from pmi_site.errors import TooManyTries, UserError


def register(router: DefaultRouter) -> None:
    """Add the collections of this app to the API."""
    router.register("care/grants", CareGrantViewSet, basename="care-grant")
    router.register("care/invitations", CareInvitationViewSet, basename="care-invitation")
    router.register("care/emergencies", EmergencyViewSet, basename="care-emergency")


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


class TokenView(APIView):
    """Exchange an address and password for an API token. Ten tries a minute at most.

    An account with a second step gives its code, too. An account that must have one and has none gets no
    token: it is set up on the site.
    """

    authentication_classes = ()
    permission_classes = (AllowAny,)
    throttle_classes = (ScopedRateThrottle,)
    throttle_scope = "token"

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
            raise TooManyTries("too_many_tries", " ".join(error.messages)) from None
        if (
            not isinstance(user, User)
            or not user.is_active
            or not EmailAddress.objects.filter(user=user, email__iexact=user.email, verified=True).exists()
        ):
            raise UserError("bad_credentials", _("This address and password do not open an account."))
        _take_second_step(user, form.validated_data.get("code", ""))
        _token, key = services.create_token(user, form.validated_data["name"])
        return Response({"token": key}, status=status.HTTP_201_CREATED)


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
