"""The page on which a patient makes links to a case, sees how often they were used, and takes them back."""

import uuid

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_variables
from django.views.decorators.http import require_http_methods, require_POST

from cases import selectors, sharing
from cases.record_forms import ShareLinkForm
from cases.selectors import person
from pmi_site.errors import UserError


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@login_required
@sensitive_variables("made")
def share(request: HttpRequest, case_id: uuid.UUID) -> HttpResponse:
    """The links of a case; POST makes one and shows its address and PIN this one time."""
    case = selectors.get_case(request.user, case_id, write=True)
    form, made = ShareLinkForm(request.POST if request.method == "POST" else None), None
    if request.method == "POST" and form.is_valid():
        try:
            made = sharing.make_link(case, person(request.user), **form.cleaned_data)
        except UserError as error:
            form.add_error(None, error.message)
        else:
            # No redirect: address and PIN must not travel through a session or a cookie.
            form = ShareLinkForm()
    address = request.build_absolute_uri(reverse("inference:shared", args=[made.token])) if made else ""
    context = {
        "case": case,
        "form": form,
        "made": made,
        "address": address,
        "links": sharing.links_of(case),
        "minutes": settings.PMI_SHARE_MINUTES,
    }
    return render(request, "cases/share.html", context, status=400 if form.errors else 200)


@require_POST
@never_cache
@login_required
def revoke(request: HttpRequest, case_id: uuid.UUID, link_id: uuid.UUID) -> HttpResponse:
    """Take a link back at once. A second tap finds it taken back."""
    case = selectors.get_case(request.user, case_id, write=True)
    ended = sharing.links_of(case).filter(pk=link_id, revoked_at__isnull=False)
    if not sharing.revoke_link(case, person(request.user), link_id) and not ended.exists():
        raise Http404("No such link.")
    messages.success(request, _("The link is taken back. It opens nothing any more."))
    return redirect("cases:share", case.pk)
