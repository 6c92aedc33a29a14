"""The real seed, loaded, and small handmade rows."""

from pathlib import Path
from typing import Any

import pytest

from resources.choices import Status
from resources.models import Advice, Condition, Source, Treatment
from resources.seed_reader import SEED_DIR, SeedRow, read_seed
from resources.seeding import load

SLUGS = [
    "glioma",
    "meningioma",
    "pituitary-tumour",
    "no-brain-tumour",
    "pneumonia",
    "bacterial-pneumonia",
    "viral-pneumonia",
    "covid-19-pneumonia",
    "no-chest-finding",
    "knee-oa-0",
    "knee-oa-1",
    "knee-oa-2",
    "knee-oa-3",
    "knee-oa-4",
    "unreadable-scan",
]


@pytest.fixture(scope="session")
def seed_rows() -> list[SeedRow]:
    return read_seed(SEED_DIR)


@pytest.fixture
def knowledge_base(db: None, seed_rows: list[SeedRow]) -> None:
    load(seed_rows)


@pytest.fixture
def small_seed(tmp_path: Path) -> Path:
    """A folder with one valid condition, for tests that change or break it."""
    folder = tmp_path / "seed"
    folder.mkdir()
    (folder / "all.yaml").write_text(SMALL_SEED, encoding="utf-8")
    return folder


def make_condition(slug: str = "made-up", **values: Any) -> Condition:
    """A published condition that no seed file knows."""
    values = {
        "name": "Made-up illness",
        "kind": "chest_xray",
        "summary": "Only for tests.",
        "what_it_is": "Text.",
        "how_confirmed": "Text.",
        "red_flags": ["Sign"],
        "outlook_treated": "Good.",
        "status": Status.PUBLISHED,
        **values,
    }
    return Condition.objects.create(slug=slug, **values)


def make_treatment(condition: Condition, **values: Any) -> Treatment:
    values = {
        "name": "Rest",
        "kind": "self_care",
        "what_it_involves": "Rest.",
        "status": "published",
        **values,
    }
    return Treatment.objects.create(condition=condition, **values)


def make_advice(condition: Condition | None, **values: Any) -> Advice:
    values = {
        "danger_level": "urgent",
        "audience": "patient",
        "headline": "Go.",
        "text": "Go.",
        "status": "published",
        **values,
    }
    return Advice.objects.create(condition=condition, **values)


def make_source(citation: str = "A book.") -> Source:
    return Source.objects.create(citation=citation)


SMALL_SEED = """
review_by: 2027-05-31
sources:
  - {key: book, citation: A book., url: "https://example.org/book"}
conditions:
  - slug: small
    name: Small illness
    kind: chest_xray
    summary: Small.
    what_it_is: A small illness.
    how_confirmed: By a doctor.
    red_flags: [A sign]
    outlook_treated: Good.
    clinical_note: Small.
    sources:
      what_it_is: [book]
      how_confirmed: [book]
      red_flags: [book]
      outlook: [book]
      clinical_note: [book]
    treatments:
      - {key: rest, kind: self_care, name: Rest, what_it_involves: Rest., sources: [book]}
    advice:
      urgent:
        patient: {headline: Go today., text: Go., sources: [book]}
        carer: {headline: Go today., text: Go., sources: [book]}
        doctor: {headline: See today., text: See., sources: [book]}
resources:
  - key: page
    kind: article
    title: A page
    publisher: Somebody
    url: "https://example.org/"
    conditions: [small]
"""
