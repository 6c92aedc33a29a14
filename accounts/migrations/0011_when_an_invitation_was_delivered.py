from datetime import timedelta

from django.db import migrations, models
from django.utils import timezone


def count_as_delivered(apps, schema_editor):
    """Nobody is told a second time of what was sent before this was noted; of what was asked just now, the
    message may still be under way.
    """
    sent = apps.get_model("accounts", "CareInvitation").objects.filter(
        created_at__lt=timezone.now() - timedelta(hours=1)
    )
    sent.update(delivered_at=models.F("created_at"))


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0010_language_is_chosen"),
    ]

    operations = [
        migrations.AddField(
            model_name="careinvitation",
            name="delivered_at",
            field=models.DateTimeField(editable=False, null=True),
        ),
        migrations.RunPython(count_as_delivered, migrations.RunPython.noop),
    ]
