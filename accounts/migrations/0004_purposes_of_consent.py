"""More purposes that a patient can agree to."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("accounts", "0003_chain_the_access_log")]

    operations = [
        migrations.AlterField(
            "consent",
            "purpose",
            models.CharField(
                choices=[
                    ("care", "Keeping and reading scans"),
                    ("similar_search", "Comparing with other people's scans"),
                    ("training", "Teaching the program"),
                    ("research", "Medical research"),
                ],
                max_length=32,
                verbose_name="purpose",
            ),
        )
    ]
