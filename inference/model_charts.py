"""Figures of a version as plain SVG geometry and table rows. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

WIDTH, HEIGHT = 320.0, 110.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 36.0, 308.0, 10.0, 84.0


@dataclass(frozen=True)
class Point:
    """One month: where its value and the ends of its interval stand, and the numbers in words."""

    x: float
    y: float
    low: float
    high: float
    words: str
    is_thin: bool


@dataclass(frozen=True)
class Chart:
    """Sensitivity or specificity of one label over months."""

    name: str
    first: str
    last: str
    points: list[Point]
    line: str

    @property
    def summary(self) -> str:
        """The whole chart in words, for who does not see it."""
        return f"{self.name}: " + "; ".join(point.words for point in self.points)


def over_months(months: list[dict[str, Any]]) -> list[Chart]:
    """Charts of every label that has at least one month with a figure."""
    charts = []
    for label in sorted({row["label"] for row in months}):
        own = [row for row in months if row["label"] == label]
        for what in ("sensitivity", "specificity"):
            charts.append(_chart(f"{label}, {what}", own, what))
    return [chart for chart in charts if chart.points]


def _chart(name: str, rows: list[dict[str, Any]], what: str) -> Chart:
    shown = [row for row in rows if row[what]["value"] is not None]
    step = (_RIGHT - _LEFT) / max(1, len(shown) - 1)
    points = []
    for number, row in enumerate(shown):
        share = row[what]
        of = row["positives" if what == "sensitivity" else "negatives"]
        points.append(
            Point(
                _LEFT + step * number if len(shown) > 1 else (_LEFT + _RIGHT) / 2,
                _y(share["value"]),
                _y(share["low"]),
                _y(share["high"]),
                f"{row['month']}: {100 * share['value']:.0f} % of {of}",
                not share["means_something"],
            )
        )
    line = " ".join(f"{point.x:.1f},{point.y:.1f}" for point in points)
    months = [row["month"] for row in shown] or [""]
    return Chart(name, months[0], months[-1], points, line)


def _y(share: float) -> float:
    return _BOTTOM - (_BOTTOM - _TOP) * share


def drift_rows(drift: dict[str, Any]) -> dict[str, Any]:
    """A table: what is compared down, months across. {} where nothing was read."""
    months = drift.get("months") or []
    if not months:
        return {}
    rows = []
    for number, item in enumerate(months[0]["items"]):
        rows.append({"what": item["what"], "cells": [month["items"][number] for month in months]})
    changed = sorted({row["what"] for row in rows for cell in row["cells"] if cell.get("changed")})
    return {**drift, "rows": rows, "changed": changed}
