"""Django's cache in the database, for a site without one of its own."""

from __future__ import annotations

from typing import Any

from django.core.cache.backends.db import DatabaseCache
from django.db import connections, router, transaction
from django.utils import timezone


class CountingDatabaseCache(DatabaseCache):
    """The same, but a counter is raised by one process at a time, and ends when it was said to end.

    Django's own reads it and sets it anew for the usual five minutes: a limit of tries in an hour would be
    forgotten after five minutes, and one in a minute be kept for five.
    """

    def incr(self, key: Any, delta: int = 1, version: int | None = None) -> int:
        """The counter, raised. Raises ValueError where there is none, or it has ended."""
        using = router.db_for_write(self.cache_model_class)
        connection = connections[using]
        with transaction.atomic(using=using), connection.cursor() as cursor:
            table = connection.ops.quote_name(self.cache_model_class._meta.db_table)
            cursor.execute(
                f"SELECT expires FROM {table}"  # noqa: S608
                " WHERE cache_key = %s FOR UPDATE",
                [self.make_and_validate_key(key, version=version)],
            )
            row = cursor.fetchone()
            value = self.get(key, version=version)
            if row is None or value is None:
                raise ValueError("There is no such counter.")
            # Kept to the second: half of one more, so that none is lost each time.
            left = (row[0] - timezone.now()).total_seconds() + 0.5
            self.set(key, value + delta, timeout=left, version=version)
        return int(value + delta)
