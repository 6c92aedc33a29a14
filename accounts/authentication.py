"""How a program proves who it is: `Authorization: Token <key>`."""

from datetime import timedelta

from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from accounts import second_factor
from accounts.models import ApiToken, User

# Writing the time of every request would turn each read into a write.
LAST_USED_STEP = timedelta(minutes=5)


class TokenAuthentication(BaseAuthentication):
    """Accepts the words `Token` and `Bearer` before the key."""

    keywords = (b"token", b"bearer")

    def authenticate(self, request: Request) -> tuple[User, ApiToken] | None:
        """The user and token; None without our header; raises AuthenticationFailed (401)."""
        parts = get_authorization_header(request).split()
        if not parts or parts[0].lower() not in self.keywords:
            return None
        if len(parts) != 2:
            raise AuthenticationFailed(_("The Authorization header must be: Token, a blank, the key."))
        try:
            key = parts[1].decode("ascii")
        except UnicodeDecodeError:
            raise AuthenticationFailed(_("This token is not valid.")) from None
        token = (
            ApiToken.objects.select_related("user")
            .annotate(has_second_factor=second_factor.set_up_for("user"))
            .filter(digest=ApiToken.digest_of(key))
            .first()
        )
        if token is None or not token.user.is_active:
            raise AuthenticationFailed(_("This token is not valid."))
        # Made before the account had to have one, or the account has become a doctor's since.
        if second_factor.is_required(token.user) and not token.has_second_factor:
            raise AuthenticationFailed(
                _("This account needs a second step at sign-in. Set it up on the site first."),
                code="second_factor_missing",
            )
        now = timezone.now()
        if token.last_used_at is None or now - token.last_used_at > LAST_USED_STEP:
            ApiToken.objects.filter(pk=token.pk).update(last_used_at=now)
        return token.user, token

    def authenticate_header(self, request: Request) -> str:
        """Makes a missing login answer 401, not 403."""
        return "Token"


class TokenScheme(OpenApiAuthenticationExtension):
    """Tells the API's schema about the token."""

    target_class = "accounts.authentication.TokenAuthentication"
    name = "token"

    def get_security_definition(self, auto_schema: object) -> dict[str, str]:
        """OpenAPI's description of the header."""
        return {
            "type": "apiKey",
            "in": "header",
            "name": "Authorization",
            "description": "`Token` and a blank before the key. Get one from /api/v1/token/.",
        }
