"""People stand in the access log under a random key of their account; lines are chained and cannot change."""

import uuid

import django.utils.timezone
from django.db import migrations, models

GUARD = """
CREATE FUNCTION accounts_accesslog_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- Test databases are emptied between tests; their settings say so.
    IF TG_OP = 'TRUNCATE' AND current_setting('pmi.access_log_may_be_emptied', true) = 'on' THEN
        RETURN NULL;
    END IF;
    -- The one change there is: a new line gets its place in the chain.
    IF TG_OP = 'UPDATE' THEN
        IF OLD.sequence IS NULL AND NEW.sequence IS NOT NULL
            AND to_jsonb(NEW) - '{sequence,prev_hash,entry_hash}'::text[]
                = to_jsonb(OLD) - '{sequence,prev_hash,entry_hash}'::text[] THEN
            RETURN NEW;
        END IF;
    END IF;
    RAISE EXCEPTION 'The access log only grows: % is refused.', TG_OP
        USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE TRIGGER accounts_accesslog_no_change BEFORE UPDATE OR DELETE ON accounts_accesslog
    FOR EACH ROW EXECUTE FUNCTION accounts_accesslog_guard();
CREATE TRIGGER accounts_accesslog_no_truncate BEFORE TRUNCATE ON accounts_accesslog
    FOR EACH STATEMENT EXECUTE FUNCTION accounts_accesslog_guard();
"""
NO_GUARD = """
DROP TRIGGER accounts_accesslog_no_truncate ON accounts_accesslog;
DROP TRIGGER accounts_accesslog_no_change ON accounts_accesslog;
DROP FUNCTION accounts_accesslog_guard();
"""
# Whose data old lines are about, by the tables of the apps above. They are named here and not depended on:
# where there are lines, these tables are there; in a new database there are neither.
_OWNERS = {
    "case": "SELECT c.id AS thing, c.id AS case_id, c.patient_id FROM cases_case c",
    "scan": "SELECT s.id AS thing, c.id AS case_id, c.patient_id FROM cases_scan s "
    "JOIN cases_case c ON c.id = s.case_id",
    "analysis": "SELECT a.id AS thing, c.id AS case_id, c.patient_id FROM inference_analysis a "
    "JOIN cases_scan s ON s.id = a.scan_id JOIN cases_case c ON c.id = s.case_id",
    "finding": "SELECT f.id AS thing, c.id AS case_id, c.patient_id FROM inference_finding f "
    "JOIN inference_analysis a ON a.id = f.analysis_id JOIN cases_scan s ON s.id = a.scan_id "
    "JOIN cases_case c ON c.id = s.case_id",
    "consent": "SELECT t.id AS thing, NULL::uuid AS case_id, t.patient_id FROM accounts_consent t",
}


def give_keys(apps, schema_editor):
    """A key for each account, one by one: a default would give all of them the same."""
    user_model = apps.get_model("accounts", "User")
    for user in user_model.objects.only("pk").iterator():
        user_model.objects.filter(pk=user.pk).update(log_key=uuid.uuid4())


def move_lines(apps, schema_editor):
    """Replace ids of people by their keys, and find out whose data each line is about."""
    with schema_editor.connection.cursor() as cursor:
        cursor.execute("SELECT EXISTS (SELECT 1 FROM accounts_accesslog)")
        if not cursor.fetchone()[0]:
            return
        cursor.execute(
            "UPDATE accounts_accesslog l SET actor_key = u.log_key FROM accounts_user u WHERE u.id = l.actor_id"
        )
        # A patient gave or ended a grant to a doctor: it is about the patient.
        cursor.execute(
            "UPDATE accounts_accesslog SET patient_key = actor_key"
            " WHERE object_type = 'user' AND action IN ('grant_access', 'revoke_access')"
        )
        cursor.execute(
            "UPDATE accounts_accesslog l SET object_id = u.log_key FROM accounts_user u"
            " WHERE l.object_type = 'user' AND u.id = l.object_id"
        )
        tables = set(schema_editor.connection.introspection.table_names())
        for kind, query in _OWNERS.items():
            if all(word in tables for word in query.split() if word.startswith(("cases_", "inference_"))):
                cursor.execute(
                    f"UPDATE accounts_accesslog l SET case_id = o.case_id, patient_key = u.log_key"  # noqa: S608
                    f" FROM ({query}) o JOIN accounts_user u ON u.id = o.patient_id"
                    " WHERE l.object_type = %s AND l.object_id = o.thing",
                    [kind],
                )


class Migration(migrations.Migration):
    dependencies = [("accounts", "0002_consent")]

    operations = [
        migrations.AddField("user", "log_key", models.UUIDField(null=True, editable=False)),
        migrations.RunPython(give_keys, migrations.RunPython.noop),
        migrations.RunSQL("SET CONSTRAINTS ALL IMMEDIATE", migrations.RunSQL.noop),
        migrations.AlterField(
            "user", "log_key", models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
        ),
        migrations.AddField(
            "accesslog", "actor_key", models.UUIDField(null=True, editable=False, verbose_name="who")
        ),
        migrations.AddField(
            "accesslog", "patient_key", models.UUIDField(null=True, editable=False, verbose_name="whose data")
        ),
        migrations.AddField(
            "accesslog", "case_id", models.UUIDField(null=True, editable=False, verbose_name="case")
        ),
        migrations.AddField(
            "accesslog",
            "sequence",
            models.BigIntegerField(null=True, unique=True, editable=False, verbose_name="number"),
        ),
        migrations.AddField(
            "accesslog", "prev_hash", models.CharField(max_length=64, editable=False, default="")
        ),
        migrations.AddField(
            "accesslog", "entry_hash", models.CharField(max_length=64, editable=False, default="")
        ),
        migrations.RunPython(move_lines, migrations.RunPython.noop),
        migrations.RunSQL("SET CONSTRAINTS ALL IMMEDIATE", migrations.RunSQL.noop),
        migrations.RemoveField("accesslog", "actor"),
        migrations.AlterField(
            "accesslog",
            "at",
            models.DateTimeField(db_index=True, default=django.utils.timezone.now, verbose_name="when"),
        ),
        migrations.AlterModelOptions(
            "accesslog",
            {
                "ordering": ["-at", "-id"],
                "verbose_name": "access log entry",
                "verbose_name_plural": "access log",
            },
        ),
        migrations.AddIndex(
            "accesslog", models.Index(fields=["patient_key", "-at"], name="access_log_by_patient")
        ),
        migrations.AddIndex(
            "accesslog", models.Index(fields=["actor_key", "-at"], name="access_log_by_actor")
        ),
        migrations.AddIndex(
            "accesslog",
            models.Index(
                fields=["id"], condition=models.Q(("sequence__isnull", True)), name="access_log_unsealed"
            ),
        ),
        migrations.RunSQL(GUARD, NO_GUARD),
    ]
