"""Django's cache in the database, for a site without one of its own."""

from __future__ import annotations

import base64
import pickle  # noqa: TID251 - written only, as Django writes these rows; it reads them by itself
from typing import Any

from django.core.cache.backends.db import DatabaseCache
from django.db import connections, router, transaction


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
            name = self.make_and_validate_key(key, version=version)
            cursor.execute(f"SELECT 1 FROM {table} WHERE cache_key = %s FOR UPDATE", [name])  # noqa: S608
            row = cursor.fetchone()
            value = self.get(key, version=version)
            if row is None or value is None:
                raise ValueError("There is no such counter.")
            # As Django's own writes it, but nothing else of the row, and no other rows: `set` may clear some
            # away, and two counts that did so at once could wait for each other.
            written = base64.b64encode(pickle.dumps(value + delta, self.pickle_protocol)).decode("latin1")
            cursor.execute(f"UPDATE {table} SET value = %s WHERE cache_key = %s", [written, name])  # noqa: S608
        return int(value + delta)
