"""The way into the admin: the site's own sign-in, with its limits and its second step."""

from allauth.account.utils import get_next_redirect_url
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.http import urlencode
from django.views.decorators.cache import never_cache

from accounts.models import User


@never_cache
def admin_login(request: HttpRequest) -> HttpResponse:
    """To the sign-in page, or on to where one wanted to go; 403 for people without rights in the admin."""
    target = get_next_redirect_url(request) or reverse("admin:index")
    if not isinstance(request.user, User):
        return HttpResponseRedirect(f"{reverse('account_login')}?{urlencode({'next': target})}")
    if not request.user.is_staff:
        raise PermissionDenied
    return redirect(target)
