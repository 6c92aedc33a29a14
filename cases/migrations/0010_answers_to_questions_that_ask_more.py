from django.db import migrations

# Questions that ask more than they did: a "no" was said to less, so it is asked again. A "yes" holds.
_CODES = ("hot_swollen_fever", "drowsy")


def forget_no(apps, schema_editor):
    case_model = apps.get_model("cases", "Case")
    for code in _CODES:
        for case in case_model.objects.filter(**{f"symptoms__{code}": False}).iterator():
            answers = {key: value for key, value in case.symptoms.items() if key != code}
            case_model.objects.filter(pk=case.pk).update(symptoms=answers)


class Migration(migrations.Migration):
    dependencies = [("cases", "0009_scan_oriented")]

    operations = [migrations.RunPython(forget_no, migrations.RunPython.noop)]
