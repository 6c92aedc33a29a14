"""Serves the front-end packages of node_modules under /static/vendor/: only what pages use."""

from collections.abc import Iterable, Iterator
from typing import Any

from django.conf import settings
from django.contrib.staticfiles.finders import BaseFinder
from django.contrib.staticfiles.utils import matches_patterns
from django.core.checks import CheckMessage, Warning
from django.core.files.storage import FileSystemStorage, Storage

# name under /static/vendor/ -> (folder in node_modules, files in it). A style sheet's source map must come
# along: the hashed file names are written into the reference.
PACKAGES: dict[str, tuple[str, tuple[str, ...]]] = {
    "bootstrap": (
        "bootstrap/dist",
        (
            "css/bootstrap.min.css",
            "css/bootstrap.min.css.map",
            "js/bootstrap.bundle.min.js",
            "js/bootstrap.bundle.min.js.map",
        ),
    ),
    "bootstrap-icons": (
        "bootstrap-icons/font",
        ("bootstrap-icons.min.css", "fonts/bootstrap-icons.woff", "fonts/bootstrap-icons.woff2"),
    ),
    "htmx": ("htmx.org/dist", ("htmx.min.js",)),
    "niivue": ("@niivue/niivue/dist", ("niivue.umd.js",)),
}


class VendorFinder(BaseFinder):
    """Finds `vendor/<package>/<file>`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.storages: dict[str, FileSystemStorage] = {}
        for name, (folder, _files) in PACKAGES.items():
            storage = FileSystemStorage(location=settings.BASE_DIR / "node_modules" / folder)
            storage.prefix = f"vendor/{name}"  # type: ignore[attr-defined]
            self.storages[name] = storage

    def check(self, **kwargs: Any) -> list[CheckMessage]:
        """Say so when packages were not fetched: no page could be shown with them missing."""
        if not self.missing():
            return []
        return [Warning("The front-end packages are missing.", hint="Run `make frontend`.", id="pmi.W003")]

    def missing(self) -> list[str]:
        """The files under /static/ that pages ask for and that are not there."""
        return [
            f"vendor/{name}/{file}"
            for name, (_folder, files) in PACKAGES.items()
            for file in files
            if not self.storages[name].exists(file)
        ]

    def find(self, path: str, find_all: bool = False, **kwargs: Any) -> Any:
        """The file's absolute path, or an empty list."""
        parts = path.split("/", 2)
        if (
            len(parts) == 3
            and parts[0] == "vendor"
            and parts[1] in PACKAGES
            and parts[2] in PACKAGES[parts[1]][1]
        ):
            storage = self.storages[parts[1]]
            if storage.exists(parts[2]):
                return [storage.path(parts[2])] if find_all else storage.path(parts[2])
        return []

    def list(self, ignore_patterns: Iterable[str] | None) -> Iterator[tuple[str, Storage]]:
        """Every file with the storage it lies in."""
        patterns = list_of(ignore_patterns)
        for name, (_folder, files) in PACKAGES.items():
            for file in files:
                if self.storages[name].exists(file) and not matches_patterns(file, patterns):
                    yield file, self.storages[name]


def list_of(patterns: Iterable[str] | None) -> list[str]:
    """The patterns as a list; none for None."""
    return [*patterns] if patterns is not None else []
