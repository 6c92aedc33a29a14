"""Embedding spaces: the HNSW index is used and finds what exact search finds; vectors are shortened once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts import consents
from cases.selectors import visible_scans
from inference import similar_selectors, similar_spaces
from inference.models import (
    Confirmation,
    Embedding,
    ModelVersion,
    ReferenceImage,
    ReferenceVector,
    VectorSpace,
)
from inference.similar_projection import Projection, unit
from inference.similar_selectors import Filters, Probe, neighbours
from tests.factories import ScanFactory, UserFactory
from tests.inference import reading_rows as rows

pytestmark = pytest.mark.django_db
COUNT, DIMS = 3000, 32


def clustered(count: int, dims: int, seed: int = 0) -> np.ndarray:
    """Unit vectors (N, D) around twenty centres."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(size=(20, dims))
    return unit(centres[rng.integers(20, size=count)] + 0.4 * rng.normal(size=(count, dims)))


def fill(version: ModelVersion, vectors: np.ndarray, start: int = 0, **fields: Any) -> list[ReferenceImage]:
    """Reference images with these vectors; every hundredth is of a rare condition."""
    references = ReferenceImage.objects.bulk_create(
        ReferenceImage(
            **{
                "kind": version.kind,
                "source": "atlas",
                "condition": "covid-19-pneumonia" if n % 100 == 0 else "pneumonia",
                "key": f"{version.pk}{start + n}"[-64:],
                "showable": True,
                "picture": "references/none.png",
                **fields,
            }
        )
        for n in range(len(vectors))
    )
    space = similar_spaces.space_of(version)
    similar_spaces.store_vectors(space, list(zip(references, vectors, strict=True)))
    return references


@pytest.fixture(params=["hnsw", "ivfflat"])
def indexed(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> tuple[VectorSpace, list[ReferenceImage], np.ndarray]:
    """A space of three thousand images with its index, of either method."""
    monkeypatch.setattr(similar_spaces, "INDEX_FROM", 1000)
    if request.param == "ivfflat":
        monkeypatch.setattr(similar_spaces, "LISTS_FROM", 1000)
    version = rows.model_version()
    vectors = clustered(COUNT, DIMS)
    with connection.cursor() as cursor:  # as autovacuum does now and then: the planner takes them for empty
        cursor.execute("ANALYZE inference_referenceimage, inference_referencevector")
    references = fill(version, vectors)
    space = similar_spaces.space_of(version)
    similar_spaces.finish_space(space)
    with connection.cursor() as cursor:  # else the test's open transaction has checks of keys before it
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
    assert not space.indexed and similar_spaces.build_index(space) and space.indexed
    return space, references, vectors


def index_names(space: VectorSpace) -> list[str]:
    """The space's own indexes."""
    with connection.cursor() as cursor:
        pattern = f"inference_%{space.model_version_id.hex}%"
        cursor.execute("SELECT indexname FROM pg_indexes WHERE indexname LIKE %s ORDER BY 1", [pattern])
        return [name for (name,) in cursor.fetchall()]


def plan_of(space: VectorSpace, query: np.ndarray, patient: Any, filters: Filters | None = None) -> str:
    """What PostgreSQL does for the search as the site sends it."""
    probe = Probe(space, vector=query.tolist(), patient_id=patient.pk)
    with CaptureQueriesContext(connection) as sent:
        neighbours(probe, visible_scans(patient), filters)
    statement = next(q["sql"] for q in sent.captured_queries if "<=>" in q["sql"])
    statement = statement.rpartition("; ")[2]  # the index's options go before it
    with connection.cursor() as cursor:
        cursor.execute("EXPLAIN " + statement.replace("%", "%%"))
        return "\n".join(line for (line,) in cursor.fetchall())


def test_the_search_uses_the_index_and_finds_what_exact_search_finds(indexed: Any, patient: Any) -> None:
    space, references, vectors = indexed
    queries = clustered(100, DIMS, seed=1)
    (name,) = index_names(space)
    assert name in plan_of(space, queries[0], patient)
    right = 0
    for query in queries:
        hits = neighbours(Probe(space, vector=query.tolist()), visible_scans(patient), k=10)
        exact = np.argsort(-(vectors @ query))[:10]
        found = {hit.reference_id for hit in hits.others}
        assert len(found) == 10
        assert [h.distance for h in hits.others] == sorted(h.distance for h in hits.others)
        right += len(found & {references[n].pk for n in exact})
    assert right / 1000 >= 0.97


def test_a_search_behind_the_index_is_one_statement(
    indexed: Any, patient: Any, django_assert_num_queries: Any
) -> None:
    space, _references, vectors = indexed
    with django_assert_num_queries(1):
        hits = neighbours(
            Probe(space, vector=vectors[0].tolist(), patient_id=patient.pk), visible_scans(patient)
        )
    assert len(hits.others) == 6


@pytest.mark.django_db(transaction=True)
def test_the_options_of_one_search_do_not_outlive_it(patient: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(similar_spaces, "INDEX_FROM", 100)
    version = rows.model_version()
    fill(version, clustered(200, DIMS))
    space = similar_spaces.space_of(version)
    similar_spaces.finish_space(space)
    similar_spaces.build_index(space)
    assert len(neighbours(Probe(space, vector=clustered(1, DIMS)[0].tolist()), visible_scans(patient)).others)
    with connection.cursor() as cursor:
        cursor.execute("SHOW hnsw.iterative_scan")
        assert cursor.fetchone() == ("off",)


@pytest.mark.django_db(transaction=True)
def test_an_index_that_was_outgrown_is_built_anew_and_takes_its_place(
    patient: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(similar_spaces, "INDEX_FROM", 100)
    version = rows.model_version()
    space = similar_spaces.space_of(version)

    def grow(seed: int) -> None:
        fill(version, clustered(200, DIMS, seed=seed), start=1000 * seed)
        similar_spaces.finish_space(space)
        assert similar_spaces.build_index(space)

    grow(1)
    key = version.pk.hex
    assert index_names(space) == [f"inference_hnsw_{key}"] and space.indexed_rows == 200
    grow(2)  # a graph grows by itself
    assert index_names(space) == [f"inference_hnsw_{key}"] and space.indexed_rows == 200
    monkeypatch.setattr(similar_spaces, "LISTS_FROM", 500)
    grow(3)
    assert index_names(space) == [f"inference_ivfflat_{key}"] and space.indexed_rows == 600
    for seed in (4, 5, 6):
        grow(seed)
    assert space.indexed_rows == 600
    grow(7)
    assert index_names(space) == [f"inference_ivfflat_{key}"] and space.indexed_rows == 1400
    query = clustered(1, DIMS, seed=7)[0]
    assert f"inference_ivfflat_{key}" in plan_of(space, query, patient)
    hits = neighbours(Probe(space, vector=query.tolist()), visible_scans(patient), k=10).others
    assert len(hits) == 10


def test_lists_fit_the_memory_that_is_there() -> None:
    assert similar_spaces.lists_for(1_000_000, 128, 3 << 30) == 3000
    for dims, memory in ((128, 512 << 20), (1024, 1 << 30)):
        few = similar_spaces.lists_for(1_000_000, dims, memory)
        assert 1000 < few < 2000 and 200 * few**2 + 50 * few * 2 * dims < memory
    assert similar_spaces.lists_for(300_000, 128, 1 << 20) == 100


def test_without_an_index_the_search_is_exact(patient: Any) -> None:
    version = rows.model_version()
    fill(version, clustered(200, DIMS))
    space = similar_spaces.space_of(version)
    similar_spaces.finish_space(space)
    assert not similar_spaces.build_index(space) and not space.indexed
    assert "hnsw" not in plan_of(space, clustered(1, DIMS)[0], patient)


def test_a_rare_filter_finds_all_it_can_behind_the_index(indexed: Any, patient: Any) -> None:
    space, references, vectors = indexed
    query = clustered(1, DIMS, seed=5)[0]
    rare = [n for n, one in enumerate(references) if one.condition == "covid-19-pneumonia"]
    hits = neighbours(
        Probe(space, vector=query.tolist()),
        visible_scans(patient),
        Filters(condition="covid-19-pneumonia"),
        k=6,
    )
    exact = sorted(rare, key=lambda n: -float(vectors[n] @ query))[:6]
    assert len(hits.others) == 6
    assert len({h.reference_id for h in hits.others} & {references[n].pk for n in exact}) >= 5


def test_the_index_never_passes_over_a_missing_consent(
    indexed: Any, patient: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows of people who do not consent lie nearest of all, and there are more of them than HNSW looks at."""
    monkeypatch.setattr(similar_selectors, "EF_SEARCH", 5)
    monkeypatch.setattr(similar_selectors, "PROBES", 1)
    space, _references, _vectors = indexed
    query, step = clustered(2, DIMS, seed=6)
    held: dict[Any, Any] = {}
    for number in range(8):
        owner = UserFactory.create()
        analysis = rows.reading(ScanFactory.create(case__patient=owner), model_version=space.model_version)
        (reference,) = fill(
            space.model_version,
            unit(query[None] + 0.002 * number * step),  # HNSW keeps equal vectors as one
            start=COUNT + number,
            source="platform",
            owner=owner,
            scan=analysis.scan,
            confirmation=Confirmation.objects.create(finding=analysis.findings.get(rank=0)),
        )
        held[reference.pk] = owner
    probe = Probe(space, vector=query.tolist())
    found = neighbours(probe, visible_scans(patient)).others
    assert len(found) == 6 and not held.keys() & {hit.reference_id for hit in found}
    agreed = next(iter(held))  # the nearest
    consents.give_consent(held[agreed], "similar_search")
    found = neighbours(probe, visible_scans(patient)).others
    assert len(found) == 6 and held.keys() & {hit.reference_id for hit in found} == {agreed}
    assert found[0].reference_id == agreed


def test_a_half_made_index_is_built_anew(indexed: Any, patient: Any) -> None:
    space, _references, _vectors = indexed
    (name,) = index_names(space)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE pg_index SET indisvalid = false WHERE indexrelid = to_regclass(%s)", [name])
    VectorSpace.objects.filter(pk=space.pk).update(indexed=False)
    space.refresh_from_db()
    assert similar_spaces.build_index(space)
    with connection.cursor() as cursor:
        cursor.execute("SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(%s)", [name])
        assert cursor.fetchone() == (True,)


def wide(count: int, seed: int = 0) -> np.ndarray:
    """Unit vectors (N, 160) that vary along forty directions."""
    axes = np.random.default_rng(7).normal(size=(40, 160))
    return unit(2 + np.random.default_rng(seed).normal(size=(count, 40)) @ axes * 0.2)


def test_a_filled_space_is_shortened_once_with_all_its_vectors(
    patient: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(similar_spaces, "FIT_FROM", 300)
    analysis = rows.reading(ScanFactory.create(case__patient=patient))
    version = analysis.model_version
    assert version is not None
    vectors = wide(400)
    fill(version, vectors)
    similar_spaces.store_embedding(analysis.pk, version, vectors[7] * 3)
    space = similar_spaces.space_of(version)
    assert space.dims == 160
    similar_spaces.finish_space(space)
    assert (space.dims, space.projection is not None) == (128, True)
    assert space.kept is not None and space.kept > 0.99
    lengths = {len(list(v)) for v in ReferenceVector.objects.values_list("vector", flat=True)}
    assert lengths == {128} == {len(list(e.vector)) for e in Embedding.objects.all()}

    # The reading's vector, kept at full length before, is where the same picture of the atlas is now.
    hits = neighbours(Probe(space, analysis_id=analysis.pk), visible_scans(patient))
    assert hits.others[0].distance == pytest.approx(0, abs=2e-3)

    # What comes later is shortened on its way in; a length that fits nothing is refused.
    (late,) = fill(version, wide(1, seed=3), key="late")
    assert len(list(ReferenceVector.objects.get(reference=late).vector)) == 128
    before = bytes(space.projection or b"")
    similar_spaces.finish_space(space)
    assert bytes(space.projection or b"") == before
    with pytest.raises(ValueError, match="takes 160"):
        fill(version, clustered(1, 50), key="odd")


def test_a_space_with_few_images_or_an_even_spread_keeps_its_length(monkeypatch: pytest.MonkeyPatch) -> None:
    few, even = rows.model_version(digit="b"), rows.model_version(active=False, digit="c")
    fill(few, wide(20))
    space = similar_spaces.space_of(few)
    similar_spaces.finish_space(space)
    assert space.dims == 160 and not space.projection
    monkeypatch.setattr(similar_spaces, "FIT_FROM", 300)
    monkeypatch.setattr(similar_spaces, "LEAST_KEPT", 0.99)
    fill(even, unit(np.random.default_rng(1).normal(size=(600, 200))), kind="knee_xray")
    space = similar_spaces.space_of(even)
    similar_spaces.finish_space(space)
    assert space.dims == 200 and not space.projection


def test_projections_keep_neighbours_and_survive_storage() -> None:
    vectors = wide(500)
    projection = Projection.fit(vectors)
    again = Projection.from_bytes(projection.to_bytes(), 128)
    assert (again.source_dims, again.dims) == (160, 128)
    assert np.allclose(again.apply(vectors), projection.apply(vectors))
    assert np.allclose(np.linalg.norm(projection.apply(vectors), axis=1), 1, atol=1e-5)
    own, rng = np.repeat(np.arange(10), 50), np.random.default_rng(3)
    groups = rng.normal(size=(10, 160))[own] + 0.8 * rng.normal(size=(500, 160))
    short = Projection.fit(groups).apply(groups)
    nearest = np.argsort(-(short @ short.T), axis=1)[:, 1:6]
    assert (own[nearest] == own[:, None]).mean() > 0.98
    with pytest.raises(ValueError, match="damaged"):
        Projection.from_bytes(projection.to_bytes()[:-4], 128)
    with pytest.raises(ValueError, match="too small"):
        Projection.fit(vectors[:50])
