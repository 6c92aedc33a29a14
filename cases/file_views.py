"""Private files: each view asks the selector, writes the access log, and streams without letting anybody
cache."""

import logging
import uuid
from pathlib import PurePosixPath
from typing import TypeVar

from django.contrib.auth.decorators import login_required
from django.core.exceptions import BadRequest
from django.db.models.fields.files import FieldFile
from django.http import FileResponse, Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from accounts.models import User
from accounts.services import log_access
from cases.imaging.preview import slice_png
from cases.imaging.volume import PLANES, ImagingError
from cases.models import Scan
from cases.selectors import get_scan
from cases.volume_cache import shown

logger = logging.getLogger(__name__)
_Response = TypeVar("_Response", bound=HttpResponseBase)

NIFTI = "application/gzip"
PNG = "image/png"
_TYPES = {
    ".dcm": "application/dicom",
    ".zip": "application/zip",
    ".png": PNG,
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".tif": "image/tiff",
    ".tiff": "image/tiff",
    ".webp": "image/webp",
    ".gz": NIFTI,
}
# What intake makes of what is sent, and so what there is to download.
ORIGINAL_TYPES = tuple(_TYPES[suffix] for suffix in (".dcm", ".zip", ".png", ".jpg", ".tif", ".gz"))


@require_safe
@login_required
def scan_volume(request: HttpRequest, case_id: uuid.UUID, scan_id: uuid.UUID) -> HttpResponseBase:
    """The canonical NIfTI, for the viewer."""
    return volume_response(request.user, get_scan(request.user, scan_id, case_id=case_id))


@require_safe
@login_required
def scan_preview(request: HttpRequest, case_id: uuid.UUID, scan_id: uuid.UUID) -> HttpResponseBase:
    """A small picture: the film, or the middle slice."""
    return preview_response(request.user, get_scan(request.user, scan_id, case_id=case_id))


@require_safe
@login_required
def scan_slice(request: HttpRequest, case_id: uuid.UUID, scan_id: uuid.UUID) -> HttpResponseBase:
    """One slice as PNG (``?plane=axial&index=12``), for browsers without WebGL2."""
    return slice_response(request, request.user, get_scan(request.user, scan_id, case_id=case_id))


@require_safe
@login_required
def scan_original(request: HttpRequest, case_id: uuid.UUID, scan_id: uuid.UUID) -> HttpResponseBase:
    """The original as stored (de-identified), as a download."""
    return original_response(request.user, get_scan(request.user, scan_id, case_id=case_id))


# The API streams the same files through the same functions.


def volume_response(user: object, scan: Scan) -> HttpResponseBase:
    """Stream the canonical NIfTI of a scan the user may read."""
    return _stream(user, "view_scan_volume", scan, scan.canonical, NIFTI)


def preview_response(user: object, scan: Scan) -> HttpResponseBase:
    """Stream the preview of a scan the user may read."""
    return _stream(user, "view_scan_preview", scan, scan.preview, PNG)


def original_response(user: object, scan: Scan) -> HttpResponseBase:
    """Stream the de-identified original of a scan the user may read, as an attachment."""
    suffixes = "".join(PurePosixPath(scan.original.name or "").suffixes)
    content_type = _TYPES.get(PurePosixPath(suffixes or "x").suffix or suffixes, "application/octet-stream")
    name = f"scan-{str(scan.pk)[:8]}{suffixes}"
    return _stream(user, "download_scan_original", scan, scan.original, content_type, attachment=name)


def slice_response(request: HttpRequest, user: object, scan: Scan) -> HttpResponse:
    """Render one slice: ``plane`` (default: as acquired) and ``index`` (default: the middle one)."""
    plane = request.GET.get("plane") or scan.plane or "axial"
    if plane not in PLANES:
        raise BadRequest(_("The plane is axial, coronal or sagittal."))
    try:
        index = int(request.GET["index"]) if request.GET.get("index") else None
    except ValueError as error:
        raise BadRequest(_("The index of a slice is a whole number.")) from error
    try:
        volume = shown.get(scan)
    except (OSError, ImagingError) as error:
        raise _missing(scan) from error
    count = volume.n_slices(plane)
    if index is None:
        index = count // 2
    if not 0 <= index < count:
        raise Http404("No such slice.")
    _log(user, "view_scan_slice", scan)
    return private_headers(HttpResponse(slice_png(volume, index, plane), content_type=PNG))


def private_headers(response: _Response) -> _Response:
    """Mark a response with medical content: nobody on the way may keep it or guess its type."""
    response["Cache-Control"] = "private, no-store"
    response["X-Content-Type-Options"] = "nosniff"
    return response


def _stream(
    user: object, action: str, scan: Scan, field: FieldFile, content_type: str, attachment: str = ""
) -> HttpResponseBase:
    try:
        handle = field.storage.open(field.name or "", "rb")
    except OSError as error:
        raise _missing(scan) from error
    _log(user, action, scan)
    response = FileResponse(
        handle, as_attachment=bool(attachment), filename=attachment, content_type=content_type
    )
    # FileResponse guesses from the name when it can; what we know counts.
    response["Content-Type"] = content_type
    return private_headers(response)


def _missing(scan: Scan) -> Http404:
    logger.error("A file of scan %s is missing or broken", scan.pk)
    return Http404("The file is missing.")


def _log(user: object, action: str, scan: Scan) -> None:
    log_access(user if isinstance(user, User) else None, action, scan)
