"""Files follow their rows: whatever deletes a Scan (page, API, account erasure, cascade), its files go on
commit."""

import functools
from typing import Any

from django.db import transaction
from django.db.models.signals import post_delete

from cases.models import Scan
from cases.storage import remove_files


def remove_scan_files(sender: type[Scan], instance: Scan, using: str, **kwargs: Any) -> None:
    """Remove the files of a deleted scan once the deletion is committed; a rollback keeps them."""
    names = [file.name for file in (instance.original, instance.canonical, instance.preview) if file.name]
    transaction.on_commit(functools.partial(remove_files, names), using=using, robust=True)


def connect() -> None:
    """Connect the receivers of this app (called once, when apps are ready)."""
    post_delete.connect(remove_scan_files, sender=Scan, dispatch_uid="cases.remove_scan_files")
