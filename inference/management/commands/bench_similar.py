"""`manage.py bench_similar`: pgvector against exact search and against faiss, on synthetic vectors."""

from __future__ import annotations

import json
import time
from argparse import ArgumentParser
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from django.core.management.base import BaseCommand, CommandError
from django.db import connection

from inference.similar_projection import REDUCED_DIMS
from inference.similar_selectors import NEAREST, ROWS_A_HIT
from inference.similar_spaces import HNSW_EF_CONSTRUCTION, HNSW_M, LISTS_FROM, lists_for

TABLE = "bench_similar"
BATCH = 10_000
K = 10
# As many as a result page asks for, to be left with enough people.
ROWS = NEAREST * ROWS_A_HIT
REPEATS = 3
PROBES = (4, 8, 12, 16, 24)
EXACT_QUERIES = 20


class Command(BaseCommand):
    """Builds both indexes over the same vectors and asks both the same questions, in turn."""

    help = "Measures similar-image search: recall, time per query, index size and build time, by table size."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--sizes", default="1000,3000,10000,30000,100000,300000,1000000")
        parser.add_argument("--dims", type=int, default=REDUCED_DIMS)
        parser.add_argument("--queries", type=int, default=200)
        parser.add_argument("--clusters", type=int, default=200)
        parser.add_argument("--ef", default="10,20,40,80,120,200,400")
        parser.add_argument("--m", type=int, default=HNSW_M, help="links a node, in both programs")
        parser.add_argument("--ef-construction", type=int, default=HNSW_EF_CONSTRUCTION, help="likewise")
        parser.add_argument("--memory", default="3GB", help="maintenance_work_mem of the index build")
        parser.add_argument("--workers", type=int, default=1, help="helpers of the index build")
        parser.add_argument("--out", type=Path, default=Path("var/similar-benchmark.json"))
        parser.add_argument("--report", type=Path, help="also write a page and a plot into this folder")
        parser.add_argument(
            "--only-report", action="store_true", help="write the page from --out as it is, measure nothing"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Runs every size; writes what is known after each, beside what earlier runs measured."""
        out: Path = options["out"]
        done = [] if not out.exists() else json.loads(out.read_text(encoding="utf-8"))
        if not options["only_report"]:
            try:
                import faiss
            except ImportError as error:
                raise CommandError("This needs faiss-cpu: pip install -r requirements-bench.txt") from error
            efs = [int(value) for value in options["ef"].split(",")]
            for size in (int(value) for value in options["sizes"].split(",")):
                world = World(size, options["dims"], options["clusters"], options["queries"])
                graph = Graph(options["m"], options["ef_construction"])
                row = measure(world, efs, graph, options["memory"], options["workers"], faiss)
                done = [old for old in done if (old["dims"], old["vectors"]) != (world.dims, size)] + [row]
                done.sort(key=lambda one: (one["dims"], one["vectors"]))
                out.parent.mkdir(parents=True, exist_ok=True)
                out.write_text(json.dumps(done, indent=1), encoding="utf-8")
                self.stdout.write(json.dumps(row))
        if options["report"]:
            from inference.management.similar_report import write

            for path in write(done, options["report"]):
                self.stdout.write(f"wrote {path}")


class Graph(NamedTuple):
    """How a graph is built, by both programs alike."""

    m: int
    ef_construction: int


class World:
    """Clustered unit vectors (N, D) float32, rounded to half precision as the database stores them."""

    def __init__(self, size: int, dims: int, clusters: int, queries: int) -> None:
        self.size, self.dims = size, dims
        self._centres = np.random.default_rng(1).normal(size=(clusters, dims)).astype(np.float32)
        # Within a cluster vectors vary along few directions, as embeddings of one anatomy do.
        self._axes = np.random.default_rng(2).normal(size=(32, dims)).astype(np.float32)
        self.queries = self._draw(queries, np.random.default_rng(3))

    def _draw(self, count: int, rng: np.random.Generator) -> np.ndarray:
        chosen = self._centres[rng.integers(len(self._centres), size=count)]
        along = rng.standard_normal(size=(count, 32), dtype=np.float32) @ self._axes
        raw = chosen + 0.15 * along + 0.2 * rng.standard_normal(size=(count, self.dims), dtype=np.float32)
        unit = raw / np.linalg.norm(raw, axis=1, keepdims=True)
        return unit.astype(np.float16).astype(np.float32)

    def batches(self) -> Iterator[tuple[int, np.ndarray]]:
        """(first id, vectors), always the same ones."""
        for start in range(0, self.size, BATCH):
            rng = np.random.default_rng([4, start])
            yield start, self._draw(min(BATCH, self.size - start), rng)


def measure(
    world: World, efs: list[int], graph: Graph, memory: str, workers: int, faiss: Any
) -> dict[str, Any]:
    """One size: loads, asks exactly, builds both indexes, asks both in turn at every `ef`."""
    row: dict[str, Any] = {"vectors": world.size, "dims": world.dims, "queries": len(world.queries)}
    row |= graph._asdict()
    load(world)
    truth = nearest(world)
    index, row["faiss_build_s"] = _faiss_index(world, graph, workers + 1, faiss)
    with connection.cursor() as cursor:
        cursor.execute("SHOW shared_buffers")
        row["shared_buffers"] = cursor.fetchone()[0]
        asked = world.queries[:EXACT_QUERIES]
        (row["exact"],) = _timed([_ask(cursor)], asked, truth[: len(asked)])
        cursor.execute(f"SET max_parallel_maintenance_workers = {int(workers)}")
        cursor.execute("SELECT set_config('maintenance_work_mem', %s, false)", [memory])
        began = time.perf_counter()
        cursor.execute(
            f"CREATE INDEX {TABLE}_hnsw ON {TABLE} USING hnsw"
            f" ((vector::halfvec({world.dims})) halfvec_cosine_ops)"
            f" WITH (m = {graph.m}, ef_construction = {graph.ef_construction})"
        )
        row["build_s"], row["build_processes"] = round(time.perf_counter() - began, 1), workers + 1
        cursor.execute(f"SELECT pg_relation_size('{TABLE}_hnsw'), pg_total_relation_size('{TABLE}')")
        row["index_bytes"], row["table_bytes"] = cursor.fetchone()
        cursor.execute(f"ANALYZE {TABLE}")
        row["planner"] = "hnsw" if "hnsw" in _plan(cursor, world.queries[0]) else "exact"
        cursor.execute("SET enable_seqscan = off")
        row["pgvector"], row["faiss"] = [], []
        for ef in efs:
            cursor.execute("SELECT set_config('hnsw.ef_search', %s, false)", [str(ef)])
            index.hnsw.efSearch = ef
            ours, theirs = _timed(
                [_ask(cursor), lambda q: index.search(_unit(q[None]), K)[1][0]], world.queries, truth
            )
            row["pgvector"].append({"ef": ef, **ours, **_inside(cursor, world.queries)})
            row["faiss"].append({"ef": ef, **theirs})
        if world.size >= LISTS_FROM:
            cursor.execute(f"DROP INDEX {TABLE}_hnsw")
            row["ivfflat"] = _lists(cursor, world, truth)
        cursor.execute("RESET enable_seqscan")
        cursor.execute("RESET hnsw.ef_search")
        cursor.execute(f"DROP TABLE {TABLE}")
    return row


def _lists(cursor: Any, world: World, truth: np.ndarray) -> dict[str, Any]:
    """The site's index of very large spaces, asked the same questions at every number of lists looked at."""
    cursor.execute("SELECT pg_size_bytes(current_setting('maintenance_work_mem'))")
    lists = lists_for(world.size, world.dims, cursor.fetchone()[0])
    began = time.perf_counter()
    cursor.execute(
        f"CREATE INDEX {TABLE}_ivfflat ON {TABLE} USING ivfflat"
        f" ((vector::halfvec({world.dims})) halfvec_cosine_ops) WITH (lists = {lists})"
    )
    row: dict[str, Any] = {"lists": lists, "build_s": round(time.perf_counter() - began, 1)}
    cursor.execute(f"SELECT pg_relation_size('{TABLE}_ivfflat')")
    row["index_bytes"] = cursor.fetchone()[0]
    row["asked"] = []
    for probes in PROBES:
        cursor.execute("SELECT set_config('ivfflat.probes', %s, false)", [str(probes)])
        (ours,) = _timed([_ask(cursor)], world.queries, truth)
        row["asked"].append({"probes": probes, **ours, **_inside(cursor, world.queries)})
    cursor.execute("RESET ivfflat.probes")
    return row


def _faiss_index(world: World, graph: Graph, threads: int, faiss: Any) -> tuple[Any, float]:
    index = faiss.IndexHNSWFlat(world.dims, graph.m, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction = graph.ef_construction
    faiss.omp_set_num_threads(threads)
    spent = 0.0
    for _start, vectors in world.batches():
        began = time.perf_counter()
        index.add(_unit(vectors))
        spent += time.perf_counter() - began
    faiss.omp_set_num_threads(1)
    return index, round(spent, 1)


def load(world: World) -> None:
    """All vectors into a fresh table."""
    with connection.cursor() as cursor:
        cursor.execute("CREATE EXTENSION IF NOT EXISTS vector")
        cursor.execute(f"DROP TABLE IF EXISTS {TABLE}")
        # Unlogged and without a primary key: only the search is measured.
        cursor.execute(f"CREATE UNLOGGED TABLE {TABLE} (id integer, vector halfvec)")
        cursor.execute(f"ALTER TABLE {TABLE} ALTER vector SET STORAGE PLAIN")
        for start, vectors in world.batches():
            cursor.cursor.copy_expert(f"COPY {TABLE} FROM STDIN (FORMAT binary)", _Binary(start, vectors))
        cursor.execute(f"ANALYZE {TABLE}")


class _Binary:
    """Rows (id, halfvec) as the binary file that COPY reads."""

    def __init__(self, start: int, vectors: np.ndarray) -> None:
        count, dims = vectors.shape
        row = np.dtype(
            [("fields", ">i2"), ("id_bytes", ">i4"), ("id", ">i4"), ("bytes", ">i4")]
            + [("dims", ">i2"), ("unused", ">i2"), ("vector", ">f2", (dims,))]
        )
        rows = np.zeros(count, dtype=row)
        rows["fields"], rows["id_bytes"], rows["bytes"], rows["dims"] = 2, 4, 4 + 2 * dims, dims
        rows["id"], rows["vector"] = np.arange(start, start + count), vectors
        header = b"PGCOPY\n\xff\r\n\0" + bytes(8)
        self._left = memoryview(header + rows.tobytes() + b"\xff\xff")

    def read(self, size: int = -1) -> bytes:
        """The next bytes; empty at the end."""
        size = len(self._left) if size < 0 else size
        part, self._left = self._left[:size], self._left[size:]
        return bytes(part)


def _unit(vectors: np.ndarray) -> np.ndarray:
    """Of length 1 again after rounding to half precision: cosine for those who know inner products only."""
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def _text(vector: np.ndarray) -> str:
    return "[" + ",".join(f"{value:.5g}" for value in vector) + "]"


def _select(dims: int) -> str:
    return f"SELECT id FROM {TABLE} ORDER BY (vector::halfvec({dims})) <=> %s::halfvec({dims}) LIMIT {ROWS}"  # noqa: S608


def _ask(cursor: Any) -> Callable[[np.ndarray], list[int]]:
    def ask(query: np.ndarray) -> list[int]:
        cursor.execute(_select(len(query)), [_text(query)])
        return [found for (found,) in cursor.fetchall()][:K]

    return ask


def _plan(cursor: Any, query: np.ndarray) -> str:
    cursor.execute(f"EXPLAIN {_select(len(query))}", [_text(query)])
    return "\n".join(line for (line,) in cursor.fetchall())


def _inside(cursor: Any, queries: np.ndarray) -> dict[str, float]:
    """The database's own time for the same questions, without the way there and back."""
    times = []
    for query in queries:
        each = []
        for _again in range(REPEATS):
            cursor.execute(
                f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {_select(len(query))}", [_text(query)]
            )
            (((plan,),),) = cursor.fetchall()
            each.append(plan["Execution Time"])
        times.append(min(each))
    p50, p95 = np.percentile(times, [50, 95])
    return {"inside_p50_ms": round(float(p50), 2), "inside_p95_ms": round(float(p95), 2)}


def nearest(world: World) -> np.ndarray:
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


def _timed(
    asks: list[Callable[[np.ndarray], Any]], queries: np.ndarray, truth: np.ndarray
) -> list[dict[str, float]]:
    """Recall and times of each way of asking. They take turns, so that what else the machine does meets all
    alike; of a question asked `REPEATS` times the fastest counts.
    """
    for query in queries[:20]:  # warm caches for all alike
        for ask in asks:
            ask(query)
    times = np.full((len(asks), len(queries)), np.inf)
    hits = np.zeros(len(asks))
    for n, (query, known) in enumerate(zip(queries, truth, strict=True)):
        for again in range(REPEATS):
            for way, ask in enumerate(asks):
                began = time.perf_counter()
                found = ask(query)
                times[way, n] = min(times[way, n], (time.perf_counter() - began) * 1000)
                if not again:
                    hits[way] += len({int(x) for x in found} & {int(x) for x in known})
    return [
        {
            "recall": round(float(hits[way]) / truth.size, 4),
            "p50_ms": round(float(np.percentile(times[way], 50)), 2),
            "p95_ms": round(float(np.percentile(times[way], 95)), 2),
        }
        for way in range(len(asks))
    ]
