"""`manage.py bench_similar`: pgvector's HNSW against exact search and against faiss, on synthetic vectors."""

from __future__ import annotations

import json
import time
from argparse import ArgumentParser
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from django.core.management.base import BaseCommand, CommandError
from django.db import connection

TABLE = "bench_similar"
BATCH = 10_000
K = 10


class Command(BaseCommand):
    """Builds both indexes over the same vectors and asks both the same questions."""

    help = "Measures similar-image search: recall, time per query, index size and build time, by table size."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--sizes", default="10000,100000,1000000")
        parser.add_argument("--dims", type=int, default=512)
        parser.add_argument("--queries", type=int, default=200)
        parser.add_argument("--clusters", type=int, default=200)
        parser.add_argument("--ef", default="20,40,80,120,200,400")
        parser.add_argument("--memory", default="2GB", help="maintenance_work_mem of the index build")
        parser.add_argument("--out", type=Path, default=Path("var/similar-benchmark.json"))

    def handle(self, *args: Any, **options: Any) -> None:
        """Runs every size; writes what is known after each."""
        try:
            import faiss
        except ImportError as error:
            raise CommandError("This needs faiss-cpu: pip install -r requirements-bench.txt") from error
        efs = [int(value) for value in options["ef"].split(",")]
        done: list[dict[str, Any]] = []
        for size in (int(value) for value in options["sizes"].split(",")):
            world = _World(size, options["dims"], options["clusters"], options["queries"])
            row = _measure(world, efs, options["memory"], faiss)
            done.append(row)
            options["out"].parent.mkdir(parents=True, exist_ok=True)
            options["out"].write_text(json.dumps(done, indent=1))
            self.stdout.write(json.dumps(row))


class _World:
    """Clustered unit vectors (N, D) float32, rounded to half precision as the database stores them."""

    def __init__(self, size: int, dims: int, clusters: int, queries: int) -> None:
        self.size, self.dims = size, dims
        self._centres = np.random.default_rng(1).normal(size=(clusters, dims)).astype(np.float32)
        # Within a cluster vectors vary along few directions, as embeddings of one anatomy do.
        self._axes = np.random.default_rng(2).normal(size=(32, dims)).astype(np.float32)
        self.queries = self._draw(queries, np.random.default_rng(3))

    def _draw(self, count: int, rng: np.random.Generator) -> np.ndarray:
        chosen = self._centres[rng.integers(len(self._centres), size=count)]
        along = rng.normal(size=(count, 32)).astype(np.float32) @ self._axes
        raw = chosen + 0.15 * along + 0.2 * rng.normal(size=(count, self.dims)).astype(np.float32)
        unit = raw / np.linalg.norm(raw, axis=1, keepdims=True)
        return unit.astype(np.float16).astype(np.float32)

    def batches(self) -> Iterator[tuple[int, np.ndarray]]:
        """(first id, vectors), always the same ones."""
        for start in range(0, self.size, BATCH):
            rng = np.random.default_rng([4, start])
            yield start, self._draw(min(BATCH, self.size - start), rng)


def _measure(world: _World, efs: list[int], memory: str, faiss: Any) -> dict[str, Any]:
    row: dict[str, Any] = {"vectors": world.size, "dims": world.dims, "queries": len(world.queries)}
    _load(world)
    truth = _truth(world)
    with connection.cursor() as cursor:
        cursor.execute("SET max_parallel_maintenance_workers = 0")
        cursor.execute("SELECT set_config('maintenance_work_mem', %s, false)", [memory])
        # Rounding may order near ties differently here and there: each is held against its own exact search.
        exact = np.array([_ask(cursor)(query) for query in world.queries])
        row["exact"] = _timed(_ask(cursor), world.queries, exact)
        began = time.perf_counter()
        cursor.execute(
            f"CREATE INDEX {TABLE}_hnsw ON {TABLE} USING hnsw"
            f" ((vector::halfvec({world.dims})) halfvec_cosine_ops) WITH (m = 16, ef_construction = 64)"
        )
        row["build_s"] = round(time.perf_counter() - began, 1)
        cursor.execute(f"SELECT pg_relation_size('{TABLE}_hnsw'), pg_total_relation_size('{TABLE}')")
        row["index_bytes"], row["table_bytes"] = cursor.fetchone()
        cursor.execute(f"ANALYZE {TABLE}")
        plan = _plan(cursor, world.queries[0], world.dims)
        row["planner"] = "hnsw" if "hnsw" in plan else "exact"
        cursor.execute("SET enable_seqscan = off")
        row["pgvector"] = []
        for ef in efs:
            cursor.execute("SELECT set_config('hnsw.ef_search', %s, false)", [str(ef)])
            row["pgvector"].append({"ef": ef, **_timed(_ask(cursor), world.queries, exact)})
        cursor.execute("RESET enable_seqscan")
        cursor.execute(f"DROP TABLE {TABLE}")
    faiss.omp_set_num_threads(1)
    index = faiss.IndexHNSWFlat(world.dims, 16, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction = 64
    began = time.perf_counter()
    for _start, vectors in world.batches():
        index.add(_unit(vectors))
    row["faiss_build_s"] = round(time.perf_counter() - began, 1)
    row["faiss"] = []
    for ef in efs:
        index.hnsw.efSearch = ef
        row["faiss"].append(
            {"ef": ef, **_timed(lambda q: index.search(_unit(q[None]), K)[1][0], world.queries, truth)}
        )
    return row


def _load(world: _World) -> None:
    with connection.cursor() as cursor:
        cursor.execute("CREATE EXTENSION IF NOT EXISTS vector")
        cursor.execute(f"DROP TABLE IF EXISTS {TABLE}")
        # Unlogged and without a primary key: only the search is measured.
        cursor.execute(f"CREATE UNLOGGED TABLE {TABLE} (id integer, vector halfvec)")
        cursor.execute(f"ALTER TABLE {TABLE} ALTER vector SET STORAGE PLAIN")
        for start, vectors in world.batches():
            lines = (f"{start + n}\t{_text(vector)}\n" for n, vector in enumerate(vectors))
            cursor.cursor.copy_expert(f"COPY {TABLE} FROM STDIN", _Lines(lines))
        cursor.execute(f"ANALYZE {TABLE}")


class _Lines:
    """Lines as the file that COPY reads."""

    def __init__(self, lines: Iterator[str]) -> None:
        self._lines = lines

    def read(self, size: int = -1) -> str:
        """About a hundred lines at a time; empty at the end."""
        return "".join(line for line, _ in zip(self._lines, range(100), strict=False))


def _unit(vectors: np.ndarray) -> np.ndarray:
    """Of length 1 again after rounding to half precision: cosine for those who know inner products only."""
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def _text(vector: np.ndarray) -> str:
    return "[" + ",".join(f"{value:.5g}" for value in vector) + "]"


def _ask(cursor: Any) -> Callable[[np.ndarray], list[int]]:
    def ask(query: np.ndarray) -> list[int]:
        dims = len(query)
        cursor.execute(
            f"SELECT id FROM {TABLE} ORDER BY (vector::halfvec({dims})) <=> %s::halfvec({dims}) LIMIT {K}",  # noqa: S608
            [_text(query)],
        )
        return [found for (found,) in cursor.fetchall()]

    return ask


def _plan(cursor: Any, query: np.ndarray, dims: int) -> str:
    cursor.execute(
        f"EXPLAIN SELECT id FROM {TABLE}"  # noqa: S608
        f" ORDER BY (vector::halfvec({dims})) <=> %s::halfvec({dims}) LIMIT {K}",
        [_text(query)],
    )
    return "\n".join(line for (line,) in cursor.fetchall())


def _truth(world: _World) -> np.ndarray:
    """Ids of the true nearest, (Q, K), by brute force."""
    ids = np.zeros((len(world.queries), 0), dtype=np.int64)
    scores = np.zeros((len(world.queries), 0), dtype=np.float32)
    for start, vectors in world.batches():
        scores = np.concatenate([scores, _unit(world.queries) @ _unit(vectors).T], axis=1)
        fresh = np.broadcast_to(np.arange(start, start + len(vectors)), (len(world.queries), len(vectors)))
        ids = np.concatenate([ids, fresh], axis=1)
        best = np.argsort(-scores, axis=1)[:, :K]
        ids, scores = np.take_along_axis(ids, best, 1), np.take_along_axis(scores, best, 1)
    return ids


def _timed(ask: Callable[[np.ndarray], Any], queries: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    for query in queries[:20]:  # warm caches for both alike
        ask(query)
    times, hits = [], 0
    for query, known in zip(queries, truth, strict=True):
        began = time.perf_counter()
        found = ask(query)
        times.append((time.perf_counter() - began) * 1000)
        hits += len({int(x) for x in found} & {int(x) for x in known})
    p50, p95 = np.percentile(times, [50, 95])
    return {"recall": round(hits / truth.size, 4), "p50_ms": round(p50, 2), "p95_ms": round(p95, 2)}
