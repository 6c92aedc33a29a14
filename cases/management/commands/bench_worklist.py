"""`manage.py bench_worklist`: is the worklist of a doctor with 100,000 cases as fast as one with 1,000?"""

from __future__ import annotations

import statistics
import time
from argparse import ArgumentParser
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from allauth.mfa.models import Authenticator
from django.core.management.base import BaseCommand, CommandError
from django.db import connection, connections
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.sessions import SEEN_KEY
from cases import worklist
from cases.management import worklist_world
from cases.worklist import Cursor, Filters
from cases.worklist_forms import query_of

WANTED = 1.3
TRIES = 3  # of a question asked this often in a row the fastest counts


@dataclass
class World:
    """A site in a scratch database of its own."""

    name: str
    cases: int
    wrapper: Any
    doctor: Any = None
    client: Any = None


@dataclass
class Question:
    """One thing asked of both worlds, with the times in ms: the whole page and the selectors alone."""

    title: str
    address: Callable[[World], str] | None
    select: Callable[[World], Any]
    page_ms: dict[str, list[float]] = field(default_factory=dict)
    select_ms: dict[str, list[float]] = field(default_factory=dict)
    queries: dict[str, int] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)


class Command(BaseCommand):
    """Makes two sites in scratch databases, asks both the same in turn, and removes them."""

    help = "Measures the worklist with few and many cases of one doctor, among as many of other doctors."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--small", type=int, default=1000)
        parser.add_argument("--large", type=int, default=100_000)
        parser.add_argument("--rounds", type=int, default=24)
        parser.add_argument("--report", type=Path, help="also write a page to this file")

    def handle(self, *args: Any, **options: Any) -> None:
        """Measures, writes, and fails where a ratio is above what is wanted."""
        with scratch_worlds(options["small"], options["large"]) as worlds:
            for world in worlds:
                with inside(world):
                    began = time.perf_counter()
                    world.doctor = worklist_world.fill(world.cases)
                    world.client = signed_in(world.doctor)
                    self.stderr.write(f"{world.cases} cases made in {time.perf_counter() - began:.0f} s")
            questions = ask_all(worlds, options["rounds"])
            text = report(worlds, questions, options["rounds"])
        self.stdout.write(text)
        if options["report"]:
            options["report"].write_text(text, encoding="utf-8")
        slow = [q.title for q in questions if worst_ratio(q) > WANTED]
        if slow:
            raise CommandError(f"More than {WANTED} times as slow with many cases: {', '.join(slow)}")


@contextmanager
def scratch_worlds(small: int, large: int) -> Iterator[list[World]]:
    """Two empty migrated databases beside the site's own."""
    creation, own_name = connection.creation, connection.settings_dict["NAME"]
    creation.create_test_db(verbosity=0, autoclobber=True, serialize=False)
    creation.clone_test_db("large", verbosity=0, autoclobber=True)
    first = connections["default"]
    second = first.__class__(creation.get_test_db_clone_settings("large"), alias="default")
    try:
        yield [World("small", small, first), World("large", large, second)]
    finally:
        second.close()
        connections["default"] = first
        creation.destroy_test_db(suffix="large", verbosity=0)
        creation.destroy_test_db(own_name, verbosity=0)


@contextmanager
def inside(world: World) -> Iterator[None]:
    """Everything asks this world's database."""
    connections["default"] = world.wrapper
    yield


def signed_in(doctor: Any) -> Client:
    """A browser of the doctor, who has taken the second step."""
    factor = Authenticator.objects.create(user=doctor, type=Authenticator.Type.TOTP, data={})
    client = Client()
    client.force_login(doctor, backend="django.contrib.auth.backends.ModelBackend")
    session = client.session
    record = {"method": "mfa", "at": time.time(), "id": factor.pk, "type": factor.type}
    session["account_authentication_methods"] = [record]
    session["account_authentication_methods_user"] = str(doctor.pk)
    session[SEEN_KEY] = time.time()
    session.save()
    return client


def ask_all(worlds: list[World], rounds: int) -> list[Question]:
    """Every question, to both worlds in turn, so that what else the machine does meets both alike."""
    questions = questions_about()
    for question in questions:
        for world in worlds:
            with inside(world):
                _look_once(world, question)
        for number in range(rounds):
            for world in worlds if number % 2 else reversed(worlds):
                with inside(world):
                    times = question.select_ms.setdefault(world.name, [])
                    times.append(_fastest(partial(question.select, world)))
                    if question.address is not None:
                        address = question.address(world)
                        pages = question.page_ms.setdefault(world.name, [])
                        pages.append(_fastest(partial(world.client.get, address)))
    return questions


def questions_about() -> list[Question]:
    """What doctors do all day."""
    today = timezone.localdate()
    half_a_year = today - timedelta(days=182)
    asked = {
        "first page": Filters(),
        "one level of one kind": Filters(level="routine", kind="chest_xray"),
        "only with news": Filters(unread=True),
        "reviewed": Filters(state="reviewed"),
        "opened in half a year": Filters(state="all", opened_from=half_a_year),
        "all, search for a patient": Filters(state="all", q=worklist_world.KNOWN_NAME),
        "search for a common word": Filters(q="knee"),
    }
    questions = [
        Question(title, _address_of(wanted), partial(_first_page, wanted)) for title, wanted in asked.items()
    ]
    questions.insert(1, Question("deep page", _deep_address, _deep_page))
    questions.append(Question("counts by level", None, lambda w: worklist.counts(w.doctor)))
    questions.append(
        Question("look for news", lambda w: f"/worklist/news/?{urlencode({'since': _yesterday()})}", _news)
    )
    return questions


def _first_page(wanted: Filters, world: World) -> worklist.Page:
    return worklist.page(world.doctor, wanted)


def _address_of(wanted: Filters) -> Callable[[World], str]:
    return lambda world: f"/worklist/?{query_of(wanted)}"


def _middle(world: World) -> Cursor:
    found = worklist.entries(world.doctor, Filters()).values_list("danger_rank", "waiting_since", "case_id")
    return Cursor(*found[found.count() // 2])


_places: dict[str, Cursor] = {}


def _deep(world: World) -> Cursor:
    if world.name not in _places:
        _places[world.name] = _middle(world)
    return _places[world.name]


def _deep_address(world: World) -> str:
    return f"/worklist/?cursor={_deep(world).encode()}"


def _deep_page(world: World) -> worklist.Page:
    return worklist.page(world.doctor, Filters(), _deep(world))


def _yesterday() -> str:
    return (timezone.now() - timedelta(days=1)).isoformat()


def _news(world: World) -> int:
    return worklist.count_news(world.doctor, timezone.now() - timedelta(days=1))


def _look_once(world: World, question: Question) -> None:
    for _warm in range(5):
        found = question.select(world)
    if isinstance(found, worklist.Page):
        question.rows[world.name] = len(found.rows)
    act: Callable[[], Any] = lambda: question.select(world)  # noqa: E731
    if question.address is not None:
        address = question.address(world)
        act = lambda: world.client.get(address)  # noqa: E731
        answer = world.client.get(address)
        if answer.status_code != 200:
            raise CommandError(f"{address} answers {answer.status_code}")
    with CaptureQueriesContext(world.wrapper) as caught:
        act()
    question.queries[world.name] = len(caught)


def _fastest(act: Callable[[], Any]) -> float:
    best = float("inf")
    for _try in range(TRIES):
        began = time.perf_counter()
        act()
        best = min(best, time.perf_counter() - began)
    return best * 1000


def quantiles(times: list[float]) -> tuple[float, float]:
    """The median and the 95th percentile."""
    return statistics.median(times), statistics.quantiles(times, n=20)[-1]


def worst_ratio(question: Question) -> float:
    """How many times as slow the large world is for who waits: the page where there is one; p50 or p95."""
    times = question.page_ms or question.select_ms
    return max(b / a for a, b in zip(quantiles(times["small"]), quantiles(times["large"]), strict=True))


def report(worlds: list[World], questions: list[Question], rounds: int) -> str:
    """The page of the benchmark."""
    small, large = worlds
    lines = [
        _HEAD.format(small=small.cases, large=large.cases, rounds=rounds, tries=TRIES, wanted=WANTED),
        "",
        f"| asked | queries | rows | whole page, p50 / p95 ms: {small.cases:,} | {large.cases:,} | times "
        f"| selectors alone: {small.cases:,} | {large.cases:,} | times |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for one in questions:
        pages = _cells(one.page_ms) if one.page_ms else ["", "", ""]
        cells = [one.title, _same(one.queries), _same(one.rows), *pages, *_cells(one.select_ms)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


_HEAD = """# The worklist: {small:,} cases against {large:,}

Written by `make bench-worklist` (`manage.py bench_worklist`). Two sites in scratch databases of the embedded
PostgreSQL: one doctor with {small:,} or {large:,} cases, five a patient, among as many of ten other doctors;
70 % are reviewed, 80 % have no news. Asked is the site's own code by Django's test client: whole pages with
their templates, and the selectors alone. Each question goes to both sites in turn, {rounds} times; of {tries}
in a row the fastest counts, for the machine has other work. Wanted is at most {wanted} times on whole pages,
by median and 95th percentile; the command fails above that."""


def _cells(times: dict[str, list[float]]) -> list[str]:
    small, large = quantiles(times["small"]), quantiles(times["large"])
    ratios = [b / a for a, b in zip(small, large, strict=True)]
    return [*(f"{p50:.1f} / {p95:.1f}" for p50, p95 in (small, large)), f"{ratios[0]:.2f} / {ratios[1]:.2f}"]


def _same(counts: dict[str, int]) -> str:
    """One number where both are the same, else both."""
    return " / ".join(dict.fromkeys(str(count) for count in counts.values()))
