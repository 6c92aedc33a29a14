"""The result page, its progress fragment, asking for another reading, and the heatmap files."""

from __future__ import annotations

import gzip
import logging
import uuid

import nibabel
import numpy as np
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db.models.fields.files import FieldFile
from django.http import FileResponse, Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from accounts.consents import care_is_withdrawn, care_withdrawn_text
from accounts.models import Role, User
from accounts.selectors import is_verified_doctor
from accounts.services import log_access
from cases.file_views import NIFTI, PNG, private_headers, volume_response
from cases.imaging.volume import ImagingError
from cases.models import Scan
from cases.reviews import reviews_for
from cases.selectors import get_scan, may_write, visible_scans
from cases.services import load_volume, local_copy
from cases.worklist import mark_seen
from inference import services, similar_page
from inference.display import for_display, needs_reduction, reduced_affine, reduced_array, reduction
from inference.models import Finding
from inference.report_review import versions
from inference.result_page import Result
from inference.result_parts import Progress
from inference.results import result_of
from inference.review_desk import desk_for
from inference.selectors import get_analysis, get_finding
from inference.symptom_page import alarm
from pmi_site.reading import country_of

logger = logging.getLogger(__name__)


@require_safe
@login_required
def scan_result(request: HttpRequest, case_id: uuid.UUID, scan_id: uuid.UUID) -> HttpResponse:
    """What the reading of one scan says and what to do, or how far the reading is."""
    scan = get_scan(request.user, scan_id, case_id=case_id)
    result = _result(request, scan)
    log_access(actor(request), "view_reading", result.analysis or scan)
    mark_seen(request.user, scan.case)
    case = scan.case
    context: dict[str, object] = {"result": result, "scan": scan, "case": case}
    context["may_write"] = may_write(request.user, case)
    context["versions"] = versions(reviews_for(request.user, scan))
    context["symptom_alarm"] = alarm(case) if result.is_held else None
    context["desk"] = desk_for(request.user, scan, result, change="change" in request.GET)
    if result.is_read and result.answer is not None:
        visible = visible_scans(request.user)
        user = request.user
        if isinstance(user, User):
            asked = similar_page.asked_filters(user, request.GET)
            context["similar"] = similar_page.section(
                result.answer, scan, visible, for_doctor=result.for_doctor, asked=asked
            )
    return private_headers(render(request, "inference/scan_result.html", context))


@require_safe
def analysis_fragment(request: HttpRequest, analysis_id: uuid.UUID) -> HttpResponse:
    """How far an unfinished reading is, for polling; `as=card` gives the small card of the case page.

    204 while nothing has changed since the state named by `seen`. Once the reading is finished, the whole
    result page is loaded anew (the card just changes).
    """
    if not request.user.is_authenticated:
        # The session ended while the page was open: load it anew, which leads to the login page and back.
        return _refresh() if request.headers.get("HX-Request") else redirect("account_login")
    analysis = get_analysis(request.user, analysis_id, held=True)
    as_card = request.GET.get("as") == "card"
    if not analysis.is_finished:
        progress = Progress(analysis)
        if request.GET.get("seen") == progress.token:
            return private_headers(HttpResponse(status=204))
        template = "inference/_card_waiting.html" if as_card else "inference/_progress.html"
        return private_headers(render(request, template, {"progress": progress, "analysis": analysis}))
    if as_card:
        result = _result(request, analysis.scan)
        log_access(actor(request), "view_reading", result.analysis or analysis.scan)
        context = {"result": result, "scan": analysis.scan}
        return private_headers(render(request, "inference/_card.html", context))
    if request.headers.get("HX-Request"):
        return _refresh()
    return redirect("inference:scan_result", analysis.scan.case_id, analysis.scan_id)


@require_POST
@login_required
def read_again(request: HttpRequest, case_id: uuid.UUID, scan_id: uuid.UUID) -> HttpResponse:
    """Ask for a reading where there is none, or where another one could answer differently."""
    scan = get_scan(request.user, scan_id, case_id=case_id, write=True)
    result = _result(request, scan)
    if care_is_withdrawn(scan.case.patient_id):
        messages.error(request, care_withdrawn_text())
    elif result.may_read_again:
        services.request_analysis(scan.pk, reread=True)
    elif result.pending is None:
        told = _("This scan has been read by the newest model. Reading it again would give the same answer.")
        messages.info(request, told)
    return redirect("inference:scan_result", scan.case_id, scan.pk)


@require_safe
@login_required
def display_volume(request: HttpRequest, case_id: uuid.UUID, scan_id: uuid.UUID) -> HttpResponseBase:
    """The scan as NIfTI, no larger than a browser can draw; the whole one is at `cases:scan_volume`."""
    scan = get_scan(request.user, scan_id, case_id=case_id)
    if not needs_reduction(scan.width, scan.height, scan.slices):
        return volume_response(request.user, scan)
    try:
        volume = for_display(load_volume(scan))
    except (OSError, ImagingError) as error:
        logger.error("A file of scan %s is missing or broken", scan.pk)
        raise Http404("The file is missing.") from error
    log_access(actor(request), "view_scan_volume", scan)
    return _nifti(volume.to_nifti())


@require_safe
@login_required
def heatmap_volume(request: HttpRequest, analysis_id: uuid.UUID, finding_id: uuid.UUID) -> HttpResponseBase:
    """Where the model looked, as NIfTI in the scan's grid; `display=1` reduces it like `display_volume`."""
    finding = get_finding(request.user, analysis_id, finding_id)
    scan = finding.analysis.scan
    if not request.GET.get("display") or not needs_reduction(scan.width, scan.height, scan.slices):
        return _stream(request, finding, finding.heatmap, "view_heatmap", NIFTI)
    if not finding.heatmap:
        raise Http404("This finding has no heatmap.")
    try:
        with local_copy(finding.heatmap) as path:
            image = nibabel.Nifti1Image.from_filename(path)
            data = np.asanyarray(image.dataobj)
    except OSError as error:
        logger.error("A heatmap of finding %s is missing", finding.pk)
        raise Http404("The file is missing.") from error
    factors = reduction(data.shape)
    log_access(actor(request), "view_heatmap", finding)
    return _nifti(
        nibabel.Nifti1Image(reduced_array(data, factors), reduced_affine(np.asarray(image.affine), factors))
    )


@require_safe
@login_required
def heatmap_picture(request: HttpRequest, analysis_id: uuid.UUID, finding_id: uuid.UUID) -> HttpResponseBase:
    """The most telling slice with the heatmap laid over it, for browsers that cannot draw it themselves."""
    finding = get_finding(request.user, analysis_id, finding_id)
    return _stream(request, finding, finding.heatmap_png, "view_heatmap_picture", PNG)


def _result(request: HttpRequest, scan: Scan) -> Result:
    return result_of(request.user, scan, for_doctor=is_doctor(request), country=country_of(request))


def is_doctor(request: HttpRequest) -> bool:
    """Whether a verified doctor looks at the page."""
    user = request.user
    return user.is_authenticated and user.role == Role.DOCTOR and is_verified_doctor(user)


def actor(request: HttpRequest) -> User | None:
    """Who to name in the access log."""
    return request.user if isinstance(request.user, User) else None


def _refresh() -> HttpResponse:
    return private_headers(HttpResponse(headers={"HX-Refresh": "true"}))


def _nifti(image: nibabel.Nifti1Image) -> HttpResponse:
    # Level 1: the browser waits for this, and it is thrown away afterwards.
    return private_headers(HttpResponse(gzip.compress(image.to_bytes(), 1), content_type=NIFTI))


def _stream(
    request: HttpRequest, finding: Finding, field: FieldFile, action: str, content_type: str
) -> HttpResponseBase:
    if not field:
        raise Http404("This finding has no heatmap.")
    try:
        handle = field.storage.open(field.name or "", "rb")
    except OSError as error:
        logger.error("A heatmap of finding %s is missing", finding.pk)
        raise Http404("The file is missing.") from error
    log_access(actor(request), action, finding)
    response = FileResponse(handle, content_type=content_type)
    # FileResponse guesses from the name when it can; what we know counts.
    response["Content-Type"] = content_type
    return private_headers(response)
