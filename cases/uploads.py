"""Receiving uploads: straight to disk, bounded while they arrive, gone when the request is over.

Django's own handlers keep one open file per upload and know no limit for all of them together. A CD's folder
can hold thousands of files, so this handler writes each to a private working directory and closes it, and
stops at the limits.
"""

import contextlib
import logging
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from shutil import rmtree
from typing import Any

from django.conf import settings
from django.core.exceptions import TooManyFilesSent
from django.core.files.uploadedfile import UploadedFile
from django.core.files.uploadhandler import FileUploadHandler
from django.http import HttpRequest, UnreadablePostError
from django.http.multipartparser import MultiPartParserError
from django.template.defaultfilters import filesizeformat
from django.utils.datastructures import MultiValueDict
from django.utils.translation import gettext as _

from cases.intake import IncomingFile
from cases.storage import work_root
from pmi_site.errors import TooLarge, UserError

logger = logging.getLogger(__name__)

FIELD = "files"
# Room for the boundaries and part headers around the files themselves.
ENVELOPE_BYTES = 4 * 1024 * 1024
# Working directories older than this belonged to a process that was killed.
STALE_SECONDS = 6 * 3600


class UploadTooLarge(TooLarge):
    """The upload is over a limit; nothing of it is kept."""


class SpooledUpload(UploadedFile):
    """An uploaded file that lies on disk, closed."""

    def __init__(self, path: Path, name: str, size: int, content_type: str | None) -> None:
        super().__init__(file=None, name=name, content_type=content_type or "", size=size)
        self.path = path

    def close(self) -> None:
        """Nothing is open."""


class SpoolUploadHandler(FileUploadHandler):
    """Write every file of the request to ``directory``; raise UploadTooLarge at the first byte over a
    limit."""

    chunk_size = 1 << 20

    def __init__(self, request: HttpRequest, directory: Path) -> None:
        super().__init__(request)
        self.directory = directory
        self.received = 0
        self.count = 0
        self.path = directory
        self.handle: Any = None

    def handle_raw_input(
        self,
        input_data: Any,
        META: dict[str, str],  # noqa: N803 (Django's name)
        content_length: int,
        boundary: str | bytes,
        encoding: str | None = None,
    ) -> None:
        """Refuse by the announced length, before the first byte of the body is read."""
        check_announced_length(content_length)

    def new_file(self, *args: Any, **kwargs: Any) -> None:
        """Open the next numbered file; the sender's name never reaches the disk."""
        super().new_file(*args, **kwargs)
        self.count += 1
        if self.count > settings.PMI_MAX_FILES:
            raise _too_many_files()
        self.path = self.directory / f"{self.count:06d}"
        self.handle = self.path.open("xb")

    def receive_data_chunk(self, raw_data: bytes, start: int) -> bytes | None:
        """Write one chunk, counting what all files of the request have together."""
        self.received += len(raw_data)
        if self.received > settings.PMI_MAX_UPLOAD_BYTES:
            self.handle.close()
            raise _too_many_bytes()
        self.handle.write(raw_data)
        return None

    def file_complete(self, file_size: int) -> SpooledUpload:
        """Close the file and hand out where it lies."""
        self.handle.close()
        return SpooledUpload(self.path, self.file_name or _("unnamed file"), file_size, self.content_type)

    def upload_interrupted(self) -> None:
        """Close what is open; the directory goes with the request."""
        if self.handle is not None:
            self.handle.close()


@contextlib.contextmanager
def spooling(request: HttpRequest) -> Iterator[Path]:
    """Make the request's files go to a working directory that lives as long as this context.

    Has to be entered before anything reads the body (CSRF check, ``request.POST``).
    """
    sweep_stale_work()
    with tempfile.TemporaryDirectory(prefix="upload-", dir=work_root()) as name:
        directory = Path(name)
        request.upload_handlers = [SpoolUploadHandler(request, directory)]
        yield directory


def incoming_files(files: MultiValueDict[str, UploadedFile]) -> list[IncomingFile]:
    """Return the files of the field ``files`` for intake. Raises UserError ``no_file`` when there are
    none."""
    uploads = [upload for upload in files.getlist(FIELD) if isinstance(upload, SpooledUpload)]
    if not uploads:
        raise UserError("no_file", _("No file arrived. Choose one or more files and send them again."))
    return [IncomingFile(name=upload.name or "", path=upload.path) for upload in uploads]


@contextlib.contextmanager
def readable_body_errors() -> Iterator[None]:
    """Turn what Django raises about a broken or oversized body into a UserError with words for the sender."""
    try:
        yield
    except TooManyFilesSent as error:
        raise _too_many_files() from error
    except (MultiPartParserError, UnreadablePostError) as error:
        message = _("The upload broke off on the way. Check your connection and send the files again.")
        raise UserError("upload_broken", message) from error


def check_announced_length(content_length: int | str | None) -> None:
    """Raise UploadTooLarge when the announced length of a request body is over the limit."""
    try:
        announced = int(content_length or 0)
    except ValueError:
        announced = 0
    if announced > settings.PMI_MAX_UPLOAD_BYTES + ENVELOPE_BYTES:
        raise _too_many_bytes()


def sweep_stale_work(max_age_seconds: int = STALE_SECONDS) -> int:
    """Remove working directories left by killed processes (they may hold pictures with names in them).

    Returns how many were removed.
    """
    oldest = time.time() - max_age_seconds
    removed = 0
    for entry in work_root().iterdir():
        with contextlib.suppress(OSError):
            if entry.stat().st_mtime >= oldest:
                continue
            if entry.is_dir():
                rmtree(entry, ignore_errors=True)
            else:
                entry.unlink()
            removed += 1
    if removed:
        logger.warning("Removed %d stale working directories", removed)
    return removed


def _too_many_bytes() -> UploadTooLarge:
    limit = filesizeformat(settings.PMI_MAX_UPLOAD_BYTES)
    message = _("This upload is larger than %(limit)s, the most we take at once. Send fewer files at a time.")
    return UploadTooLarge("too_large", message % {"limit": limit})


def _too_many_files() -> UploadTooLarge:
    message = _("These are more than %(count)d files, the most we take at once. Send them in smaller groups.")
    return UploadTooLarge("too_many_files", message % {"count": settings.PMI_MAX_FILES})


def limits_for_page() -> dict[str, int]:
    """What the upload form tells people, and its script, before anything is sent."""
    return {"max_bytes": settings.PMI_MAX_UPLOAD_BYTES, "max_files": settings.PMI_MAX_FILES}
