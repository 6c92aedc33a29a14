"""No table can be forgotten: whatever may outlive an account has been thought about."""

import uuid

from django.db import models

from accounts import ownership, portable
from accounts.models import Consent, User
from inference.models import Finding
from tests.factories import ScanFactory


def test_nothing_outlives_an_account_unless_somebody_said_why():
    """A new table: let its key cascade, register an eraser, or `portable.keep(field, reason)`."""
    assert not ownership.uncovered(), "\n".join(ownership.uncovered())


def test_what_is_kept_exists_and_has_a_reason():
    known = {
        f"{model._meta.label}.{field.name}"
        for model in ownership.all_models()
        for field in model._meta.concrete_fields
    }
    assert set(portable.kept) - known == set()
    assert all(len(reason) > 10 for reason in portable.kept.values())


def test_ways_to_the_person():
    assert ownership.paths_to_user(Consent) == ("patient",)
    assert "analysis__scan__case__patient" in ownership.paths_to_user(Finding)
    assert not ownership.paths_to_user(User)


def test_what_the_rule_finds():
    class Forgotten(models.Model):  # noqa: DJ008
        who = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+")
        scan_id = models.UUIDField()
        picture = models.FileField()

        class Meta:
            app_label = "accounts"
            managed = False

    try:
        found = "\n".join(ownership.uncovered())
        for name in ("who", "scan_id", "picture"):
            assert f"accounts.Forgotten.{name}" in found
    finally:
        from django.apps import apps

        del apps.all_models["accounts"]["forgotten"]
        apps.clear_cache()
        ownership.paths_to_user.cache_clear()


def test_folders_and_mentions(patient):
    scan = ScanFactory.create(case__patient=patient)
    folder = scan.original.name.rsplit("/", 1)[0]
    assert folder in ownership.folders_of(patient.pk)
    assert set(ownership.private_files(folder)) <= set(ownership.private_files())
    assert any("cases.Case name the account in patient" in line for line in ownership.mentions(patient.pk))
    assert ownership.mentions(uuid.uuid4()) == []
