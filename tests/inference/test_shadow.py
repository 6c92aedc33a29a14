"""A version on trial reads beside the active one, and nothing it says reaches anybody but administrators."""

import ast
import json
import shutil
import zipfile
from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import settings as django_settings
from django.core.management import call_command
from django.urls import reverse
from django.utils import timezone

from accounts import consents, erasure, export
from accounts.models import ConsentPurpose, Notice
from accounts.ownership import private_files
from cases.models import Case
from inference import registry, services, shadow, shadow_comparison
from inference.models import (
    Analysis,
    DangerAssessment,
    Embedding,
    Finding,
    ModelUse,
    ModelVersion,
    ReferenceVector,
    ShadowReading,
)
from inference.registry_tasks import read_in_shadow
from pmi_site.errors import UserError
from tests.factories import CareRelationshipFactory

pytestmark = pytest.mark.django_db


def add_version(folder: Path, kind: str, version: str, name: str) -> ModelVersion:
    """The tiny bundle of a kind once more, as another version with thresholds turned round."""
    place = folder / name
    shutil.copytree(folder / kind, place)
    path = place / registry.METADATA
    metadata = json.loads(path.read_text())
    metadata["version"] = version
    for label in metadata["labels"]:
        label["high_sensitivity"], label["high_specificity"] = 0.001, 0.002
    path.write_text(json.dumps(metadata))
    row, _created = services.register_bundle(registry.inspect(place))
    return row


@pytest.fixture
def rival(models, bundle_dir):
    """A second chest version that runs in the shadow and calls everything likely."""
    version = add_version(bundle_dir, "chest_xray", "9.9.9", "chest_rival")
    shadow.start(version)
    version.refresh_from_db()
    return version


@pytest.fixture
def read(rival, stored_scan, run_tasks):
    """A scan that both versions have read."""
    scan = stored_scan("chest_xray", "no_finding")
    with run_tasks():
        services.request_analysis(scan.pk)
    # The commit hooks of the reading were caught inside; ask again, as the sweep would.
    analysis = scan.analyses.get()
    with run_tasks():
        shadow.request(analysis.pk)
    return analysis


def test_the_shadow_reads_what_the_active_version_has_read(read, rival, models):
    assert read.status == "succeeded" and read.model_version == models["chest_xray"]
    row = ShadowReading.objects.get()
    assert (row.state, row.model_version, row.analysis) == ("done", rival, read)
    assert row.calls["pneumonia"] == "likely" and row.timings_ms["total"] > 0
    assert set(row.probabilities) == set(read.probabilities)
    result = shadow_comparison.compare(rival, models["chest_xray"])
    assert (result.read, result.same_top, result.differ) == (1, 1, [read.pk])
    shift = next(label for label in result.labels if label.name == "pneumonia")
    assert shift.count == 1 and shift.same == 0 and abs(shift.moved[1]) < 1e-5


def test_a_finished_reading_asks_for_its_shadow(rival, stored_scan, django_capture_on_commit_callbacks):
    from inference import worker

    analysis = services.request_analysis(stored_scan().pk)
    with django_capture_on_commit_callbacks(execute=True):
        worker.read(services.claim(analysis.pk))
    assert ShadowReading.objects.get().analysis == analysis


def seen_by(people, case, scan, analysis, as_user, api_as):
    """Everything that people can get to see, as text."""
    seen = {}
    for who in people:
        client, api = as_user(who), api_as(who)
        for name, args in (
            ("cases:list", []),
            ("cases:detail", [case.pk]),
            ("inference:scan_result", [case.pk, scan.pk]),
            ("inference:reading_room", [case.pk, scan.pk]),
            ("accounts:notices", []),
            ("inference:record", []),
        ):
            answer = client.get(reverse(name, args=args))
            assert answer.status_code in (200, 302, 403), name
            text = answer.content.decode()
            assert "9.9.9" not in text, name
            seen[who.role, name] = answer.status_code
        for address in (
            "/api/v1/analyses/",
            f"/api/v1/analyses/{analysis.pk}/",
            f"/api/v1/cases/{case.pk}/",
            f"/api/v1/scans/{scan.pk}/",
        ):
            answer = api.get(address)
            assert answer.status_code == 200, address
            text = json.dumps(answer.json())
            assert "shadow" not in text and "9.9.9" not in text, address
            seen[who.role, address] = text
        listed = api.get("/api/v1/model-versions/").json()
        assert "shadow" not in json.dumps(listed)
    return seen


def rows_of_the_record(analysis):
    return {
        "analyses": list(Analysis.objects.values().order_by("pk")),
        "findings": list(Finding.objects.values().order_by("pk")),
        "assessments": list(DangerAssessment.objects.values().order_by("pk")),
        "embeddings": list(Embedding.objects.values_list("pk", "model_version").order_by("pk")),
        "references": ReferenceVector.objects.count(),
        "cases": list(Case.objects.values().order_by("pk")),
        "notices": list(Notice.objects.values().order_by("pk")),
        "files": sorted(private_files()),
    }


def test_nothing_of_it_reaches_anybody(rival, stored_scan, run_tasks, doctor, as_user, api_as, tmp_path):
    scan = stored_scan("chest_xray", "no_finding")
    CareRelationshipFactory.create(patient=scan.case.patient, doctor=doctor)
    with run_tasks():
        services.request_analysis(scan.pk)
    ShadowReading.objects.all().delete()
    analysis = scan.analyses.get()
    people = (scan.case.patient, doctor)
    seen = seen_by(people, scan.case, scan, analysis, as_user, api_as)
    rows = rows_of_the_record(analysis)
    with run_tasks():
        shadow.request(analysis.pk)
    assert ShadowReading.objects.get().state == "done"
    # Not one row, file or answer is different from before the shadow reading.
    assert rows_of_the_record(analysis) == rows
    assert seen_by(people, scan.case, scan, analysis, as_user, api_as) == seen
    made = export.request_export(scan.case.patient)
    export.prepare(made.pk)
    made.refresh_from_db()
    with made.archive.open("rb") as handle, zipfile.ZipFile(handle) as archive:
        for name in archive.namelist():
            assert b"9.9.9" not in archive.read(name), name
            assert "hadow" not in name
    from tests.inference.test_review_export import make_review

    consents.give_consent(scan.case.patient, ConsentPurpose.TRAINING)
    make_review(scan, analysis, ("no_finding", "likely", "agree", ""))
    call_command("export_reviews", str(tmp_path / "export"), verbosity=0)
    assert "9.9.9" not in (tmp_path / "export" / "manifest.csv").read_text()


def test_only_the_desk_and_its_workers_know_the_table():
    """Whoever adds a reader of shadow readings has to think about who sees it."""
    may = {"shadow.py", "registry_models.py", "models.py", "shadow_comparison.py", "rights.py"}
    root = Path(django_settings.BASE_DIR)
    for app in ("accounts", "cases", "resources", "inference", "pmi_site"):
        for path in (root / app).rglob("*.py"):
            if "migrations" in path.parts or path.name in may:
                continue
            assert "ShadowReading" not in path.read_text(), path
    importers = {
        path.name
        for path in (root / "inference").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and node.module == "inference"
        for alias in node.names
        if alias.name in ("shadow", "shadow_comparison")
    }
    assert importers <= {
        *("services.py", "shadow_worker.py", "registry_tasks.py", "shadow_comparison.py"),
        "registry_admin.py",
    }
    # No way from any row to a shadow reading.
    for model in (Analysis, ModelVersion):
        ways = [field.name for field in model._meta.get_fields() if not field.concrete]
        assert not [name for name in ways if "hadow" in name and not name.endswith("+")]


def test_it_waits_while_a_scan_waits_for_its_real_reading(rival, stored_scan):
    analysis = services.request_analysis(stored_scan().pk)
    from inference import worker

    worker.read(services.claim(analysis.pk))
    row = shadow.request(analysis.pk)
    waiting = services.request_analysis(stored_scan().pk)
    read_in_shadow(str(row.pk))
    row.refresh_from_db()
    assert row.state == "queued"
    ShadowReading.objects.update(updated_at=timezone.now() - timedelta(minutes=2))
    assert shadow.sweep() == 0
    Analysis.objects.filter(pk=waiting.pk).delete()
    assert shadow.sweep() == 1
    read_in_shadow(str(row.pk))
    row.refresh_from_db()
    assert row.state == "done"


def test_one_for_each_pair_and_only_of_what_was_read(read, rival, stored_scan):
    assert shadow.request(read.pk) == ShadowReading.objects.get()
    waiting = services.request_analysis(stored_scan().pk)
    assert shadow.request(waiting.pk) is None
    shadow.stop(rival)
    ShadowReading.objects.all().delete()
    assert shadow.request(read.pk) is None


def test_a_dead_workers_claim_is_taken_and_its_late_answer_does_not_count(rival, read):
    ShadowReading.objects.update(state="queued")
    row = ShadowReading.objects.get()
    first = shadow.claim(row.pk)
    assert first is not None and shadow.claim(row.pk) is None
    ShadowReading.objects.update(lease_expires_at=timezone.now() - timedelta(seconds=1))
    shadow.sweep()
    second = shadow.claim(row.pk)
    assert second is None  # one attempt by the fixture, one here: given up
    row.refresh_from_db()
    assert row.state == "failed" and not shadow.fail(first)


def test_nothing_is_read_once_care_is_taken_back_or_the_trial_has_ended(rival, read):
    ShadowReading.objects.update(state="queued", attempt=0)
    row = ShadowReading.objects.get()
    consents.revoke_consent(read.scan.case.patient, ConsentPurpose.CARE)
    assert shadow.claim(row.pk) is None and not ShadowReading.objects.exists()
    consents.give_consent(read.scan.case.patient, ConsentPurpose.CARE)
    again = shadow.request(read.pk)
    ShadowReading.objects.update(state="queued")
    shadow.stop(rival)
    assert shadow.claim(again.pk) is None and not ShadowReading.objects.exists()


def test_a_broken_shadow_bundle_harms_nobody(rival, bundle_dir, stored_scan, run_tasks):
    (bundle_dir / "chest_rival" / "models" / "model.safetensors").write_bytes(b"broken")
    scan = stored_scan()
    with run_tasks():
        services.request_analysis(scan.pk)
    analysis = scan.analyses.get()
    with run_tasks():
        shadow.request(analysis.pk)
    analysis.refresh_from_db()
    assert analysis.status == "succeeded"
    assert ShadowReading.objects.get().state == "failed"


def test_it_goes_with_the_scan_and_with_the_account(read):
    patient = read.scan.case.patient
    job = erasure.request_erasure(patient)
    assert erasure.run(job.pk)
    assert not ShadowReading.objects.exists()


def test_an_erasure_while_it_reads_wins(rival, read):
    ShadowReading.objects.update(state="queued", attempt=0)
    held = shadow.claim(ShadowReading.objects.get().pk)
    job = erasure.request_erasure(read.scan.case.patient)
    assert erasure.run(job.pk)
    assert not shadow.fail(held) and not ShadowReading.objects.exists()
    assert erasure.leftovers(read.scan.case.patient.pk) == []


def test_what_a_promoted_version_had_still_to_read_beside_another_is_gone(rival, read):
    ShadowReading.objects.update(state="queued")
    services.activate(rival)
    assert shadow.sweep() == 0 and not ShadowReading.objects.exists()


def test_starting_and_stopping(models, bundle_dir, admin_user):
    one = add_version(bundle_dir, "chest_xray", "2", "chest_two")
    other = add_version(bundle_dir, "chest_xray", "3", "chest_three")
    shadow.start(one, admin_user)
    shadow.start(other, admin_user)
    assert [row.version for row in ModelVersion.objects.filter(is_shadow=True)] == ["3"]
    assert shadow.stop(other, admin_user) and not shadow.stop(other, admin_user)
    assert [use.what for use in ModelUse.objects.filter(by=admin_user)] == [
        *("shadow_off", "shadow_on", "shadow_off", "shadow_on"),
    ]
    for version in (models["gate"], models["chest_xray"]):
        with pytest.raises(UserError):
            shadow.start(version)
    shadow.start(one)
    services.activate(one)
    one.refresh_from_db()
    assert one.is_active and not one.is_shadow
