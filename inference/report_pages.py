"""The address of a reading's PDF report."""

from __future__ import annotations

import uuid

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from accounts.models import User
from accounts.services import log_access
from cases.file_views import private_headers
from inference.models import Analysis
from inference.report_content import report_number
from inference.report_pdf import render
from inference.selectors import get_analysis
from pmi_site.reading import country_of

PDF = "application/pdf"
ANSWERS = (Analysis.Status.SUCCEEDED, Analysis.Status.REJECTED)


@require_safe
@login_required
def report(request: HttpRequest, analysis_id: uuid.UUID) -> HttpResponse:
    """The report of one finished reading, in the reader's language."""
    analysis = get_analysis(request.user, analysis_id)
    reader = request.user if isinstance(request.user, User) else None
    response = report_response(request, analysis, reader)
    log_access(reader, "download_report", analysis)
    return response


def report_response(request: HttpRequest, analysis: Analysis, reader: User | None) -> HttpResponse:
    """The PDF for somebody who may see the reading (None: with a share link). 404 without an answer."""
    if analysis.status not in ANSWERS:
        raise Http404("There is no finished reading to report.")
    pdf = render(analysis, reader, country=country_of(request))
    response = HttpResponse(pdf, content_type=PDF)
    # The name of a file travels: it says nothing about the person.
    response["Content-Disposition"] = f'inline; filename="{report_number(analysis.pk)}.pdf"'
    return private_headers(response)
