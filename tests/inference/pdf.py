"""What a PDF says and how it is built, for tests."""

from __future__ import annotations

import io
import re
from typing import Any

import pypdfium2
from pypdf import PdfReader
from pypdf.generic import IndirectObject


def reader(content: bytes) -> PdfReader:
    """The PDF opened."""
    return PdfReader(io.BytesIO(content))


def root(content: bytes) -> Any:
    """The PDF's catalogue: language, marks, structure tree."""
    return reader(content).trailer["/Root"].get_object()


def text(content: bytes) -> str:
    """All text of the PDF with single spaces, line breaks and the hyphens of broken words taken as spaces."""
    return " ".join(" ".join(page.extract_text() for page in reader(content).pages).split())


def letters(content: bytes) -> str:
    """All letters without spaces, by a reader that knows scripts whose letters join (Devanagari)."""
    with pypdfium2.PdfDocument(content) as document:
        return "".join("".join(page.get_textpage().get_text_range() for page in document).split())


def languages(content: bytes) -> set[str]:
    """The languages that single parts of the PDF are marked with."""
    found: set[str] = set()

    def walk(node: Any) -> None:
        node = node.get_object() if isinstance(node, IndirectObject) else node
        for item in node if isinstance(node, list) else [node]:
            item = item.get_object() if isinstance(item, IndirectObject) else item
            if isinstance(item, dict):
                attributes = item.get("/Lang")
                found.update([str(attributes)] if attributes else [])
                if "/K" in item:
                    walk(item["/K"])

    walk(root(content)["/StructTreeRoot"]["/K"])
    for page in reader(content).pages:
        found.update(re.findall(r"/Lang\s*\((\w+)\)", page.get_contents().get_data().decode("latin-1")))
    return found


def tags(content: bytes) -> list[tuple[str, str]]:
    """(tag, alternative text) of every structure element, in reading order."""
    found: list[tuple[str, str]] = []

    def walk(node: Any) -> None:
        node = node.get_object() if isinstance(node, IndirectObject) else node
        if isinstance(node, list):
            for item in node:
                walk(item)
        elif isinstance(node, dict):
            if "/S" in node:
                found.append((str(node["/S"]), str(node.get("/Alt") or "")))
            if "/K" in node:
                walk(node["/K"])

    walk(root(content)["/StructTreeRoot"]["/K"])
    return found
