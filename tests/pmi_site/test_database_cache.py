"""Counting in the database's cache: it ends when it was said to, and no count is lost."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.utils import timezone

from pmi_site.database_cache import CountingDatabaseCache

pytestmark = pytest.mark.django_db(transaction=True)
TABLE = "counting_cache_test"


@pytest.fixture
def cache(settings: Any) -> Iterator[CountingDatabaseCache]:
    where = {"BACKEND": "pmi_site.database_cache.CountingDatabaseCache", "LOCATION": TABLE}
    settings.CACHES = {**settings.CACHES, "counting": where}
    call_command("createcachetable", TABLE)
    yield CountingDatabaseCache(TABLE, {})
    with connection.cursor() as cursor:
        cursor.execute(f"DROP TABLE {TABLE}")


def ends_in(cache: CountingDatabaseCache, key: str) -> float:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT expires FROM {TABLE} WHERE cache_key = %s", [cache.make_key(key)])  # noqa: S608
        return float((cursor.fetchone()[0] - timezone.now()).total_seconds())


@pytest.mark.parametrize("seconds", [60, 3600])
def test_counting_leaves_the_end_as_it_is(cache: CountingDatabaseCache, seconds: int) -> None:
    assert cache.add("tries", 0, timeout=seconds)
    before = ends_in(cache, "tries")
    assert [cache.incr("tries") for _ in range(5)] == [1, 2, 3, 4, 5]
    assert abs(ends_in(cache, "tries") - before) < 2
    assert cache.get("tries") == 5


def test_what_is_not_there_or_has_ended_cannot_be_counted(cache: CountingDatabaseCache) -> None:
    with pytest.raises(ValueError):
        cache.incr("none")
    cache.add("over", 3, timeout=60)
    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE {TABLE} SET expires = %s", [timezone.now() - timedelta(seconds=1)])  # noqa: S608
    with pytest.raises(ValueError):
        cache.incr("over")
    assert cache.add("over", 0, timeout=60)


def test_no_count_is_lost_between_processes(cache: CountingDatabaseCache) -> None:
    cache.add("many", 0, timeout=60)

    def count(_n: int) -> None:
        try:
            for _ in range(10):
                CountingDatabaseCache(TABLE, {}).incr("many")
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(count, range(4)))
    assert cache.get("many") == 40
