"""Real, tiny bundles for every test of this folder; made once per machine and run, shared by parallel
workers.
"""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cases.imaging.volume import CanonicalVolume, from_affine, from_film
from tests import factories
from tests.inference.pictures import picture


def _made_once(base: Path, name: str, make: Callable[[Path], None]) -> Path:
    """A folder that the first process to come makes and the others wait for."""
    import fcntl

    target = base / name
    with (base / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.is_dir():
            draft = base / f"{name}.draft"
            shutil.rmtree(draft, ignore_errors=True)
            draft.mkdir()
            make(draft)
            draft.rename(target)
    return target


@pytest.fixture(scope="session")
def shared_tmp(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that parallel workers of one run share."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base


@pytest.fixture(scope="session")
def tiny_bundles(shared_tmp: Path) -> Path:
    """A folder with one bundle per kind, gate included. Read only: copy it to change it."""
    from tests.inference.tiny_bundles import make_bundle

    def make(folder: Path) -> None:
        for kind in ("brain_mri", "chest_xray", "knee_xray", "gate"):
            make_bundle(kind, folder / kind)

    return _made_once(shared_tmp, "tiny-bundles", make)


@pytest.fixture(scope="session")
def onnx_cache(shared_tmp: Path) -> Path:
    """Where the tiny bundles' ONNX files are kept."""
    folder = shared_tmp / "onnx"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def engine(tiny_bundles: Path, onnx_cache: Path) -> Any:
    """The real engine on the tiny bundles."""
    from inference.engine import Engine

    made = Engine.from_dir(tiny_bundles, onnx_cache, threads=1)
    made.load_all()
    return made


@pytest.fixture
def bundle_dir(settings: Any, tiny_bundles: Path, onnx_cache: Path, tmp_path: Path) -> Path:
    """A copy of the tiny bundles that the site uses and the test may damage."""
    folder = tmp_path / "bundles"
    shutil.copytree(tiny_bundles, folder)
    settings.PMI_BUNDLE_DIR = folder
    settings.PMI_ONNX_CACHE = onnx_cache
    settings.PMI_VAR_DIR = tmp_path / "var"
    return folder


@pytest.fixture
def models(db: None, bundle_dir: Path) -> dict[str, Any]:
    """The tiny bundles registered and active, by kind."""
    from django.core.management import call_command

    from inference.selectors import active_versions

    call_command("register_models", verbosity=0, stdout=open(os.devnull, "w"))  # noqa: PTH123, SIM115
    return active_versions()


@pytest.fixture
def film() -> Callable[..., CanonicalVolume]:
    """A drawn film: `film("chest_xray", "pneumonia|bacterial")`; keywords as in CanonicalVolume."""

    def draw(kind: str, label: str, seed: int = 99, **meta: Any) -> CanonicalVolume:
        fields = {"modality": "", "source_format": "raster", "window": None, **meta}
        return from_film(picture(kind, label, seed), **fields)

    return draw


@pytest.fixture
def brain() -> Callable[..., CanonicalVolume]:
    """A drawn axial brain volume of `slices`, with a tumour of `label` on the slices in `on`."""

    def draw(label: str = "none", slices: int = 40, on: range = range(0), **meta: Any) -> CanonicalVolume:
        stack = [picture("brain_mri", label if z in on else "none", 500 + z) for z in range(slices)]
        # (z, rows, columns) as displayed: anterior up, patient's right on the left.
        data = np.stack(stack)[:, ::-1, ::-1].transpose(2, 1, 0).astype(np.float32)
        fields = {"modality": "MR", "source_format": "nifti", "window": None, "plane": "axial", **meta}
        return from_affine(data, np.diag([2.0, 2.0, 3.0, 1.0]), **fields)

    return draw


@pytest.fixture
def stored_scan(film: Any) -> Callable[..., Any]:
    """A scan in the database with drawn pixels: `stored_scan("knee_xray", "3", case_kind="unsure")`."""

    def store(kind: str = "chest_xray", label: str = "pneumonia|bacterial", **options: Any) -> Any:
        case_fields = {"kind": options.pop("case_kind", kind), "age_group": options.pop("age_group", "adult")}
        if "patient" in options:
            case_fields["patient"] = options.pop("patient")
        case = factories.CaseFactory.create(**case_fields)
        return factories.ScanFactory.create(
            case=case, volume=options.pop("volume", None) or film(kind, label)
        )

    return store


@pytest.fixture(autouse=True)
def covered(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the knowledge base explained every label; test_explained.py is about when it does not."""
    monkeypatch.setattr("inference.explained.require", lambda version: None)


@pytest.fixture
def agrees(run_tasks: Any) -> Callable[[Any], None]:
    """Has a patient agree that others find their confirmed scans, and a worker release them."""
    from accounts import consents

    def give(patient: Any) -> None:
        with run_tasks():
            consents.give_consent(patient, "similar_search")

    return give
