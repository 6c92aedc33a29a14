"""Private storage: files with no address, random directory names, readable by this process only."""

import contextlib
import os
import secrets
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from django.conf import settings
from django.core.files.storage import FileSystemStorage, Storage, storages
from django.utils.deconstruct import deconstructible


class PrivateFileHasNoUrl(Exception):
    """Somebody asked for the URL of a private file. A view has to check access and stream it instead."""


@deconstructible(path="cases.storage.PrivateStorage")
class PrivateStorage(FileSystemStorage):
    """Files under ``settings.PMI_PRIVATE_ROOT`` (files 0600, directories 0700) that never get a URL."""

    def __init__(self, location: str | os.PathLike[str] | None = None) -> None:
        self._given_location = location
        super().__init__(location=location, file_permissions_mode=0o600, directory_permissions_mode=0o700)

    # Plain properties, where Django caches: a changed setting (each test has its own root) takes effect at
    # once.
    @property
    def base_location(self) -> str:
        """The root directory as configured."""
        return str(self._given_location or settings.PMI_PRIVATE_ROOT)

    @property
    def location(self) -> str:
        """The root directory, absolute."""
        return str(Path(self.base_location).absolute())

    def url(self, name: str | None) -> str:
        """Refuse: private files are streamed by views that check access first."""
        raise PrivateFileHasNoUrl("Private files have no URL; stream them from a view that checks access.")


def private_storage() -> Storage:
    """Return the storage configured under the alias ``private`` (a callable, so migrations stay
    storage-free)."""
    return storages["private"]


def new_directory() -> str:
    """Return a fresh, unguessable directory name for the files of one scan."""
    token = secrets.token_hex(16)
    return f"scans/{token[:2]}/{token}"


def remove_files(names: Iterable[str]) -> None:
    """Delete the named private files and the directories they leave empty. Missing files are fine."""
    storage = private_storage()
    directories = set()
    for name in names:
        storage.delete(name)
        directories.add(str(PurePosixPath(name).parent))
    for directory in directories:
        # Object stores have no directories; a directory that is not empty stays.
        with contextlib.suppress(OSError, NotImplementedError):
            storage.delete(directory)


def work_root() -> Path:
    """Return (making it when needed) the directory for short-lived working files, 0700."""
    root = Path(settings.PMI_VAR_DIR) / "work"
    root.mkdir(parents=True, exist_ok=True, mode=0o700)
    return root
