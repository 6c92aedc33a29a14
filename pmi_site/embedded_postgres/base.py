"""The backend itself: `ENGINE = "pmi_site.embedded_postgres"`."""

from typing import Any

from django.db.backends.postgresql import base

from pmi_site import embedded


class DatabaseWrapper(base.DatabaseWrapper):
    """PostgreSQL as Django knows it. Commands that never touch the database never start it."""

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        embedded.hold("postgres")
        return super().get_new_connection(conn_params)
