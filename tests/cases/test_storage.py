"""Private storage: no addresses, no guessable names, no readers."""

import stat

import pytest
from django.core.files.base import ContentFile

from cases.storage import PrivateFileHasNoUrl, new_directory, private_storage, remove_files, work_root
from tests.cases.conftest import stored_files


def test_files_have_no_url():
    name = private_storage().save("scans/ab/x/scan.nii.gz", ContentFile(b"x"))
    with pytest.raises(PrivateFileHasNoUrl):
        private_storage().url(name)


def test_only_this_process_reads_files_and_directories(private_root):
    name = private_storage().save(f"{new_directory()}/scan.nii.gz", ContentFile(b"x"))
    path = private_root / name
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    for parent in list(path.parents)[:3]:
        assert stat.S_IMODE(parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(work_root().stat().st_mode) == 0o700


def test_directories_are_unguessable_and_never_repeat():
    names = {new_directory() for _ in range(100)}
    assert len(names) == 100
    assert all(len(name.rsplit("/", 1)[1]) == 32 for name in names)


def test_removing_files_removes_their_directory_and_tolerates_missing_ones(private_root):
    name = private_storage().save("scans/ab/abcd/scan.nii.gz", ContentFile(b"x"))
    remove_files([name, "scans/ab/abcd/preview.png"])
    assert stored_files(private_root) == []
    assert not (private_root / "scans/ab/abcd").exists()


def test_the_root_follows_the_setting(settings, tmp_path):
    settings.PMI_PRIVATE_ROOT = tmp_path / "elsewhere"
    private_storage().save("a.txt", ContentFile(b"x"))
    assert (tmp_path / "elsewhere" / "a.txt").exists()


def test_names_cannot_leave_the_root():
    with pytest.raises(Exception, match=r"traversal|outside|located"):
        private_storage().save("../../x.txt", ContentFile(b"x"))
