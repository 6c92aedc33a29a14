"""Operations: what the page shows, who sees it, and trying again."""

import uuid
from datetime import timedelta

import pytest
from django.core.files.base import ContentFile
from django.urls import reverse
from django.utils import timezone

from accounts import consents
from accounts.models import AccessLog, ConsentPurpose, Role
from accounts.ownership import storage
from inference import operations
from inference.models import Analysis, Snapshot
from pmi_site.errors import UserError
from tests.inference import reading_rows as rows
from tests.inference.test_registry_admin import keeper

pytestmark = pytest.mark.django_db
PAGE = "admin:inference_operations"


@pytest.fixture
def desk(as_user):
    return as_user(keeper("view_analysis", "change_analysis"))


def again(analysis):
    return reverse("admin:inference_try_again", args=[analysis.pk])


def code_of(call):
    with pytest.raises(UserError) as caught:
        call()
    return caught.value.code


def test_the_page_shows_states_times_failures_and_storage(desk, stored_scan):
    operations.keep(
        operations.WORKERS, {"workers": [{"name": "inference@a", "queues": ["inference"], "busy": 1}]}
    )
    failed = rows.analysis(stored_scan(), "failed")
    rows.analysis(stored_scan(), "queued", waited=timedelta(hours=7))
    timed = rows.analysis(stored_scan(), "succeeded", timings_ms={"forward": 120.0, "total": 200.0})
    Analysis.objects.filter(pk=timed.pk).update(started_at=timezone.now())
    operations.measure_storage()
    shown = desk.get(reverse(PAGE)).content.decode()
    for words in (
        "inference@a",
        str(failed.pk),
        "some_code",
        "forward",
        "120 ms",
        "<dd>7\xa0hours",
        "originals",
        "Try again",
    ):
        assert words in shown, words
    assert failed.scan.case.title not in shown and "This looks like a cat" not in shown


def test_an_empty_site_has_a_page_too(desk):
    shown = desk.get(reverse(PAGE)).content.decode()
    assert (
        "No worker has been seen." in shown and "Not measured yet" in shown and "Nothing was read." in shown
    )


def test_a_broker_that_does_not_answer_is_said(desk, monkeypatch):
    def silent(*args, **kwargs):
        raise OSError

    monkeypatch.setattr(operations.app, "connection_for_read", silent)
    assert "The broker does not answer." in desk.get(reverse(PAGE)).content.decode()


def test_queues_are_counted():
    before = operations.queue_depths() or {}
    operations.app.send_task("inference.tasks.requeue_expired", queue="inference")
    # What other tests sent waits there too: the broker of the tests is this process.
    assert operations.queue_depths() == {**before, "inference": before["inference"] + 1}


def test_the_workers_that_are_known_are_not_waited_for(monkeypatch):
    asked = []

    class Inspect:
        def __init__(self, **how):
            asked.append(how)

        def active_queues(self):
            return {"a@x": [{"name": "inference"}], "b@x": [{"name": "long"}, {"name": "default"}]}

        def active(self):
            return {"a@x": [{}], "b@x": []}

    monkeypatch.setattr(operations.app.control, "inspect", Inspect)
    assert operations.see_workers().figures == {
        "workers": [
            {"name": "a@x", "queues": ["inference"], "busy": 1},
            {"name": "b@x", "queues": ["default", "long"], "busy": 0},
        ]
    }
    assert "limit" not in asked[0]
    assert (asked[1]["destination"], asked[1]["limit"]) == (["a@x", "b@x"], 2)


def test_only_administrators_with_the_permission(as_user, stored_scan, patient, doctor, client):
    failed = rows.analysis(stored_scan(), "failed")
    looks, nothing = as_user(keeper("view_analysis")), as_user(keeper())
    stranger = as_user(keeper("view_analysis", "change_analysis", role=Role.DOCTOR))
    for address in (reverse(PAGE), reverse("admin:inference_analysis_changelist")):
        assert looks.get(address).status_code == 200
        for who in (nothing, stranger):
            assert who.get(address).status_code == 403
        for who in (as_user(patient), as_user(doctor), client):
            assert who.get(address).status_code == 302
    for who in (looks, nothing, stranger):
        assert who.post(again(failed)).status_code == 403
    assert nothing.post(reverse("admin:inference_measure_storage")).status_code == 403
    assert "Try again" not in looks.get(reverse(PAGE)).content.decode()
    assert failed.scan.analyses.count() == 1


def test_trying_again_is_logged_and_done_once(desk, stored_scan):
    failed = rows.analysis(stored_scan(), "failed")
    for _click in range(2):
        assert desk.post(again(failed)).status_code == 302
    assert failed.scan.analyses.filter(status="queued").count() == 1
    assert failed.scan.analyses.count() == 2
    assert AccessLog.objects.filter(
        action="read_again", patient_key=failed.scan.case.patient.log_key
    ).exists()
    assert str(failed.pk) not in desk.get(reverse(PAGE)).content.decode()


def test_reading_the_address_tries_nothing_and_bad_ids(desk, stored_scan):
    failed = rows.analysis(stored_scan(), "failed")
    assert desk.get(again(failed)).status_code == 302
    assert failed.scan.analyses.count() == 1
    assert desk.post(reverse("admin:inference_try_again", args=[uuid.uuid4()])).status_code == 404


@pytest.mark.parametrize("status", ["succeeded", "rejected", "queued", "running"])
def test_only_what_failed_is_tried_again(stored_scan, admin_user, status):
    analysis = rows.analysis(stored_scan(), status)
    assert code_of(lambda: operations.try_again(analysis, admin_user)) == "not_failed"


def test_a_scan_that_fails_often_is_left_to_somebody_who_looks(stored_scan, admin_user):
    scan = stored_scan()
    for minutes in (30, 20, 10):
        failed = rows.analysis(scan, "failed", waited=timedelta(minutes=minutes))
    assert code_of(lambda: operations.try_again(failed, admin_user)) == "tried_often"
    first = scan.analyses.order_by("queued_at").first()
    assert code_of(lambda: operations.try_again(first, admin_user)) == "not_failed"


def test_care_taken_back_is_respected(stored_scan, admin_user):
    failed = rows.analysis(stored_scan(), "failed")
    consents.revoke_consent(failed.scan.case.patient, ConsentPurpose.CARE)
    assert code_of(lambda: operations.try_again(failed, admin_user)) == "care_withdrawn"


def test_storage_is_measured_in_the_background_by_kind(desk, stored_scan, run_tasks, settings, tmp_path):
    settings.PMI_ONNX_CACHE = tmp_path / "cache"
    settings.PMI_ONNX_CACHE.mkdir()
    (settings.PMI_ONNX_CACHE / "x.onnx").write_bytes(b"12345")
    stored_scan()
    storage().save("analyses/a/1/x.png", ContentFile(b"123"))
    assert not Snapshot.objects.exists()
    with run_tasks():
        desk.post(reverse("admin:inference_measure_storage"))
    figures = Snapshot.objects.get(name="storage").figures
    sizes = {row["kind"]: row["bytes"] for row in figures["kinds"]}
    assert sizes["originals"] == 16 and sizes["heatmaps"] == 3 and sizes["onnx"] == 5
    assert sizes["volumes"] > 0 and sizes["previews"] > 0 and sizes["database"] > 0
    assert figures["scans"] == 1 and figures["free"] > 0
