"""Storing scans: rows and files succeed or fail together, and no picture is lost because of another."""

import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from django.core.exceptions import PermissionDenied
from django.db import transaction

from cases import services
from cases.intake import IncomingFile, PreparedScan, Refused
from cases.models import Case, Scan
from cases.signals import scan_stored
from cases.storage import work_root
from pmi_site.errors import UserError
from pmi_site.words import words
from tests import factories
from tests.cases.conftest import stored_files

pytestmark = pytest.mark.django_db


@pytest.fixture
def prepared(monkeypatch, tmp_path):
    """Make intake hand out these scans and refusals; returns how to say which."""
    plan: dict[str, list] = {"scans": [], "refused": []}

    def prepare(files, workdir: Path, limits):
        plan["limits"] = limits
        return plan["scans"], plan["refused"]

    monkeypatch.setattr(services.intake, "prepare", prepare)
    return plan


@pytest.fixture
def sent():
    """Ids announced by `scan_stored`."""
    ids: list = []

    def note(sender, scan_id, **kwargs):
        ids.append(scan_id)

    scan_stored.connect(note)
    yield ids
    scan_stored.disconnect(note)


def make(
    tmp_path: Path, sha: str = "a" * 64, files: int = 1, slices: int = 1, suffix: str = ".dcm"
) -> PreparedScan:
    originals = []
    for number in range(1, files + 1):
        path = tmp_path / f"{sha[:4]}{number}{suffix}"
        path.write_bytes(b"original" * number)
        originals.append((f"{number:04d}{suffix}", path))
    return PreparedScan(
        volume=factories.small_volume(slices),
        originals=originals,
        sha256=sha,
        source_names=["Jane Doe 1970.dcm"],
        description="A film",
        notes=[words("The file does not say how large a pixel is.")],
    )


def test_rows_files_and_signal(case, patient, prepared, tmp_path, private_root, sent, settings):
    prepared["scans"] = [make(tmp_path), make(tmp_path, "b" * 64, files=3, slices=3)]
    settings.PMI_MAX_IMAGE_PIXELS = 12345
    result = services.add_scans(case, patient, [])
    film, series = result.scans
    assert (film.width, film.height, film.slices, film.is_volume) == (24, 20, 1, False)
    assert (series.slices, series.spacing, series.uploaded_by) == (3, None, patient)
    assert film.original.name.endswith("/original.dcm")
    assert film.byte_size == 8
    assert film.said_notes == ["The file does not say how large a pixel is."]
    assert series.original.name.endswith("/original.zip")
    assert len(stored_files(private_root)) == 6
    assert prepared["limits"].max_pixels == 12345
    assert list(work_root().iterdir()) == []


def test_the_signal_waits_for_the_commit(
    case, patient, prepared, tmp_path, sent, django_capture_on_commit_callbacks
):
    prepared["scans"] = [make(tmp_path)]
    with django_capture_on_commit_callbacks(execute=False) as callbacks:
        result = services.add_scans(case, patient, [])
    assert sent == []
    for callback in callbacks:
        callback()
    assert sent == [result.scans[0].pk]


def test_a_failing_listener_does_not_undo_the_upload(
    case, patient, prepared, tmp_path, django_capture_on_commit_callbacks
):
    def fail(sender, **kwargs):
        raise RuntimeError("listener")

    scan_stored.connect(fail)
    prepared["scans"] = [make(tmp_path)]
    try:
        with django_capture_on_commit_callbacks(execute=True):
            assert services.add_scans(case, patient, []).scans
    finally:
        scan_stored.disconnect(fail)


def test_no_name_of_a_file_is_stored_or_logged(case, patient, prepared, tmp_path, private_root, caplog):
    caplog.set_level(logging.DEBUG)
    prepared["scans"] = [make(tmp_path)]
    prepared["refused"] = [Refused("Jane Doe.txt", "unknown", "No picture.")]
    scan = services.add_scans(case, patient, [IncomingFile("Jane Doe 1970.dcm", tmp_path / "x")]).scans[0]
    values = Scan.objects.filter(pk=scan.pk).values().get()
    assert "Jane" not in str(values)
    assert "Jane" not in str(stored_files(private_root))
    assert "Jane" not in caplog.text


def test_zip_of_a_series_holds_the_members_without_dates(case, patient, prepared, tmp_path):
    import zipfile

    prepared["scans"] = [make(tmp_path, files=2)]
    scan = services.add_scans(case, patient, []).scans[0]
    with scan.original.open("rb") as handle, zipfile.ZipFile(handle) as archive:
        assert archive.namelist() == ["0001.dcm", "0002.dcm"]
        assert archive.read("0002.dcm") == b"original" * 2
        assert {entry.date_time[0] for entry in archive.infolist()} == {1980}


def test_known_bytes_are_a_duplicate_and_nothing_is_written(case, patient, prepared, tmp_path, private_root):
    prepared["scans"] = [make(tmp_path)]
    first = services.add_scans(case, patient, []).scans[0]
    before = stored_files(private_root)
    again = services.add_scans(case, patient, [])
    assert again.scans == []
    assert [(item.scan, item.names) for item in again.duplicates] == [(first, ["Jane Doe 1970.dcm"])]
    assert not again.nothing_went_in
    assert stored_files(private_root) == before


def test_the_same_bytes_may_be_in_two_cases(case, patient, prepared, tmp_path):
    prepared["scans"] = [make(tmp_path)]
    services.add_scans(case, patient, [])
    other = factories.CaseFactory.create(patient=patient)
    assert services.add_scans(other, patient, []).scans


def test_losing_a_race_is_a_duplicate_and_leaves_no_files(
    case, patient, prepared, tmp_path, private_root, monkeypatch
):
    write = services._write_files

    def overtaken(*args):
        names = write(*args)
        factories.ScanFactory.create(case=case, sha256="a" * 64)
        return names

    monkeypatch.setattr(services, "_write_files", overtaken)
    prepared["scans"] = [make(tmp_path)]
    result = services.add_scans(case, patient, [])
    winner = Scan.objects.get()
    assert result.scans == []
    assert result.duplicates[0].scan == winner
    assert len(stored_files(private_root)) == 3
    assert winner.canonical.name in stored_files(private_root)


@pytest.mark.parametrize("broken", ["_save_row", "preview_png", "nibabel.save"])
def test_a_failure_on_the_way_leaves_neither_row_nor_file_and_spares_the_others(
    broken, case, patient, prepared, tmp_path, private_root, monkeypatch, caplog
):
    target = f"cases.services.{broken}"
    real = services.nibabel.save if broken == "nibabel.save" else getattr(services, broken)
    calls = []

    def fail_first(*args):
        calls.append(1)
        if len(calls) == 1:
            raise OSError("disk full while writing Jane Doe")
        return real(*args)

    monkeypatch.setattr(target, fail_first)
    prepared["scans"] = [make(tmp_path), make(tmp_path, "b" * 64)]
    result = services.add_scans(case, patient, [])
    assert [scan.sha256 for scan in result.scans] == ["b" * 64]
    assert [item.code for item in result.refused] == ["not_stored"]
    assert Scan.objects.count() == 1
    assert len(stored_files(private_root)) == 3
    assert "Jane" not in caplog.text


@pytest.mark.django_db(transaction=True)
def test_refuses_to_run_inside_a_transaction(case, patient, prepared, tmp_path, private_root):
    prepared["scans"] = [make(tmp_path)]
    with transaction.atomic():
        result = services.add_scans(case, patient, [])
    assert [item.code for item in result.refused] == ["not_stored"]
    assert stored_files(private_root) == []


def test_case_deleted_meanwhile(case, patient, prepared, tmp_path, private_root, monkeypatch):
    write = services._write_files

    def deleted(*args):
        names = write(*args)
        Case.objects.filter(pk=case.pk).delete()
        return names

    monkeypatch.setattr(services, "_write_files", deleted)
    prepared["scans"] = [make(tmp_path)]
    with pytest.raises(UserError) as error:
        services.add_scans(case, patient, [])
    assert error.value.code == "case_deleted"
    assert stored_files(private_root) == []
    assert list(work_root().iterdir()) == []


def test_only_the_patient_writes(case, scan, reader, other_patient):
    for user in (reader, other_patient):
        with pytest.raises(PermissionDenied):
            services.add_scans(case, user, [])
        with pytest.raises(PermissionDenied):
            services.delete_case(case, user)
        with pytest.raises(PermissionDenied):
            services.delete_scan(scan, user)
        with pytest.raises(PermissionDenied):
            services.update_case(case, user, title="Mine now")


def test_load_volume_gives_back_what_was_stored(case, patient, prepared, tmp_path):
    prepared["scans"] = [make(tmp_path, slices=4)]
    scan = services.add_scans(case, patient, []).scans[0]
    volume = services.load_volume(scan)
    expected = factories.small_volume(4)
    assert (volume.data == expected.data).all()
    assert volume.spacing is None
    assert volume.source_format == "raster"


def test_however_many_uploads_arrive_two_are_decoded_at_a_time(monkeypatch, tmp_path):
    here, most = set(), []

    def slow(incoming, workdir, limits):
        here.add(threading.get_ident())
        most.append(len(here))
        time.sleep(0.1)
        here.discard(threading.get_ident())
        return [], []

    monkeypatch.setattr(services.intake, "prepare", slow)
    monkeypatch.setattr(services, "_require_write", lambda case, user: None)
    monkeypatch.setattr(services, "require_care", lambda patient_id: None)
    monkeypatch.setattr(services, "work_root", lambda: tmp_path)
    with ThreadPoolExecutor(5) as pool:
        list(pool.map(lambda _n: services.add_scans(Case(), None, []), range(5)))
    assert len(most) == 5 and max(most) == 2
