"""Adding a follow-up, marking it as done, deleting it; the record page shows them."""

import uuid

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from cases import followups, selectors
from cases.record_forms import FollowUpForm
from cases.selectors import person
from pmi_site.errors import UserError


@require_POST
@never_cache
@login_required
def add(request: HttpRequest) -> HttpResponse:
    """Set a reminder of one's own in the case named by `case`."""
    case = selectors.get_case(request.user, request.POST.get("case", ""), write=True)
    form = FollowUpForm(request.POST)
    try:
        if form.is_valid():
            followups.add(case, person(request.user), **form.cleaned_data)
            messages.success(request, _("Your reminder is saved."))
        else:
            messages.error(request, " ".join(str(e) for errors in form.errors.values() for e in errors))
    except UserError as error:
        messages.error(request, error.message)
    return _back()


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
    return redirect(reverse("inference:record") + "#follow-ups")
