"""The command that removes what killed processes left behind."""

import os

import pytest
from django.core.files.base import ContentFile
from django.core.management import call_command

from cases.storage import private_storage, work_root
from cases.uploads import sweep_stale_work
from tests.cases.conftest import stored_files

pytestmark = pytest.mark.django_db


def test_only_old_orphans_go(scan, private_root):
    kept = stored_files(private_root)
    old = private_storage().save("scans/aa/old/scan.nii.gz", ContentFile(b"x"))
    young = private_storage().save("scans/aa/young/scan.nii.gz", ContentFile(b"x"))
    for name in (old, scan.canonical.name):
        os.utime((private_root / name).parent, (0, 0))
    call_command("sweep_private_files", "--dry-run")
    assert len(stored_files(private_root)) == len(kept) + 2
    call_command("sweep_private_files")
    assert stored_files(private_root) == sorted([*kept, young])


def test_stale_working_directories_go():
    stale = work_root() / "upload-dead"
    stale.mkdir()
    (stale / "000001").write_bytes(b"x")
    os.utime(stale, (0, 0))
    fresh = work_root() / "upload-live"
    fresh.mkdir()
    assert sweep_stale_work() == 1
    assert not stale.exists()
    assert fresh.exists()
