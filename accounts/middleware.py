"""What stands between a session and the pages."""

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.urls import ResolverMatch, reverse
from django.utils import translation
from django.utils.http import urlencode
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from django_htmx.http import HttpResponseClientRedirect

from accounts import second_factor, services, sessions
from accounts.models import User

# What a doctor or administrator may open before the second step: nothing that shows a patient's data or the
# administration. A name, or the start of a family of names. What is not listed is shut.
OPEN = (
    "home",
    "healthz",
    "set_language",
    "v1:symptom-",
    "v1:no-such-address",
    "account_",
    "mfa_",
    "usersessions_",
    "accounts:begin",
    "accounts:erased",
    "admin_login",
    "admin:logout",
    "admin:jsi18n",
    # Public whoever asks: the knowledge base, the API's documentation, links that carry their own PIN.
    "resources:",
    "v1:condition-",
    "v1:resource-",
    "v1:treatment-",
    "v1:docs",
    "v1:schema",
    "v1:token",
    "inference:shared",
)


# Where a second step that exists is taken. The other pages about it could be used to go around it.
TAKING_IT = {"mfa_authenticate", "mfa_reauthenticate", "mfa_reauthenticate_webauthn", "mfa_login_webauthn"}


def is_open(match: ResolverMatch | None) -> bool:
    """Whether a route needs no second step."""
    return match is not None and match.view_name.startswith(OPEN)


class SecondFactorMiddleware:
    """Sends whoever needs a second step and has not taken it in this session to the page where they can."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_view(self, request: HttpRequest, *view: Any) -> HttpResponse | None:
        """None lets the request through."""
        user, match = request.user, request.resolver_match
        if not isinstance(user, User) or match is None:
            return None
        if not second_factor.is_required(user) or second_factor.is_proven(request):
            return None
        about_it = match.view_name.startswith("mfa_") and match.view_name not in TAKING_IT
        if is_open(match) and not (about_it and second_factor.is_set_up(user)):
            return None
        return _send_away(request, user)


class SeenMiddleware:
    """Keeps the list of sessions true."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        sessions.note_seen(request)
        return self.get_response(request)


class LanguageMiddleware:
    """Shows pages in the language that a person chose, in whatever browser. Of who never chose one it
    remembers in which they read, for mails that are written while they are away.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        user, language = request.user, get_language()
        if isinstance(user, User) and language and user.language != language:
            if user.language_is_chosen:
                translation.activate(user.language)
                request.LANGUAGE_CODE = user.language
            else:
                services.remember_language(user, language)
        response = self.get_response(request)
        place = request.resolver_match
        is_choice = place is not None and place.url_name == "set_language"
        # A body that was refused stays unread.
        if isinstance(user, User) and is_choice and response.status_code < 400:
            chosen = request.POST.get("language", "")
            if chosen in dict(settings.LANGUAGES):
                services.remember_language(user, chosen, chosen=True)
        return response


def _send_away(request: HttpRequest, user: User) -> HttpResponse:
    if request.resolver_match is not None and "v1" in request.resolver_match.namespaces:
        words = _("This account needs a second step at sign-in. Sign in on the site and take it.")
        return JsonResponse({"detail": words, "code": "second_factor_required"}, status=403)
    if second_factor.is_set_up(user):
        # An older session than the second step, or one that began another way.
        target = reverse("mfa_reauthenticate")
        if request.method == "GET" and not getattr(request, "htmx", False):
            target += "?" + urlencode({"next": request.get_full_path()})
    else:
        target = reverse("mfa_index")
        if request.method != "GET":
            messages.warning(request, _("Nothing was saved. Please set up the second step first."))
    if getattr(request, "htmx", False):
        return HttpResponseClientRedirect(target)
    return HttpResponseRedirect(target)
