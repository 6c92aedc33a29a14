"""The address of a reading's PDF report."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

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

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser

PDF = "application/pdf"


@require_safe
@login_required
def report(request: HttpRequest, analysis_id: uuid.UUID) -> HttpResponse:
    """The report of one finished reading, in the reader's language."""
    return report_of(request, request.user, analysis_id)


def report_of(request: HttpRequest, user: User | AnonymousUser, analysis_id: uuid.UUID | str) -> HttpResponse:
    """The PDF of a reading that is shown to the user, for a page and the API; 404 without it or an answer."""
    analysis = get_analysis(user, analysis_id)
    reader = user if isinstance(user, User) else None
    response = report_response(request, analysis, reader)
    log_access(reader, "download_report", analysis)
    return response


def report_response(request: HttpRequest, analysis: Analysis, reader: User | None) -> HttpResponse:
    """The PDF for somebody who may see the reading (None: with a share link). 404 without an answer."""
    if analysis.status not in Analysis.ANSWERED:
        raise Http404("There is no finished reading to report.")
    pdf = render(analysis, reader, country=country_of(request))
    response = HttpResponse(pdf, content_type=PDF)
    # The name of a file travels: it says nothing about the person.
    response["Content-Disposition"] = f'inline; filename="{report_number(analysis.pk)}.pdf"'
    return private_headers(response)
