"""Filling the atlas: pictures of a manifest into the database and into the active space, batch by batch."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
from django.core.files.base import ContentFile
from PIL import Image, UnidentifiedImageError

from cases.imaging.volume import from_film
from cases.storage import remove_files
from inference import heat, similar_spaces
from inference.atlas import AtlasRow, BadRow
from inference.calls import NORMAL_CONDITIONS
from inference.engine import BATCH, Reader
from inference.models import ModelVersion, ReferenceImage, VectorSpace

MAX_SIDE = 512
_MAX_PIXELS = 50_000_000


@dataclass
class Outcome:
    """How an import went."""

    added: int = 0
    known: int = 0
    label_only: int = 0
    bad: list[BadRow] = field(default_factory=list)


def import_rows(
    rows: Iterator[AtlasRow | BadRow],
    version: ModelVersion,
    reader: Reader,
    tell: Callable[[int], None],
) -> Outcome:
    """Adds what is not there yet; a killed import goes on where it stopped. Bad rows are listed and passed
    over. `tell` is called with the number of rows handled.
    """
    outcome = Outcome()
    space = similar_spaces.space_of(version)
    known = set(ReferenceImage.objects.filter(kind=version.kind).values_list("key", flat=True))
    batch: list[tuple[AtlasRow, np.ndarray]] = []
    for row in rows:
        if isinstance(row, BadRow):
            outcome.bad.append(row)
            tell(1)
        elif row.key in known:
            outcome.known += 1
            tell(1)
        else:
            known.add(row.key)
            try:
                batch.append((row, _open(row)))
            except (OSError, ValueError, UnidentifiedImageError, Image.DecompressionBombError) as error:
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
    similar_spaces.finish_space(space)
    similar_spaces.build_index(space)
    return outcome


def _open(row: AtlasRow) -> np.ndarray:
    with Image.open(row.path) as picture:
        if picture.width * picture.height > _MAX_PIXELS:
            raise ValueError("too many pixels")
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
                kind=space.model_version.kind,
                source=ReferenceImage.Source.ATLAS,
                condition=row.condition,
                age_band=row.age_band,
                collection=row.source[:120],
                licence=row.licence[:120],
                citation=row.citation,
                showable=row.showable,
                key=row.key,
                group_key=row.group_key,
            )
            reference.picture.save("picture.png", ContentFile(_png(image)), save=False)
            written.append(str(reference.picture.name))
            if row.showable and row.condition not in NORMAL_CONDITIONS and row.label in reader.names:
                png = _heatmap(reader, features[n : n + 1], row.label, image)
                reference.heatmap.save("heatmap.png", ContentFile(png), save=False)
                written.append(str(reference.heatmap.name))
            made.append((reference, vectors[n]))
        ReferenceImage.objects.bulk_create([reference for reference, _vector in made])
    except BaseException:
        remove_files(written)
        raise
    similar_spaces.store_vectors(space, made)
    outcome.added += len(made)
    outcome.label_only += sum(not reference.showable for reference, _vector in made)


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
