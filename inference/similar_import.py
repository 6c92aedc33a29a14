"""Filling the atlas: pictures of a manifest into the database and into the active space, batch by batch."""

from __future__ import annotations

import functools
import io
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from django.core.files.base import ContentFile
from django.db import connection, transaction
from django.db.models.fields.files import FieldFile
from PIL import Image

from cases.imaging.volume import from_film
from cases.storage import remove_files
from inference import heat, similar_spaces
from inference.atlas import AtlasError, AtlasRow, BadRow
from inference.calls import NORMAL_CONDITIONS
from inference.engine import BATCH, Reader
from inference.models import ModelVersion, ReferenceImage, VectorSpace, reference_path

MAX_SIDE = 512
_MAX_PIXELS = 50_000_000
_UNREADABLE = (OSError, ValueError, SyntaxError, Image.DecompressionBombError)
_IDS = uuid.UUID("6d1f0f3e-2f6c-4f0b-9a3a-0d3c5b6f7a10")


@dataclass
class Outcome:
    """How an import went."""

    added: int = 0
    known: int = 0
    changed: int = 0
    label_only: int = 0
    bad: list[BadRow] = field(default_factory=list)


def import_rows(
    rows: Iterator[AtlasRow | BadRow],
    version: ModelVersion,
    reader: Reader,
    tell: Callable[[int], None],
) -> Outcome:
    """Adds what is not there yet, and corrects what a known row says otherwise now.

    A killed import goes on where it stopped. Bad rows are listed and passed over. `tell` is called with the
    number of rows handled. Raises `AtlasError` while another import of the same kind is under way.
    """
    with _alone(version.kind):
        return _import(rows, version, reader, tell)


@contextmanager
def _alone(kind: str) -> Iterator[None]:
    """One import of a kind at a time. The database lets go when this process dies, however it dies."""
    name = f"import_atlas {kind}"
    with connection.cursor() as cursor:
        for wait in (0.0, 1.0, 2.0, 4.0):  # a process that was just killed may not be noticed yet
            time.sleep(wait)
            cursor.execute("SELECT pg_try_advisory_lock(hashtext(%s))", [name])
            if cursor.fetchone() == (True,):
                break
        else:
            raise AtlasError(f"Another import of {kind} is under way.")
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_unlock(hashtext(%s))", [name])


def _import(
    rows: Iterator[AtlasRow | BadRow], version: ModelVersion, reader: Reader, tell: Callable[[int], None]
) -> Outcome:
    outcome = Outcome()
    space = similar_spaces.space_of(version)
    atlas = ReferenceImage.objects.filter(kind=version.kind, source=ReferenceImage.Source.ATLAS)
    known = {one.key: one for one in atlas}
    seen: set[str] = set()
    batch: list[tuple[AtlasRow, np.ndarray]] = []
    for row in rows:
        if isinstance(row, BadRow):
            outcome.bad.append(row)
            tell(1)
        elif row.key in seen:
            outcome.known += 1
            tell(1)
        elif (held := _held(known, row)) is not None:
            seen.add(row.key)
            _correct(held, row, outcome)
            tell(1)
        else:
            seen.add(row.key)
            try:
                batch.append((row, _open(row)))
            except _UNREADABLE as error:
                outcome.bad.append(
                    BadRow(row.line, row.path.name, f"cannot be opened ({type(error).__name__})")
                )
                tell(1)
        if len(batch) >= BATCH:
            _store(batch, space, reader, outcome)
            tell(len(batch))
            batch = []
    if batch:
        _store(batch, space, reader, outcome)
        tell(len(batch))
    similar_spaces.finish_space(space, held=False)
    similar_spaces.build_index(space)
    # Another version may have been put into use meanwhile.
    now = ModelVersion.objects.filter(kind=version.kind, is_active=True).exclude(pk=version.pk).first()
    if now is not None and similar_spaces.missing(now).exists():
        similar_spaces.request_filling(now)
    return outcome


def _held(known: dict[str, ReferenceImage], row: AtlasRow) -> ReferenceImage | None:
    """The image that a row is about, taken out of the known ones."""
    if row.key in known:
        return known.pop(row.key)
    former = known.get(row.former_key)
    # A picture beside the manifest has today the key that one in a folder had: pixels tell.
    return known.pop(row.former_key) if former is not None and not _is_another(former, row) else None


def _is_another(held: ReferenceImage, row: AtlasRow) -> bool:
    """Whether a row's picture is another than the one that is kept. What cannot be opened cannot be told."""
    try:
        with held.picture.open("rb") as handle, Image.open(handle) as kept:
            before = np.asarray(kept)
        with Image.open(io.BytesIO(_png(_open(row)))) as picture:
            return not np.array_equal(before, np.asarray(picture))
    except _UNREADABLE:
        return False


def _correct(held: ReferenceImage, row: AtlasRow, outcome: Outcome) -> None:
    """What the manifest says now of an image that is there: a licence may have been taken back."""
    said = {**_words(row), "key": row.key}
    if all(getattr(held, name) == value for name, value in said.items()):
        outcome.known += 1
        return
    if _is_another(held, row):
        reason = "another picture of this source and name is in the atlas; give each set a source of its own"
        outcome.bad.append(BadRow(row.line, row.name, reason))
        return
    with transaction.atomic():
        ReferenceImage.objects.filter(pk=held.pk).update(**said)
        if held.condition != row.condition and held.heatmap:
            # It shows where the model saw what the image was said to show before.
            ReferenceImage.objects.filter(pk=held.pk).update(heatmap="")
            transaction.on_commit(functools.partial(remove_files, [str(held.heatmap.name)]), robust=True)
    outcome.changed += 1


def _words(row: AtlasRow) -> dict[str, Any]:
    return {
        "condition": row.condition,
        "age_band": row.age_band,
        "collection": row.source[:120],
        "licence": row.licence[:120],
        "citation": row.citation,
        "showable": row.showable,
        "group_key": row.group_key,
    }


def _open(row: AtlasRow) -> np.ndarray:
    with Image.open(row.path) as picture:
        if picture.width * picture.height > _MAX_PIXELS:
            raise ValueError("too many pixels")
        if picture.mode not in ("L", "LA", "RGB", "RGBA", "P", "1"):
            raise ValueError(f"pixels of {picture.mode}: save it with 8 bits")
        return np.asarray(picture.convert("L"), dtype=np.float32)


def _store(
    batch: list[tuple[AtlasRow, np.ndarray]], space: VectorSpace, reader: Reader, outcome: Outcome
) -> None:
    outputs = reader.run(reader.prepare([image for _row, image in batch]))
    vectors = np.asarray(outputs.embedding, dtype=np.float32)
    features = np.asarray(outputs.features, dtype=np.float32)
    made: list[tuple[ReferenceImage, np.ndarray]] = []
    written: list[str] = []
    try:
        for n, (row, image) in enumerate(batch):
            reference = ReferenceImage(
                # The same image has the same id, so that a killed import's files are written over, not left.
                pk=uuid.uuid5(_IDS, f"{space.model_version.kind}\n{row.key}"),
                kind=space.model_version.kind,
                source=ReferenceImage.Source.ATLAS,
                key=row.key,
                **_words(row),
            )
            _put(reference, reference.picture, "picture.png", _png(image))
            written.append(str(reference.picture.name))
            if row.showable and row.condition not in NORMAL_CONDITIONS and row.label in reader.names:
                png = _heatmap(reader, features[n : n + 1], row.label, image)
                _put(reference, reference.heatmap, "heatmap.png", png)
                written.append(str(reference.heatmap.name))
            made.append((reference, vectors[n]))
        with transaction.atomic():  # no image without its vector
            ReferenceImage.objects.bulk_create([reference for reference, _vector in made])
            similar_spaces.store_vectors(space, made)
    except BaseException:
        remove_files(written)
        raise
    outcome.added += len(made)
    outcome.label_only += sum(not reference.showable for reference, _vector in made)


def _put(reference: ReferenceImage, field: FieldFile, name: str, content: bytes) -> None:
    field.storage.delete(reference_path(reference, name))
    field.save(name, ContentFile(content), save=False)


def _png(image: np.ndarray) -> bytes:
    picture = Image.fromarray(np.clip(image, 0, 255).astype(np.uint8))
    picture.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.LANCZOS)
    out = io.BytesIO()
    picture.save(out, format="PNG")
    return out.getvalue()


def _heatmap(reader: Reader, features: np.ndarray, label: str, image: np.ndarray) -> bytes:
    column = reader.names.index(label)
    maps = heat.class_maps(features, reader.bundle.weights_matrix, column, exclusive=reader.exclusive)
    film = from_film(image, modality="", source_format="raster", window=(0.0, 255.0))
    layer = heat.into_volume(film, maps, [0], "axial", 1.0)
    return heat.overlay_png(film, layer, 0, "axial", MAX_SIDE)
