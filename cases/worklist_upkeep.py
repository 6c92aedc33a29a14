"""Keeping doctors' worklists right where no event says so: grants end by the clock, accounts are closed and
opened again.

Reading never depends on it: who may see a case is asked each time. Rows of ended grants only cost time.
"""

from __future__ import annotations

from django.db import connection

_HOLDS = """
    SELECT 1 FROM accounts_carerelationship g JOIN accounts_user p ON p.id = g.patient_id AND p.is_active
    WHERE g.doctor_id = e.doctor_id AND g.patient_id = c.patient_id
        AND (g.case_id IS NULL OR g.case_id = c.id)
        AND g.revoked_at IS NULL AND (g.expires_at IS NULL OR g.expires_at > now())
"""
_REMOVE = f"""
    DELETE FROM cases_worklistentry e WHERE NOT EXISTS (
        SELECT 1 FROM cases_case c WHERE c.id = e.case_id AND EXISTS ({_HOLDS})
    )
"""  # noqa: S608  (no value in it)
_MISSING = """
    SELECT count(pmi_worklist_put(missing.patient_id, missing.case_id, missing.doctor_id)) FROM (
        SELECT DISTINCT c.patient_id, c.id AS case_id, g.doctor_id
        FROM accounts_carerelationship g
        JOIN accounts_user p ON p.id = g.patient_id AND p.is_active
        JOIN cases_case c ON c.patient_id = g.patient_id AND (g.case_id IS NULL OR g.case_id = c.id)
        WHERE g.revoked_at IS NULL AND (g.expires_at IS NULL OR g.expires_at > now())
            AND NOT EXISTS (
                SELECT 1 FROM cases_worklistentry e WHERE e.doctor_id = g.doctor_id AND e.case_id = c.id
            )
    ) missing
"""


def mend_entries() -> tuple[int, int]:
    """Remove rows without a grant that holds, add those that are missing: (removed, added)."""
    with connection.cursor() as cursor:
        cursor.execute(_REMOVE)
        removed = cursor.rowcount
        cursor.execute(_MISSING)
        (added,) = cursor.fetchone()
    return removed, added
