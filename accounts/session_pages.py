"""Ending one session. The list and "everywhere else" are allauth's."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from accounts import sessions
from accounts.page_users import me


@login_required
@require_POST
def end_session(request: HttpRequest, session_id: int) -> HttpResponse:
    """Sign one session out; 404 for one that is not the person's."""
    if not sessions.end_one(me(request), session_id):
        raise Http404
    messages.success(request, _("That device is signed out."))
    return redirect("usersessions_list")
