"""What a bundle says about itself, for the admin: model card and reporting table as safe HTML, data sheet,
figures with their intervals.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import nh3
from markdown_it import MarkdownIt

from inference import bundle_places, registry
from inference.models import ModelVersion

DOCUMENTS = {"card": "docs/README.md", "claim": "docs/CLAIM.md"}
_MOST_BYTES = 500_000
_TAGS = {
    *("h2", "h3", "h4", "h5", "h6", "p", "ul", "ol", "li", "table", "thead", "tbody", "tr", "th", "td"),
    *("a", "code", "pre", "em", "strong", "blockquote", "br", "hr"),
}


def document(version: ModelVersion, name: str) -> str:
    """A document of the bundle as HTML that is safe to show; "" where it is not there or was changed."""
    folder = bundle_places.place_of(version)
    path = folder / DOCUMENTS[name] if folder else None
    promised = (version.metadata.get("files") or {}).get(DOCUMENTS[name])
    if path is None or not path.is_file() or path.stat().st_size > _MOST_BYTES:
        return ""
    if registry.file_sha256(path) != promised:
        return ""
    return as_html(path.read_text(encoding="utf-8", errors="replace"))


def as_html(markdown: str) -> str:
    """Markdown with tables as HTML: no raw HTML, pictures, scripts or styles; links lead to other sites only.

    The page has a title of its own, so headings go down by one.
    """
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = parser.parse(markdown)
    for token in tokens:
        if token.tag in {"h1", "h2", "h3", "h4", "h5"}:
            token.tag = f"h{int(token.tag[1]) + 1}"
    html = parser.renderer.render(tokens, parser.options, {})
    return nh3.clean(
        html,
        tags=_TAGS,
        attributes={"a": {"href"}},
        url_schemes={"https", "http"},
        link_rel="noopener noreferrer",
    )


@dataclass(frozen=True)
class Figure:
    """One measured number with its 95 % interval, where the bundle gives one."""

    name: str
    value: float
    low: float | None = None
    high: float | None = None


def figures(version: ModelVersion) -> list[Figure]:
    """The figures over all test items: those of the whole first, then label by label in the model's order."""
    found = _walk("", (version.metadata.get("eval_metrics") or {}).get("all") or {})
    order = {name: number for number, name in enumerate(version.label_names, 1)}
    return sorted(found, key=lambda figure: order.get(figure.name.partition(":")[0], 0))


def _walk(prefix: str, values: dict[str, Any]) -> Iterator[Figure]:
    for name, value in values.items():
        title = f"{prefix}{name.replace('_', ' ')}"
        if isinstance(value, bool) or name in ("confusion", "labels"):
            continue
        if isinstance(value, int | float):
            yield Figure(title, float(value))
        elif isinstance(value, dict) and "value" in value:
            if value["value"] is None:  # not defined on this part, such as an AUC of one class
                continue
            low, high = (value.get("ci95") or [None, None])[:2]
            yield Figure(title, float(value["value"]), low, high)
        elif isinstance(value, dict):
            # The database keeps no order of keys.
            inner = value if name == "per_label" else dict(sorted(value.items()))
            yield from _walk("" if name == "per_label" else f"{name}: ", inner)


def headline(version: ModelVersion) -> list[Figure]:
    """The few figures of the list: those with an interval."""
    return [figure for figure in figures(version) if figure.low is not None][:4]


@dataclass(frozen=True)
class DataSheet:
    """Where a version learnt: sources with licences, and how many images for what."""

    sources: list[dict[str, Any]]
    counts: list[tuple[str, int]]


def data_sheet(version: ModelVersion) -> DataSheet:
    """As the bundle's metadata say."""
    images = version.metadata.get("images") or {}
    counts = [(str(name).replace("_", " "), n) for name, n in images.items() if isinstance(n, int)]
    sources = [one for one in version.metadata.get("training_data") or [] if isinstance(one, dict)]
    return DataSheet(sources, counts)
