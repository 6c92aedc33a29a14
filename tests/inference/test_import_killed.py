"""An import of the atlas that is really killed, at every kind of moment, and started again."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.conf import settings as django_settings
from django.core.management import CommandError, call_command
from django.db import connection
from PIL import Image

from inference import similar_import
from inference.models import ReferenceImage, ReferenceVector, VectorSpace
from tests.inference.pictures import picture

COUNT = 24
# Stops at a given moment of the third batch and waits there to be killed.
_IMPORT = """
import os, sys, time, django
from pathlib import Path
from django.conf import settings
django.setup()
from django.db import connections
connections.databases["default"]["NAME"] = os.environ["TEST_DATABASE"]
settings.PMI_BUNDLE_DIR = Path(os.environ["BUNDLES"]); settings.PMI_ONNX_CACHE = Path(os.environ["ONNX"])
settings.PMI_PRIVATE_ROOT = Path(os.environ["PRIVATE"]); settings.PMI_VAR_DIR = Path(os.environ["VAR"])
from django.core.management import call_command
from inference import similar_import, similar_spaces
similar_import.BATCH = 4
moment, calls = sys.argv[2], 0
module, name = {"files": (similar_import, "_png"), "rows": (similar_spaces, "store_vectors")}[moment]
real = getattr(module, name)
def stopping(*args):
    global calls
    calls += 1
    if calls == {"files": 10, "rows": 3}[moment]:
        print("now", flush=True)
        time.sleep(600)
    return real(*args)
setattr(module, name, stopping)
call_command("import_atlas", sys.argv[1], stderr=open(os.devnull, "w"))
"""


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """Drawn knees; one of them twice, under two names."""
    folder = tmp_path / "knee_xray"
    folder.mkdir()
    lines = ["file,label,group,licence,source"]
    for number in range(COUNT):
        grade = str(number % 5)
        Image.fromarray(picture("knee_xray", grade, number).astype(np.uint8)).save(folder / f"{number}.png")
        lines.append(f"{number}.png,{grade},p{number},CC BY 4.0,Set")
    (folder / "manifest.csv").write_text("\n".join([*lines, lines[-1]]))
    return folder / "manifest.csv"


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("moment", ["files", "rows"])
def test_a_killed_import_goes_on_without_doubles(
    models: Any, manifest: Path, settings: Any, private_root: Path, moment: str, monkeypatch: Any
) -> None:
    environment = {
        **os.environ,
        "TEST_DATABASE": connection.settings_dict["NAME"],
        "BUNDLES": str(settings.PMI_BUNDLE_DIR),
        "ONNX": str(settings.PMI_ONNX_CACHE),
        "PRIVATE": str(private_root),
        "VAR": str(settings.PMI_VAR_DIR),
    }
    process = subprocess.Popen(
        [sys.executable, "-c", _IMPORT, str(manifest), moment],
        stdout=subprocess.PIPE,
        env=environment,
        cwd=Path(django_settings.BASE_DIR),
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline().strip() == "now"
    # While it runs, nobody else imports the same.
    monkeypatch.setattr(similar_import.time, "sleep", lambda seconds: None)
    with pytest.raises(CommandError, match="under way"):
        call_command("import_atlas", str(manifest), stdout=io.StringIO(), stderr=io.StringIO())
    monkeypatch.undo()
    process.send_signal(signal.SIGKILL)
    process.wait(10)
    process.stdout.close()
    pictures = sorted(path.parent.name for path in private_root.rglob("picture.png"))
    assert ReferenceImage.objects.count() == ReferenceVector.objects.count() == 8
    assert len(pictures) > 8, "the killed batch had files already"

    out = io.StringIO()
    call_command("import_atlas", str(manifest), stdout=out, stderr=io.StringIO())
    assert f"{COUNT - 8} added" in out.getvalue() and "9 known" in out.getvalue()
    assert ReferenceImage.objects.count() == ReferenceVector.objects.count() == COUNT
    on_disk = sorted(path.parent.name for path in private_root.rglob("picture*.png"))
    assert on_disk == sorted(str(pk) for pk in ReferenceImage.objects.values_list("pk", flat=True))
    heat = [path for path in private_root.rglob("heatmap*.png")]
    assert len(heat) == ReferenceImage.objects.filter(heatmap__gt="").count()
    space = VectorSpace.objects.get(model_version=models["knee_xray"])
    assert (space.done, space.total, space.state) == (COUNT, COUNT, "ready")
    call_command("import_atlas", str(manifest), stdout=out, stderr=io.StringIO())
    assert ReferenceImage.objects.count() == COUNT
