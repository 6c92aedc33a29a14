"""Marking a follow-up as done, deleting it; the record page shows them and takes new ones."""

import uuid

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from cases import followups
from pmi_site.errors import UserError


@require_POST
@never_cache
@login_required
def done(request: HttpRequest, follow_up_id: uuid.UUID) -> HttpResponse:
    """Mark as done; with `open` set, open it again."""
    follow_up = followups.own_follow_up(request.user, follow_up_id)
    again = bool(request.POST.get("open"))
    followups.mark_done(follow_up, not again)
    messages.success(
        request, _("The reminder is open again.") if again else _("Well done. It is marked as done.")
    )
    return _back()


@require_POST
@never_cache
@login_required
def remove(request: HttpRequest, follow_up_id: uuid.UUID) -> HttpResponse:
    """Delete a reminder of one's own."""
    follow_up = followups.own_follow_up(request.user, follow_up_id)
    try:
        followups.remove(follow_up)
        messages.success(request, _("The reminder is deleted."))
    except UserError as error:
        messages.error(request, error.message)
    return _back()


def _back() -> HttpResponse:
    # To the top of the page, where what became of it is said.
    return redirect("inference:record")
