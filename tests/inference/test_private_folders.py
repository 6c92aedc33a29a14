"""`sweep_private_files` on heatmaps, pictures of known cases, files of searches and exports: what nobody
names goes, what somebody names stays."""

from __future__ import annotations

import os
import uuid
from pathlib import Path
from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.core.management import call_command

from accounts.models import DataExport
from cases.storage import private_storage
from inference.models import SimilarSearch
from tests.cases.conftest import stored_files
from tests.factories import ScanFactory
from tests.inference import reading_rows as rows
from tests.inference.test_similar_search import atlas, read

pytestmark = pytest.mark.django_db


def _put(name: str) -> str:
    return private_storage().save(name, ContentFile(b"x"))


def _make_old(root: Path) -> None:
    for folder in root.rglob("*"):
        if folder.is_dir():
            os.utime(folder, (0, 0))


def test_what_a_row_names_stays_and_the_rest_goes(patient: Any, private_root: Path) -> None:
    analysis = read(ScanFactory.create(case__patient=patient))
    assert analysis.model_version is not None
    atlas(analysis.model_version, 0.1)
    waiting, answered = (SimilarSearch.objects.create(owner=patient) for _ in range(2))
    SimilarSearch.objects.filter(pk=waiting.pk).update(files=[_put(f"searches/aa/{waiting.pk}/000000")])
    export = DataExport.objects.create(user=patient, archive=_put("exports/abc/pmi.zip"))
    running = rows.analysis(ScanFactory.create(case__patient=patient), "running")
    _put(f"analyses/{running.pk}/1/{uuid.uuid4()}.png")
    _put("references/notes/ours/list.txt")
    kept = stored_files(private_root)
    for name in (
        f"references/aa/{uuid.uuid4()}/picture.png",
        f"searches/aa/{answered.pk}/000000",
        f"searches/aa/{uuid.uuid4()}/000000",
        f"analyses/{analysis.pk}/7/{uuid.uuid4()}.png",
        f"analyses/{uuid.uuid4()}/1/{uuid.uuid4()}.nii.gz",
        "exports/def/pmi.zip",
    ):
        _put(name)
    call_command("sweep_private_files")
    assert len(stored_files(private_root)) == len(kept) + 6, "young folders may be written just now"
    _make_old(private_root)
    call_command("sweep_private_files", "--dry-run")
    assert len(stored_files(private_root)) == len(kept) + 6
    call_command("sweep_private_files")
    assert stored_files(private_root) == kept
    assert DataExport.objects.get(pk=export.pk).archive.name in kept
