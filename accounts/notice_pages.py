"""The page of a person's notices."""

from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from accounts import notices as service
from accounts.page_users import me

PAGE_SIZE = 30


@login_required
@never_cache
@require_safe
def notices(request: HttpRequest) -> HttpResponse:
    """A person's notices, newest first."""
    user = me(request)
    page = Paginator(service.notices_of(user), PAGE_SIZE).get_page(request.GET.get("page"))
    return render(request, "accounts/notices.html", {"page": page, "mails": user.mail_notices})


@login_required
@never_cache
@require_safe
def follow(request: HttpRequest, notice_id: UUID) -> HttpResponse:
    """Mark a notice as read and go where it leads; 404 for one that is not the person's."""
    notice = service.notices_of(me(request)).filter(pk=notice_id).first()
    if notice is None:
        raise Http404("No such notice.")
    notice.mark_read()
    return redirect(notice.link or "accounts:notices")


@login_required
@require_POST
def read_all(request: HttpRequest) -> HttpResponse:
    """Mark everything as read."""
    service.mark_all_read(me(request))
    return redirect("accounts:notices")


@login_required
@require_POST
def mails(request: HttpRequest) -> HttpResponse:
    """Switch mails about notices on (`wanted` = 1) or off."""
    wanted = request.POST.get("wanted") == "1"
    service.switch_mails(me(request), wanted)
    text = (
        _("We will mail you when there is something new.") if wanted else _("We will not mail you any more.")
    )
    messages.success(request, text)
    return redirect("accounts:notices")
