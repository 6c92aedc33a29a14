"""The state machine of analyses: asking, claiming, answering once, and what happens when a worker dies."""

import threading
from datetime import timedelta

import numpy as np
import pytest
from django.db import IntegrityError, OperationalError, connection, transaction
from django.utils import timezone

from cases.services import update_case
from cases.signals import scan_stored
from cases.storage import private_storage
from inference import heatmaps, services, tasks, worker
from inference.models import Analysis, Embedding, Finding, ModelVersion
from inference.reading import LabelFinding, Reading

Status = Analysis.Status


@pytest.fixture
def queued(models, stored_scan):
    """A queued analysis of a chest film."""
    return services.request_analysis(stored_scan().pk)


def reading_for(version, volume, **fields):
    heatmap = np.zeros(volume.data.shape, dtype=np.uint8)
    heatmap[5:20, 5:20] = 200
    finding = LabelFinding("pneumonia", "pneumonia", 0.9, "likely", heatmap)
    given = {
        "status": "succeeded",
        "kind": version.kind,
        "model_sha256": version.sha256,
        "findings": (finding,),
        "probabilities": {"pneumonia": 0.9},
        "embedding": np.ones(8, dtype=np.float32),
        **fields,
    }
    return Reading(**given)


def expire(analysis):
    past = timezone.now() - timedelta(seconds=1)
    Analysis.objects.filter(pk=analysis.pk).update(lease_expires_at=past)


def files_under(root):
    return [path for path in root.rglob("*") if path.is_file() and "analyses" in path.parts]


# --- asking ---


def test_asking_twice_gives_one_analysis(queued):
    assert services.request_analysis(queued.scan_id) == queued
    assert services.request_analysis(queued.scan_id, reread=True) == queued
    assert Analysis.objects.count() == 1


def test_the_database_allows_one_unfinished_analysis(queued):
    now = timezone.now()
    with pytest.raises(IntegrityError), transaction.atomic():
        Analysis.objects.create(scan=queued.scan, queued_at=now, dispatched_at=now)


def test_an_answer_by_the_active_model_is_kept_until_asked_anew(queued, run_tasks):
    with run_tasks():
        tasks.run_analysis.run(str(queued.pk))
    assert services.request_analysis(queued.scan_id) == queued
    again = services.request_analysis(queued.scan_id, reread=True)
    assert again != queued
    assert again.status == Status.QUEUED


@pytest.fixture
def refused(models, stored_scan):
    """A knee that was called a chest: the gate refuses it, and no model is asked."""
    analysis = services.request_analysis(stored_scan("knee_xray", "2", case_kind="chest_xray").pk)
    tasks.run_analysis.run(str(analysis.pk))
    analysis.refresh_from_db()
    assert (analysis.status, analysis.reason_code) == (Status.REJECTED, "wrong_kind")
    assert analysis.model_version is None
    return analysis


def test_a_refusal_by_the_gate_in_use_is_kept_until_asked_anew(refused):
    assert services.request_analysis(refused.scan_id) == refused
    again = services.request_analysis(refused.scan_id, reread=True)
    assert again != refused
    assert again.status == Status.QUEUED


def test_a_new_gate_makes_a_new_analysis(refused, models):
    new = ModelVersion.objects.create(kind="gate", version="2", bundle="x", sha256="f" * 64)
    services.activate(new)
    assert services.request_analysis(refused.scan_id) != refused


def test_a_gate_that_came_back_did_not_make_the_refusals_of_before(refused, models):
    new = ModelVersion.objects.create(kind="gate", version="2", bundle="x", sha256="f" * 64)
    services.activate(new)
    services.activate(ModelVersion.objects.get(pk=models["gate"].pk), what="rolled_back")
    assert services.request_analysis(refused.scan_id) != refused


def test_another_kind_of_case_makes_a_new_analysis(refused):
    case = refused.scan.case
    update_case(case, case.patient, kind="knee_xray")
    assert services.request_analysis(refused.scan_id) != refused


def test_a_missing_model_is_an_answer_until_there_is_one(models, stored_scan):
    ModelVersion.objects.filter(kind="chest_xray").update(is_active=False)
    analysis = services.request_analysis(stored_scan().pk)
    tasks.run_analysis.run(str(analysis.pk))
    analysis.refresh_from_db()
    assert analysis.reason_code == "no_model"
    assert services.request_analysis(analysis.scan_id) == analysis
    services.activate(ModelVersion.objects.get(kind="chest_xray"))
    assert services.request_analysis(analysis.scan_id) != analysis


def test_a_new_model_makes_a_new_analysis(queued):
    tasks.run_analysis.run(str(queued.pk))
    ModelVersion.objects.filter(kind="chest_xray").update(is_active=False)
    assert services.request_analysis(queued.scan_id) != queued


def test_a_scan_that_is_gone_is_nobodys_error(db):
    assert services.request_analysis("00000000-0000-0000-0000-000000000000") is None


def test_a_stored_scan_is_read(models, stored_scan, run_tasks):
    scan = stored_scan()
    with run_tasks():
        scan_stored.send(sender=type(scan), scan_id=scan.pk)
    analysis = scan.analyses.get()
    assert (analysis.status, analysis.kind) == (Status.SUCCEEDED, "chest_xray"), analysis.reason
    assert analysis.findings.first().label == "pneumonia"


def test_the_message_carries_an_id_and_goes_out_on_commit(
    models, stored_scan, monkeypatch, django_capture_on_commit_callbacks
):
    sent = []
    monkeypatch.setattr(tasks.run_analysis, "delay", lambda *args: sent.append(args))
    with django_capture_on_commit_callbacks(execute=True):
        analysis = services.request_analysis(stored_scan().pk)
        assert sent == []
    assert sent == [(str(analysis.pk),)]


def test_a_broker_that_is_down_loses_nothing(
    models, stored_scan, monkeypatch, django_capture_on_commit_callbacks
):
    def down(*args):
        raise ConnectionError

    monkeypatch.setattr(tasks.run_analysis, "delay", down)
    with django_capture_on_commit_callbacks(execute=True):
        analysis = services.request_analysis(stored_scan().pk)
    assert analysis.status == Status.QUEUED


# --- claiming and answering ---


def test_only_one_worker_gets_it(queued):
    held = services.claim(queued.pk)
    assert held.attempt == 1
    assert services.claim(queued.pk) is None
    queued.refresh_from_db()
    assert queued.status == Status.RUNNING
    assert queued.lease_expires_at > timezone.now()


def test_complete_writes_everything_once(queued, models, private_root):
    held = services.claim(queued.pk)
    volume = worker.load_volume(queued.scan)
    reading = reading_for(models["chest_xray"], volume)
    assert services.complete(held, reading, volume, "adult")
    assert not services.complete(held, reading, volume, "adult")
    assert not services.fail(held, "x", "x")
    queued.refresh_from_db()
    assert (queued.status, queued.danger, queued.stage) == (Status.SUCCEEDED, "urgent", "done")
    assert queued.danger_reasons
    assert queued.next_step
    assert queued.danger_rules == ["pneumonia.likely"]
    finding = queued.findings.get()
    assert finding.heatmap.name.endswith(".nii.gz")
    assert len(files_under(private_root)) == 2
    assert list(Embedding.objects.get().vector) == [1.0] * 8


def test_the_stored_heatmap_lies_in_the_scans_space(queued, models):
    import nibabel

    held = services.claim(queued.pk)
    volume = worker.load_volume(queued.scan)
    services.complete(held, reading_for(models["chest_xray"], volume), volume, "adult")
    finding = Finding.objects.get()
    image = nibabel.load(private_storage().path(finding.heatmap.name))
    assert image.shape == volume.data.shape
    assert np.allclose(image.affine, volume.affine)
    assert image.get_fdata().max() == pytest.approx(200 / 255, abs=1e-3)
    assert image.get_data_dtype() == np.uint8
    with finding.heatmap_png.open("rb") as handle:
        assert handle.read(8) == b"\x89PNG\r\n\x1a\n"


def test_the_late_answer_of_a_worker_believed_dead_is_dropped(queued, models, private_root):
    first = services.claim(queued.pk)
    expire(queued)
    services.requeue_expired()
    second = services.claim(queued.pk)
    assert second.attempt == 2
    volume = worker.load_volume(queued.scan)
    reading = reading_for(models["chest_xray"], volume)
    with pytest.raises(services.LeaseLost):
        services.heartbeat(first, "reading")
    assert not services.complete(first, reading, volume, "adult")
    assert files_under(private_root) == []
    assert Finding.objects.count() == 0
    assert services.complete(second, reading, volume, "adult")
    assert Finding.objects.count() == 1


def test_files_of_a_killed_attempt_are_removed_by_the_next(queued, models, private_root):
    first = services.claim(queued.pk)
    volume = worker.load_volume(queued.scan)
    heatmap = np.ones(volume.data.shape, dtype=np.uint8)
    heatmaps.write(queued.pk, first.attempt, queued.pk, volume, heatmap, (0, "axial"))
    expire(queued)
    services.requeue_expired()
    second = services.claim(queued.pk)
    services.complete(second, reading_for(models["chest_xray"], volume), volume, "adult")
    kept = files_under(private_root)
    assert len(kept) == 2
    assert all(path.parent.name == "2" for path in kept)


def test_a_failed_transaction_leaves_no_files(queued, models, private_root, monkeypatch):
    held = services.claim(queued.pk)
    volume = worker.load_volume(queued.scan)

    def broken(*args, **kwargs):
        raise RuntimeError

    monkeypatch.setattr(Finding.objects, "bulk_create", broken)
    with pytest.raises(RuntimeError):
        services.complete(held, reading_for(models["chest_xray"], volume), volume, "adult")
    assert files_under(private_root) == []
    queued.refresh_from_db()
    assert queued.status == Status.RUNNING


def test_files_follow_the_scan(queued, models, private_root, django_capture_on_commit_callbacks):
    held = services.claim(queued.pk)
    volume = worker.load_volume(queued.scan)
    services.complete(held, reading_for(models["chest_xray"], volume), volume, "adult")
    with django_capture_on_commit_callbacks(execute=True):
        queued.scan.case.delete()
    assert files_under(private_root) == []


def test_rejection_is_an_answer_with_a_reason(queued):
    held = services.claim(queued.pk)
    reading = Reading(status="rejected", kind="knee_xray", reason_code="wrong_kind", reason="A knee.")
    assert services.reject(held, reading)
    queued.refresh_from_db()
    assert (queued.status, queued.danger, queued.reason) == (Status.REJECTED, "inconclusive", "A knee.")
    assert not services.reject(held, reading)


def test_heartbeat_prolongs_the_lease(queued):
    held = services.claim(queued.pk)
    expire(queued)
    services.heartbeat(held, Analysis.Stage.READING)
    queued.refresh_from_db()
    assert queued.lease_expires_at > timezone.now()
    assert queued.stage == "reading"


# --- dead workers ---


def test_attempts_run_out(queued, settings, monkeypatch):
    sent = []
    monkeypatch.setattr(tasks.run_analysis, "delay", sent.append)
    for attempt in range(1, settings.PMI_ANALYSIS_MAX_ATTEMPTS + 1):
        assert services.claim(queued.pk).attempt == attempt
        expire(queued)
        services.requeue_expired()
    queued.refresh_from_db()
    assert (queued.status, queued.reason_code) == (Status.FAILED, "gave_up")
    assert "our fault" in queued.reason
    assert len(sent) == settings.PMI_ANALYSIS_MAX_ATTEMPTS - 1
    assert services.requeue_expired() == (0, 0)


def test_a_living_worker_is_left_alone(queued):
    services.claim(queued.pk)
    assert services.requeue_expired() == (0, 0)


def test_a_lost_message_is_sent_again_once(queued, monkeypatch):
    sent = []
    monkeypatch.setattr(tasks.run_analysis, "delay", sent.append)
    long_ago = timezone.now() - timedelta(hours=1)
    Analysis.objects.filter(pk=queued.pk).update(dispatched_at=long_ago)
    assert services.requeue_expired() == (1, 0)
    assert services.requeue_expired() == (0, 0)
    assert sent == [str(queued.pk)]


@pytest.mark.parametrize("fault", [OSError, OperationalError])
def test_a_passing_fault_is_given_time_to_pass(queued, settings, monkeypatch, fault):
    sent = []

    def broken(held):
        raise fault

    monkeypatch.setattr(worker, "read", broken)
    monkeypatch.setattr(tasks.run_analysis, "delay", sent.append)
    for attempt in range(1, settings.PMI_ANALYSIS_MAX_ATTEMPTS):
        tasks.run_analysis.run(str(queued.pk))
        assert services.requeue_expired() == (0, 0)
        queued.refresh_from_db()
        assert (queued.status, queued.attempt) == (Status.QUEUED, attempt)
        lease = timedelta(seconds=settings.PMI_ANALYSIS_LEASE_SECONDS + 1)
        Analysis.objects.filter(pk=queued.pk).update(dispatched_at=queued.dispatched_at - lease)
        assert services.requeue_expired() == (1, 0)
    assert len(sent) == settings.PMI_ANALYSIS_MAX_ATTEMPTS - 1
    tasks.run_analysis.run(str(queued.pk))
    queued.refresh_from_db()
    assert (queued.status, queued.reason_code) == (Status.FAILED, "unavailable")


@pytest.mark.django_db(transaction=True)
def test_a_reading_whose_database_went_away_is_given_back_when_it_is_there_again(
    models, stored_scan, monkeypatch
):
    analysis = services.request_analysis(stored_scan().pk)

    def cut_off(held):
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")

    monkeypatch.setattr(worker, "read", cut_off)
    tasks.run_analysis.run(str(analysis.pk))
    analysis.refresh_from_db()
    assert (analysis.status, analysis.attempt) == (Status.QUEUED, 1)


@pytest.mark.django_db(transaction=True)
def test_two_workers_race_for_one_claim(models, stored_scan):
    analysis = services.request_analysis(stored_scan().pk)
    got, start = [], threading.Barrier(4)

    def run():
        start.wait()
        got.append(services.claim(analysis.pk))
        connection.close()

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(held is not None for held in got) == 1


# --- the task ---


def test_the_task_reads_and_a_second_delivery_changes_nothing(queued):
    tasks.run_analysis.run(str(queued.pk))
    queued.refresh_from_db()
    first = (queued.status, queued.attempt, queued.finished_at)
    assert first[:2] == (Status.SUCCEEDED, 1), queued.reason
    tasks.run_analysis.run(str(queued.pk))
    queued.refresh_from_db()
    assert (queued.status, queued.attempt, queued.finished_at) == first
    assert set(queued.timings_ms) >= {"gate", "preprocess", "forward", "calibrate", "cam"}


def test_wrong_kind_is_rejected_with_its_name(models, stored_scan):
    scan = stored_scan("knee_xray", "2", case_kind="chest_xray")
    analysis = services.request_analysis(scan.pk)
    tasks.run_analysis.run(str(analysis.pk))
    analysis.refresh_from_db()
    assert (analysis.status, analysis.reason_code) == (Status.REJECTED, "wrong_kind")
    assert "knee" in analysis.reason


def test_unsure_is_left_to_the_gate(models, stored_scan):
    analysis = services.request_analysis(stored_scan("knee_xray", "4", case_kind="unsure").pk)
    tasks.run_analysis.run(str(analysis.pk))
    analysis.refresh_from_db()
    assert (analysis.status, analysis.kind) == (Status.SUCCEEDED, "knee_xray")
    assert analysis.model_version == models["knee_xray"]


def test_no_model_is_a_terminal_answer(stored_scan, bundle_dir, db):
    analysis = services.request_analysis(stored_scan().pk)
    tasks.run_analysis.run(str(analysis.pk))
    analysis.refresh_from_db()
    assert (analysis.status, analysis.reason_code) == (Status.REJECTED, "no_model")


def test_a_broken_bundle_fails_plainly(queued, bundle_dir):
    path = bundle_dir / "chest_xray" / "models" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:100])
    worker._engine = None
    tasks.run_analysis.run(str(queued.pk))
    queued.refresh_from_db()
    assert (queued.status, queued.reason_code) == (Status.FAILED, "model_broken")
    assert "out of order" in queued.reason


def test_a_broken_bundle_does_not_stop_other_kinds(models, stored_scan, bundle_dir):
    (bundle_dir / "chest_xray" / "models" / "model.safetensors").unlink()
    worker._engine = None
    analysis = services.request_analysis(stored_scan("knee_xray", "2").pk)
    tasks.run_analysis.run(str(analysis.pk))
    analysis.refresh_from_db()
    assert analysis.status == Status.SUCCEEDED


def test_a_missing_file_is_tried_again_and_then_given_up(queued, settings, caplog):
    private_storage().delete(queued.scan.canonical.name)
    for _ in range(settings.PMI_ANALYSIS_MAX_ATTEMPTS):
        tasks.run_analysis.run(str(queued.pk))
    queued.refresh_from_db()
    assert queued.status == Status.FAILED
    assert queued.attempt == settings.PMI_ANALYSIS_MAX_ATTEMPTS
    assert "scan.nii.gz" not in caplog.text


def test_a_scan_deleted_while_it_is_read_leaves_nothing(queued, monkeypatch, private_root):
    real = worker.load_volume

    def load_then_lose(scan):
        volume = real(scan)
        scan.case.delete()
        return volume

    monkeypatch.setattr(worker, "load_volume", load_then_lose)
    tasks.run_analysis.run(str(queued.pk))
    assert not Analysis.objects.exists()
    assert files_under(private_root) == []


def test_an_unexpected_error_fails_without_repeating_its_message(queued, monkeypatch, caplog):
    def broken(held):
        raise ValueError("Jane Doe 1970-01-01")

    monkeypatch.setattr(worker, "read", broken)
    tasks.run_analysis.run(str(queued.pk))
    queued.refresh_from_db()
    assert (queued.status, queued.reason_code) == (Status.FAILED, "internal_error")
    assert "Jane" not in caplog.text + queued.reason


# --- versions ---


def test_one_active_version_per_kind(models):
    old = models["knee_xray"]
    new = ModelVersion.objects.create(kind="knee_xray", version="2", bundle="x", sha256="f" * 64)
    services.activate(new)
    old.refresh_from_db()
    assert not old.is_active
    assert ModelVersion.objects.filter(kind="knee_xray", is_active=True).get() == new
    with pytest.raises(IntegrityError), transaction.atomic():
        ModelVersion.objects.filter(pk=old.pk).update(is_active=True)
