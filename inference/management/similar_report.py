"""The page and the plot of `manage.py bench_similar`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

WANTED_RECALL = 0.97

_HEAD = """# Similar-image search: the benchmark

Written by `make bench-similar` (`manage.py bench_similar --report docs`). Synthetic unit vectors in 200
clusters that vary along 32 directions and a little noise, half precision, in the embedded PostgreSQL with
pgvector; HNSW with {graphs} in both programs. faiss is the portable build from PyPI,
one thread, float32, in the asking process; pgvector is asked over a socket, for 48 rows, as a result page
does to find six people, and faiss for ten. Both are asked each question in turn, three times, and the
fastest counts; the machine had two cores. Recall is at 10, against exact search over the same vectors.
"faiss at that recall" is faiss's time for as many right answers as pgvector has at the setting beside it, on
the line between the two nearest settings; "times" is how much longer pgvector
takes for them inside the database.

"""


def write(rows: list[dict[str, Any]], folder: Path) -> list[Path]:
    """Writes `similar-benchmark.md` and `similar-benchmark.svg` into a folder; returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    page, plot = folder / "similar-benchmark.md", folder / "similar-benchmark.svg"
    graphs = dict.fromkeys(f"m = {row['m']} and ef_construction = {row['ef_construction']}" for row in rows)
    parts = [_HEAD.format(graphs=", ".join(graphs)), "![growth](similar-benchmark.svg)\n"]
    for dims in sorted({int(row["dims"]) for row in rows}):
        own = [row for row in rows if row["dims"] == dims]
        parts.append(_table(own, dims))
        parts.append(_lists(own))
        parts.append(_settings(own[-1]))
    page.write_text("\n".join(parts), encoding="utf-8")
    _draw(rows, plot)
    return [page, plot]


def at_recall(points: list[dict[str, Any]], wanted: float = WANTED_RECALL) -> dict[str, Any] | None:
    """The cheapest setting that reaches a recall; None where none does."""
    return next((point for point in points if point["recall"] >= wanted), None)


def time_at(points: list[dict[str, Any]], recall: float) -> float | None:
    """The 95th percentile in ms at a recall, on the line between the settings around it; None above all."""
    before: dict[str, Any] | None = None
    for point in points:
        if point["recall"] >= recall:
            if before is None or point["recall"] == before["recall"]:
                return float(point["p95_ms"])
            share = (recall - before["recall"]) / (point["recall"] - before["recall"])
            return float(before["p95_ms"] + share * (point["p95_ms"] - before["p95_ms"]))
        before = point
    return None


def _table(rows: list[dict[str, Any]], dims: int) -> str:
    lines = [
        f"## {dims} dimensions: the cheapest setting with recall@10 of at least {WANTED_RECALL}",
        "",
        "| vectors | exact p95 ms | pgvector ef, recall | p95 ms | p95 ms inside the database "
        "| faiss ef, recall | p95 ms | faiss at that recall, p95 ms | times "
        "| planner takes | build s (faiss) | index MB |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        ours, theirs = at_recall(row["pgvector"]), at_recall(row["faiss"])
        same = time_at(row["faiss"], ours["recall"]) if ours else None
        lines.append(
            f"| {row['vectors']:,} | {row['exact']['p95_ms']} | {_setting(ours, row['pgvector'])} "
            f"| {_value(ours, 'p95_ms')} | {_value(ours, 'inside_p95_ms')} "
            f"| {_setting(theirs, row['faiss'])} | {_value(theirs, 'p95_ms')} "
            f"| {'-' if same is None else round(same, 2)} | {_times(ours, same)} "
            f"| {row['planner']} "
            f"| {row['build_s']:.0f} ({row['faiss_build_s']:.0f}) | {row['index_bytes'] / 1e6:.0f} |"
        )
    return "\n".join(lines) + "\n"


def _lists(rows: list[dict[str, Any]]) -> str:
    """IVFFlat, where it was measured: nothing for a benchmark of small tables."""
    large = [row for row in rows if "ivfflat" in row]
    if not large:
        return ""
    lines = [
        "### IVFFlat, the site's index of very large spaces, in the same runs",
        "",
        "| vectors | lists | looked at | recall | p50 / p95 ms | inside p50 / p95 ms "
        "| faiss at that recall, p95 ms | times | build s | index MB |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in large:
        found = row["ivfflat"]
        for point in found["asked"]:
            same = time_at(row["faiss"], point["recall"])
            lines.append(
                f"| {row['vectors']:,} | {found['lists']:,} | {point['probes']} | {point['recall']} "
                f"| {point['p50_ms']} / {point['p95_ms']} "
                f"| {point['inside_p50_ms']} / {point['inside_p95_ms']} "
                f"| {'-' if same is None else round(same, 2)} | {_times(point, same)} "
                f"| {found['build_s']:.0f} | {found['index_bytes'] / 1e6:.0f} |"
            )
    return "\n".join(lines) + "\n"


def _settings(row: dict[str, Any]) -> str:
    lines = [
        f"### All settings at {row['vectors']:,} vectors of {row['dims']}",
        "",
        "| ef | pgvector recall | p50 / p95 ms | inside p50 / p95 ms | faiss recall | p50 / p95 ms |",
        "|---|---|---|---|---|---|",
    ]
    for ours, theirs in zip(row["pgvector"], row["faiss"], strict=True):
        lines.append(
            f"| {ours['ef']} | {ours['recall']} | {ours['p50_ms']} / {ours['p95_ms']} "
            f"| {ours['inside_p50_ms']} / {ours['inside_p95_ms']} | {theirs['recall']} "
            f"| {theirs['p50_ms']} / {theirs['p95_ms']} |"
        )
    return "\n".join(lines) + "\n"


def _setting(point: dict[str, Any] | None, points: list[dict[str, Any]]) -> str:
    if point is None:
        best = max(points, key=lambda one: one["recall"])
        return f"not reached: {best['recall']} at {best['ef']}"
    return f"{point['ef']}, {point['recall']}"


def _value(point: dict[str, Any] | None, name: str) -> str:
    return "-" if point is None else f"{point[name]}"


def _times(ours: dict[str, Any] | None, same: float | None) -> str:
    return "-" if ours is None or same is None else f"{ours['inside_p95_ms'] / same:.1f}"


def _draw(rows: list[dict[str, Any]], path: Path) -> None:
    import matplotlib as mpl

    mpl.use("svg")
    from matplotlib import pyplot

    mpl.rcParams["svg.hashsalt"] = "pmi"
    figure, (times, sizes) = pyplot.subplots(1, 2, figsize=(10, 4), layout="constrained")
    for dims in sorted({int(row["dims"]) for row in rows}):
        own = [row for row in rows if row["dims"] == dims]
        count = [row["vectors"] for row in own]
        times.plot(count, [row["exact"]["p50_ms"] for row in own], "o--", label=f"exact, {dims}")
        for name, field, key in (
            ("pgvector", "p50_ms", "pgvector"),
            ("pgvector inside", "inside_p50_ms", "pgvector"),
            ("faiss", "p50_ms", "faiss"),
        ):
            # The best recall where the wanted one is not reached; the table says where that is so.
            chosen = [at_recall(row[key]) or max(row[key], key=lambda p: p["recall"]) for row in own]
            times.plot(count, [point[field] for point in chosen], "o-", label=f"{name}, {dims}")
        large = [row for row in own if "ivfflat" in row]
        if large:
            chosen = [at_recall(row["ivfflat"]["asked"]) or row["ivfflat"]["asked"][-1] for row in large]
            asked = [point["inside_p50_ms"] for point in chosen]
            times.plot([row["vectors"] for row in large], asked, "s-", label=f"IVFFlat inside, {dims}")
        sizes.plot(count, [row["index_bytes"] / 1e6 for row in own], "o-", label=f"index MB, {dims}")
        sizes.plot(count, [row["build_s"] for row in own], "s--", label=f"build s, {dims}")
    for axes, title in ((times, f"median ms per query, recall@10 >= {WANTED_RECALL}"), (sizes, "index")):
        axes.set(xscale="log", yscale="log", xlabel="vectors", title=title)
        axes.grid(visible=True, alpha=0.3)
        axes.legend(fontsize=8)
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)
