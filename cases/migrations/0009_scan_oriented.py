from typing import Any

from django.db import migrations, models

_UNKNOWN = "The file does not say how the patient lay, so left and right may be swapped."


def from_what_is_known(apps: Any, schema_editor: Any) -> None:
    """Volumes of known spacing had their place in space, but for files that were noted not to say it."""
    scans = apps.get_model("cases", "Scan").objects.using(schema_editor.connection.alias)
    known = scans.filter(spacing__isnull=False)
    known.exclude(notes__contains=[{"text": _UNKNOWN}]).exclude(notes__contains=[_UNKNOWN]).update(
        oriented=True
    )


class Migration(migrations.Migration):
    dependencies = [
        ("cases", "0008_count_from_the_index"),
    ]

    operations = [
        migrations.AddField(
            model_name="scan",
            name="oriented",
            field=models.BooleanField(
                db_default=False,
                default=False,
                help_text="whether the file says how the patient lay, so that left and right are known",
            ),
        ),
        migrations.RunPython(from_what_is_known, migrations.RunPython.noop),
    ]
