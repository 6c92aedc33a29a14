"""Vectors of pictures: for filling spaces, for searches by a file or a region. Loads the models."""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from django.conf import settings
from django.db.models import QuerySet
from django.utils.translation import gettext as _
from PIL import Image

from cases import intake
from cases.imaging.volume import CanonicalVolume, ImagingError
from cases.models import Scan
from cases.services import load_volume
from cases.storage import work_root
from inference import similar_spaces
from inference.engine import BATCH, Engine, ModelBroken, Reader, square_pixels
from inference.models import Analysis, ReferenceImage, VectorSpace
from inference.reading import Reading
from inference.similar_selectors import Probe, space_to_search
from pmi_site.errors import UserError
from pmi_site.saying import say

logger = logging.getLogger(__name__)

SMALLEST_REGION = 24
_SCANS = 8  # between two signs of life: a volume may take a minute
_BROKEN = (OSError, ValueError, SyntaxError, ImagingError)


def limits() -> intake.Limits:
    """Limits of an upload, as configured."""
    return intake.Limits(
        max_bytes=settings.PMI_MAX_UPLOAD_BYTES,
        max_pixels=settings.PMI_MAX_IMAGE_PIXELS,
        max_files=settings.PMI_MAX_FILES,
        max_unpacked_bytes=settings.PMI_MAX_UNPACKED_BYTES,
    )


def embed(reader: Reader, images: Sequence[np.ndarray]) -> np.ndarray:
    """Vectors (N, D) float32 of pictures (rows, columns), without asking the gate."""
    parts = []
    for start in range(0, len(images), BATCH):
        batch = reader.prepare(list(images[start : start + BATCH]))
        parts.append(np.asarray(reader.run(batch).embedding, dtype=np.float32))
    return np.concatenate(parts)


def fill(space: VectorSpace, until: float) -> bool:
    """Embeds what the space lacks until the clock (`time.monotonic`) says `until`: known cases first, then
    the scans that patients have here. True when all is done.

    What cannot be opened is counted and passed over. Raises `ModelBroken`.
    """
    from inference.worker import engine_for_active_versions

    version = space.model_version
    if not similar_spaces.missing(version).exists() and not similar_spaces.unseen_scans(version).exists():
        return True  # nothing to do: loading the model would only keep the first readings waiting
    engine = engine_for_active_versions()
    reader = engine.reader(version.kind)
    if reader is None or reader.bundle.sha256 != version.sha256:
        return True  # no longer the version that reads: nothing searches this space
    return _fill_references(space, engine, reader, until) and _fill_scans(space, engine, until)


def _fill_references(space: VectorSpace, engine: Engine, reader: Reader, until: float) -> bool:
    def do(batch: Sequence[ReferenceImage]) -> None:
        found, failed = [], 0
        for reference in batch:
            try:
                found.append((reference, _vector(engine, reader, reference)))
            except _BROKEN as error:
                # One broken file must not keep all others out. Names of exceptions only.
                logger.warning("A reference image was not embedded: %s", type(error).__name__)
                failed += 1
        similar_spaces.store_vectors(space, found)
        similar_spaces.progress(space, failed)

    return _in_batches(similar_spaces.missing(space.model_version), BATCH, until, do)


def _fill_scans(space: VectorSpace, engine: Engine, until: float) -> bool:
    unseen = similar_spaces.unseen_scans(space.model_version)

    def do(batch: Sequence[Analysis]) -> None:
        done = failed = 0
        for analysis in batch:
            # Asked again before each: its patient may have taken consent back, or the scan, while the ones
            # before it were looked at.
            if not unseen.filter(pk=analysis.pk).exists():
                continue
            try:
                similar_spaces.store_scan(space, analysis.pk, _seen(engine, analysis.scan, analysis.kind))
                done += 1
            except _BROKEN as error:
                logger.warning("A scan was not embedded anew: %s", type(error).__name__)
                failed += 1
        similar_spaces.scans_seen(space, done, failed)

    similar_spaces.count_scans(space)
    return _in_batches(unseen, _SCANS, until, do)


def _in_batches(rows: QuerySet[Any], size: int, until: float, do: Callable[[Sequence[Any]], None]) -> bool:
    """Hands `rows` with their scans to `do`, so many at a time: True when none is left, False when the clock
    says `until` before. What `do` could not do is not handed to it again.
    """
    waiting = rows.select_related("scan").order_by("pk")
    last = None
    while time.monotonic() < until:
        batch = list((waiting if last is None else waiting.filter(pk__gt=last))[:size])
        if not batch:
            return True
        last = batch[-1].pk
        do(batch)
    return False


def _seen(engine: Engine, scan: Scan, kind: str) -> np.ndarray:
    """The vector of a scan as it is read now. Raises ValueError where the gate turns it away."""
    reading = engine.analyze(load_volume(scan), kind, maps=False)
    if reading.embedding is None:
        raise ValueError("the gate refused it")
    return reading.embedding


def _vector(engine: Engine, reader: Reader, reference: ReferenceImage) -> np.ndarray:
    if reference.scan is not None and reference.scan.is_volume:
        return _seen(engine, reference.scan, reference.kind)
    with reference.picture.open("rb") as handle, Image.open(handle) as picture:
        return np.asarray(embed(reader, [np.asarray(picture.convert("L"), dtype=np.float32)])[0])


def probe_of_reading(engine: Engine, reading: Reading) -> Probe:
    """A probe for a reading that was just made and is not kept. Raises UserError when it was refused."""
    if reading.status == "rejected" or reading.embedding is None:
        raise UserError(reading.reason_code or "refused", say(reading.reason))
    space = space_to_search(reading.kind)
    if space.model_version.sha256 != reading.model_sha256:
        raise UserError("model_changed", _("The model was just changed. Please search again."))
    return Probe(space=space, vector=[float(x) for x in reading.embedding])


def probe_of_files(incoming: Sequence[intake.IncomingFile], kind: str | None) -> Probe:
    """A probe for uploaded files, of which nothing is kept. Raises UserError with what to do."""
    from inference.worker import engine_for_active_versions

    with tempfile.TemporaryDirectory(prefix="search-", dir=work_root()) as work:
        prepared, refused = intake.prepare(incoming, Path(work), limits())
        if not prepared:
            message = (
                say(refused[0].message) if refused else _("There is nothing in this file to search for.")
            )
            raise UserError(refused[0].code if refused else "no_picture", message)
        if len(prepared) > 1:
            raise UserError("several", _("Search for one picture or one series at a time."))
        try:
            engine = engine_for_active_versions()
            reading = engine.analyze(prepared[0].volume, kind, maps=False)
        except ModelBroken as error:
            raise UserError("model_broken", _("The search is out of order. Please try later.")) from error
    return probe_of_reading(engine, reading)


def probe_of_region(scan: Scan, analysis: Analysis, region: tuple[float, float, float, float]) -> Probe:
    """A probe for a part of a scan that was read: x, y, width, height as shares (0..1) of the most telling
    slice as shown. Raises UserError when it is too small or lies outside.
    """
    from inference.worker import engine_for_active_versions

    space = space_to_search(analysis.kind)
    image, aspect = key_image(load_volume(scan), analysis)
    cut = crop(square_pixels(image, aspect), region)
    try:
        reader = engine_for_active_versions().reader(analysis.kind)
    except ModelBroken as error:
        raise UserError("model_broken", _("The search is out of order. Please try later.")) from error
    if reader is None or reader.bundle.sha256 != space.model_version.sha256:
        raise UserError("model_changed", _("The model was just changed. Please search again."))
    vector = embed(reader, [cut])[0]
    return Probe(
        space=space,
        vector=[float(x) for x in vector],
        patient_id=scan.case.patient_id,
        scan_id=scan.pk,
    )


def key_image(volume: CanonicalVolume, analysis: Analysis) -> tuple[np.ndarray, float]:
    """The most telling slice (rows, columns) and its pixel aspect."""
    plane = analysis.key_plane or "axial"
    index = analysis.key_slice if analysis.key_slice is not None else volume.n_slices(plane) // 2
    return volume.slice_image(index, plane), volume.pixel_aspect(plane)


def crop(image: np.ndarray, region: tuple[float, float, float, float]) -> np.ndarray:
    """The part of an image (rows, columns) that `region` names. Raises UserError for a useless one."""
    x, y, width, height = region
    rows, columns = image.shape
    if not (0 <= x <= 1 and 0 <= y <= 1 and 0 < width <= 1 - x + 1e-6 and 0 < height <= 1 - y + 1e-6):
        raise UserError("bad_region", _("The region lies outside the picture."))
    cut = image[
        round(y * rows) : round((y + height) * rows), round(x * columns) : round((x + width) * columns)
    ]
    if min(cut.shape) < SMALLEST_REGION:
        raise UserError("small_region", _("The region is too small. Draw a larger one."))
    return cut
