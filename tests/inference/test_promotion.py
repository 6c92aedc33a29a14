"""Promoting, going back, and what is on disk."""

import shutil

import pytest
from django.core.management import call_command

from inference import bundle_places, promotion, registry, services, worker
from inference.models import ModelUse, ModelVersion, VectorSpace
from pmi_site.errors import UserError
from tests.inference.test_shadow import add_version

pytestmark = pytest.mark.django_db


def code_of(call):
    with pytest.raises(UserError) as caught:
        call()
    return caught.value.code


@pytest.fixture
def second(models, bundle_dir):
    return add_version(bundle_dir, "chest_xray", "2.0.0", "chest_two")


def test_promote_and_roll_back_keep_who_and_what(models, second, admin_user):
    first = models["chest_xray"]
    promotion.promote(second, admin_user, first.pk)
    assert promotion.active_of("chest_xray") == second
    assert VectorSpace.objects.filter(model_version=second).exists()
    use = ModelUse.objects.filter(model_version__kind="chest_xray").first()
    assert (use.what, use.model_version, use.replaced, use.by) == ("promoted", second, first, admin_user)
    assert promotion.roll_back(second, admin_user) == first
    assert promotion.active_of("chest_xray") == first
    assert ModelUse.objects.first().what == "rolled_back"
    first.refresh_from_db()
    # Before the first there is nothing: rolling back twice does not go forth again.
    assert code_of(lambda: promotion.roll_back(first, admin_user)) == "nothing_before"


def test_what_was_seen_must_still_be_so(models, second, admin_user, bundle_dir):
    third = add_version(bundle_dir, "chest_xray", "3.0.0", "chest_three")
    seen = models["chest_xray"].pk
    promotion.promote(third, admin_user, seen)
    assert code_of(lambda: promotion.promote(second, admin_user, seen)) == "changed_meanwhile"
    assert promotion.active_of("chest_xray") == third
    assert code_of(lambda: promotion.promote(third, admin_user, third.pk)) == "changed_meanwhile"


def test_files_are_verified_first(models, second, admin_user, bundle_dir):
    active = models["chest_xray"].pk
    weights = bundle_dir / "chest_two" / "models" / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole + b"x")
    assert code_of(lambda: promotion.promote(second, admin_user, active)) == "corrupt"
    second.refresh_from_db()
    assert second.problem.startswith("corrupt:") and second.checked_at
    weights.unlink()
    assert code_of(lambda: promotion.promote(second, admin_user, active)) == "missing"
    weights.write_bytes(whole)
    assert promotion.check_files(second).state == "there"
    second.refresh_from_db()
    assert second.problem == ""


def test_coverage_guards_promotion(models, second, admin_user, monkeypatch):
    def refuse(version):
        raise UserError("uncovered", "No words.")

    monkeypatch.setattr("inference.explained.require", refuse)
    assert code_of(lambda: promotion.promote(second, admin_user, models["chest_xray"].pk)) == "uncovered"


def test_a_folder_that_was_overwritten_is_missing_one_that_was_changed_is_corrupt(models, bundle_dir):
    version = models["chest_xray"]
    metadata = bundle_dir / "chest_xray" / "configs" / "metadata.json"
    text = metadata.read_text()
    metadata.write_text(text.replace("{", "{ ", 1))
    found = bundle_places.look(version)
    assert found.state == "corrupt"
    assert f"(it says version {version.version} now)" in found.problem and "register_models" in found.problem
    metadata.write_text("no JSON")
    assert bundle_places.look(version).state == "corrupt"
    metadata.write_text(text.replace(f'"version": "{version.version}"', '"version": "77"'))
    assert bundle_places.look(version).state == "corrupt"
    services.register_bundle(registry.inspect(bundle_dir / "chest_xray"))
    assert bundle_places.look(version).state == "missing"


def test_more_folders_hold_more_versions(models, bundle_dir, settings, tmp_path, stored_scan):
    extra = tmp_path / "more"
    extra.mkdir()
    settings.PMI_EXTRA_BUNDLE_DIRS = [extra]
    add_version(bundle_dir, "chest_xray", "5.0.0", "made")
    shutil.move(bundle_dir / "made", extra / "chest_xray")
    ModelVersion.objects.filter(version="5.0.0").delete()
    call_command("register_models", verbosity=0)
    new = ModelVersion.objects.get(version="5.0.0")
    assert not new.is_active and new.bundle == "chest_xray"
    assert bundle_places.place_of(new) == extra / "chest_xray"
    assert bundle_places.place_of(models["chest_xray"]) == bundle_dir / "chest_xray"
    services.activate(new)
    analysis = services.request_analysis(stored_scan().pk)
    worker.read(services.claim(analysis.pk))
    analysis.refresh_from_db()
    assert analysis.model_version == new and analysis.gate_distance is not None
