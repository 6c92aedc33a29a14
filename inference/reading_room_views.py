"""The reading room, and earlier readings of a scan. Reading only."""

from __future__ import annotations

import uuid

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.templatetags.static import static
from django.views.decorators.http import require_safe

from accounts.models import User
from accounts.services import log_access
from cases.file_views import private_headers
from cases.reviews import reviews_for
from cases.selectors import get_scan, may_write, visible_scans
from cases.worklist import mark_seen
from inference import similar_page
from inference.reading_room import Room
from inference.report_review import versions
from inference.result_page import Result
from inference.results import result_of
from inference.review_desk import desk_for
from inference.symptom_page import alarm
from inference.views import actor, is_doctor
from pmi_site.reading import country_of


@require_safe
@login_required
def reading_room(request: HttpRequest, case_id: uuid.UUID, scan_id: uuid.UUID) -> HttpResponse:
    """A scan in full size with tools, beside an earlier one (`?prior=`), with its findings over time."""
    scan = get_scan(request.user, scan_id, case_id=case_id)
    result = result_of(request.user, scan, for_doctor=is_doctor(request), country=country_of(request))
    room = Room(request.user, scan, result, request.GET.get("prior", ""))
    log_access(actor(request), "open_reading_room", scan)
    mark_seen(request.user, scan.case)
    context: dict[str, object] = {
        "room": room,
        "result": result,
        "scan": scan,
        "case": scan.case,
        "may_write": may_write(request.user, scan.case),
        "earlier": result.earlier,
        "is_held_back": result.is_held and not result.finished,
        "versions": versions(reviews_for(request.user, scan)),
        "symptom_alarm": alarm(scan.case) if result.is_held else None,
        "desk": desk_for(request.user, scan, result, change="change" in request.GET),
        "still": _still(request, room),
        "data": {**room.data(), "niivue": static("vendor/niivue/niivue.umd.js")},
    }
    if result.is_read and result.answer is not None:
        visible = visible_scans(request.user)
        if isinstance(request.user, User):
            asked = similar_page.asked_filters(request.user, request.GET)
            context["similar"] = similar_page.section(
                result.answer, scan, visible, for_doctor=result.for_doctor, asked=asked
            )
    return private_headers(render(request, "inference/reading_room.html", context))


@require_safe
@login_required
def earlier_reading(
    request: HttpRequest, case_id: uuid.UUID, scan_id: uuid.UUID, analysis_id: uuid.UUID
) -> HttpResponse:
    """One finished reading of a scan as it was, marked as older when a newer one is there."""
    scan = get_scan(request.user, scan_id, case_id=case_id)
    for_doctor = is_doctor(request)
    whole = result_of(request.user, scan, for_doctor=for_doctor, country=country_of(request))
    wanted = next((one for one in whole.finished if one.pk == analysis_id), None)
    if wanted is None:
        raise Http404("No such reading.")
    log_access(actor(request), "view_earlier_reading", wanted)
    newest = whole.answer
    result = Result(
        scan,
        [wanted],
        for_doctor=for_doctor,
        country=country_of(request),
        review=whole.review,
        is_blind=whole.is_blind,
    )
    context = {
        "result": result,
        "scan": scan,
        "case": scan.case,
        "newest": whole,
        "is_older": newest is not None and newest.pk != wanted.pk,
        "earlier": [one for one in whole.finished if one.pk != wanted.pk],
        "may_write": False,
    }
    return private_headers(render(request, "inference/earlier_reading.html", context))


def _still(request: HttpRequest, room: Room) -> dict[str, object]:
    """Which slice the page shows without a viewer: the asked one (`?plane=&number=`), else the key slice."""
    pane = room.current
    plane = request.GET.get("plane", "")
    if not room.scan.is_volume:
        return {"plane": "", "index": None, "number": None, "total": 1}
    size = {"axial": room.scan.slices, "coronal": room.scan.height, "sagittal": room.scan.width}
    asked = request.GET.get("number", "")
    key = pane.key_slice
    if plane not in size:
        plane = pane.plane
    index = key if key is not None and plane == pane.plane else size[plane] // 2
    if asked.isascii() and asked.isdigit() and len(asked) < 7:
        index = int(asked) - 1
    index = max(0, min(index, size[plane] - 1))
    return {"plane": plane, "index": index, "number": index + 1, "total": size[plane]}
