"""Reports as one HTML file: no scripts, no requests, pictures inside, every text escaped."""

from __future__ import annotations

import base64
import io
import os
import tempfile
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from PIL import Image

matplotlib.use("Agg")

_CSS = """
:root{color-scheme:light}
*{box-sizing:border-box}
body{margin:0;background:#f5f7f9;color:#1b2530;font:16px/1.55 system-ui,-apple-system,"Segoe UI",sans-serif}
main{max-width:68rem;margin:0 auto;padding:1.25rem 1rem 4rem;background:#fff;min-height:100vh}
h1{overflow-wrap:anywhere;font-size:1.65rem;line-height:1.25;margin:.5rem 0 1rem}
h2{font-size:1.25rem;margin:2.2rem 0 .6rem;padding-top:.8rem;border-top:1px solid #d8dfe6}
h3{font-size:1.05rem;margin:1.5rem 0 .4rem}
p{max-width:46rem;margin:.5rem 0;overflow-wrap:anywhere}
p.warn{border-left:.3rem solid #b45309;background:#fff7e8;padding:.6rem .8rem}
.scroll{overflow-x:auto;margin:1rem 0}
table{border-collapse:collapse;font-size:.92rem}
caption,figcaption{text-align:left;color:#45525f;font-size:.92rem;padding:.2rem 0 .4rem}
th,td{padding:.35rem .7rem;border-bottom:1px solid #dfe5eb;text-align:left;vertical-align:top}
th{background:#eef2f6;white-space:nowrap}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}
figure{margin:1rem 0}
img{max-width:100%;height:auto}
.gallery{display:grid;grid-template-columns:repeat(auto-fill,minmax(7.5rem,1fr));gap:.7rem;list-style:none;margin:0;
padding:0}
.gallery li{font-size:.8rem;line-height:1.35;overflow-wrap:anywhere}
.gallery img{display:block;width:100%;aspect-ratio:1;object-fit:contain;background:#000;border-radius:.3rem;
margin-bottom:.25rem}
@media print{body,main{background:#fff}}
"""


class Report:
    """An HTML report that is built from top to bottom and written once.

    A plain `text` is a paragraph, one with `warn=True` stands out as a warning (and says so in words).
    """

    def __init__(self, title: str, language: str = "en") -> None:
        self.title = title
        self._language = language
        self._parts: list[str] = []

    def heading(self, text: str, level: int = 2) -> None:
        """A heading; level 2 or 3 (the title is level 1).

        Raises:
            ValueError: another level.
        """
        if level not in (2, 3):
            raise ValueError(f"heading level {level}: use 2 or 3")
        self._parts.append(f"<h{level}>{escape(text)}</h{level}>")

    def text(self, text: str, *, warn: bool = False) -> None:
        """One paragraph."""
        start = '<p class="warn"><strong>Warning:</strong> ' if warn else "<p>"
        self._parts.append(f"{start}{escape(text)}</p>")

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[Any]], caption: str = "") -> None:
        """A table. Numbers are right-aligned, floats shown with three decimals, None as a dash.

        Raises:
            ValueError: a row has another length than `columns`.
        """
        body = [list(row) for row in rows]
        for row in body:
            if len(row) != len(columns):
                raise ValueError(f"table {caption!r}: row {row!r} has not {len(columns)} cells")
        numeric = [
            bool(body) and all(cell is None or _is_number(cell) for cell in column)
            for column in zip(*body, strict=True)
        ] or [False] * len(columns)
        classes = [' class="n"' if is_number else "" for is_number in numeric]
        head = "".join(
            f'<th scope="col"{css}>{escape(str(name))}</th>'
            for name, css in zip(columns, classes, strict=True)
        )
        lines = [
            "<tr>"
            + "".join(f"<td{css}>{escape(_shown(cell))}</td>" for cell, css in zip(row, classes, strict=True))
            + "</tr>"
            for row in body
        ]
        label = escape(caption or "Table", quote=True)
        title = f"<caption>{escape(caption)}</caption>" if caption else ""
        # A wide table scrolls by itself; tabindex lets the keyboard reach it.
        self._parts.append(
            f'<div class="scroll" role="region" tabindex="0" aria-label="{label}"><table>{title}'
            f"<thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table></div>"
        )

    def figure(self, fig: Any, alt: str, caption: str = "") -> None:
        """A matplotlib figure, drawn as PNG and closed. `alt` says in words what it shows."""
        from matplotlib import pyplot

        buffer = io.BytesIO()
        fig.savefig(buffer, format="png", dpi=110, bbox_inches="tight")
        pyplot.close(fig)
        title = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
        self._parts.append(f"<figure>{_img('png', buffer.getvalue(), alt)}{title}</figure>")

    def gallery(self, items: Iterable[tuple[np.ndarray, str]], caption: str, side: int = 128) -> None:
        """A contact sheet. An item is an image, (H, W) grey or (H, W, 3) colour, and its caption.

        An image of type uint8 is shown as it is, any other is stretched from its minimum to its maximum.
        """
        cells = [
            f"<li>{_img('jpeg', _thumbnail(image, side), text)}{escape(text)}</li>" for image, text in items
        ]
        self._parts.append(
            f'<figure><figcaption>{escape(caption)}</figcaption><ul class="gallery">'
            f"{''.join(cells)}</ul></figure>"
        )

    def html(self) -> str:
        """The whole document."""
        return (
            f'<!doctype html>\n<html lang="{escape(self._language, quote=True)}"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width,initial-scale=1">'
            '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; img-src data:; '
            "style-src 'unsafe-inline'\">"
            f"<title>{escape(self.title)}</title><style>{_CSS}</style></head><body><main>"
            f"<h1>{escape(self.title)}</h1>\n" + "\n".join(self._parts) + "\n</main></body></html>\n"
        )

    def write(self, path: Path) -> None:
        """Write the report; a kill leaves the old file or the new one, never half of one."""
        write_atomic(path, self.html().encode())


def write_atomic(path: Path, content: bytes) -> None:
    """Put `content` at `path` in one step; parents are created."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    part = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as handle:
            handle.write(content)
            handle.flush()
            os.fsync(handle.fileno())
        part.chmod(0o644)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _is_number(cell: Any) -> bool:
    return isinstance(cell, int | float | np.integer | np.floating) and not isinstance(cell, bool)


def _shown(cell: Any) -> str:
    if cell is None or (isinstance(cell, float | np.floating) and np.isnan(cell)):
        return "–"
    if isinstance(cell, float | np.floating):
        return f"{cell:.3f}"
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    return f"{cell:,}" if _is_number(cell) else str(cell)


def _img(kind: str, content: bytes, alt: str) -> str:
    data = base64.b64encode(content).decode()
    return f'<img src="data:image/{kind};base64,{data}" alt="{escape(alt, quote=True)}">'


def _thumbnail(image: np.ndarray, side: int) -> bytes:
    pixels = np.asarray(image)
    if pixels.dtype != np.uint8:
        values = np.nan_to_num(pixels.astype(np.float32))
        low, high = float(values.min()), float(values.max())
        pixels = ((values - low) * (255.0 / max(high - low, 1e-9))).astype(np.uint8)
    small = Image.fromarray(pixels)
    small.thumbnail((side, side), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    small.convert("RGB" if pixels.ndim == 3 else "L").save(buffer, "JPEG", quality=80)
    return buffer.getvalue()
