from django.db import migrations, models

# As in 0006, and with the moment at which the last of the grants ends.
PUT = """
CREATE OR REPLACE FUNCTION pmi_worklist_put(of_patient uuid, of_case uuid, of_doctor uuid) RETURNS void
LANGUAGE sql VOLATILE AS $$
    INSERT INTO cases_worklistentry (
        doctor_id, case_id, danger_rank, waiting_since, review_state, is_open, kind, opened_at, news_at,
        unread, until, words
    )
    SELECT
        granted.doctor_id, c.id, c.danger_rank, c.waiting_since, c.review_state,
        c.review_state <> 'reviewed', c.kind, c.created_at, c.news_at,
        NOT EXISTS (
            SELECT 1 FROM cases_caseseen s
            WHERE s.doctor_id = granted.doctor_id AND s.case_id = c.id AND s.seen_at >= c.news_at
        ),
        granted.until,
        pmi_worklist_words(u.full_name || ' ' || c.title)
    FROM cases_case c
    JOIN accounts_user u ON u.id = c.patient_id
    CROSS JOIN LATERAL (
        SELECT g.doctor_id, CASE WHEN count(g.expires_at) = count(*) THEN max(g.expires_at) END AS until
        FROM accounts_carerelationship g
        WHERE g.patient_id = c.patient_id AND (g.case_id IS NULL OR g.case_id = c.id)
            AND g.revoked_at IS NULL AND (g.expires_at IS NULL OR g.expires_at > now())
            AND (of_doctor IS NULL OR g.doctor_id = of_doctor)
        GROUP BY g.doctor_id
    ) granted
    WHERE c.patient_id = of_patient AND (of_case IS NULL OR c.id = of_case)
    ORDER BY c.id, granted.doctor_id
    ON CONFLICT (doctor_id, case_id) DO UPDATE SET
        danger_rank = excluded.danger_rank, waiting_since = excluded.waiting_since,
        review_state = excluded.review_state, is_open = excluded.is_open, kind = excluded.kind,
        opened_at = excluded.opened_at, news_at = excluded.news_at, unread = excluded.unread,
        until = excluded.until, words = excluded.words
$$;
"""
FILL = "SELECT pmi_worklist_put(id, NULL, NULL) FROM accounts_user"


class Migration(migrations.Migration):
    dependencies = [("cases", "0006_worklist_entries")]

    operations = [
        migrations.AddField(
            model_name="worklistentry",
            name="until",
            field=models.DateTimeField(help_text="when the last grant ends; empty: open-ended", null=True),
        ),
        migrations.RunSQL(PUT, migrations.RunSQL.noop),
        migrations.RunSQL(FILL, migrations.RunSQL.noop),
    ]
