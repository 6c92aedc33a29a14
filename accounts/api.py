"""Tokens over the API, and what this app adds to it."""

from allauth.account.models import EmailAddress
from django.contrib.auth import authenticate
from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import DefaultRouter
from rest_framework.throttling import ScopedRateThrottle
from rest_framework.views import APIView

from accounts import services
from accounts.care_api import CareGrantViewSet, CareInvitationViewSet, EmergencyViewSet
from accounts.models import User
from pmi_site.errors import UserError


def register(router: DefaultRouter) -> None:
    """Add the collections of this app to the API."""
    router.register("care/grants", CareGrantViewSet, basename="care-grant")
    router.register("care/invitations", CareInvitationViewSet, basename="care-invitation")
    router.register("care/emergencies", EmergencyViewSet, basename="care-emergency")


class TokenRequestSerializer(serializers.Serializer):
    """Who asks."""

    email = serializers.EmailField()
    password = serializers.CharField(trim_whitespace=False, style={"input_type": "password"})
    name = serializers.CharField(max_length=60, default="API")


class TokenSerializer(serializers.Serializer):
    """The key."""

    token = serializers.CharField(read_only=True)


class TokenView(APIView):
    """Exchange an address and password for an API token. Ten tries a minute at most."""

    authentication_classes = ()
    permission_classes = (AllowAny,)
    throttle_classes = (ScopedRateThrottle,)
    throttle_scope = "token"

    @extend_schema(request=TokenRequestSerializer, responses={201: TokenSerializer})
    def post(self, request: Request) -> Response:
        """201 with the key, or 400 with the same words whatever was wrong."""
        form = TokenRequestSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        user = authenticate(
            request._request,
            email=form.validated_data["email"].lower(),
            password=form.validated_data["password"],
        )
        if (
            not isinstance(user, User)
            or not EmailAddress.objects.filter(user=user, email__iexact=user.email, verified=True).exists()
        ):
            raise UserError("bad_credentials", _("This address and password do not open an account."))
        _token, key = services.create_token(user, form.validated_data["name"])
        return Response({"token": key}, status=status.HTTP_201_CREATED)
