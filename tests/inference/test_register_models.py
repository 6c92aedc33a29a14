"""Registering bundles, and the checks that watch over them."""

import io
import json
import shutil

import pytest
from django.core.management import CommandError, call_command

from inference import assessing, checks, danger, registry
from inference.models import ModelVersion


def register(**options):
    out, err = io.StringIO(), io.StringIO()
    try:
        call_command("register_models", stdout=out, stderr=err, **options)
    except CommandError as error:
        return out.getvalue(), f"{err.getvalue()}{error}"
    return out.getvalue(), err.getvalue()


def as_version(bundle, version):
    path = bundle / "configs" / "metadata.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "version": version}))


def warnings():
    return [message.id for message in checks.check_active_bundles(None, databases=["default"])]


def test_first_run_registers_and_activates(db, bundle_dir):
    register()
    assert set(ModelVersion.objects.filter(is_active=True).values_list("kind", flat=True)) == set(
        registry.KINDS
    )
    version = ModelVersion.objects.get(kind="knee_xray")
    assert version.label_names == ["0", "1", "2", "3", "4"]
    assert version.bundle == "knee_xray"


def test_second_run_changes_nothing(db, bundle_dir):
    register()
    before = list(ModelVersion.objects.values_list("pk", "is_active", "updated_at"))
    out, err = register()
    assert list(ModelVersion.objects.values_list("pk", "is_active", "updated_at")) == before
    assert "registered" not in out
    assert err == ""


def test_a_newer_version_waits_to_be_activated(db, bundle_dir):
    register()
    shutil.copytree(bundle_dir / "knee_xray", bundle_dir / "knee_xray_2")
    as_version(bundle_dir / "knee_xray_2", "0.2.0")
    register()
    assert ModelVersion.objects.get(kind="knee_xray", is_active=True).version == "0.1.0"
    register(activate_newest=True)
    assert ModelVersion.objects.get(kind="knee_xray", is_active=True).version == "0.2.0"


def test_a_version_whose_files_an_update_took_is_named_and_replaced_on_request(db, bundle_dir):
    register()
    as_version(bundle_dir / "knee_xray", "0.2.0")
    _out, err = register()
    assert "knee_xray 0.1.0 is active and its files are gone" in err and "promote 0.2.0" in err
    assert ModelVersion.objects.get(kind="knee_xray", is_active=True).version == "0.1.0"
    out, err = register(replace_missing=True)
    assert "activated: knee_xray 0.2.0" in out and err == ""
    assert ModelVersion.objects.get(kind="knee_xray", is_active=True).version == "0.2.0"


def test_an_older_version_never_takes_over_by_itself(db, bundle_dir, tmp_path):
    shutil.copytree(bundle_dir / "knee_xray", bundle_dir / "knee_xray_2")
    as_version(bundle_dir / "knee_xray_2", "0.2.0")
    register()
    assert ModelVersion.objects.get(kind="knee_xray", is_active=True).version == "0.2.0"
    shutil.move(bundle_dir / "knee_xray_2", tmp_path / "out_of_reach")
    _out, err = register(replace_missing=True)
    assert "knee_xray 0.2.0 is active and its files are gone" in err
    assert ModelVersion.objects.get(kind="knee_xray", is_active=True).version == "0.2.0"


def test_a_version_whose_files_were_changed_is_never_replaced_by_itself(db, bundle_dir):
    register()
    weights = bundle_dir / "knee_xray" / "models" / "model.safetensors"
    shutil.copytree(bundle_dir / "knee_xray", bundle_dir / "knee_xray_2")
    as_version(bundle_dir / "knee_xray_2", "0.2.0")
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    register(replace_missing=True)
    assert ModelVersion.objects.get(kind="knee_xray", is_active=True).version == "0.1.0"


def test_missing_and_corrupt_are_told_apart(db, bundle_dir):
    (bundle_dir / "knee_xray" / "models" / "model.safetensors").unlink()
    path = bundle_dir / "chest_xray" / "models" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-4] + b"oops")
    (bundle_dir / "gate" / "configs" / "metadata.json").write_text("{not json")
    out, err = register()
    assert "missing: knee_xray" in err
    assert "corrupt: chest_xray" in err
    assert "corrupt: gate" in err
    assert list(ModelVersion.objects.values_list("kind", flat=True)) == ["brain_mri"]


def test_a_folder_that_is_no_bundle_is_passed_over(db, bundle_dir):
    (bundle_dir / "lost+found").mkdir()
    (bundle_dir / "half_a_copy" / "models").mkdir(parents=True)
    _out, err = register()
    assert [line.split(":")[0] for line in err.splitlines()] == ["passed over"] * 2
    assert "lost+found" in err and "half_a_copy" in err and "cannot be used" not in err
    assert ModelVersion.objects.filter(is_active=True).count() == len(registry.KINDS)


def test_an_empty_folder_says_what_is_absent(db, settings, tmp_path):
    settings.PMI_BUNDLE_DIR = tmp_path
    assert "no model for: brain_mri" in register()[1]


def test_a_file_outside_the_bundle_is_corrupt(bundle_dir):
    path = bundle_dir / "gate" / "configs" / "metadata.json"
    raw = json.loads(path.read_text())
    raw["files"]["../knee_xray/configs/metadata.json"] = "0" * 64
    path.write_text(json.dumps(raw))
    with pytest.raises(registry.BundleCorrupt, match="outside"):
        registry.inspect(bundle_dir / "gate")


@pytest.mark.parametrize(
    ("older", "newer"), [("0.9.0", "0.10.0"), ("1.0.0", "1.0.1"), ("1.0", "1.0.1"), ("1.0.0-rc", "1.0.0-rc2")]
)
def test_versions_sort_by_number(older, newer):
    assert registry.version_key(older) < registry.version_key(newer)


def test_checks_are_quiet_when_all_is_well(models):
    assert [warning for warning in warnings() if warning != "inference.W003"] == []


def test_checks_name_missing_and_corrupt_bundles(models, bundle_dir):
    shutil.rmtree(bundle_dir / "knee_xray")
    as_version(bundle_dir / "gate", "tampered")
    assert {"inference.W001", "inference.W002"} <= set(warnings())


def test_checks_name_labels_that_nothing_explains(models):
    version = models["knee_xray"]
    version.metadata["labels"][0]["condition"] = "no-such-condition"
    version.save()
    found = checks.check_active_bundles(None, databases=["default"])
    assert any(message.id == "inference.W003" and "no-such-condition" in message.msg for message in found)


@pytest.mark.django_db
def test_checks_name_answers_that_no_rule_in_force_uses(monkeypatch):
    assert checks.check_rules_in_force(None, databases=["default"]) == []
    raw = danger.shipped_raw()
    raw["rules"] = [rule for rule in raw["rules"] if rule.get("symptoms") != ["baby_fever"]]
    monkeypatch.setattr(assessing, "active_rules", lambda: danger.parse_rules({**raw, "version": "ours"}))
    (found,) = checks.check_rules_in_force(None, databases=["default"])
    assert found.id == "inference.W004" and "(ours)" in found.msg and ": baby_fever." in found.msg
    assert checks.check_rules_in_force(None, databases=None) == []


def test_checks_do_not_touch_a_database_that_nobody_named():
    assert checks.check_active_bundles(None, databases=None) == []
