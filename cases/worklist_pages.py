"""The worklist's pages: the list, what is new on it, saved views."""

from __future__ import annotations

import uuid
from datetime import datetime

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from cases import worklist, worklist_saved
from cases.models import WorklistView
from cases.worklist_forms import FilterForm, ViewForm, query_of
from pmi_site.errors import UserError

# How often an open page asks for news.
LOOK_EVERY_SECONDS = 20


@require_safe
@never_cache
@login_required
def show(request: HttpRequest) -> HttpResponse:
    """A page of the worklist. Not written to the access log: what is opened from here is."""
    doctor = worklist.require_doctor(request.user)
    # Asked before the rows: news that come in between are announced once too often rather than never.
    since = worklist.newest_news(doctor)
    form = FilterForm(request.GET.copy())
    wanted = form.filters()
    status = 400 if form.errors else 200
    after = None
    if text := request.GET.get("cursor", ""):
        try:
            after = worklist.Cursor.decode(text)
        except UserError as error:
            messages.error(request, error.message)
            status = 400
    page = worklist.page(doctor, wanted, after)
    query = query_of(wanted)
    saved = list(worklist_saved.views_of(doctor))
    context = {
        "form": form,
        "page": page,
        "wanted": wanted,
        "counts": worklist.counts(doctor),
        "most": worklist.MOST_COUNTED,
        "query": query,
        "is_first": after is None,
        "saved": saved,
        "current_view": next((view for view in saved if view.query == query), None),
        "patient_name": page.rows[0].case.patient.get_full_name() if wanted.patient and page.rows else "",
        "since": since.isoformat(),
        "look_every": LOOK_EVERY_SECONDS,
    }
    return render(request, "cases/worklist.html", context, status=status)


@require_safe
@never_cache
def news(request: HttpRequest) -> HttpResponse:
    """What has changed since the page was made (`since`), for its rows (`shown`): a fragment.

    Whoever was signed out or may no longer see a worklist is told so, and the page stops asking.
    """
    is_poll = bool(request.headers.get("HX-Request"))
    if not request.user.is_authenticated:
        if not is_poll:
            return redirect_to_login(reverse("cases:worklist"))
        return _stop(request, "signed_out")
    try:
        doctor = worklist.require_doctor(request.user)
    except PermissionDenied:
        if not is_poll:
            raise
        return _stop(request, "not_allowed")
    context = {
        "new": worklist.count_news(doctor, _moment(request.GET.get("since", ""))),
        "gone": worklist.no_longer_readable(doctor, _ids(request.GET.getlist("shown"))),
        "counts": worklist.counts(doctor),
        "most": worklist.MOST_COUNTED,
    }
    return render(request, "cases/_worklist_news.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@login_required
def saved_views(request: HttpRequest) -> HttpResponse:
    """The doctor's saved views; POST keeps the filters in `query` under a name."""
    doctor = worklist.require_doctor(request.user)
    form = ViewForm(request.POST or None)
    query = ""
    if request.method == "POST":
        # What comes in is read as filters and written anew: nothing else is kept.
        query = query_of(FilterForm(_query_dict(request.POST.get("query", ""))).filters())
        if form.is_valid():
            try:
                view = worklist_saved.save_view(doctor, form.cleaned_data["name"], query)
            except UserError as error:
                form.add_error("name", error.message)
            else:
                messages.success(request, _("The view is saved."))
                return redirect(f"{reverse('cases:worklist')}?{view.query}")
    return _saved_page(request, form, query)


@require_POST
@login_required
def rename_view(request: HttpRequest, view_id: uuid.UUID) -> HttpResponse:
    """Give one of the doctor's views another name."""
    view = worklist_saved.get_view(worklist.require_doctor(request.user), view_id)
    form = ViewForm(request.POST)
    if form.is_valid():
        try:
            worklist_saved.rename_view(view, form.cleaned_data["name"])
        except UserError as error:
            form.add_error("name", error.message)
    if form.errors:
        messages.error(request, str(form.errors["name"][0]))
    else:
        messages.success(request, _("The view has its new name."))
    return redirect("cases:worklist_saved")


@require_POST
@login_required
def delete_view(request: HttpRequest, view_id: uuid.UUID) -> HttpResponse:
    """Forget one of the doctor's views."""
    worklist_saved.delete_view(worklist_saved.get_view(worklist.require_doctor(request.user), view_id))
    messages.success(request, _("The view is deleted. No case was changed."))
    return redirect("cases:worklist_saved")


def _saved_page(request: HttpRequest, form: ViewForm, query: str) -> HttpResponse:
    doctor = worklist.require_doctor(request.user)
    context = {"form": form, "query": query, "saved": worklist_saved.views_of(doctor)}
    context["longest"] = WorklistView._meta.get_field("name").max_length
    return render(request, "cases/worklist_saved.html", context, status=400 if form.errors else 200)


def _stop(request: HttpRequest, why: str) -> HttpResponse:
    response = render(request, "cases/_worklist_stopped.html", {"why": why})
    response["HX-Trigger"] = "pmi:stop"
    return response


def _query_dict(text: str) -> QueryDict:
    return QueryDict(text[:2000])


def _moment(text: str) -> datetime:
    """The moment in an address; now, where it is none."""
    try:
        found = parse_datetime(text)
    except ValueError:
        found = None
    if found is None or timezone.is_naive(found):
        return timezone.now()
    return found


def _ids(texts: list[str]) -> list[uuid.UUID]:
    found = []
    for text in texts[: 2 * worklist.PAGE_SIZE]:
        try:
            found.append(uuid.UUID(text))
        except ValueError:
            continue
    return found
