"""Embedding spaces of model versions: filling them, shortening their vectors, their index."""

from __future__ import annotations

import logging
import math
import uuid
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any

import numpy as np
import psutil
from django.db import DatabaseError, connection, transaction
from django.db.models import Count, Exists, F, OuterRef, Q, QuerySet, Subquery
from django.utils import timezone

from accounts.consents import patients_without_care
from inference.models import (
    Analysis,
    Embedding,
    ModelVersion,
    ReferenceImage,
    ReferenceVector,
    VectorSpace,
)
from inference.similar_projection import FIT_FROM, FIT_MOST, LEAST_KEPT, REDUCED_DIMS, Projection, unit

logger = logging.getLogger(__name__)

# Below this exact search is as fast (docs/similar-benchmark.md); above it PostgreSQL's planner may choose.
INDEX_FROM = 5_000
HNSW_M = 16
# pgvector's own 64 finds too few of the true nearest at a million vectors. 200 takes about three times as
# long to build, once and in the background, and no more room.
HNSW_EF_CONSTRUCTION = 200
# From here on lists of neighbours (IVFFlat) find more, faster than HNSW's graph, and take a quarter of the
# time to build and half of the room (docs/similar-benchmark.md).
LISTS_FROM = 300_000
_SAMPLE = 300
LEAST_MEASURED = 8  # images; of fewer, what is near cannot be said
_TRIED_AGAIN = timedelta(days=1)
_LEASE = timedelta(minutes=15)
_CONVERT_BATCH = 1_000
# An index over halfvec takes at most this many dimensions.
_MOST_INDEXED_DIMS = 4_000


def space_of(version: ModelVersion) -> VectorSpace:
    """The version's space, made when it is first asked for."""
    return VectorSpace.objects.get_or_create(model_version=version)[0]


def set_dims(space: VectorSpace, dims: int) -> None:
    """Fixes the length of the space's vectors. Raises ValueError when it was fixed to another one."""
    VectorSpace.objects.filter(pk=space.pk, dims__isnull=True).update(dims=dims)
    space.refresh_from_db(fields=["dims", "projection"])
    if space.dims != dims:
        raise ValueError(f"The space {space.pk} has {space.dims} dimensions, not {dims}.")


def projection_of(space: VectorSpace) -> Projection | None:
    """What shortens embeddings for this space; None where it keeps their full length."""
    if not space.projection or not space.dims:
        return None
    return Projection.from_bytes(bytes(space.projection), space.dims)


def in_space(space: VectorSpace, vectors: np.ndarray) -> np.ndarray:
    """Embeddings (N, D) as vectors (N, K) of the space. What has the space's length already stays.

    Raises ValueError for a length that is neither.
    """
    if space.dims is None or vectors.shape[1] == space.dims:
        return vectors
    projection = projection_of(space)
    if projection is None:
        raise ValueError(f"The space {space.pk} has {space.dims} dimensions, not {vectors.shape[1]}.")
    return projection.apply(vectors)


# --- filling ------------------------------------------------------------------------------------------------


def missing(version: ModelVersion) -> QuerySet[ReferenceImage]:
    """The reference images that have no vector in the version's space yet. Without care none is looked at."""
    own = ReferenceImage.objects.filter(kind=version.kind).exclude(vectors__model_version=version)
    return own.filter(Q(owner=None) | ~Q(owner__in=patients_without_care()))


def unseen_scans(version: ModelVersion) -> QuerySet[Analysis]:
    """The newest reading of each scan that has no vector in the version's space yet: without one, a scan from
    before a promotion would never be among its patient's earlier ones. Without care nothing is looked at.
    """
    others = _read_scans(version).filter(scan=OuterRef("scan")).order_by("-created_at", "-pk")
    seen = Embedding.objects.filter(model_version=version, analysis__scan=OuterRef("scan"))
    return _read_scans(version).filter(~Exists(seen), pk=Subquery(others.values("pk")[:1]))


def _read_scans(version: ModelVersion) -> QuerySet[Analysis]:
    return Analysis.objects.filter(kind=version.kind, status=Analysis.Status.SUCCEEDED).exclude(
        scan__case__patient__in=patients_without_care()
    )


def request_filling(version: ModelVersion) -> None:
    """Has the space filled in the background once the transaction commits."""
    if version.kind == "gate":
        return
    space_of(version)
    transaction.on_commit(lambda: _send("fill_space", version.pk), robust=True)


def request_index(space: VectorSpace) -> None:
    """Has the space's index built in the background, if it is due."""
    if wants_index(space):
        transaction.on_commit(lambda: _send("build_space_index", space.model_version_id), robust=True)


def _send(task: str, version_id: uuid.UUID) -> None:
    from inference import similar_tasks

    try:
        getattr(similar_tasks, task).delay(str(version_id))
    except Exception as error:
        # The row is the truth: `fill_waiting_spaces` sends it again.
        logger.error("%s of %s could not be sent to a worker: %s", task, version_id, type(error).__name__)


def claim_space(version_id: uuid.UUID | str) -> VectorSpace | None:
    """Takes a space for filling; None while another worker holds it or there is nothing to fill."""
    now = timezone.now()
    free = Q(lease_expires_at__isnull=True) | Q(lease_expires_at__lt=now)
    taken = VectorSpace.objects.filter(free, model_version__id=version_id).update(
        state=VectorSpace.State.FILLING,
        lease_expires_at=now + _LEASE,
        failed=0,
        scans_failed=0,
        updated_at=now,
    )
    if not taken:
        return None
    return VectorSpace.objects.select_related("model_version").get(model_version__id=version_id)


def store_vectors(space: VectorSpace, found: Sequence[tuple[ReferenceImage, np.ndarray]]) -> None:
    """Writes vectors of reference images, full or already of the space's length; one that is there already
    stays. Safe against images that were withdrawn meanwhile. Raises ValueError for another length.
    """
    if not found:
        return
    with transaction.atomic():
        held = _locked(space.pk)
        vectors = np.stack([np.asarray(vector, dtype=np.float32) for _reference, vector in found])
        if held.dims is None:
            set_dims(held, vectors.shape[1])
        vectors = in_space(held, vectors)
        ids = [reference.pk for reference, _vector in found]
        # Locked, so that a withdrawal either comes first (the row is gone) or removes what is written here.
        there = set(
            ReferenceImage.objects.select_for_update().filter(pk__in=ids).values_list("pk", flat=True)
        )
        ReferenceVector.objects.bulk_create(
            [
                ReferenceVector(
                    reference=reference, model_version_id=held.model_version_id, vector=vector.tolist()
                )
                for (reference, _vector), vector in zip(found, vectors, strict=True)
                if reference.pk in there
            ],
            ignore_conflicts=True,
        )
    progress(space)


def store_embedding(analysis_id: uuid.UUID, version: ModelVersion, embedding: np.ndarray) -> None:
    """Keeps what the network saw in a scan, in its version's space. Belongs into the transaction that ends
    the reading.
    """
    held = _locked(space_of(version).pk)
    if held.dims is None:
        set_dims(held, len(embedding))
    vector = in_space(held, np.asarray(embedding, dtype=np.float32)[None])[0]
    Embedding.objects.create(analysis_id=analysis_id, model_version=version, vector=vector.tolist())


def store_scan(space: VectorSpace, analysis_id: uuid.UUID, embedding: np.ndarray) -> None:
    """Adds a vector of a space to a reading by another version; one that is there already stays. Safe against
    scans that are deleted, and consent to care that is taken back, meanwhile. Raises ValueError for another
    length.
    """
    with transaction.atomic():
        held = _locked(space.pk)
        if held.dims is None:
            set_dims(held, len(embedding))
        vector = in_space(held, np.asarray(embedding, dtype=np.float32)[None])[0]
        if _read_scans(held.model_version).select_for_update(of=("self",)).filter(pk=analysis_id).exists():
            row = Embedding(
                analysis_id=analysis_id, model_version_id=held.model_version_id, vector=vector.tolist()
            )
            Embedding.objects.bulk_create([row], ignore_conflicts=True)


def _locked(space_id: uuid.UUID) -> VectorSpace:
    """The row behind which vectors are written: their length cannot change in between."""
    return VectorSpace.objects.select_for_update().get(pk=space_id)


def progress(space: VectorSpace, failed: int = 0) -> None:
    """Counts what is done, for the admin, and holds the lease."""
    total = ReferenceImage.objects.filter(kind=space.model_version.kind).count()
    done = ReferenceVector.objects.filter(model_version_id=space.model_version_id).count()
    now = timezone.now()
    own = VectorSpace.objects.filter(pk=space.pk)
    own.update(total=total, done=done, failed=F("failed") + failed, updated_at=now)
    # Only who fills it holds it: a scan released in between must not keep others out.
    own.filter(state=VectorSpace.State.FILLING, lease_expires_at__gt=now).update(
        lease_expires_at=now + _LEASE
    )


def count_scans(space: VectorSpace) -> None:
    """Counts patients' scans of the space, for the admin."""
    scans = _read_scans(space.model_version).aggregate(count=Count("scan", distinct=True))["count"]
    done = scans - unseen_scans(space.model_version).count()
    own = VectorSpace.objects.filter(pk=space.pk)
    own.update(scans_total=scans, scans_done=done, updated_at=timezone.now())


def scans_seen(space: VectorSpace, done: int, failed: int) -> None:
    """Adds to the counts of scans, and holds the lease of who fills the space."""
    now = timezone.now()
    own = VectorSpace.objects.filter(pk=space.pk)
    own.update(scans_done=F("scans_done") + done, scans_failed=F("scans_failed") + failed, updated_at=now)
    own.filter(state=VectorSpace.State.FILLING, lease_expires_at__gt=now).update(
        lease_expires_at=now + _LEASE
    )


def finish_space(space: VectorSpace, *, state: str = VectorSpace.State.READY, held: bool = True) -> None:
    """Shortens the vectors where that is due, measures what is near in the space, gives the lease back.

    `held` False: the caller does not fill the space. Where another one does, its state and lease stay.
    """
    progress(space)
    count_scans(space)
    space.refresh_from_db()
    fit_projection(space)
    near, typical = _distances(space)
    now = timezone.now()
    own = VectorSpace.objects.filter(pk=space.pk)
    own.update(near=near, typical=typical, updated_at=now)
    if not held:
        own = own.exclude(state=VectorSpace.State.FILLING, lease_expires_at__gt=now)
    own.update(state=state, lease_expires_at=None, finished_at=now)
    space.refresh_from_db()


def has_grown(space: VectorSpace) -> bool:
    """Whether releases have made a space large enough to be measured or shortened that never was."""
    if space.near is None and space.done >= LEAST_MEASURED:
        return True
    tried_lately = space.finished_at is not None and space.finished_at > timezone.now() - _TRIED_AGAIN
    long = not space.projection and not space.indexed and (space.dims or 0) > REDUCED_DIMS
    return long and space.done >= FIT_FROM and not tried_lately


def give_back_space(space: VectorSpace) -> None:
    """Ends this worker's hold; the rest is filled later."""
    VectorSpace.objects.filter(pk=space.pk).update(
        state=VectorSpace.State.WAITING, lease_expires_at=None, updated_at=timezone.now()
    )


def _distances(space: VectorSpace) -> tuple[float | None, float | None]:
    """Quarter and three-quarter point of the nearest-neighbour distance between people in a sample."""
    rows = list(
        ReferenceVector.objects.filter(model_version_id=space.model_version_id)
        .order_by("reference_id")
        .values_list("vector", "reference__group_key")[: 5 * _SAMPLE]
    )
    if len(rows) < LEAST_MEASURED:
        return None, None
    vectors = unit(np.stack([np.asarray(vector, dtype=np.float32) for vector, _key in rows]))
    groups = np.array([key or str(n) for n, (_vector, key) in enumerate(rows)])
    distance = 1 - vectors[:_SAMPLE] @ vectors.T
    distance[groups[:_SAMPLE, None] == groups[None]] = np.inf
    nearest = distance.min(axis=1)
    nearest = nearest[np.isfinite(nearest)]
    if not len(nearest):
        return None, None
    low, high = np.percentile(nearest, [25, 75])
    return float(low), float(high)


# --- shortening ---------------------------------------------------------------------------------------------


def fit_projection(space: VectorSpace) -> bool:
    """Fits the space's projection to its own images once there are enough of them, and shortens all its
    vectors in the same transaction: at no time does a space hold two lengths. Done once; True when it was.
    """
    if space.projection or space.indexed or space.done < FIT_FROM or (space.dims or 0) <= REDUCED_DIMS:
        return False
    with transaction.atomic():
        held = _locked(space.pk)
        if held.projection or held.indexed or (held.dims or 0) <= REDUCED_DIMS:
            return False
        own = ReferenceVector.objects.filter(model_version_id=held.model_version_id)
        # Keys are random, so the first ones are a fair sample.
        sample = own.order_by("pk").values_list("vector", flat=True)[:FIT_MOST]
        projection = Projection.fit(np.stack([np.asarray(vector, dtype=np.float32) for vector in sample]))
        if projection.kept < LEAST_KEPT:
            logger.info("The space %s keeps its full length: %.3f kept", held.pk, projection.kept)
            return False
        _convert(own, projection)
        _convert(Embedding.objects.filter(model_version_id=held.model_version_id), projection)
        VectorSpace.objects.filter(pk=held.pk).update(
            dims=projection.dims, projection=projection.to_bytes(), kept=projection.kept
        )
    space.refresh_from_db()
    return True


def _convert(rows: QuerySet[Any], projection: Projection) -> None:
    last = None
    while True:
        waiting = rows.order_by("pk") if last is None else rows.order_by("pk").filter(pk__gt=last)
        batch = list(waiting[:_CONVERT_BATCH])
        if not batch:
            return
        last = batch[-1].pk
        short = projection.apply(np.stack([np.asarray(row.vector, dtype=np.float32) for row in batch]))
        for row, vector in zip(batch, short, strict=True):
            row.vector = vector.tolist()
        rows.bulk_update(batch, ["vector"])


# --- the index ----------------------------------------------------------------------------------------------


def wants_index(space: VectorSpace) -> bool:
    """The space is filled, large enough to gain from an index, and has none, or one that it has outgrown."""
    return bool(
        (not space.indexed or _is_outgrown(space))
        and space.state == VectorSpace.State.READY
        and space.dims
        and space.dims <= _MOST_INDEXED_DIMS
        and space.done >= INDEX_FROM
    )


def _is_outgrown(space: VectorSpace) -> bool:
    """Lists are cut once, when the index is built, for so many vectors; a graph grows by itself, but not well
    beyond `LISTS_FROM`.
    """
    return space.done >= LISTS_FROM and space.done > 2 * space.indexed_rows


def build_index(space: VectorSpace) -> bool:
    """A partial index over one space, if it is due: HNSW, or IVFFlat from `LISTS_FROM` vectors on. PostgreSQL
    then chooses between it and exact search.

    Outside a transaction it is built without blocking writers, and the one before serves until it is there.
    An index that a killed build left half made is built anew; one build runs at a time. True when there is
    one now.
    """
    if not wants_index(space):
        return space.indexed
    key = space.model_version_id.hex
    method = "ivfflat" if space.done >= LISTS_FROM else "hnsw"
    name = f"inference_{method}_{key}"
    how = "" if connection.in_atomic_block else "CONCURRENTLY"
    memory = psutil.virtual_memory().total // 8
    if method == "hnsw":
        options = f"m = {HNSW_M}, ef_construction = {HNSW_EF_CONSTRUCTION}"
        # Each vector at two bytes a number, and about 400 bytes of links and headers.
        needed = space.done * (2 * (space.dims or 0) + 400) * 5 // 4
    else:
        lists = lists_for(space.done, space.dims or 0, memory)
        options, needed = f"lists = {lists}", memory
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(hashtext(%s))", [f"inference_index_{key}"])
        if not cursor.fetchone()[0]:
            return False
        try:
            # One of the same method is there: beside it, until it can take its name.
            fresh = f"{name}_next" if _is_valid(cursor, name) and space.indexed else name
            if _is_valid(cursor, fresh) is False:
                cursor.execute(f'DROP INDEX "{fresh}"')
            # All of it in memory is what makes building fast; helpers need shared memory, which containers
            # give little of.
            limit = f"{max(64 << 20, min(needed, memory)) >> 10}kB"
            cursor.execute("SELECT set_config('maintenance_work_mem', %s, false)", [limit])
            cursor.execute("SET max_parallel_maintenance_workers = 0")
            cursor.execute(
                f'CREATE INDEX {how} IF NOT EXISTS "{fresh}"'
                f" ON inference_referencevector USING {method}"
                f" ((vector::halfvec({int(space.dims or 0)})) halfvec_cosine_ops)"
                f" WITH ({options})"
                f" WHERE model_version_id = '{space.model_version_id}'::uuid"
            )
            for other in (f"inference_hnsw_{key}", f"inference_ivfflat_{key}"):
                if other != fresh:
                    cursor.execute(f'DROP INDEX {how} IF EXISTS "{other}"')
            if fresh != name:
                cursor.execute(f'ALTER INDEX "{fresh}" RENAME TO "{name}"')
            # Both, since the planner weighs the index against joining them whole: a table that it takes for
            # empty makes that look cheap.
            cursor.execute("ANALYZE inference_referencevector, inference_referenceimage")
        finally:
            # After an error inside a transaction nothing more is possible, and its end undoes these anyway.
            with suppress(DatabaseError):
                cursor.execute("SELECT pg_advisory_unlock(hashtext(%s))", [f"inference_index_{key}"])
                cursor.execute("RESET maintenance_work_mem")
                cursor.execute("RESET max_parallel_maintenance_workers")
    VectorSpace.objects.filter(pk=space.pk).update(
        indexed=True, indexed_rows=space.done, updated_at=timezone.now()
    )
    space.refresh_from_db()
    return True


def _is_valid(cursor: Any, name: str) -> bool | None:
    """Whether an index is whole; None where there is none of that name."""
    cursor.execute("SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(%s)", [name])
    row = cursor.fetchone()
    return None if row is None else bool(row[0])


def lists_for(rows: int, dims: int, memory: int) -> int:
    """Into how many lists so many vectors are cut, with so many bytes to do it in: at a million, 3,000.

    To find the centres of n lists, pgvector holds 50 n vectors and, for each of them and each list, four
    bytes; it refuses to build with less.
    """
    wanted = round(3 * math.sqrt(rows))
    room = memory - 50 * wanted * 4 * dims
    return max(100, min(wanted, math.isqrt(max(0, room) // 240)))
